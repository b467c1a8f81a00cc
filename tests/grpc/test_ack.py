"""Ack: completes a job for whoever holds it, and keeps its result."""

import asyncio
from typing import Any

import pytest
from google.protobuf.struct_pb2 import NULL_VALUE, Struct, Value
from ojs_grpc_pb.v1 import job_pb2, worker_pb2

from ojs_grpc.core.duration import timestamp_ms
from tests.clock import START
from tests.grpc.service import (
    SECOND,
    STRANGE_IDS,
    Service,
    invalid,
    nested,
    not_found,
    refused_or_done,
    seconds,
    struct,
    too_large,
    value,
    wrong_state,
)


async def test_an_acknowledged_job_is_completed(everywhere: Service) -> None:
    """Final state, time and result, and no next fetch gets it."""
    await everywhere.enqueue()
    job = await everywhere.fetch_one()
    everywhere.clock.advance(500)

    reply = await everywhere.ack(job, result=struct(rows=3))

    assert reply.acknowledged
    done = await everywhere.get(job.id)
    assert (done.state, done.attempt, done.result) == (job_pb2.JOB_STATE_COMPLETED, 1, struct(rows=3))
    assert timestamp_ms(done.completed_at) == START + 500
    assert not done.HasField("lease_expires_at")
    assert done.worker_id == ""
    assert await everywhere.fetch() == []


async def test_an_ack_clears_nothing_of_the_history(everywhere: Service) -> None:
    """Earlier failures stay in `errors`."""
    await everywhere.enqueue(retry=job_pb2.RetryPolicy(jitter=False))
    await everywhere.nack(await everywhere.fetch_one())
    await everywhere.advance(1 * SECOND)

    job = await everywhere.fetch_one()

    await everywhere.ack(job, result=struct(ok=True))

    done = await everywhere.get(job.id)
    assert [error.code for error in done.errors] == ["boom"]
    assert done.result == struct(ok=True)
    assert not done.HasField("next_attempt_at")


@pytest.mark.parametrize("plain", [3, "text", True, None, [1, [2]], 2.5], ids=repr)
async def test_any_value_can_be_a_result(service: Service, plain: Any) -> None:  # noqa: ANN401
    """What is no object travels in our field, and wrapped for clients that know only the spec's."""
    await service.enqueue()
    job = await service.fetch_one()

    await service.ack(job, result_value=value(plain))

    done = await service.get(job.id)
    assert done.result_value == value(plain)
    wrapped = Struct()
    wrapped["ojs.value"] = plain
    assert done.result == wrapped


async def test_a_stock_client_wraps_what_is_no_object(service: Service) -> None:
    """`{"ojs.value": x}` from a client that knows only Struct is the result x."""
    await service.enqueue()
    job = await service.fetch_one()
    wrapped = Struct()
    wrapped["ojs.value"] = [1, 2]

    await service.ack(job, result=wrapped)

    done = await service.get(job.id)
    assert done.result == wrapped
    assert done.result_value == value([1, 2])


async def test_an_object_as_value_is_an_ordinary_result(service: Service) -> None:
    """Objects need no wrapping, whichever field they come in."""
    await service.enqueue()
    job = await service.fetch_one()

    await service.ack(job, result_value=value({"rows": 3}))

    done = await service.get(job.id)
    assert done.result == struct(rows=3)
    assert not done.HasField("result_value")


async def test_the_value_wins_over_the_object(service: Service) -> None:
    """As the contract says, whatever the object holds."""
    wrapped = Struct()
    for result in (struct(a=1), wrapped):
        wrapped["ojs.value"] = 1
        await service.enqueue()
        job = await service.fetch_one()

        await service.ack(job, result=result, result_value=value(2))

        done = await service.get(job.id)
        assert done.result_value == value(2)
        assert done.result.fields["ojs.value"] == value(2)


async def test_no_result_is_no_result(service: Service) -> None:
    """Without one, the job shows none."""
    await service.enqueue()
    job = await service.fetch_one()
    await service.ack(job)

    done = await service.get(job.id)
    assert not done.HasField("result")
    assert not done.HasField("result_value")


async def test_a_second_ack_is_refused(everywhere: Service) -> None:
    """Completed is final."""
    await everywhere.enqueue()
    job = await everywhere.fetch_one()
    await everywhere.ack(job, result=struct(n=1))

    with wrong_state() as caught:
        await everywhere.ack(job, result=struct(n=2))

    facts = caught.info.metadata
    assert (facts["job_id"], facts["current_state"], facts["expected_state"]) == (job.id, "completed", "active")
    assert (await everywhere.get(job.id)).result == struct(n=1)


async def test_two_acks_at_once(everywhere: Service) -> None:
    """One of them counts, the other is refused, also when the store gets both in one call."""
    await everywhere.enqueue()
    job = await everywhere.fetch_one()

    outcomes = await asyncio.gather(*(refused_or_done(everywhere.ack(job)) for _ in range(5)))

    assert sorted(outcomes) == ["done", *["invalid_state"] * 4]


@pytest.mark.parametrize("by_metadata", [False, True])
async def test_a_stale_lease_is_refused(everywhere: Service, by_metadata: bool) -> None:  # noqa: FBT001
    """The same worker got the job again: what its first attempt reports no longer counts."""
    await everywhere.enqueue(visibility_timeout=seconds(1))
    first = await everywhere.fetch_one()
    await everywhere.advance(1 * SECOND)
    second = await everywhere.fetch_one()
    assert second.id == first.id

    with wrong_state() as caught:
        await _ack(everywhere, first, by_metadata=by_metadata)

    assert caught.info.metadata["current_state"] == "active"
    await _ack(everywhere, second, by_metadata=by_metadata)


async def test_another_worker_is_refused(everywhere: Service) -> None:
    """Without a lease, the name counts, if there is one; without any, the state alone."""
    await everywhere.enqueue()
    job = await everywhere.fetch_one(worker_id="worker-1")

    with wrong_state():
        await everywhere.stub.Ack(worker_pb2.AckRequest(job_id=job.id, worker_id="worker-2"))
    with wrong_state():
        await everywhere.stub.Ack(
            worker_pb2.AckRequest(job_id=job.id), metadata=(("x-ojs-worker-id", "worker-2"),)
        )

    await everywhere.stub.Ack(worker_pb2.AckRequest(job_id=job.id))


async def test_a_late_ack_counts_while_nobody_else_has_the_job(everywhere: Service) -> None:
    """The lease ended, the job is available again, and its former holder proves that it had it."""
    await everywhere.enqueue(visibility_timeout=seconds(1))
    job = await everywhere.fetch_one()
    await everywhere.advance(1 * SECOND)
    assert (await everywhere.get(job.id)).state == job_pb2.JOB_STATE_AVAILABLE
    with wrong_state():
        await everywhere.stub.Ack(worker_pb2.AckRequest(job_id=job.id, worker_id="worker-1"))

    await everywhere.ack(job)

    assert (await everywhere.get(job.id)).state == job_pb2.JOB_STATE_COMPLETED
    assert await everywhere.fetch() == []
    assert await everywhere.counts() == {"default": 0}


async def test_an_ack_and_the_end_of_the_lease_at_once(everywhere: Service) -> None:
    """Whoever comes first, the job ends up completed or available, and never both."""
    for _ in range(5):
        await everywhere.enqueue(visibility_timeout=seconds(1))
        job = await everywhere.fetch_one()
        everywhere.clock.advance(1 * SECOND)

        outcome, _ = await asyncio.gather(refused_or_done(everywhere.ack(job)), everywhere.run_duties())

        # The late ack proves its lease, so it counts either way.
        assert outcome == "done"
        assert (await everywhere.get(job.id)).state == job_pb2.JOB_STATE_COMPLETED
        assert await everywhere.counts() == {"default": 0}


async def test_an_ack_of_a_released_job_is_refused(everywhere: Service) -> None:
    """Who gave a job back gave up its lease."""
    await everywhere.enqueue()
    job = await everywhere.fetch_one()
    await everywhere.nack(job, requeue=True)

    with wrong_state():
        await everywhere.ack(job)

    assert (await everywhere.get(job.id)).state == job_pb2.JOB_STATE_AVAILABLE


async def test_an_ack_of_a_cancelled_job_is_refused(everywhere: Service) -> None:
    """It does not complete it."""
    await everywhere.enqueue()
    job = await everywhere.fetch_one()
    await everywhere.stub.CancelJob(job_pb2.CancelJobRequest(job_id=job.id))

    with wrong_state() as caught:
        await everywhere.ack(job)

    assert caught.info.metadata["current_state"] == "cancelled"


async def test_an_available_job_cannot_be_acknowledged(everywhere: Service) -> None:
    """Nobody can complete what nobody has."""
    job = await everywhere.enqueue()

    for lease in (0, 1):
        with wrong_state():
            await everywhere.stub.Ack(worker_pb2.AckRequest(job_id=job.id, lease=lease))


async def test_an_unknown_job(everywhere: Service) -> None:
    """Whatever is asked for, it is not found."""
    for job_id in STRANGE_IDS:
        with not_found():
            await everywhere.stub.Ack(worker_pb2.AckRequest(job_id=job_id))


@pytest.mark.parametrize(
    "result",
    [
        {"result_value": Value(number_value=float("nan"))},
        {"result_value": value([float("inf")])},
        {"result": struct(x=float("-inf"))},
        {"result": struct(x={"y": float("nan")})},
    ],
)
async def test_a_result_that_json_cannot_say_is_refused(service: Service, result: dict[str, Any]) -> None:
    """The job stays with its worker, who may send another."""
    await service.enqueue()
    job = await service.fetch_one()

    with invalid() as caught:
        await service.ack(job, **result)

    assert caught.fields == ["result"]
    assert (await service.get(job.id)).state == job_pb2.JOB_STATE_ACTIVE
    await service.ack(job)


async def test_a_result_that_is_too_large_is_refused(service: Service) -> None:
    """Above 1 MiB; the job stays with its worker."""
    await service.enqueue()
    job = await service.fetch_one()

    with too_large():
        await service.ack(job, result=struct(x="x" * (1 << 20)))

    assert (await service.get(job.id)).state == job_pb2.JOB_STATE_ACTIVE


@pytest.mark.parametrize("kind", ["list", "object"])
@pytest.mark.parametrize("field", ["result", "result_value", "wrapped"])
async def test_a_result_nests_thirty_deep(service: Service, kind: str, field: str) -> None:
    """30 lists or objects within each other are kept and read back, 31 are refused."""
    await service.enqueue()
    job = await service.fetch_one()

    def result(depth: int) -> dict[str, Any]:
        if field == "result_value":
            return {"result_value": nested(depth, kind)}
        member = "ojs.value" if field == "wrapped" else "x"
        return {"result": Struct(fields={member: nested(depth, kind)})}

    # An object as the value is the result itself: its members nest one less, as they do in `result`.
    extra = 1 if (field, kind) == ("result_value", "object") else 0
    with too_large():
        await service.ack(job, **result(31 + extra))
    await service.ack(job, **result(30))

    assert (await service.get(job.id)).state == job_pb2.JOB_STATE_COMPLETED


async def test_a_null_result_is_kept(service: Service) -> None:
    """Null is a value, unlike no result."""
    await service.enqueue()
    job = await service.fetch_one()
    await service.ack(job, result_value=Value(null_value=NULL_VALUE))

    assert (await service.get(job.id)).result_value.WhichOneof("kind") == "null_value"


async def _ack(service: Service, job: job_pb2.Job, *, by_metadata: bool) -> None:
    if by_metadata:
        metadata = (("x-ojs-lease", str(job.lease)),)
        await service.stub.Ack(worker_pb2.AckRequest(job_id=job.id), metadata=metadata)
    else:
        await service.ack(job)
