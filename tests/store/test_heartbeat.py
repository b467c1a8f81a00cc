"""DeliveryStore.heartbeat: whose leases a sign of life extends, and by how much."""

import pytest
from ojs_grpc_pb.v1.job_pb2 import Job

from ojs_grpc.core import lifecycle, states
from ojs_grpc.stores.ports import Demand, Extension, Refusal, Store
from tests.clock import START, FakeClock
from tests.store.building import (
    MANY_BYTES,
    QUEUE,
    QUIET,
    RUNNING,
    TERMINATE,
    VISIBILITY_MS,
    WORKER,
    ack,
    change,
    changed,
    claim,
    failed,
    job,
    job_id,
    put,
    reap,
    released,
    see,
    take,
    take_one,
)


async def beat(store: Store, worker: str = "", job_id: str = "", lease: int = 0, extend_ms: int = 0) -> Extension:
    """A heartbeat of a running worker, now."""
    return await store.heartbeat(worker, RUNNING, job_id, lease, extend_ms, store.clock.now())


async def two_jobs(store: Store, worker: str = WORKER) -> tuple[Job, Job]:
    """Two jobs that the worker holds, the second with a visibility time of its own."""
    await put(store, job(), job(visibility_ms=90_000))
    first, second = await take(store, 2, worker=worker)
    return Job.FromString(first.job), Job.FromString(second.job)


async def test_a_beat_of_a_worker_extends_what_it_holds(store: Store, clock: FakeClock) -> None:
    """Everything the worker holds is extended by its own visibility time, and nothing else of it changes."""
    first, second = await two_jobs(store)
    clock.advance(10_000)

    extension = await beat(store, WORKER)

    deadlines = {first.id: START + 10_000 + VISIBILITY_MS, second.id: START + 100_000}
    assert dict(extension.jobs) == deadlines
    assert len(extension.jobs) == 2
    assert extension.refusal is None
    for held in (first, second):
        assert await see(store, held) == changed(held, lease_expires_at=deadlines[held.id])


async def test_a_beat_of_a_worker_says_by_how_much(store: Store, clock: FakeClock) -> None:
    """`extend_ms` counts from now, not from the old deadline, so it may shorten a lease too."""
    first, second = await two_jobs(store)
    clock.advance(1_000)

    await beat(store, WORKER, extend_ms=200_000)
    extension = await beat(store, WORKER, extend_ms=5_000)

    assert dict(extension.jobs) == {first.id: START + 6_000, second.id: START + 6_000}
    assert await see(store, first) == changed(first, lease_expires_at=START + 6_000)


async def test_a_beat_extends_nobody_elses_jobs(store: Store, clock: FakeClock) -> None:
    """Jobs of other workers, and of unnamed ones, keep their deadlines."""
    await put(store, *[job() for _ in range(3)])
    (deliveries,) = await claim(store, Demand((QUEUE,), [WORKER, f"{WORKER}1", ""], MANY_BYTES))
    mine, other, unnamed = (Job.FromString(delivery.job) for delivery in deliveries)
    clock.advance(10_000)

    extension = await beat(store, WORKER)

    assert [extended for extended, _ in extension.jobs] == [mine.id]
    assert await see(store, other) == other
    assert await see(store, unnamed) == unnamed


async def test_a_beat_extends_only_what_is_held(store: Store, clock: FakeClock) -> None:
    """Jobs that the worker completed, failed, gave back or lost are not extended, nor those another worker now has."""
    await put(store, *[job() for _ in range(6)])
    held = [Job.FromString(delivery.job) for delivery in await take(store, 6)]
    await ack(store, held[0].id)
    await change(store, failed(held[1], clock.now()))
    await change(store, lifecycle.cancel(held[2]))
    await change(store, released(held[3], clock.now()))
    await change(store, released(held[4], clock.now()))
    await take(store, 1, worker="worker-2")
    clock.advance(1_000)

    extension = await beat(store, WORKER)

    assert [extended for extended, _ in extension.jobs] == [held[5].id]


async def test_a_beat_reaches_jobs_of_every_queue(store: Store, clock: FakeClock) -> None:
    """What a worker holds is extended wherever it came from, five hundred jobs at once."""
    messages = [job(f"queue-{number % 50}") for number in range(500)]
    await put(store, *messages)
    await take(store, 500, *{message.queue for message in messages})
    clock.advance(1_000)

    extension = await beat(store, WORKER, extend_ms=7_000)

    assert dict(extension.jobs) == {message.id: START + 8_000 for message in messages}
    assert len(extension.jobs) == 500


async def test_a_worker_without_jobs(store: Store) -> None:
    """A worker that holds nothing may beat all the same."""
    await put(store, job())

    extension = await beat(store, "idle")

    assert (list(extension.jobs), extension.refusal) == ([], None)


@pytest.mark.parametrize("state", [QUIET, TERMINATE])
async def test_a_worker_that_winds_down_keeps_its_jobs(store: Store, clock: FakeClock, state: int) -> None:
    """A quiet worker gets nothing new, but what it has is extended."""
    first, second = await two_jobs(store)
    clock.advance(1_000)

    extension = await store.heartbeat(WORKER, state, "", 0, 0, clock.now())

    assert {extended for extended, _ in extension.jobs} == {first.id, second.id}


@pytest.mark.parametrize("extend_ms", [0, 5_000])
async def test_a_beat_of_a_job_extends_that_job(store: Store, clock: FakeClock, extend_ms: int) -> None:
    """A beat that names only a job extends it alone, whoever holds it."""
    first, second = await two_jobs(store)
    now = clock.advance(10_000)

    extension = await beat(store, job_id=first.id, extend_ms=extend_ms)

    deadline = now + (extend_ms or VISIBILITY_MS)
    assert (list(extension.jobs), extension.refusal) == ([(first.id, deadline)], None)
    assert await see(store, first) == changed(first, lease_expires_at=deadline)
    assert await see(store, second) == second


async def test_a_beat_under_the_lease(store: Store, clock: FakeClock) -> None:
    """The right lease extends the job; a stale or invented one does not, and learns why."""
    first, _ = await two_jobs(store)
    clock.advance(1_000)

    good = await beat(store, job_id=first.id, lease=first.lease)
    bad = await beat(store, job_id=first.id, lease=first.lease + 1_000, extend_ms=1)

    assert good.refusal is None
    assert bad == Extension([], Refusal(states.ACTIVE, first.lease, WORKER))
    assert await see(store, first) == changed(first, lease_expires_at=START + 1_000 + VISIBILITY_MS)


async def test_a_beat_of_worker_and_job(store: Store, clock: FakeClock) -> None:
    """`extend_ms` is for the job that is named; the worker's other jobs are extended by their own time."""
    first, second = await two_jobs(store)
    now = clock.advance(1_000)

    extension = await beat(store, WORKER, first.id, first.lease, extend_ms=5_000)

    assert dict(extension.jobs) == {first.id: now + 5_000, second.id: now + 90_000}
    assert len(extension.jobs) == 2
    assert extension.refusal is None
    assert await see(store, first) == changed(first, lease_expires_at=now + 5_000)
    assert await see(store, second) == changed(second, lease_expires_at=now + 90_000)


async def test_a_beat_for_somebody_elses_job(store: Store, clock: FakeClock) -> None:
    """A worker that names a job of another learns so; what it holds itself is extended nevertheless."""
    first, second = await two_jobs(store)
    await put(store, job())
    foreign = await take_one(store, worker="worker-2")
    now = clock.advance(1_000)

    extension = await beat(store, WORKER, foreign.id, extend_ms=5_000)

    assert dict(extension.jobs) == {first.id: now + VISIBILITY_MS, second.id: now + 90_000}
    assert extension.refusal == Refusal(states.ACTIVE, foreign.lease, "worker-2")
    assert await see(store, foreign) == foreign


async def test_a_beat_under_a_lease_that_the_worker_lost(store: Store, clock: FakeClock) -> None:
    """A worker that names a lost lease of a job that it holds again learns so; as all it holds, the job is extended."""
    await put(store, job())
    await change(store, released(await take_one(store), clock.now()))
    held = await take_one(store)
    now = clock.advance(1_000)

    extension = await beat(store, WORKER, held.id, held.lease - 1, extend_ms=5_000)

    assert list(extension.jobs) == [(held.id, now + VISIBILITY_MS)]
    assert extension.refusal == Refusal(states.ACTIVE, held.lease, WORKER)
    assert await see(store, held) == changed(held, lease_expires_at=now + VISIBILITY_MS)


async def test_a_beat_for_an_unknown_job(store: Store) -> None:
    """There is no state to report of a job that does not exist."""
    assert await beat(store, job_id=job_id(0)) == Extension([], Refusal(0))
    assert await beat(store, WORKER, job_id(1), lease=3) == Extension([], Refusal(0))


async def test_a_beat_for_a_job_that_is_not_active(store: Store, clock: FakeClock) -> None:
    """A job that nobody holds cannot be extended: the answer is its state, and the job stays as it is."""
    messages = [job() for _ in range(5)]
    await put(store, *messages)
    held = [Job.FromString(delivery.job) for delivery in await take(store, 4)]
    await ack(store, held[0].id)
    await change(store, failed(held[1], clock.now()))
    await change(store, lifecycle.cancel(held[2]))
    await change(store, failed(held[3], clock.now(), code="DISCARD"))
    wanted = [states.COMPLETED, states.RETRYABLE, states.CANCELLED, states.DISCARDED, states.AVAILABLE]
    before = [await see(store, message) for message in messages]

    for message, state in zip(messages, wanted, strict=True):
        for worker in ("", WORKER):
            extension = await beat(store, worker, message.id)
            assert list(extension.jobs) == []
            assert extension.refusal is not None
            assert extension.refusal.state == state

    assert [await see(store, message) for message in messages] == before


async def test_a_beat_does_not_revive_a_lost_lease(store: Store, clock: FakeClock) -> None:
    """A worker that comes back too late extends neither the available job nor the lease of who has it now."""
    await put(store, job())
    lost = await take_one(store)
    clock.advance(VISIBILITY_MS)
    await reap(store)
    while_available = await beat(store, WORKER, lost.id, lost.lease)
    fresh = await take_one(store, worker="worker-2")
    clock.advance(1)

    while_taken = [
        await beat(store, WORKER, lost.id, lost.lease),
        await beat(store, WORKER, lost.id),
        await beat(store, "", lost.id, lost.lease),
        await beat(store, WORKER),
    ]

    assert while_available.refusal is not None
    assert while_available.refusal.state == states.AVAILABLE
    refusal = Refusal(states.ACTIVE, fresh.lease, "worker-2")
    assert while_taken == [Extension([], refusal)] * 3 + [Extension([])]
    assert await see(store, lost) == fresh


async def test_a_named_beat_for_a_job_without_a_name(store: Store, clock: FakeClock) -> None:
    """A job that was claimed without a name is extended by whoever names it."""
    await put(store, job())
    held = await take_one(store, worker="")
    now = clock.advance(1_000)

    extension = await beat(store, WORKER, held.id, extend_ms=5_000)

    assert (list(extension.jobs), extension.refusal) == ([(held.id, now + 5_000)], None)
    assert await see(store, held) == changed(held, lease_expires_at=now + 5_000)


async def test_a_beat_before_the_reaper_keeps_the_lease(store: Store, clock: FakeClock) -> None:
    """A lease that has run out and that nobody has reaped yet may still be extended."""
    await put(store, job())
    held = await take_one(store)
    now = clock.advance(VISIBILITY_MS + 500)

    extension = await beat(store, job_id=held.id, lease=held.lease)

    assert list(extension.jobs) == [(held.id, now + VISIBILITY_MS)]
    assert await reap(store) == []
    assert await ack(store, held.id, lease=held.lease) is None
