"""RetentionStore.sweep: finished jobs that are too old or too many are forgotten."""

from dataclasses import replace

from ojs_grpc.core import lifecycle, states
from ojs_grpc.stores.ports import IdempotencyKey, Refusal, Retention, Store, Unit
from tests.clock import START, FakeClock
from tests.store.building import (
    DEAD_LETTER,
    MANY_BYTES,
    QUEUE,
    ack,
    bury,
    change,
    counts,
    dead_ids,
    failed,
    job,
    job_id,
    look,
    new_job,
    put,
    see,
    take_one,
    unit,
)

FOR_EVER = Retention(finished_ms=10**12, finished_count=10**9, discarded_ms=10**12, dead_ms=10**12, dead_count=10**9)


async def finish(store: Store, clock: FakeClock, count: int = 1, queue: str = QUEUE) -> list[str]:
    """Jobs completed one after another, a millisecond apart."""
    done = []
    for _ in range(count):
        message = job(queue)
        await put(store, message)
        await take_one(store, queue)
        await ack(store, message.id)
        clock.advance(1)
        done.append(message.id)
    return done


async def cancel_many(store: Store, clock: FakeClock, count: int) -> list[str]:
    """Jobs cancelled one after another, a millisecond apart."""
    cancelled = []
    for _ in range(count):
        message = job()
        await put(store, message)
        await change(store, lifecycle.cancel(await see(store, message)))
        clock.advance(1)
        cancelled.append(message.id)
    return cancelled


async def bury_many(store: Store, clock: FakeClock, count: int, queue: str) -> list[str]:
    """Dead letters, a millisecond apart."""
    buried = []
    for _ in range(count):
        buried.append((await bury(store, queue)).id)
        clock.advance(1)
    return buried


async def left(store: Store, job_ids: list[str]) -> list[str]:
    """Those that can still be read."""
    return [job_id for job_id, data in zip(job_ids, await store.read(job_ids), strict=True) if data is not None]


async def test_nothing_to_forget(store: Store, clock: FakeClock) -> None:
    """An empty store, and one with young jobs only, has nothing to remove."""
    assert await store.sweep(Retention(), clock.now(), 10) == 0
    done = await finish(store, clock, 3)

    assert await store.sweep(Retention(), clock.now(), 10) == 0
    assert await left(store, done) == done


async def test_old_jobs_are_forgotten(store: Store, clock: FakeClock) -> None:
    """A finished job stays for its time, counted from its end, and is then gone as if it had never been."""
    message = job(job_id_=job_id(8))
    await put(store, message, reserved=True)
    clock.advance(5_000)
    held = await take_one(store)
    await ack(store, held.id)
    retention = replace(FOR_EVER, finished_ms=1_000)

    clock.advance(999)
    early = await store.sweep(retention, clock.now(), 10)
    assert await look(store, held.id) is not None
    clock.advance(2)
    late = await store.sweep(retention, clock.now(), 10)

    assert (early, late) == (0, 1)
    assert await look(store, held.id) is None
    assert await ack(store, held.id, lease=held.lease) == Refusal(0)
    assert await store.insert([unit(message, reserved=True)], clock.now()) == [None]


async def test_each_end_has_its_age(store: Store, clock: FakeClock) -> None:
    """Completed and cancelled jobs, discarded ones, and dead letters are each kept for their own time."""
    (completed,) = await finish(store, clock)
    cancelled, discarded, expired = job(), job(max_attempts=1), job(expires_at=START + 1)
    await put(store, cancelled, expired)
    await change(store, lifecycle.cancel(await see(store, cancelled)))
    await change(store, lifecycle.expire(await see(store, expired)))
    await put(store, discarded)
    await change(store, failed(await take_one(store), clock.now()))
    dead = (await bury(store)).id
    every = [completed, cancelled.id, discarded.id, expired.id, dead]
    retention = replace(FOR_EVER, finished_ms=1_000, discarded_ms=2_000, dead_ms=3_000)
    swept = []
    clock.advance(1)

    for _ in range(4):
        swept.append((await store.sweep(retention, clock.now(), 10), await left(store, every)))
        clock.advance(1_000)

    assert swept == [(0, every), (2, every[2:]), (2, every[4:]), (1, [])]
    assert await dead_ids(store) == []


async def test_jobs_that_are_not_finished_stay(store: Store, clock: FakeClock) -> None:
    """However old, a job that has not ended is never forgotten, nor one that started over."""
    available, scheduled, pending, active, retryable = (
        job(),
        job(scheduled_at=START + 1),
        job(),
        job("active"),
        job("retryable"),
    )
    await put(store, available, scheduled, active, retryable)
    await put(store, pending, state=states.PENDING)
    await take_one(store, "active")
    await change(store, failed(await take_one(store, "retryable"), clock.now()))
    again = await change(store, lifecycle.retry_dead(await bury(store, "again")))
    assert again is not None
    clock.advance(10**9)

    swept = await store.sweep(Retention(0, 0, 0, 0, 0), clock.now(), 100)

    every = [each.id for each in (available, scheduled, pending, active, retryable, again)]
    assert swept == 0
    assert await left(store, every) == every


async def test_too_many_jobs_are_forgotten(store: Store, clock: FakeClock) -> None:
    """Of each queue the newest completed and cancelled jobs stay, by their end and not by their beginning."""
    slow = job("a")
    await put(store, slow)
    await take_one(store, "a")
    many, few = await finish(store, clock, 4, "a"), await finish(store, clock, 2, "b")
    cancelled = job("a")
    await put(store, cancelled)
    await change(store, lifecycle.cancel(await see(store, cancelled)))
    clock.advance(1)
    await ack(store, slow.id)
    retention = replace(FOR_EVER, finished_count=3)

    swept = await store.sweep(retention, clock.now(), 100)

    assert swept == 3
    assert await left(store, [*many, cancelled.id, slow.id]) == [many[3], cancelled.id, slow.id]
    assert await left(store, few) == few
    assert await store.sweep(retention, clock.now(), 100) == 0


async def test_discarded_jobs_do_not_count(store: Store, clock: FakeClock) -> None:
    """The number of discarded jobs is not bounded, and they push no completed ones out."""
    done = await finish(store, clock, 2)
    discarded = [job(max_attempts=1) for _ in range(5)]
    await put(store, *discarded)
    for _ in discarded:
        await change(store, failed(await take_one(store), clock.now()))

    assert await store.sweep(replace(FOR_EVER, finished_count=2), clock.now(), 100) == 0
    every = [*done, *(message.id for message in discarded)]
    assert await left(store, every) == every


async def test_too_many_dead_letters_are_forgotten(store: Store, clock: FakeClock) -> None:
    """Of each queue the newest dead letters stay; the list and its count follow."""
    many, few = await bury_many(store, clock, 5, "a"), await bury_many(store, clock, 2, "b")

    swept = await store.sweep(replace(FOR_EVER, dead_count=2), clock.now(), 100)

    assert swept == 3
    assert await dead_ids(store) == [*many[3:], *few]
    assert (await store.dead_letters("a", "", 10, MANY_BYTES)).total == 2
    assert await left(store, many) == many[3:]


async def test_work_is_bounded(store: Store, clock: FakeClock) -> None:
    """A call removes no more than asked, of a kind the oldest first; fewer means that nothing is left."""
    old = await finish(store, clock, 4, "a")
    clock.advance(1)
    old += await finish(store, clock, 3, "a")
    clock.advance(10_000)
    young = await finish(store, clock, 1, "a")
    retention = replace(FOR_EVER, finished_ms=5_000)

    first = await store.sweep(retention, clock.now(), 3)
    after_first = await left(store, old)
    swept = [first, *[await store.sweep(retention, clock.now(), 3) for _ in range(3)]]

    assert swept == [3, 3, 1, 0]
    assert len(after_first) == 4
    assert after_first[1:] == old[4:]
    assert await left(store, [*old, *young]) == young


async def test_kinds_share_a_bound(store: Store, clock: FakeClock) -> None:
    """What was completed, cancelled and buried is removed in one call, and no more than asked of all together."""
    done, cancelled = await finish(store, clock, 2), await cancel_many(store, clock, 3)
    dead = await bury_many(store, clock, 2, "d")
    clock.advance(10_000)
    retention = replace(FOR_EVER, finished_ms=5_000, dead_ms=5_000)

    swept, rest = [], []
    for _ in range(3):
        swept.append(await store.sweep(retention, clock.now(), 3))
        rest.append(len(await left(store, [*done, *cancelled, *dead])))

    assert swept == [3, 3, 1]
    assert rest == [4, 1, 0]


async def test_a_bound_on_counts_is_for_completed_and_cancelled_ones_together(store: Store, clock: FakeClock) -> None:
    """The oldest of both go first, whichever they are."""
    mixed = []
    for _ in range(3):
        mixed += await cancel_many(store, clock, 2)
        mixed += await finish(store, clock, 2)

    removed = await store.sweep(replace(FOR_EVER, finished_count=4), clock.now(), 100)

    assert removed == 8
    assert await left(store, mixed) == mixed[8:]


async def test_a_bound_on_counts_is_worked_off_in_chunks(store: Store, clock: FakeClock) -> None:
    """What is too many goes in several calls too, over all queues and kinds, and no more than that."""
    done = {queue: await finish(store, clock, 6, queue) for queue in ("a", "b", "c")}
    dead = await bury_many(store, clock, 6, "d")
    retention = replace(FOR_EVER, finished_count=2, dead_count=1)
    rounds = []

    while (removed := await store.sweep(retention, clock.now(), 4)) == 4:
        rounds.append(removed)
    rounds.append(removed)

    assert sum(rounds) == 3 * 4 + 5
    assert len(rounds) == 5
    for job_ids in done.values():
        assert await left(store, job_ids) == job_ids[4:]
    assert await dead_ids(store) == dead[5:]


async def test_a_queue_outlives_its_history(store: Store, clock: FakeClock) -> None:
    """Queues stay when their last jobs are forgotten."""
    await finish(store, clock, 2, "a")
    clock.advance(2)

    assert await store.sweep(replace(FOR_EVER, finished_ms=1), clock.now(), 10) == 2
    assert await counts(store) == {"a": 0}


async def test_a_forgotten_dead_letter_leaves_no_trace(store: Store, clock: FakeClock) -> None:
    """What retention removed is not there to be retried or deleted, and its id is free."""
    message = job(job_id_=job_id(0), retry=DEAD_LETTER, max_attempts=1)
    await put(store, message, reserved=True)
    dead = await change(store, failed(await take_one(store), clock.now()))
    assert dead is not None
    clock.advance(2)
    await store.sweep(replace(FOR_EVER, dead_ms=1), clock.now(), 10)

    assert await change(store, lifecycle.retry_dead(dead)) is None
    assert await store.delete_dead(dead.id, store.clock.now()) is False
    assert await store.insert([unit(message, reserved=True)], clock.now()) == [None]


async def test_outdated_idempotency_keys_are_forgotten(store: Store, clock: FakeClock) -> None:
    """Sweeping removes outdated keys and leaves those alone that still hold."""
    for number in range(10):
        key = IdempotencyKey(f"key-{number}", b"f", b"reply", START + 100 * (1 + number % 2))
        await store.insert([Unit([new_job(job())], key)], clock.now())
    clock.advance(150)
    rounds = 1

    while await store.sweep(Retention(), clock.now(), 2) == 2:
        rounds += 1
        assert rounds < 20

    fresh = [Unit([new_job(job())], IdempotencyKey(f"key-{n}", b"f", b"new", START + 10_000)) for n in range(10)]
    answers = await store.insert(fresh, clock.now())
    assert answers == [b"reply" if n % 2 else None for n in range(10)]
