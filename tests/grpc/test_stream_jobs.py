"""StreamJobs: jobs flow as slots are free, and nothing that was not delivered is lost."""

import asyncio

import grpc
import pytest
from ojs_grpc_pb.v1 import job_pb2, worker_pb2

from ojs_grpc.core.duration import timestamp_ms, to_timestamp
from ojs_grpc.errors import StoreUnavailable
from tests.clock import START
from tests.grpc.service import SECOND, Jobs, Service, eventually, ids, invalid, patience, refused, seconds


async def test_a_waiting_stream_gets_what_is_enqueued(everywhere: Service) -> None:
    """A job reaches the stream with its lease, as a fetch would give it."""
    stream = everywhere.stream(5)
    await stream.opened()

    enqueued = await everywhere.enqueue()
    job = await stream.next()

    assert job.id == enqueued.id
    assert (job.state, job.attempt, job.worker_id) == (job_pb2.JOB_STATE_ACTIVE, 1, "worker-1")
    assert job == await everywhere.get(job.id)
    assert (await everywhere.ack(job)).acknowledged


async def test_a_stream_gets_what_waits_already_in_order(everywhere: Service) -> None:
    """Highest priority first, then in order; queues in the caller's order."""
    later = await everywhere.enqueue(queue="b", priority=50)
    low, high, low2 = [await everywhere.enqueue(queue="a", priority=priority) for priority in (0, 1, 0)]
    stream = everywhere.stream(10, "a", "b")

    assert ids(await stream.take(4)) == ids([high, low, low2, later])


async def test_a_stream_survives_an_empty_queue_and_goes_on(service: Service) -> None:
    """Job after job, each when it comes."""
    stream = service.stream(1)
    for _ in range(20):
        enqueued = await service.enqueue()
        job = await stream.next()
        assert job.id == enqueued.id
        await service.ack(job)


async def test_many_jobs_flow_through_one_stream(everywhere: Service) -> None:
    """Each once, whatever the windows in between."""
    jobs = await everywhere.enqueue_many(100)
    stream = everywhere.stream(10)

    seen = []
    for _ in jobs:
        job = await stream.next()
        seen.append(job.id)
        await everywhere.ack(job)

    assert sorted(seen) == sorted(ids(jobs))
    assert len(set(seen)) == 100


async def test_a_scheduled_job_comes_at_its_time(everywhere: Service) -> None:
    """Not before, and then by itself."""
    due = everywhere.clock.now() + 5 * SECOND
    await everywhere.enqueue(delay_until=to_timestamp(due))
    stream = everywhere.stream(5)
    await stream.opened()
    await everywhere.advance(5 * SECOND - 1)
    marker = await everywhere.enqueue()
    assert (await stream.next()).id == marker.id

    await everywhere.advance(1)

    assert timestamp_ms((await stream.next()).enqueued_at) == due


async def test_leases_of_a_stream_last_as_it_says(service: Service) -> None:
    """`visibility_timeout` of the request beats the job's own."""
    await service.enqueue(visibility_timeout=seconds(60))

    job = await service.stream(visibility_timeout=seconds(7)).next()

    assert timestamp_ms(job.lease_expires_at) == START + 7 * SECOND


@pytest.mark.parametrize(
    ("request_", "field"),
    [
        (worker_pb2.StreamJobsRequest(worker_id="w"), "queues"),
        (worker_pb2.StreamJobsRequest(queues=["default"]), "worker_id"),
        (worker_pb2.StreamJobsRequest(queues=["A"], worker_id="w"), "queues[0]"),
        (worker_pb2.StreamJobsRequest(queues=["a"], worker_id="w" * 256), "worker_id"),
        (worker_pb2.StreamJobsRequest(queues=["a"], worker_id="w", max_concurrent=-1), "max_concurrent"),
        (
            worker_pb2.StreamJobsRequest(queues=["a"], worker_id="w", visibility_timeout=seconds(-1)),
            "visibility_timeout",
        ),
    ],
)
async def test_a_bad_request_is_refused(service: Service, request_: worker_pb2.StreamJobsRequest, field: str) -> None:
    """The stream ends at once, and the violation names the field."""
    with invalid() as caught:
        await service.stub.StreamJobs(request_).read()

    assert caught.fields == [field]


async def test_a_cancelled_stream_keeps_what_was_delivered(everywhere: Service) -> None:
    """The client saw the job: it stays leased until ack or expiry, and the ack still counts."""
    await everywhere.enqueue()
    stream = everywhere.stream(5)
    job = await stream.next()

    stream.cancel()
    await eventually(lambda: not everywhere.server.engine._dispatcher._waiting)

    assert (await everywhere.get(job.id)).state == job_pb2.JOB_STATE_ACTIVE
    await everywhere.ack(job)


@pytest.mark.usefixtures("quick_ticks")
async def test_a_quiet_workers_stream_stays_open_and_gets_nothing(service: Service) -> None:
    """Others get the jobs; running again, it gets the next."""
    quiet = service.stream(5)
    await quiet.opened()
    await _beat(service, worker_pb2.WORKER_STATE_QUIET)
    other = service.stream(5, worker_id="worker-2")
    await other.opened()
    first = await service.enqueue()
    assert (await other.next()).id == first.id
    other.cancel()
    await eventually(lambda: len(service.server.engine._dispatcher._waiting["default"]) == 1)
    second = await service.enqueue()

    await _beat(service, worker_pb2.WORKER_STATE_RUNNING)

    assert (await quiet.next()).id == second.id


async def test_a_quiet_workers_stream_does_not_spin(service: Service) -> None:
    """Jobs that nobody may take are not asked for again and again."""
    quiet = service.stream(5)
    await quiet.opened()
    await _beat(service, worker_pb2.WORKER_STATE_QUIET)
    claims = 0
    claim = service.store.claim

    async def count(*arguments: object) -> object:
        nonlocal claims
        claims += 1
        return await claim(*arguments)

    service.store.claim = count
    await service.enqueue_many(3)
    await asyncio.sleep(0.1)

    assert 1 <= claims <= 3
    assert await service.counts() == {"default": 3}


async def test_a_stream_outlives_an_outage_of_the_store(service: Service) -> None:
    """Claims fail for a while; the stream stays, and goes on when the store does."""
    stream = service.stream(5)
    await stream.opened()
    claim, failures = service.store.claim, 0

    async def fail(*arguments: object) -> object:
        nonlocal failures
        failures += 1
        raise StoreUnavailable("gone")

    service.store.claim = fail
    job = await service.enqueue()
    await eventually(lambda: failures)
    service.store.claim = claim

    assert (await stream.next()).id == job.id


async def test_a_stream_survives_an_unforeseen_error_in_a_claim(service: Service) -> None:
    """A bug in one claim is logged and does not end delivery for good."""
    stream = service.stream(5)
    await stream.opened()
    claim = service.store.claim

    async def fail(*arguments: object) -> object:
        service.store.claim = claim
        raise RuntimeError("a bug")

    service.store.claim = fail
    job = await service.enqueue()

    assert (await stream.next()).id == job.id


async def test_polls_end_with_the_outage(service: Service) -> None:
    """Nobody gets an empty answer while the store is down, neither who waits nor who comes later."""

    async def fail(*arguments: object) -> object:
        raise StoreUnavailable("gone")

    waiting = asyncio.create_task(service.fetch(1, wait=seconds(30)))
    await eventually(lambda: service.server.engine._dispatcher._waiting)
    service.store.claim = service.store.unanswered = fail
    service.server.engine.ready(["default"])

    for poll in (waiting, service.fetch(1, wait=seconds(30))):
        with refused(grpc.StatusCode.UNAVAILABLE, "backend_unavailable") as caught:
            async with patience():
                await poll
        assert caught.status.retry is not None


async def test_what_a_lost_claim_leased_goes_back(service: Service) -> None:
    """A claim whose answer was lost leaves nothing leased, and costs no attempt."""
    job = await service.enqueue()
    store = service.store
    claim, lost = store.claim, []

    async def claim_and_lose(*arguments: object) -> object:
        store.claim = claim
        answers = await claim(*arguments)
        lost.extend(delivery.job for answer in answers for delivery in answer.deliveries)
        raise StoreUnavailable("the connection broke")

    async def unanswered(*_: object) -> list[bytes]:
        return lost

    store.claim, store.unanswered = claim_and_lose, unanswered
    stream = service.stream(5)

    delivered = await stream.next()

    assert (delivered.id, delivered.attempt) == (job.id, 1)
    assert lost


async def _beat(service: Service, state: worker_pb2.WorkerState.ValueType) -> None:
    await service.stub.Heartbeat(worker_pb2.HeartbeatRequest(worker_id="worker-1", current_state=state))


async def test_many_streams_at_once(service: Service) -> None:
    """A hundred streams, a job each."""
    streams: list[Jobs] = [service.stream(1, worker_id=f"worker-{number}") for number in range(100)]
    for stream in streams:
        await stream.opened()

    jobs = await service.enqueue_many(100)
    delivered = await asyncio.gather(*(stream.next() for stream in streams))

    assert sorted(ids(delivered)) == sorted(ids(jobs))
