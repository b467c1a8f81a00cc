"""A job that was enqueued on one binding is the same job on the other, whatever happens to it there."""

from typing import Any

import pytest
from google.protobuf.struct_pb2 import Struct, Value
from ojs_grpc_pb.v1 import job_pb2, service_pb2, worker_pb2
from ojs_grpc_pb.v1.job_pb2 import Job, RateLimit, RetryPolicy, UniquePolicy

from ojs_grpc.core.duration import to_duration, to_timestamp
from tests.bindings.pair import Pair
from tests.clock import START
from tests.grpc.service import SECOND, invalid, value

SAID: dict[str, Any] = {
    "type": "report.build-all",
    "queue": "reports",
    "args": ["é😀", 42, -0.5, True, None, {"id": 9007199254740993, "deep": [[1, {"x": []}]]}, 2**70],
    "meta": {"tenant": "acme", "none": None, "big": -(2**60) - 1, "trace_id": "4bf92f3577b34da6a3ce929d0e0e4736"},
    "priority": -7,
    "timeout": 90,
    "timeout_ms": 90_000,
    "visibility_timeout": 45,
    "visibility_timeout_ms": 45_000,
    "expires_at": "2031-12-31T23:59:59+02:00",
    "retry": {
        "max_attempts": 0,
        "initial_interval": "PT60S",
        "backoff_coefficient": 1.5,
        "max_interval": "PT2H",
        "jitter": False,
        "non_retryable_errors": ["Auth.*"],
        "on_exhaustion": "dead_letter",
        "backoff_strategy": "linear",
    },
    "unique": {"keys": ["type", "args"], "period": "PT90M", "on_conflict": "ignore", "states": ["available", "active"]},
    "schema": "urn:ojs:schema:report.build-all:v7",
    "tags": ["a", "b"],
    "rate_limit": {"max_per_second": 5},
    "x_tone": {"warm": [1, 2**63], "cold": None},
}
"""Every attribute that a client may say and that is shown as it was said."""


async def test_enqueued_over_http_and_done_over_grpc(pair: Pair) -> None:
    """Nothing is lost on the way through Protobuf, store and worker, and the result comes back as it is."""
    enqueued = await pair.enqueue(**SAID)
    assert {name: enqueued[name] for name in SAID} == SAID

    job = await pair.grpc.fetch_one("reports")
    assert (job.id, job.type, job.queue, job.priority) == (enqueued["id"], SAID["type"], "reports", -7)
    assert [argument.WhichOneof("kind") for argument in job.args] == [
        "string_value", "number_value", "number_value", "bool_value", "null_value", "struct_value", "number_value"
    ]  # fmt: skip
    assert job.args[5].struct_value["id"] == float(9007199254740993)
    assert (job.timeout, job.visibility_timeout) == (to_duration(90_000), to_duration(45_000))
    assert job.expires_at.ToJsonString() == "2031-12-31T21:59:59Z"
    assert (job.retry_policy.max_attempts, job.max_attempts, job.retry_policy.jitter) == (1, 1, False)
    assert list(job.unique_policy.key) == ["type", "args"]
    assert (job.schema, list(job.tags), job.rate_limit.rate.limit) == (SAID["schema"], ["a", "b"], 5)
    assert job.ext["x_tone"]["warm"][0] == 1
    assert job.trace_id == SAID["meta"]["trace_id"]
    assert job.exact["/args/5/id"] == "9007199254740993"

    await pair.grpc.ack(job, result_value=value([1, "two", None]))
    done = await pair.job(job.id)
    assert {name: done[name] for name in SAID} == SAID
    assert (done["state"], done["attempt"], done["result"]) == ("completed", 1, [1, "two", None])
    assert "error" not in done


async def test_enqueued_over_grpc_and_failed_over_http(pair: Pair) -> None:
    """The worker sees what the producer said; what it reports is read over gRPC."""
    enqueued = await pair.grpc.enqueue(
        "card.charge",
        "ada",
        {"cents": 1250.0},
        queue="money",
        priority=3,
        retry=RetryPolicy(max_attempts=2, initial_interval=to_duration(1500), on_exhaustion="dead_letter"),
        unique=UniquePolicy(key=["args"], on_conflict=job_pb2.UNIQUE_CONFLICT_ACTION_REJECT),
        rate_limit=RateLimit(key="cards", concurrency=2),
        tags=["slow"],
        timeout=to_duration(1500),
        expires_at=to_timestamp(START + 3_600_000),
        trace_id="t-1",
    )

    job = await pair.fetch("money", worker_id="w", visibility_timeout_ms=20_000)
    assert {
        "id": enqueued.id,
        "type": "card.charge",
        "queue": "money",
        "args": ["ada", {"cents": 1250}],
        "meta": {},
        "priority": 3,
        "retry": {"max_attempts": 2, "initial_interval": "PT1.5S", "on_exhaustion": "dead_letter"},
        "unique": {"keys": ["args"], "on_conflict": "reject"},
        "rate_limit": {"key": "cards", "concurrency": 2},
        "tags": ["slow"],
        "timeout_ms": 1500,
        "trace_id": "t-1",
        "state": "active",
        "attempt": 1,
        "max_attempts": 2,
        "worker_id": "w",
        "specversion": "1.0",
        "expires_at": "2025-06-15T16:06:40.000Z",
    }.items() <= job.items(), job

    error = {
        "code": "card_declined",
        "type": "Declined",
        "message": "no funds",
        "retryable": True,
        "backtrace": ["a.py:1", "b.py:2"],
        "details": {"limit": 2**61 + 1},
        "x_bank": "north",
    }
    report = {"job_id": job["id"], "worker_id": "w", "lease": job["lease"], "error": error}
    assert (await pair.send("POST", "/ojs/v1/workers/nack", report))["state"] == "retryable"
    failed = (await pair.grpc.get(enqueued.id)).errors[0]
    assert (failed.code, failed.type, failed.message, failed.attempt) == ("card_declined", "Declined", "no funds", 1)
    assert (failed.backtrace, failed.ext["x_bank"]) == ("a.py:1\nb.py:2", "north")
    shown = await pair.job(enqueued.id)
    assert error.items() <= shown["errors"][0].items()
    assert error.items() <= shown["error"].items()


@pytest.mark.parametrize(
    "result",
    [None, 0, -1.5, 2**64, "", "x", [], [2**62 + 1], {}, {"a": {"b": 2**53 + 1}}, {"ojs.value": 1}, True],
)
async def test_a_result_of_any_type_is_the_same_on_both(pair: Pair, result: Any) -> None:  # noqa: ANN401
    """It is acknowledged over HTTP, and read over gRPC and HTTP."""
    job = await pair.enqueue(type="a", args=[])
    await pair.fetch()

    await pair.send("POST", "/ojs/v1/workers/ack", {"job_id": job["id"], "result": result})

    assert (await pair.job(job["id"]))["result"] == result
    seen = await pair.grpc.get(job["id"])
    assert seen.HasField("result")


async def test_the_same_request_has_the_same_fingerprint(pair: Pair) -> None:
    """A unique job over HTTP is a duplicate of one over gRPC, and names it."""
    policy = UniquePolicy(key=["type", "args", "queue"])
    first = await pair.grpc.enqueue("a", {"b": [1.5, "é"]}, 3.0, unique=policy)

    again = await pair.http.post(
        "/ojs/v1/jobs",
        json={"type": "a", "args": [{"b": [1.5, "é"]}, 3], "options": {"unique": {"keys": ["type", "args", "queue"]}}},
    )

    assert again.status_code == 409
    assert again.json()["error"]["details"]["existing_job_id"] == first.id


async def test_an_idempotency_key_counts_on_both(pair: Pair) -> None:
    """The same request under the same key stores one job, whichever way it comes."""
    metadata = (("x-ojs-idempotency-key", "k"),)
    request = job_pb2.EnqueueRequest(type="a", args=[value("x")])
    first = (await pair.grpc.stub.Enqueue(request, metadata=metadata)).job

    again = await pair.send("POST", "/ojs/v1/jobs", {"type": "a", "args": ["x"]}, headers={"Idempotency-Key": "k"})

    assert again["job"]["id"] == first.id


async def test_reports_and_heartbeats_may_come_on_the_other_binding(pair: Pair) -> None:
    """A lease is a lease, and a stale one is stale everywhere."""
    await pair.grpc.enqueue("a")
    job = await pair.fetch(worker_id="w")
    beat = worker_pb2.HeartbeatRequest(worker_id="w", extend_by=to_duration(50 * SECOND))
    reply = await pair.grpc.stub.Heartbeat(beat)
    assert reply.new_deadline.ToMilliseconds() == START + 50 * SECOND
    sign = {"worker_id": "w", "visibility_timeout_ms": 70_000, "active_jobs": [job["id"]]}
    extended = await pair.send("POST", "/ojs/v1/workers/heartbeat", sign)
    assert (extended["state"], extended["jobs_extended"]) == ("running", [job["id"]])
    await pair.grpc.nack(Job(id=job["id"], lease=job["lease"]), requeue=True)

    late = await pair.http.post("/ojs/v1/workers/ack", json={"job_id": job["id"], "lease": job["lease"]})

    assert (late.status_code, late.json()["error"]["code"]) == (409, "conflict")
    await pair.grpc.fetch_one()


async def test_cancelled_activated_and_buried_on_the_other_binding(pair: Pair) -> None:
    """The state is one state."""
    waiting = await pair.enqueue(type="a", args=[], options={"pending": True})
    assert waiting["state"] == "pending"
    await pair.grpc.stub.ActivateJob(job_pb2.ActivateJobRequest(job_id=waiting["id"]))
    cancelled = await pair.send("DELETE", f"/ojs/v1/jobs/{waiting['id']}")
    assert cancelled["job"]["previous_state"] == "available"
    assert (await pair.grpc.get(waiting["id"])).state == job_pb2.JOB_STATE_CANCELLED

    dead = await pair.grpc.bury()
    (listed,) = (await pair.send("GET", "/ojs/v1/dead-letter"))["jobs"]
    assert (listed["id"], listed["state"]) == (dead.id, "discarded")
    again = await pair.send("POST", f"/ojs/v1/dead-letter/{dead.id}/retry")
    assert (again["job"]["state"], again["job"]["attempt"]) == ("available", 0)
    assert (await pair.grpc.get(dead.id)).state == job_pb2.JOB_STATE_AVAILABLE


async def test_what_a_grpc_client_says_exactly_is_checked(pair: Pair) -> None:
    """It may say what a double cannot, and nothing that the message does not."""
    request = job_pb2.EnqueueRequest(type="a", args=[Value(number_value=float(2**60 + 1))])
    request.exact["/args/0"] = str(2**60 + 1)
    job = (await pair.grpc.stub.Enqueue(request)).job
    assert (await pair.job(job.id))["args"] == [2**60 + 1]

    for pointer, text in (("/args/0", "7"), ("/state", '"active"'), ("/args/0", "{"), ("/x", "1"), ("x", "1")):
        lie = job_pb2.EnqueueRequest(type="a", args=[Value(number_value=1)], exact={pointer: text})
        with invalid() as caught:
            await pair.grpc.stub.Enqueue(lie)
        assert caught.fields
        assert all(field.startswith("exact") for field in caught.fields)


async def test_numbers_that_json_cannot_say(pair: Pair) -> None:
    """A job that held one could never be shown."""
    for number in (float("nan"), float("inf")):
        unsayable = Struct(fields={"a": Value(number_value=number)})
        await pair.grpc.enqueue("a")
        job = await pair.grpc.fetch_one()
        with pytest.raises(Exception, match="NaN or infinity"):
            await pair.grpc.nack(job, error=job_pb2.JobError(code="x", ext=unsayable))
        wrapped = Struct(fields={"ojs.value": Value(struct_value=unsayable)})
        with pytest.raises(Exception, match=r"exact|NaN or infinity"):
            await pair.grpc.stub.Ack(worker_pb2.AckRequest(job_id=job.id, result=wrapped, exact={"/result": "{}"}))
        await pair.grpc.nack(job, requeue=True)
        assert (await pair.job(job.id))["state"] == "available"
        await pair.grpc.ack(await pair.grpc.fetch_one())


@pytest.mark.parametrize("options", [value("text"), value({"queue": "other"}), value({"metadata": 1})])
async def test_unknown_options_that_are_none(pair: Pair, options: Value) -> None:
    """A client of HTTP would take them for what the job has."""
    ext = Struct(fields={"options": options})
    with pytest.raises(Exception, match=r"ext\.options"):
        await pair.grpc.stub.Enqueue(job_pb2.EnqueueRequest(type="a", ext=ext))
    with pytest.raises(Exception, match=r"ext\.options"):
        await pair.grpc.stub.RegisterCron(
            service_pb2.RegisterCronRequest(name="a", cron="@daily", type="a", ext=ext)
        )
    assert (await pair.send("GET", "/ojs/v1/cron"))["count"] == 0


async def test_a_struct_is_told_from_none(pair: Pair) -> None:
    """A worker that hands over an empty object has a result, and one that hands over nothing has none."""
    for result in (Struct(), None):
        await pair.grpc.enqueue("a")
        job = await pair.grpc.fetch_one()
        await pair.grpc.ack(job, result=result)
        assert (await pair.job(job.id)).get("result", "none") == ({} if result is not None else "none")
