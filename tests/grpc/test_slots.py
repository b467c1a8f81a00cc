"""Slots of a stream: when one frees, and that nothing is ever leased beyond them (behaviour section 6.5)."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest
from ojs_grpc_pb.v1 import job_pb2, worker_pb2

from ojs_grpc.operations.consumer import WINDOW
from ojs_grpc.stores.ports import Completion
from tests.grpc.service import SECOND, Service, eventually, hold_claims, ids, open_channel, seconds, slow_reader


async def _ack(service: Service, job: job_pb2.Job) -> None:
    await service.ack(job)


async def _nack(service: Service, job: job_pb2.Job) -> None:
    await service.nack(job)


async def _release(service: Service, job: job_pb2.Job) -> None:
    await service.nack(job, requeue=True)


async def _cancel(service: Service, job: job_pb2.Job) -> None:
    await service.stub.CancelJob(job_pb2.CancelJobRequest(job_id=job.id))


async def _expire(service: Service, job: job_pb2.Job) -> None:
    await service.advance(5 * SECOND)


async def _time_out(service: Service, job: job_pb2.Job) -> None:
    await service.advance(4 * SECOND)


ENDS = pytest.mark.parametrize(
    "end", [_ack, _nack, _release, _cancel, _expire, _time_out], ids=lambda end: end.__name__.strip("_")
)


@ENDS
async def test_a_slot_frees_when_its_job_ends(
    everywhere: Service, end: Callable[[Service, job_pb2.Job], Awaitable[None]]
) -> None:
    """However the job ends, the stream gets another one; until then it gets none."""
    timeout = seconds(4) if end is _time_out else None
    await everywhere.enqueue(priority=1, visibility_timeout=seconds(5), timeout=timeout)
    await everywhere.enqueue(priority=0)
    stream = everywhere.stream(1)
    first = await stream.next()
    assert first.priority == 1
    assert await everywhere.counts() == {"default": 1}

    await end(everywhere, first)

    second = await stream.next()
    # A job that goes back at once comes again, before those of lower priority.
    assert second.priority == (1 if end in (_release, _expire) else 0)


@pytest.mark.usefixtures("quick_ticks")
async def test_a_slot_frees_when_another_process_ends_the_job(everywhere: Service) -> None:
    """The store, or at the latest a look at the leases once a second, tells this process."""
    await everywhere.enqueue_many(2)
    stream = everywhere.stream(1)
    first = await stream.next()

    # What another process does goes past this one's engine.
    answers = await everywhere.store.complete([Completion(first.id, first.lease, "", b"")], everywhere.clock.now())
    assert answers == [None]

    assert (await stream.next()).id != first.id


@pytest.mark.parametrize("slots", [1, 3, 40])
async def test_never_more_than_max_concurrent(everywhere: Service, slots: int) -> None:
    """With a backlog, exactly so many are leased, and one more for each that ends."""
    total = slots + 20
    await everywhere.enqueue_many(total)
    stream = everywhere.stream(slots)
    held = await stream.take(slots)
    await _settle(everywhere)
    assert await everywhere.counts() == {"default": total - slots}

    for number, job in enumerate(held[:10], 1):
        await everywhere.ack(job)
        held.append(await stream.next())
        assert await everywhere.counts() == {"default": total - slots - number}

    assert len(set(ids(held))) == len(held)


async def test_max_concurrent_of_zero_is_one(service: Service) -> None:
    """The default."""
    await service.enqueue_many(3)
    await service.stream(0).next()
    await _settle(service)

    assert await service.counts() == {"default": 2}


async def test_a_slow_client_does_not_hoard(service: Service) -> None:
    """However many slots a stream has, no more than a window is leased ahead of what it reads."""
    large = [await service.enqueue("test.job", "x" * 300_000, priority=1) for _ in range(5)]
    small = await service.enqueue_many(300)
    async with slow_reader(service) as slow:
        stream = slow.stream(600)
        await stream.opened()
        await _settle(service)

        assert (await service.counts())["default"] >= 305 - WINDOW

        assert ids(await stream.take(305)) == ids([*large, *small])


async def test_streams_are_served_in_turn(service: Service) -> None:
    """A batch is spread over the streams that wait, not given to the first."""
    streams = [service.stream(10, worker_id=f"worker-{number}") for number in range(4)]
    for stream in streams:
        await stream.opened()

    await service.enqueue_many(20)

    for number, stream in enumerate(streams):
        jobs = await stream.take(5)
        assert {job.worker_id for job in jobs} == {f"worker-{number}"}
    assert await service.counts() == {"default": 0}


async def test_single_jobs_go_round(service: Service) -> None:
    """Job by job, each goes to the stream that was served longest ago."""
    streams = [service.stream(10, worker_id=f"worker-{number}") for number in range(3)]
    for stream in streams:
        await stream.opened()

    workers = []
    for _ in range(6):
        job = await service.enqueue()
        await eventually(lambda: _is_active(service, job.id))  # noqa: B023 - awaited at once
        workers.append((await service.get(job.id)).worker_id)

    assert sorted(workers[:3]) == ["worker-0", "worker-1", "worker-2"]
    assert workers[3:] == workers[:3]


async def test_a_full_stream_does_not_stop_the_others(service: Service) -> None:
    """Jobs pass by a stream without free slots."""
    full, free = service.stream(1, worker_id="full"), service.stream(10, worker_id="free")
    for stream in (full, free):
        await stream.opened()
    await service.enqueue_many(2)
    await full.next()
    await free.next()

    await service.enqueue_many(5)

    assert {job.worker_id for job in await free.take(5)} == {"free"}


async def test_a_cancelled_stream_gives_back_what_it_had_not_delivered(everywhere: Service) -> None:
    """Jobs claimed while the client goes away are available at once, at no cost."""
    claimed, go_on = hold_claims(everywhere)
    stream = everywhere.stream(5)
    await stream.opened()
    jobs = await everywhere.enqueue_many(3)
    await claimed.wait()

    stream.cancel()
    await eventually(lambda: not everywhere.server.engine._dispatcher._waiting)
    go_on.set()

    await eventually(lambda: _all_available(everywhere, 3))
    again = await everywhere.fetch(5)
    assert sorted(ids(again)) == sorted(ids(jobs))
    assert {job.attempt for job in again} == {1}
    assert not any(job.errors for job in again)


async def test_a_cancelled_stream_gives_back_what_is_not_yet_written(service: Service) -> None:
    """Of large jobs in line for a client that does not read, those that were not written go back."""
    jobs = [await service.enqueue("test.job", "x" * 300_000) for _ in range(10)]
    async with slow_reader(service) as slow:
        stream = slow.stream(10)
        await stream.opened()
        await eventually(lambda: _all_available(service, 0))

        stream.cancel()

        await eventually(lambda: not service.server.engine._dispatcher._waiting)
        await _settle(service)
    now = [await service.get(job.id) for job in jobs]
    # Also the first one, which was written in part.
    assert {(job.state, job.attempt) for job in now} == {(job_pb2.JOB_STATE_AVAILABLE, 0)}


async def test_a_lost_connection_gives_back_too(service: Service) -> None:
    """Not a cancelled call, but a channel that closes."""
    channel = open_channel(service.server.port)
    other = Service(service.server, channel, service.clock)
    claimed, go_on = hold_claims(service)
    stream = other.stream(5)
    await stream.opened()
    await service.enqueue_many(3)
    await claimed.wait()

    await channel.close()
    await eventually(lambda: not service.server.engine._dispatcher._waiting)
    go_on.set()

    await eventually(lambda: _all_available(service, 3))


async def test_slots_of_ended_streams_are_forgotten(service: Service) -> None:
    """Nothing is kept of a stream that is gone, so that a server can have millions of them in its life."""
    await service.enqueue_many(5)
    stream = service.stream(5)
    held = await stream.take(5)
    stream.cancel()
    dispatcher = service.server.engine._dispatcher
    await eventually(lambda: not dispatcher._waiting)

    assert not dispatcher._streams
    for job in held:
        await service.ack(job)
    assert not dispatcher._unasked


async def _settle(service: Service) -> None:
    """Lets the server do whatever it would do now: nothing must come of it."""
    for _ in range(5):
        await service.stub.Heartbeat(worker_pb2.HeartbeatRequest(worker_id="nobody"))
        await asyncio.sleep(0.005)


async def _is_active(service: Service, job_id: str) -> bool:
    return (await service.get(job_id)).state == job_pb2.JOB_STATE_ACTIVE


async def _all_available(service: Service, count: int) -> bool:
    return await service.counts() == {"default": count}
