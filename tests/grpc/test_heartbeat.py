"""Heartbeat: keeps leases alive, tells who is dead, and what to do (behaviour sections 6.2 to 6.4)."""

import pytest
from ojs_grpc_pb.v1 import job_pb2, worker_pb2

from ojs_grpc.core.duration import timestamp_ms
from tests.clock import START, FakeClock
from tests.grpc.service import (
    SECOND,
    STRANGE_IDS,
    UNKNOWN_ID,
    Service,
    ids,
    invalid,
    not_found,
    run_service,
    seconds,
    wrong_state,
)

RUNNING = worker_pb2.WORKER_STATE_RUNNING


async def beat(service: Service, **fields: object) -> worker_pb2.HeartbeatResponse:
    """Sends a heartbeat."""
    return await service.stub.Heartbeat(worker_pb2.HeartbeatRequest(**fields))  # type: ignore[arg-type]


async def deadline(service: Service, job: job_pb2.Job) -> int:
    """The end of the job's lease, from START."""
    return timestamp_ms((await service.get(job.id)).lease_expires_at) - START


async def test_a_beat_for_a_job_extends_its_lease(everywhere: Service) -> None:
    """From now, by the job's visibility timeout."""
    await everywhere.enqueue(visibility_timeout=seconds(10))
    job = await everywhere.fetch_one()
    everywhere.clock.advance(9 * SECOND)

    reply = await beat(everywhere, id=job.id)

    assert reply.directed_state == RUNNING
    assert timestamp_ms(reply.new_deadline) == START + 19 * SECOND
    assert await deadline(everywhere, job) == 19 * SECOND
    await everywhere.advance(10 * SECOND - 1)
    assert (await everywhere.get(job.id)).state == job_pb2.JOB_STATE_ACTIVE
    await everywhere.advance(1)
    assert (await everywhere.get(job.id)).state == job_pb2.JOB_STATE_AVAILABLE


async def test_extend_by_counts_from_now(everywhere: Service) -> None:
    """It does not add up with the old deadline, and may shorten the lease."""
    await everywhere.enqueue(visibility_timeout=seconds(100))
    job = await everywhere.fetch_one()

    for _ in range(3):
        reply = await beat(everywhere, id=job.id, extend_by=seconds(5))

    assert timestamp_ms(reply.new_deadline) == START + 5 * SECOND
    assert await deadline(everywhere, job) == 5 * SECOND


@pytest.mark.parametrize("id_", ["", "worker-1"])
async def test_a_beat_of_a_worker_extends_all_it_holds(everywhere: Service, id_: str) -> None:
    """Named by `id` or only by `worker_id`; the answer is the earliest deadline; others' jobs stay."""
    for visibility in (20, 10, 30):
        await everywhere.enqueue(visibility_timeout=seconds(visibility))
    mine = await everywhere.fetch(2)
    other = await everywhere.fetch_one(worker_id="worker-2")
    everywhere.clock.advance(4 * SECOND)

    reply = await beat(everywhere, id=id_, worker_id="worker-1")

    assert timestamp_ms(reply.new_deadline) == START + 14 * SECOND
    assert [await deadline(everywhere, job) for job in (*mine, other)] == [24 * SECOND, 14 * SECOND, 30 * SECOND]


async def test_a_beat_for_one_job_keeps_the_workers_others_alive(everywhere: Service) -> None:
    """Stock clients name only their first job. The extension asked for is for that job alone."""
    await everywhere.enqueue_many(2, visibility_timeout=seconds(10))
    first, second = await everywhere.fetch(2)
    everywhere.clock.advance(1 * SECOND)

    reply = await beat(everywhere, id=first.id, worker_id="worker-1", extend_by=seconds(3))

    assert timestamp_ms(reply.new_deadline) == START + 4 * SECOND
    assert [await deadline(everywhere, job) for job in (first, second)] == [4 * SECOND, 11 * SECOND]


async def test_a_worker_without_jobs(everywhere: Service) -> None:
    """It is alive, and has no deadline."""
    reply = await beat(everywhere, worker_id="worker-1")

    assert reply.directed_state == RUNNING
    assert not reply.HasField("new_deadline")


async def test_a_worker_that_falls_silent_is_dead(everywhere: Service) -> None:
    """30 s after the last beat, what it held returns, long before the lease would have ended."""
    await everywhere.enqueue()
    job = await everywhere.fetch_one()
    await beat(everywhere, worker_id="worker-1")

    await everywhere.advance(30 * SECOND - 1)
    assert (await everywhere.get(job.id)).state == job_pb2.JOB_STATE_ACTIVE
    await everywhere.advance(1)

    back = await everywhere.get(job.id)
    assert (back.state, back.attempt) == (job_pb2.JOB_STATE_AVAILABLE, 1)
    assert [error.code for error in back.errors] == ["worker_death"]


async def test_a_worker_that_never_beat_is_not_dead(everywhere: Service) -> None:
    """Stock workers without heartbeats keep their jobs for the whole lease."""
    await everywhere.enqueue()
    job = await everywhere.fetch_one()

    await everywhere.advance(1799 * SECOND)

    assert (await everywhere.get(job.id)).state == job_pb2.JOB_STATE_ACTIVE


async def test_beats_do_not_stretch_the_execution_timeout(everywhere: Service) -> None:
    """A handler that hangs in a worker that lives is timed out all the same."""
    await everywhere.enqueue(timeout=seconds(60))
    job = await everywhere.fetch_one()
    for _ in range(5):
        everywhere.clock.advance(10 * SECOND)
        await beat(everywhere, worker_id="worker-1")

    await everywhere.advance(10 * SECOND)

    assert (await everywhere.get(job.id)).errors[0].code == "timeout"


@pytest.mark.parametrize("how", ["ack", "cancel", "expire"])
async def test_a_beat_for_a_job_no_longer_held_is_refused(everywhere: Service, how: str) -> None:
    """It revives nothing; the worker's other jobs are extended all the same."""
    await everywhere.enqueue(visibility_timeout=seconds(5))
    job = await everywhere.fetch_one()
    await everywhere.enqueue(visibility_timeout=seconds(50))
    other = await everywhere.fetch_one()
    if how == "ack":
        await everywhere.ack(job)
    elif how == "cancel":
        await everywhere.stub.CancelJob(job_pb2.CancelJobRequest(job_id=job.id))
    await everywhere.advance(5 * SECOND)

    with wrong_state() as caught:
        await beat(everywhere, id=job.id, worker_id="worker-1", lease=job.lease)

    states = {"ack": "completed", "cancel": "cancelled", "expire": "available"}
    assert caught.info.metadata["current_state"] == states[how]
    assert await deadline(everywhere, other) == 55 * SECOND


async def test_a_stale_lease_is_refused(everywhere: Service) -> None:
    """Also with the lease in the metadata, and although the same worker holds the job again."""
    await everywhere.enqueue(visibility_timeout=seconds(1))
    first = await everywhere.fetch_one()
    await everywhere.advance(1 * SECOND)
    second = await everywhere.fetch_one()

    with wrong_state():
        await beat(everywhere, id=first.id, lease=first.lease)
    with wrong_state():
        await everywhere.stub.Heartbeat(
            worker_pb2.HeartbeatRequest(id=first.id), metadata=(("x-ojs-lease", str(first.lease)),)
        )

    await beat(everywhere, id=second.id, lease=second.lease, extend_by=seconds(9))


async def test_another_workers_beat_is_refused(everywhere: Service) -> None:
    """By field or by metadata."""
    await everywhere.enqueue()
    job = await everywhere.fetch_one()

    with wrong_state():
        await beat(everywhere, id=job.id, worker_id="worker-2")
    with wrong_state():
        await everywhere.stub.Heartbeat(
            worker_pb2.HeartbeatRequest(id=job.id), metadata=(("x-ojs-worker-id", "worker-2"),)
        )


async def test_the_answer_names_jobs_that_were_taken_away(everywhere: Service) -> None:
    """Of those that the worker says it runs."""
    await everywhere.enqueue_many(3)
    kept, cancelled, done = await everywhere.fetch(3)
    await everywhere.stub.CancelJob(job_pb2.CancelJobRequest(job_id=cancelled.id))
    await everywhere.ack(done)

    reply = await beat(
        everywhere, worker_id="worker-1", active_jobs=[*ids([kept, cancelled, done]), UNKNOWN_ID]
    )

    assert list(reply.revoked_jobs) == [cancelled.id, done.id, UNKNOWN_ID]


async def test_an_unknown_id(everywhere: Service) -> None:
    """Neither a job nor the worker itself."""
    for job_id in filter(None, STRANGE_IDS):
        with not_found():
            await beat(everywhere, id=job_id, worker_id="worker-1")
        with not_found():
            await beat(everywhere, id=job_id)


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({}, "worker_id"),
        ({"worker_id": "w" * 256}, "worker_id"),
        ({"worker_id": "w", "extend_by": seconds(-1)}, "extend_by"),
        ({"worker_id": "w", "lease": -1}, "lease"),
    ],
)
async def test_a_bad_request_is_refused(service: Service, fields: dict[str, object], field: str) -> None:
    """The violation names the field."""
    with invalid() as caught:
        await beat(service, **fields)

    assert caught.fields == [field]


async def test_a_state_that_is_none(service: Service) -> None:
    """Is refused, and nothing is extended or remembered."""
    await service.enqueue()
    job = await service.fetch_one()
    service.clock.advance(SECOND)
    request = worker_pb2.HeartbeatRequest(worker_id="worker-1")
    # The stubs know no such state, other clients may.
    data = request.SerializeToString() + b"\x20\x63"

    with invalid() as caught:
        await service.raw("Heartbeat", data)

    assert caught.fields == ["current_state"]
    assert (await service.get(job.id)).lease_expires_at == job.lease_expires_at


@pytest.mark.parametrize(("directive", "state"), [("quiet", 2), ("terminate", 3), ("dance", RUNNING)])
async def test_jobs_of_the_official_suite_say_what_their_worker_is_to_do(
    clock: FakeClock, directive: str, state: int
) -> None:
    """Only with its setting: else producers could stop workers."""
    for conformance, expected in ((True, state), (False, RUNNING)):
        async with run_service(clock, conformance=conformance) as service:
            await service.enqueue(meta={"test_directive": directive})
            job = await service.fetch_one()

            reply = await beat(service, id=job.id, worker_id="worker-1")

        assert reply.directed_state == expected
