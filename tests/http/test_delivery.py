"""Fetch, ack, nack, heartbeat over HTTP (wire section 1.2)."""

import asyncio
import time
from typing import Any

import pytest

from tests.clock import FakeClock
from tests.http.raw import Raw
from tests.http.service import UNKNOWN_ID, Web, error_of, eventually, hold_claims, patience, run_web

FETCH = "/ojs/v1/workers/fetch"


async def test_fetch(everywhere: Web) -> None:
    """The job as it runs; the first one also by itself."""
    enqueued = await everywhere.enqueue(args=[7], options={"timeout_ms": 2000})

    answer = await everywhere.post("/workers/fetch", {"queues": ["default"], "worker_id": "w"})

    (job,) = answer["jobs"]
    assert answer["job"] == job
    assert (job["id"], job["args"], job["state"], job["attempt"]) == (enqueued["id"], [7], "active", 1)
    assert (job["worker_id"], job["timeout_ms"], job["timeout"]) == ("w", 2000, 2)
    assert "started_at" in job


async def test_fetch_where_nothing_is(everywhere: Web) -> None:
    """An empty list, at once."""
    start = time.monotonic()

    answer = await everywhere.post("/workers/fetch", {"queues": ["default"]})

    assert answer == {"jobs": []}
    assert time.monotonic() - start < 1


async def test_fetch_many(everywhere: Web) -> None:
    """As many as there are, queues in order."""
    for queue in ("low", "high", "low"):
        await everywhere.enqueue(options={"queue": queue})

    jobs = await everywhere.fetch(10, "high", "low")

    assert [job["queue"] for job in jobs] == ["high", "low", "low"]


async def test_seconds_are_not_for_sdks(web: Web) -> None:
    """One of them would take them for milliseconds."""
    await web.enqueue(options={"timeout_ms": 2000})

    job = await web.post("/workers/fetch", {"queues": ["default"]}, headers={"OJS-Version": "1.0"})

    assert job["job"]["timeout_ms"] == 2000
    assert "timeout" not in job["job"]


@pytest.mark.parametrize(
    ("document", "field"),
    [
        ({}, "queues"),
        ({"queues": []}, "queues"),
        ({"queues": "default"}, "queues"),
        ({"queues": [1]}, "queues"),
        ({"queues": ["Not A Queue"]}, "queues[0]"),
        ({"queues": ["a"], "count": -1}, "count"),
        ({"queues": ["a"], "count": 1.5}, "count"),
        ({"queues": ["a"], "count": True}, "count"),
        ({"queues": ["a"], "count": "1"}, "count"),
        ({"queues": ["a"], "worker_id": 1}, "worker_id"),
        ({"queues": ["a"], "worker_id": "x" * 256}, "worker_id"),
        ({"queues": ["a"], "visibility_timeout_ms": -1}, "visibility_timeout_ms"),
        ({"queues": ["a"], "visibility_timeout_ms": 1 << 70}, "visibility_timeout_ms"),
        ({"queues": ["a"], "wait_ms": -1}, "wait_ms"),
        ({"queues": ["a"], "wait_ms": "long"}, "wait_ms"),
    ],
)
async def test_a_fetch_that_breaks_a_rule(web: Web, document: dict[str, Any], field: str) -> None:
    """400 that names the field."""
    error = await error_of(web, 400, "invalid_request", "POST", "/workers/fetch", document)

    assert error["details"]["field"] == field


async def test_fetch_waits_if_asked(everywhere: Web) -> None:
    """Until a job comes."""
    waiting = asyncio.create_task(everywhere.fetch(wait_ms=60_000))
    await everywhere.grpc.until_a_poll_waits()
    assert not waiting.done()

    job = await everywhere.enqueue()

    async with patience():
        assert [fetched["id"] for fetched in await waiting] == [job["id"]]


async def test_fetch_waits_no_longer_than_asked(web: Web) -> None:
    """Then there is nothing."""
    start = time.monotonic()

    assert await web.fetch(wait_ms=100) == []
    assert 0.09 < time.monotonic() - start < 2


async def test_a_caller_who_leaves_while_waiting(everywhere: Web) -> None:
    """The next job is somebody else's."""
    async with Raw(everywhere.address) as raw:
        await raw.post(FETCH, {"queues": ["default"], "wait_ms": 60_000})
        await everywhere.grpc.until_a_poll_waits()
    await eventually(lambda: not everywhere.calls)

    await everywhere.enqueue()

    assert (await everywhere.fetch_one())["attempt"] == 1


@pytest.mark.parametrize("wait_ms", [0, 60_000])
async def test_a_caller_who_leaves_as_it_gets_a_job(web: Web, wait_ms: int) -> None:
    """The job goes back, and that costs no attempt."""
    await web.enqueue()
    claimed, go_on = hold_claims(web.grpc)
    async with Raw(web.address) as raw:
        await raw.post(FETCH, {"queues": ["default"], "wait_ms": wait_ms})
        async with patience():
            await claimed.wait()
    await eventually(lambda: raw.client not in web.connections)

    go_on.set()

    async def is_back() -> bool:
        return await web.grpc.counts() == {"default": 1}

    await eventually(is_back)
    assert (await web.fetch_one())["attempt"] == 1


async def test_ack(everywhere: Web) -> None:
    """Completed, with its result."""
    await everywhere.enqueue()
    job = await everywhere.fetch_one()
    everywhere.clock.advance(1500)

    answer = await everywhere.ack(job, result={"sum": 3})

    stored = await everywhere.job(job["id"])
    assert answer == {
        "acknowledged": True,
        "id": job["id"],
        "job_id": job["id"],
        "state": "completed",
        "completed_at": stored["completed_at"],
    }
    assert (stored["state"], stored["result"]) == ("completed", {"sum": 3})


@pytest.mark.parametrize("result", [0, 1.5, "text", [1, [2]], True, None, {}, 1 << 70, {"a": (1 << 53) + 1}])
async def test_any_result(everywhere: Web, result: Any) -> None:  # noqa: ANN401
    """It comes back as it was, null too."""
    await everywhere.enqueue()
    job = await everywhere.fetch_one()

    await everywhere.ack(job, result=result)

    stored = await everywhere.job(job["id"])
    assert "result" in stored
    assert stored["result"] == result
    assert type(stored["result"]) is type(result)


async def test_no_result(web: Web) -> None:
    """Then there is none."""
    await web.enqueue()
    job = await web.fetch_one()

    await web.ack(job)

    assert "result" not in await web.job(job["id"])


async def test_ack_what_is_not_active(everywhere: Web) -> None:
    """409."""
    job = await everywhere.enqueue()

    error = await error_of(everywhere, 409, "conflict", "POST", "/workers/ack", {"job_id": job["id"]})

    assert (error["details"]["current_state"], error["details"]["expected_state"]) == ("available", "active")
    assert error["details"]["job_id"] == job["id"]


@pytest.mark.parametrize("path", ["/workers/ack", "/workers/nack"])
async def test_a_job_that_is_not_there(web: Web, path: str) -> None:
    """404."""
    await error_of(web, 404, "not_found", "POST", path, {"job_id": UNKNOWN_ID, "error": {"message": "x"}})


@pytest.mark.parametrize("document", [{}, {"job_id": ""}, {"job_id": 1}, {"job_id": None}])
@pytest.mark.parametrize("path", ["/workers/ack", "/workers/nack"])
async def test_without_a_job(web: Web, path: str, document: dict[str, Any]) -> None:
    """400."""
    error = await error_of(web, 400, "invalid_request", "POST", path, {"error": {"message": "x"}, **document})

    assert error["details"]["field"] == "job_id"


@pytest.mark.parametrize("how", [{"worker_id": "another"}, {"lease": 999}])
async def test_another_worker(web: Web, how: dict[str, Any]) -> None:
    """It may not end the job: by its name, or by its lease."""
    await web.enqueue()
    job = await web.fetch_one()

    await error_of(web, 409, "conflict", "POST", "/workers/ack", {"job_id": job["id"], **how})

    assert (await web.job(job["id"]))["state"] == "active"


async def test_nack(everywhere: Web) -> None:
    """Tried again later; it says when."""
    await everywhere.enqueue(options={"retry": {"initial_interval": "PT4S", "jitter": False}})
    job = await everywhere.fetch_one()

    answer = await everywhere.nack(job)

    stored = await everywhere.job(job["id"])
    assert answer == {
        "id": job["id"],
        "job_id": job["id"],
        "state": "retryable",
        "attempt": 1,
        "max_attempts": 3,
        "retry_delay_ms": 4000,
        "next_attempt_at": stored["next_attempt_at"],
    }
    assert (stored["error"]["code"], stored["error"]["message"]) == ("boom", "it broke")


async def test_an_error_of_nothing_but_a_message(web: Web) -> None:
    """It is one of the handler's, whatever it was."""
    await web.enqueue()
    job = await web.fetch_one()

    await web.post("/workers/nack", {"job_id": job["id"], "error": {"message": "it broke"}})

    error = (await web.job(job["id"]))["error"]
    assert (error["code"], error["type"], error["message"]) == ("handler_error", "handler_error", "it broke")


async def test_nack_for_good(everywhere: Web) -> None:
    """Discarded; it says when."""
    await everywhere.enqueue(options={"retry": {"max_attempts": 1}})
    job = await everywhere.fetch_one()

    answer = await everywhere.nack(job)

    assert (answer["state"], answer["attempt"], answer["max_attempts"]) == ("discarded", 1, 1)
    assert answer["discarded_at"] == answer["completed_at"]
    assert "next_attempt_at" not in answer


async def test_an_error_that_is_not_to_be_retried(web: Web) -> None:
    """Discarded at once."""
    await web.enqueue()
    job = await web.fetch_one()

    answer = await web.nack(job, error={"code": "boom", "message": "x", "retryable": False})

    assert answer["state"] == "discarded"


async def test_requeue(web: Web) -> None:
    """Back in its queue at once, without an error."""
    await web.enqueue()
    job = await web.fetch_one()

    answer = await web.nack(job, requeue=True)

    assert answer["state"] == "available"
    assert await web.fetch_one()


@pytest.mark.parametrize("members", [{}, {"error": None}, {"requeue": False}, {"error": "text"}, {"error": []}])
async def test_nack_without_an_error(web: Web, members: dict[str, Any]) -> None:
    """400, unless it is given back."""
    await web.enqueue()
    job = await web.fetch_one()

    error = await error_of(web, 400, "invalid_request", "POST", "/workers/nack", {"job_id": job["id"], **members})

    assert error["details"]["field"].startswith("error")
    assert (await web.job(job["id"]))["state"] == "active"


async def test_ack_by_the_path(web: Web) -> None:
    """As serverless workers do, without a body."""
    await web.enqueue()
    job = await web.fetch_one()

    answer = await web.post(f"/jobs/{job['id']}/ack")

    assert answer["state"] == "completed"


@pytest.mark.parametrize("error", ["it broke", {"code": "handler_error", "message": "it broke"}])
async def test_nack_by_the_path(web: Web, error: Any) -> None:  # noqa: ANN401
    """The error may be no more than a message."""
    await web.enqueue()
    job = await web.fetch_one()

    answer = await web.post(f"/jobs/{job['id']}/nack", {"error": error})

    stored = await web.job(job["id"])
    assert answer["state"] == "retryable"
    assert (stored["error"]["code"], stored["error"]["message"]) == ("handler_error", "it broke")


@pytest.mark.parametrize("form", ["array", "number", "both"])
async def test_heartbeat(everywhere: Web, form: str) -> None:
    """All that the worker holds is extended, however it counts its jobs."""
    await everywhere.enqueue()
    job = await everywhere.fetch_one()
    active: dict[str, Any] = {
        "array": {"active_jobs": [job["id"]]},
        "number": {"active_jobs": 1},
        "both": {"active_jobs": 1, "active_job_ids": [job["id"]]},
    }[form]

    beat = await everywhere.post("/workers/heartbeat", {"worker_id": "worker-1", **active})

    assert (beat["state"], beat["directive"], beat["jobs_extended"]) == ("running", "", [job["id"]])
    assert beat["server_time"].startswith("2025-06-15T")
    assert "revoked" not in beat


async def test_a_heartbeat_keeps_a_job(everywhere: Web) -> None:
    """For as long as it says."""
    await everywhere.enqueue(options={"visibility_timeout_ms": 5000})
    job = await everywhere.fetch_one()
    everywhere.clock.advance(4000)

    await everywhere.post("/workers/heartbeat", {"worker_id": "worker-1", "visibility_timeout_ms": 60_000})
    await everywhere.grpc.advance(20_000)

    assert (await everywhere.job(job["id"]))["state"] == "active"


async def test_a_heartbeat_keeps_jobs_leased_without_a_name(everywhere: Web) -> None:
    """If the worker lists them: nobody else can speak for them."""
    await everywhere.enqueue()
    job = await everywhere.fetch_one(worker_id="")

    beat = await everywhere.post("/workers/heartbeat", {"worker_id": "w", "active_jobs": [job["id"]]})

    assert beat["jobs_extended"] == [job["id"]]
    assert "revoked" not in beat


async def test_a_heartbeat_tells_what_is_lost(everywhere: Web) -> None:
    """Another worker's jobs, finished ones, and what never was."""
    await everywhere.enqueue()
    await everywhere.enqueue()
    other, done = await everywhere.fetch_one(worker_id="other"), await everywhere.fetch_one()
    await everywhere.ack(done)
    listed = [other["id"], done["id"], UNKNOWN_ID, "x"]

    beat = await everywhere.post("/workers/heartbeat", {"worker_id": "worker-1", "active_jobs": listed})

    assert beat["jobs_extended"] == []
    assert beat["revoked"] == listed


async def test_a_heartbeat_for_one_job(web: Web) -> None:
    """409 if it is not held any more."""
    job = await web.enqueue()

    await error_of(
        web, 409, "conflict", "POST", "/workers/heartbeat", {"worker_id": "worker-1", "job_id": job["id"]}
    )


@pytest.mark.parametrize(
    ("document", "field"),
    [
        ({}, "worker_id"),
        ({"worker_id": ""}, "worker_id"),
        ({"worker_id": "w", "state": "asleep"}, "state"),
        ({"worker_id": "w", "active_jobs": "x"}, "active_jobs"),
        ({"worker_id": "w", "active_jobs": [1]}, "active_jobs"),
        ({"worker_id": "w", "active_job_ids": 1}, "active_job_ids"),
    ],
)
async def test_a_heartbeat_that_breaks_a_rule(web: Web, document: dict[str, Any], field: str) -> None:
    """400 that names the field."""
    error = await error_of(web, 400, "invalid_request", "POST", "/workers/heartbeat", document)

    assert error["details"]["field"] == field


async def test_test_directives_are_for_the_suite_alone(web: Web) -> None:
    """Else producers could stop workers."""
    await web.enqueue(meta={"test_directive": "terminate"})
    job = await web.fetch_one()

    beat = await web.post("/workers/heartbeat", {"worker_id": "worker-1", "active_jobs": [job["id"]]})

    assert beat["state"] == "running"


@pytest.mark.parametrize("directive", ["quiet", "terminate"])
async def test_test_directives(clock: FakeClock, directive: str) -> None:
    """With the suite's setting, a job says what its worker is to do."""
    async with run_web(clock, conformance=True) as web:
        await web.enqueue(meta={"test_directive": directive})
        job = await web.fetch_one()
        beat = await web.post("/workers/heartbeat", {"worker_id": "worker-1", "active_jobs": [job["id"]]})

    assert (beat["state"], beat["directive"]) == (directive, directive)


async def test_reset_is_for_the_suite_alone(web: Web) -> None:
    """Nothing is there else."""
    await error_of(web, 404, "not_found", "POST", "/admin/reset")


async def test_reset(clock: FakeClock, url: str) -> None:
    """Everything is gone."""
    async with run_web(clock, url, conformance=True) as web:
        job = await web.enqueue()
        await web.post("/admin/reset")

        await error_of(web, 404, "not_found", "GET", f"/jobs/{job['id']}")
        assert await web.fetch() == []
        await web.enqueue()
        assert len(await web.fetch(5)) == 1
