"""OperatorStore.jobs and queue_counts: what operators see of jobs."""

from collections import Counter
from random import Random

import pytest
from ojs_grpc_pb.v1.job_pb2 import Job

from ojs_grpc.core import lifecycle, states
from ojs_grpc.core.rate_limit import RateLimit
from ojs_grpc.errors import InvalidRequest
from ojs_grpc.stores import listing
from ojs_grpc.stores.ports import LISTED, JobFilter, Minute, Page, Retention, Store
from tests.clock import START, FakeClock
from tests.store.building import (
    DEAD_LETTER,
    MANY_BYTES,
    QUEUE,
    RUNNING,
    ack,
    bury,
    change,
    failed,
    job,
    limited,
    pause,
    put,
    see,
    take,
    take_one,
    write,
)

QUEUES = ("a", "a-b", "b")
STATES = (0, *states.ALL)


async def walk(
    store: Store, queue: str = "", state: int = 0, limit: int = 1000, max_bytes: int = MANY_BYTES
) -> list[Page[bytes]]:
    """All pages."""
    wanted = JobFilter(queue, state)
    pages = [await store.jobs(wanted, "", limit, max_bytes)]
    while pages[-1].next_cursor:
        pages.append(await store.jobs(wanted, pages[-1].next_cursor, limit, max_bytes))
    return pages


def jobs_in(*pages: Page[bytes]) -> list[Job]:
    """The jobs on the pages, in order."""
    return [Job.FromString(data) for page in pages for data in page.rows]


async def listed(store: Store, queue: str = "", state: int = 0, limit: int = 1000) -> list[str]:
    """The ids of all jobs, in the order listed."""
    return [each.id for each in jobs_in(*await walk(store, queue, state, limit))]


async def fill(store: Store, clock: FakeClock, queue: str) -> list[Job]:
    """Jobs of one queue in every state, as they stand; several in each, in places of every kind."""
    messages = [job(queue, retry=DEAD_LETTER if number % 2 else None, max_attempts=number % 3) for number in range(24)]
    for message in messages:
        await put(store, message)
        clock.advance(1)
    for number in range(15):
        held = await take_one(store, queue)
        clock.advance(1)
        if number < 6:
            await change(store, failed(held, clock.now()))
        elif number < 9:
            await ack(store, held.id)
        elif number < 12:
            await change(store, lifecycle.cancel(held))
    more = [job(queue, scheduled_at=clock.now() + 9_000_000 - number) for number in range(3)]
    await put(store, *more)
    waiting = [job(queue) for _ in range(3)]
    for message in waiting:
        await put(store, message, state=states.PENDING)
        clock.advance(1)
    narrow = [job(queue, priority=1) for _ in range(4)]
    await put(store, *narrow, links=limited(RateLimit("one")))
    return [await see(store, message) for message in (*messages, *more, *waiting, *narrow)]


async def test_no_jobs(store: Store) -> None:
    """An empty store lists nothing, and neither does a queue that was never seen."""
    for state in STATES:
        for queue in ("", QUEUE):
            assert await store.jobs(JobFilter(queue, state), "", 10, MANY_BYTES) == Page([], "", 0)
    assert await store.queue_counts("", START) == []
    assert await store.queue_counts(QUEUE, START) == []


@pytest.mark.parametrize("limit", [1, 7, 1000])
async def test_every_job_once(store: Store, clock: FakeClock, limit: int) -> None:
    """Under each filter all jobs come once, whole, whatever the size of the pages; their number is known on each."""
    jobs = [each for queue in QUEUES for each in await fill(store, clock, queue)]

    for queue in ("", *QUEUES):
        for state in STATES:
            pages = await walk(store, queue, state, limit)
            wanted = [each for each in jobs if queue in ("", each.queue) and state in (0, each.state)]
            assert sorted(each.id for each in jobs_in(*pages)) == sorted(each.id for each in wanted)
            assert {page.total for page in pages} == {len(wanted)}
            assert len(jobs_in(*pages)) == len(wanted) > 0
    found = {each.id: each for each in jobs_in(*await walk(store))}
    assert found == {each.id: each for each in jobs}


async def test_counts(store: Store, clock: FakeClock) -> None:
    """The counts of a queue say how many jobs are stored in each state, and what happened of late."""
    jobs = {queue: await fill(store, clock, queue) for queue in reversed(QUEUES)}
    await pause(store, "b")

    counts = await store.queue_counts("", clock.now())

    assert [queue.name for queue in counts] == list(QUEUES)
    for queue in counts:
        number = Counter(int(each.state) for each in jobs[queue.name])
        assert queue.jobs == {state: number[state] for state in states.ALL}
        assert queue.completed == number[states.COMPLETED]
        assert queue.paused == (queue.name == "b")
        ((minute, completed, lost, claimed, duration, wait),) = queue.minutes
        assert (minute, completed, lost, claimed, duration) == (START // 60_000, 3, 6, 15, 3)
        assert wait > 0
        assert await store.queue_counts(queue.name, clock.now()) == [queue]


async def test_counts_of_late(store: Store, clock: FakeClock) -> None:
    """Only this minute and the one before it count as late."""
    for _ in range(3):
        await put(store, job())
        await ack(store, (await take_one(store)).id)
        clock.advance(60_000)
    this = clock.now() // 60_000

    (counts,) = await store.queue_counts(QUEUE, clock.now())

    assert list(counts.minutes) == [Minute(this - 1, 1, 0, 1, 0, 0)]
    assert counts.completed == 3


async def test_state_by_state(store: Store, clock: FakeClock) -> None:
    """Without a state, jobs come in the order of states that operators look for first."""
    for queue in QUEUES:
        await fill(store, clock, queue)

    order = [each.state for each in jobs_in(*await walk(store, limit=5))]

    assert order == sorted(order, key=LISTED.index)


async def test_by_time_whatever_the_queue(store: Store) -> None:
    """Jobs that wait for a time come by that time; those of one time in an order that pages keep."""
    due = [job(f"queue-{number % 7}", scheduled_at=START + 1_000 + number % 3) for number in range(30)]
    await put(store, *due)

    everything = await listed(store, state=states.SCHEDULED)
    times = [each.scheduled_at.ToMilliseconds() for each in jobs_in(*await walk(store, state=states.SCHEDULED))]

    assert times == sorted(times)
    assert await listed(store, state=states.SCHEDULED, limit=4) == everything
    of_one = [message.id for message in due if message.queue == "queue-3"]
    assert await listed(store, "queue-3", states.SCHEDULED, limit=2) == [id_ for id_ in everything if id_ in of_one]


async def test_active_jobs_have_their_holder(store: Store, clock: FakeClock) -> None:
    """An active job says who holds it; what has to be looked at first comes first."""
    await put(store, *[job() for _ in range(4)])
    held = []
    for worker in ("one", "two", "", "four"):
        held += await take(store, 1, worker=worker)
        clock.advance(1_000)
    await store.heartbeat("one", RUNNING, "", 0, 90_000, clock.now())

    found = jobs_in(*await walk(store, state=states.ACTIVE))

    assert [each.worker_id for each in found if each.worker_id != "one"] == ["two", "", "four"]
    assert {each.id for each in found} == {delivery.job_id for delivery in held}
    assert [await see(store, each) for each in found] == found


async def test_available_jobs_come_in_line(store: Store) -> None:
    """Those of a queue come as they would be delivered; those with limits behind the others."""
    messages = [job(priority=priority) for priority in (0, 5, -3, 5, 0, 100, -100)]
    await put(store, *messages)
    narrow = [job(priority=priority) for priority in (0, 50, 0)]
    await put(store, *narrow, links=limited(RateLimit("key")))
    order = [messages[number].id for number in (5, 1, 3, 0, 4, 2, 6)] + [narrow[number].id for number in (1, 0, 2)]

    for limit in (1, 2, 3, 10):
        assert await listed(store, state=states.AVAILABLE, limit=limit) == order
        assert await listed(store, QUEUE, limit=limit) == order


async def test_lanes(store: Store) -> None:
    """Jobs with many different limits, some of them used up, are all listed."""
    for number in range(20):
        one = RateLimit(f"key {number} ü", concurrency=1)
        await put(store, *[job("b") for _ in range(3)], links=limited(one))
    await take(store, 5, "b")
    await take(store, 20, "b")
    assert len(await take(store, 1, "b")) == 0

    pages = await walk(store, "b", states.AVAILABLE, limit=7)

    assert len({each.id for each in jobs_in(*pages)}) == len(jobs_in(*pages)) == pages[0].total == 40


@pytest.mark.parametrize("state", [states.COMPLETED, states.CANCELLED, states.DISCARDED])
async def test_the_latest_end_first(store: Store, clock: FakeClock, state: int) -> None:
    """Finished jobs of a queue come latest first, however many of other ends are between them."""
    ended = []
    for number in range(150):
        message = job(max_attempts=1)
        await put(store, message)
        clock.advance(number % 2)
        if number % 3 == 0 and state == states.DISCARDED:
            await change(store, failed(await take_one(store), clock.now()))
        elif (number % 3 == 0) == (state == states.CANCELLED):
            await change(store, lifecycle.cancel(await see(store, message)))
        else:
            await ack(store, (await take_one(store)).id)
        if (await see(store, message)).state == state:
            ended.append((clock.now(), message.id))

    for limit in (7, 1000):
        found = await listed(store, QUEUE, state, limit)
        assert sorted(found) == sorted(id_ for _, id_ in ended)
        times = {id_: at for at, id_ in ended}
        assert [times[id_] for id_ in found] == sorted(times.values(), reverse=True)


async def test_dead_letters_before_others(store: Store, clock: FakeClock) -> None:
    """Among discarded jobs those that wait for a decision come first."""
    order = []
    for dead in (True, False, True, False):
        message = job(retry=DEAD_LETTER if dead else None, max_attempts=1)
        await put(store, message)
        await change(store, failed(await take_one(store), clock.now()))
        order.append(message.id)
        clock.advance(1)

    assert await listed(store, limit=1) == [order[2], order[0], order[3], order[1]]


async def test_dead_letters_of_all_queues_before_others(store: Store, clock: FakeClock) -> None:
    """Whoever wants dead letters alone may stop at the first other job."""
    for queue in ("a", "b"):
        for dead in (True, False):
            message = job(queue, retry=DEAD_LETTER if dead else None, max_attempts=1)
            await put(store, message)
            await change(store, failed(await take_one(store, queue), clock.now()))

    found = jobs_in(*await walk(store, state=states.DISCARDED, limit=1))

    assert [(each.dead_letter, each.queue) for each in found] == [(True, "a"), (True, "b"), (False, "a"), (False, "b")]


async def test_what_started_over_and_ended_again(store: Store, clock: FakeClock) -> None:
    """A discarded job that was brought back and was discarded again is listed once, at its new place."""
    first, second = job(max_attempts=1), job(max_attempts=1)
    for message in (first, second):
        await put(store, message)
        await change(store, failed(await take_one(store), clock.now()))
        clock.advance(1)
    await change(store, lifecycle.retry_dead(await see(store, first)))
    assert await listed(store, state=states.DISCARDED) == [second.id]
    await change(store, failed(await take_one(store), clock.now()))

    (page,) = await walk(store, state=states.DISCARDED)

    assert [each.id for each in jobs_in(page)] == [first.id, second.id]
    assert page.total == 2


async def test_a_page_has_its_weight(store: Store) -> None:
    """A page ends before it weighs too much, and holds at least one job whatever that weighs."""
    messages = [job(padding=size) for size in (1_000, 1_000, 1_000, 5_000, 1_000)]
    await put(store, *messages)

    pages = await walk(store, limit=10, max_bytes=3_000)

    assert [each.id for each in jobs_in(*pages)] == [message.id for message in messages]
    assert all(len(page.rows) == 1 or sum(map(len, page.rows)) <= 3_000 for page in pages)
    assert [len(page.rows) for page in pages] == [2, 1, 1, 1]


@pytest.mark.parametrize("state", [states.AVAILABLE, states.COMPLETED, states.PENDING])
async def test_a_cursor_survives_its_job(store: Store, clock: FakeClock, state: int) -> None:
    """A page begins behind the last job of the one before it, also if that is gone from there by now."""
    messages = [job() for _ in range(6)]
    for message in messages:
        await put(store, message, state=states.PENDING if state == states.PENDING else 0)
        clock.advance(1)
        if state == states.COMPLETED:
            await ack(store, (await take_one(store)).id)
    order = await listed(store, QUEUE, state)
    first = await store.jobs(JobFilter(QUEUE, state), "", 3, MANY_BYTES)

    if state == states.COMPLETED:
        later = job()
        await put(store, later)
        await ack(store, (await take_one(store)).id)
    else:
        await change(store, lifecycle.cancel(await see(store, job(job_id_=order[2]))))
    second = await store.jobs(JobFilter(QUEUE, state), first.next_cursor, 3, MANY_BYTES)

    assert [each.id for each in jobs_in(second)] == order[3:]


async def test_finished_jobs_forgotten_between_pages(store: Store, clock: FakeClock) -> None:
    """Retention takes the oldest ends, which come last, so that the next page is short and no job comes twice."""
    for _ in range(10):
        await put(store, job())
        await ack(store, (await take_one(store)).id)
        clock.advance(1)
    order = await listed(store, QUEUE, states.COMPLETED)
    wanted = JobFilter(QUEUE, states.COMPLETED)
    first = await store.jobs(wanted, "", 3, MANY_BYTES)
    await store.sweep(Retention(finished_count=5), clock.now(), 100)

    second = await store.jobs(wanted, first.next_cursor, 3, MANY_BYTES)
    await store.sweep(Retention(finished_count=2), clock.now(), 100)
    third = await store.jobs(wanted, first.next_cursor, 3, MANY_BYTES)

    assert [each.id for each in jobs_in(second)] == order[3:5]
    # The total is that of the first page.
    assert (list(third.rows), third.next_cursor, third.total) == ([], "", 10)


async def test_a_page_looks_at_so_many(store: Store, clock: FakeClock, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where few jobs of a large index are wanted, pages may be empty, and go on where they stopped."""
    for module in ("sqlite", "redis"):
        monkeypatch.setattr(f"ojs_grpc.stores.{module}.listing.LOOK_MOST", 10)
    assert listing.LOOK_MOST > 10
    random = Random(1)
    wanted = []
    for number in range(60):
        message = job(scheduled_at=START + 100_000 + random.randrange(1_000))
        if number % 20 == 0:
            message = job()
            await put(store, message)
            await change(store, failed(await take_one(store), clock.now()))
            wanted.append(message.id)
        else:
            await put(store, message)

    pages = await walk(store, state=states.RETRYABLE, limit=10)

    assert sorted(each.id for each in jobs_in(*pages)) == sorted(wanted)
    assert len(pages) > 5
    assert {page.total for page in pages} == {3}


@pytest.mark.parametrize("cursor", ["x", "?", "e30=", "WzFd", "ü", "WyIiLDAsOTksIiIsMCwiIl0="])
async def test_a_malformed_cursor_is_refused(store: Store, cursor: str) -> None:
    """What is no cursor is the caller's mistake."""
    with pytest.raises(InvalidRequest):
        await store.jobs(JobFilter(), cursor, 10, MANY_BYTES)


async def test_a_cursor_belongs_to_its_filter(store: Store) -> None:
    """The cursor of one listing is no place in another."""
    await put(store, job(), job())
    cursor = (await store.jobs(JobFilter(QUEUE), "", 1, MANY_BYTES)).next_cursor

    for other in (JobFilter(), JobFilter(QUEUE, states.AVAILABLE), JobFilter("other")):
        with pytest.raises(InvalidRequest):
            await store.jobs(other, cursor, 1, MANY_BYTES)


async def test_totals_of_other_listings(store: Store) -> None:
    """Pages of queues and documents say how many there are in all."""
    await put(store, *[job(f"queue-{number}") for number in range(5)])
    for number in range(4):
        await write(store, "cron", f"name-{number}")
    await write(store, "workflow", "other")

    for after in ("", "queue-2", "zzz"):
        assert (await store.queues(after, 2)).total == 5
    for after in ("", "name-1", "zzz"):
        assert (await store.list_documents("cron", after, 2)).total == 4


async def test_a_deleted_dead_letter_is_counted_no_more(store: Store, clock: FakeClock) -> None:
    """Deletion leaves the listing and its total."""
    kept, gone = await bury(store), await bury(store)
    await store.delete_dead(gone.id, clock.now())

    (page,) = await walk(store)

    assert ([each.id for each in jobs_in(page)], page.total) == ([kept.id], 1)
