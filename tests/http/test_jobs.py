"""Enqueue, get, cancel, activate over HTTP (wire section 1.2)."""

import asyncio
from typing import Any
from unittest import mock

import pytest
from ojs_grpc_pb.v1 import job_pb2

from ojs_grpc.core.ids import is_id
from tests.clock import FakeClock
from tests.grpc.service import STRANGE_IDS
from tests.http.service import UNKNOWN_ID, Web, error_of, run_web

JOB = {"type": "test.job", "args": [1, "two", {"three": None}]}
SDK = {"ojs-version": "1.0"}
UPPER_ID = "01970000-0000-7000-8000-00000000000A"
TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


async def test_enqueue(everywhere: Web) -> None:
    """201 with the job as stored, and where it is."""
    answer = await everywhere.client.post("/ojs/v1/jobs", json=JOB)

    job = answer.json()["job"]
    assert answer.status_code == 201
    assert answer.headers["location"] == f"/ojs/v1/jobs/{job['id']}"
    assert is_id(job["id"])
    assert (job["type"], job["args"], job["queue"], job["state"]) == ("test.job", JOB["args"], "default", "available")
    assert (job["priority"], job["attempt"], job["max_attempts"], job["specversion"]) == (0, 0, 3, "1.0")


async def test_get(everywhere: Web) -> None:
    """The same job, and the same to a client of gRPC."""
    job = await everywhere.enqueue(args=JOB["args"])

    assert await everywhere.job(job["id"]) == job
    assert (await everywhere.grpc.get(job["id"])).type == "test.job"


@pytest.mark.parametrize("job_id", [strange for strange in STRANGE_IDS if strange and len(strange) < 1000])
async def test_an_id_that_nobody_has(web: Web, job_id: str) -> None:
    """404, whatever it looks like."""
    for method, path in (("GET", "/jobs/{}"), ("DELETE", "/jobs/{}"), ("POST", "/jobs/{}/activate")):
        answer = await web.client.request(method, "/ojs/v1" + path.format(_quote(job_id)))
        error = answer.json()["error"]
        assert (answer.status_code, error["code"], error["details"]["resource_type"]) == (404, "not_found", "job")


@pytest.mark.parametrize(
    ("document", "status", "code", "canonical"),
    [
        ({"args": []}, 400, "invalid_request", "INVALID_JOB_TYPE"),
        ({"type": "Upper", "args": []}, 400, "invalid_request", "INVALID_JOB_TYPE"),
        ({"type": "a"}, 400, "invalid_request", "INVALID_ARGS"),
        ({"type": "a", "args": {}}, 400, "invalid_request", "INVALID_ARGS"),
        ({"type": "a", "args": [], "options": {"queue": "Not A Queue"}}, 400, "invalid_request", "INVALID_QUEUE"),
        ({"type": "a", "args": [], "meta": [1]}, 400, "invalid_request", "INVALID_METADATA"),
        ({"type": "a", "args": [], "id": UPPER_ID}, 400, "invalid_request", "INVALID_PAYLOAD"),
        ({"type": "a", "args": [], "priority": 101}, 400, "invalid_request", "INVALID_PAYLOAD"),
        ({"type": "a", "args": [], "retry": {"max_attempts": -1}}, 422, "validation_error", "INVALID_RETRY_POLICY"),
        ({"type": "a", "args": [], "meta": {"a": "x" * 70_000}}, 413, "metadata_too_large", "METADATA_TOO_LARGE"),
        ({"type": "a", "args": ["x" * (1 << 20)]}, 413, "payload_too_large", "PAYLOAD_TOO_LARGE"),
    ],
)
async def test_a_job_that_breaks_a_rule(
    web: Web, document: dict[str, object], status: int, code: str, canonical: str
) -> None:
    """Refused with the rule, and nothing is stored."""
    error = await error_of(web, status, code, "POST", "/jobs", document)

    assert error["canonical_code"] == canonical
    assert error["details"]["validation_errors"]
    assert error["details"]["field"] == error["details"]["validation_errors"][0]["path"]
    assert await web.grpc.counts() == {}


async def test_an_id_twice(everywhere: Web) -> None:
    """409 `duplicate` that names the job which is there."""
    await everywhere.enqueue(id=UNKNOWN_ID)

    error = await error_of(everywhere, 409, "duplicate", "POST", "/jobs", {**JOB, "id": UNKNOWN_ID})

    assert error["details"]["existing_job_id"] == UNKNOWN_ID


async def test_a_unique_job_that_is_ignored(everywhere: Web) -> None:
    """200 with the job that stands for it."""
    unique = {"unique": {"keys": ["type"], "on_conflict": "ignore"}}
    first = await everywhere.enqueue(options=unique)

    answer = await everywhere.client.post("/ojs/v1/jobs", json={**JOB, "options": unique})

    assert answer.status_code == 200
    assert answer.json()["deduplicated"] is True
    assert answer.json()["job"]["id"] == first["id"]
    assert "location" not in answer.headers


@pytest.mark.parametrize("header", ["Idempotency-Key", "x-ojs-idempotency-key"])
async def test_an_idempotency_key(everywhere: Web, header: str) -> None:
    """The same request again gives the same job."""
    first = await everywhere.post("/jobs", JOB, status=201, headers={header: "once"})
    again = await everywhere.post("/jobs", JOB, status=201, headers={header: "once"})

    assert again == first
    assert await everywhere.grpc.counts() == {"default": 1}


async def test_an_idempotency_key_holds_across_bindings(web: Web) -> None:
    """A producer may change its protocol."""
    first = await web.post("/jobs", JOB, status=201, headers={"Idempotency-Key": "once"})
    request = job_pb2.EnqueueRequest(type="test.job")
    request.args.add(number_value=1)
    request.args.add(string_value="two")
    request.args.add().struct_value.fields["three"].null_value = 0  # type: ignore[assignment]

    again = await web.grpc.stub.Enqueue(request, metadata=[("x-ojs-idempotency-key", "once")])

    assert again.job.id == first["job"]["id"]


@pytest.mark.parametrize("batch", [False, True])
async def test_an_idempotency_key_with_a_time_that_counts_from_now(web: Web, batch: bool) -> None:  # noqa: FBT001
    """The same words later are the same request; other words are not."""
    def request(delay: str) -> tuple[str, dict[str, Any]]:
        job = {"type": "a", "args": [], "options": {"delay_until": delay}}
        return ("/jobs/batch", {"jobs": [job]}) if batch else ("/jobs", job)

    first = await web.post(*request("+PT5M"), status=201, headers={"Idempotency-Key": "once"})
    web.clock.advance(60_000)

    again = await web.post(*request("+PT5M"), status=201, headers={"Idempotency-Key": "once"})

    assert again == first
    path, document = request("+PT6M")
    other = await web.client.post(f"/ojs/v1{path}", json=document, headers={"Idempotency-Key": "once"})
    assert other.status_code >= 400


@pytest.mark.parametrize(
    ("document", "field"),
    [
        ({"args": [{}], "unique": {"keys": ["type", "args"], "args_keys": ["x"]}}, "unique.args_keys"),
        ({"priority": 500}, "priority"),
        ({"options": {"retry_policy": {"initial_interval_ms": 600_000}}}, "options.retry_policy.initial_interval_ms"),
        ({"pending": True, "delay_until": "+PT1H"}, "pending"),
    ],
)
async def test_what_the_engine_refuses_is_named_as_it_was_written(
    web: Web, document: dict[str, Any], field: str
) -> None:
    """Alone and in a batch."""
    job = {"type": "a", "args": [], **document}

    alone = await web.client.post("/ojs/v1/jobs", json=job)
    batch = await web.client.post("/ojs/v1/jobs/batch", json={"jobs": [{"type": "a", "args": []}, job]})

    assert alone.json()["error"]["details"]["field"] == field
    details = batch.json()["error"]["details"]
    assert (details["field"], details["index"]) == (f"jobs[1].{field}", 1)


async def test_others_have_their_turn_while_a_large_batch_is_read(web: Web) -> None:
    """Others' heartbeats come in between."""
    job = {"type": "a", "args": [[0.5] * 10_000]}
    sending = asyncio.create_task(web.post("/jobs/batch", {"jobs": [job] * 60}, status=201))
    with mock.patch.object(asyncio, "sleep", side_effect=asyncio.sleep) as slept:
        answer = await sending

    assert answer["count"] == len(answer["jobs"]) == 60
    assert slept.call_count >= 60


async def test_a_long_idempotency_key(web: Web) -> None:
    """It is refused, not cut: cut keys would be the same."""
    await error_of(web, 400, "invalid_request", "POST", "/jobs", JOB, headers={"Idempotency-Key": "x" * 257})


async def test_answers_to_different_callers(web: Web) -> None:
    """What is kept of equal options is the same whoever was answered with it before."""
    options = {"timeout_ms": 3000, "unique": {"keys": ["type", "args"], "args_keys": ["n"]}, "meta": {"k": [1]}}
    jobs = [{"type": "a", "args": [{"n": n}], "options": options} for n in range(4)]

    said = [await web.post("/jobs", job, status=201, headers=SDK) for job in jobs]
    plain = await web.post("/jobs", {**jobs[0], "args": [{"n": 9}]}, status=201)
    batch = await web.post("/jobs/batch", {"jobs": [{**jobs[0], "args": [{"n": 10}]}]}, status=201)

    assert all(answer["job"]["unique"]["key"] == ["n"] for answer in said)
    assert all("timeout" not in answer["job"] for answer in said)
    for job in (plain["job"], *batch["jobs"]):
        assert job["timeout"] == 3
        assert "key" not in job["unique"]
        assert job == await web.job(job["id"])


async def test_the_trace_context_is_kept(web: Web) -> None:
    """In the job's meta."""
    job = await web.post("/jobs", JOB, status=201, headers={"traceparent": TRACE, "tracestate": "a=b"})
    other = await web.post("/jobs", JOB, status=201, headers={"traceparent": "nonsense", "tracestate": "a=b"})

    assert job["job"]["meta"] == {"traceparent": TRACE, "tracestate": "a=b"}
    assert other["job"]["meta"] == {}


async def test_a_batch(everywhere: Web) -> None:
    """201 with all jobs, in its order."""
    answer = await everywhere.post("/jobs/batch", {"jobs": [{**JOB, "type": f"t{n}"} for n in range(3)]}, status=201)

    assert answer["count"] == 3
    assert [job["type"] for job in answer["jobs"]] == ["t0", "t1", "t2"]
    assert {job["state"] for job in answer["jobs"]} == {"available"}


@pytest.mark.parametrize(
    ("jobs", "status", "code"),
    [
        ([JOB, JOB, {"type": "a"}], 400, "invalid_request"),
        ([JOB, JOB, {**JOB, "type": ""}], 400, "invalid_request"),
        ([JOB, JOB, {**JOB, "options": {"retry": {"max_attempts": -1}}}], 422, "validation_error"),
    ],
)
async def test_a_batch_with_one_bad_job(everywhere: Web, jobs: list[object], status: int, code: str) -> None:
    """Refused as a whole, and it says which one."""
    error = await error_of(everywhere, status, code, "POST", "/jobs/batch", {"jobs": jobs})

    assert error["details"]["index"] == 2
    assert await everywhere.grpc.counts() == {}


async def test_a_batch_with_one_id_twice(everywhere: Web) -> None:
    """409, and none is stored."""
    jobs = [JOB, {**JOB, "id": UNKNOWN_ID}, {**JOB, "id": UNKNOWN_ID}]

    await error_of(everywhere, 409, "duplicate", "POST", "/jobs/batch", {"jobs": jobs})

    assert await everywhere.grpc.counts() == {}


@pytest.mark.parametrize("document", [{}, {"jobs": []}, {"jobs": {}}, {"jobs": [1]}, {"jobs": None}])
async def test_a_batch_that_is_none(web: Web, document: object) -> None:
    """400."""
    await error_of(web, 400, "invalid_request", "POST", "/jobs/batch", document)


async def test_too_many_jobs_in_a_batch(clock: FakeClock) -> None:
    """413."""
    async with run_web(clock, batch_jobs=2) as web:
        await error_of(web, 413, "payload_too_large", "POST", "/jobs/batch", {"jobs": [JOB] * 3})


async def test_a_large_batch_comes_back_whole(web: Web) -> None:
    """HTTP has no limit as gRPC has."""
    document = {"jobs": [{"type": "test.job", "args": ["x" * 100_000]}] * 50}

    answer = await web.post("/jobs/batch", document, status=201)

    assert all(job["args"] == ["x" * 100_000] for job in answer["jobs"])


@pytest.mark.parametrize("way", ["DELETE", "POST"])
async def test_cancel(everywhere: Web, way: str) -> None:
    """By either path; it says what the job was before."""
    job = await everywhere.enqueue()
    path = f"/jobs/{job['id']}" if way == "DELETE" else f"/jobs/{job['id']}/cancel"

    cancelled = (await everywhere.send(way, path))["job"]

    assert (cancelled["state"], cancelled["previous_state"]) == ("cancelled", "available")
    assert "cancelled_at" in cancelled
    assert "completed_at" not in cancelled


async def test_cancel_what_is_finished(everywhere: Web) -> None:
    """409, also the second time."""
    job = await everywhere.enqueue()
    await everywhere.delete(f"/jobs/{job['id']}")

    error = await error_of(everywhere, 409, "conflict", "DELETE", f"/jobs/{job['id']}")

    assert error["canonical_code"] == "JOB_ALREADY_CANCELLED"
    assert error["details"]["current_state"] == "cancelled"


async def test_cancel_what_runs(web: Web) -> None:
    """The worker has lost it."""
    await web.enqueue()
    job = await web.fetch_one()

    cancelled = (await web.delete(f"/jobs/{job['id']}", reason="no more"))["job"]

    assert cancelled["previous_state"] == "active"
    await error_of(web, 409, "conflict", "POST", "/workers/ack", {"job_id": job["id"]})


async def test_activate(everywhere: Web) -> None:
    """A pending job becomes available."""
    job = await everywhere.enqueue(options={"pending": True})
    everywhere.clock.advance(1000)

    active = (await everywhere.post(f"/jobs/{job['id']}/activate"))["job"]

    assert (job["state"], active["state"], active["previous_state"]) == ("pending", "available", "pending")
    assert active["activated_at"] == active["enqueued_at"] != job["created_at"]


async def test_activate_what_is_not_pending(web: Web) -> None:
    """409."""
    job = await web.enqueue()

    error = await error_of(web, 409, "conflict", "POST", f"/jobs/{job['id']}/activate")

    assert (error["details"]["current_state"], error["details"]["expected_state"]) == ("available", "pending")


async def test_a_full_queue(clock: FakeClock) -> None:
    """429, and when to try again."""
    async with run_web(clock, queues="small:max_depth=1") as web:
        await web.enqueue(options={"queue": "small"})
        answer = await web.client.post("/ojs/v1/jobs", json={**JOB, "options": {"queue": "small"}})

    assert answer.status_code == 429
    assert answer.json()["error"]["code"] == "queue_full"
    assert int(answer.headers["retry-after"]) >= 1


async def test_many_at_once(web: Web) -> None:
    """Each gets its own answer."""
    jobs = await asyncio.gather(*(web.enqueue(args=[number]) for number in range(50)))

    assert [job["args"] for job in jobs] == [[number] for number in range(50)]
    assert len({job["id"] for job in jobs}) == 50


def _quote(text: str) -> str:
    return "".join(f"%{byte:02x}" for byte in text.encode())
