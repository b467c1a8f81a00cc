"""What operators see and do, on every kind of store."""

import asyncio
from typing import Any

import pytest
from ojs_grpc_pb.v1.job_pb2 import EnqueueOptions, EnqueueRequest, Job

from ojs_grpc.core import states
from ojs_grpc.core.draft import draft_of
from ojs_grpc.core.duration import to_timestamp
from ojs_grpc.core.envelope import Defaults
from ojs_grpc.errors import InvalidRequest, InvalidState, NotFound, StoreUnavailable
from ojs_grpc.operations import admin, bulk, search
from ojs_grpc.operations.engine import Engine
from ojs_grpc.operations.jobs import CallContext
from ojs_grpc.operations.search import Search
from ojs_grpc.stores.ports import Minute, Page, Store
from tests.clock import START, FakeClock
from tests.store.building import QUIET, RUNNING, TERMINATE, ack, bury, change, failed, take, take_one


class Rig:
    """The operations over a store."""

    def __init__(self, store: Store) -> None:
        engine = Engine(store, Defaults())
        self.jobs = engine.jobs
        self.dead_letters = engine.dead_letters
        self.admin = engine.admin

    async def enqueue(self, count: int, type_: str = "test.job", **options: str) -> list[str]:
        """So many jobs; their ids."""
        request = EnqueueRequest(type=type_, options=EnqueueOptions(**options))  # type: ignore[arg-type]
        enqueued = [await self.jobs.enqueue(draft_of(request), CallContext()) for _ in range(count)]
        return [Job.FromString(each.jobs[0]).id for each in enqueued]


@pytest.fixture
def rig(store: Store) -> Rig:
    """The operations over each kind of store."""
    return Rig(store)


async def found(rig: Rig, wanted: Search, offset: int = 0, limit: int = 10) -> tuple[list[str], int, bool]:
    """A page of jobs, by their ids."""
    jobs, total, more = await rig.admin.finder.page(wanted, offset, limit)
    return [job.id for job in jobs], total, more


@pytest.mark.parametrize(("offset", "limit"), [(0, 3), (3, 3), (6, 3), (7, 3), (0, 7), (0, 100), (50, 10)])
async def test_pages_by_offset(rig: Rig, offset: int, limit: int) -> None:
    """Any page, with the number of all jobs, and whether there are more."""
    ids = await rig.enqueue(7)

    page = await found(rig, Search(), offset, limit)

    # Of a page beyond the end, nobody asks the store for more than its rows.
    assert page == (ids[offset : offset + limit], 7, offset + limit < 7)


async def test_jobs_that_only_a_look_tells(rig: Rig) -> None:
    """What the store does not know by itself is found, and counted as far as was looked."""
    wanted = []
    for number in range(30):
        wanted += await rig.enqueue(1, "mail.send" if number % 10 == 0 else "other")
    wanted = wanted[::10]

    assert await found(rig, Search(type="mail.*")) == (wanted, 3, False)
    assert await found(rig, Search(type="mail.send"), 0, 2) == (wanted[:2], 3, True)
    assert await found(rig, Search(type="mail.send"), 2, 2) == (wanted[2:], 3, False)
    assert await found(rig, Search(type="mail")) == ([], 0, False)


async def test_looking_ends(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    """Jobs that are too far apart are not looked for without end; the answer says that there may be more."""
    monkeypatch.setattr(search, "_PAGE_JOBS", 2)
    monkeypatch.setattr(search, "_MOST_PAGES", 3)
    await rig.enqueue(8)
    (far,) = await rig.enqueue(1, "wanted")

    assert await found(rig, Search(type="wanted")) == ([], 0, True)
    monkeypatch.setattr(search, "_MOST_PAGES", 5)
    assert await found(rig, Search(type="wanted")) == ([far], 1, False)


async def test_by_time_of_creation(rig: Rig, clock: FakeClock) -> None:
    """Both bounds count as inside."""
    ids = []
    for _ in range(3):
        ids += await rig.enqueue(1)
        clock.advance(1)

    assert await found(rig, Search(since=START + 1)) == (ids[1:], 2, False)
    assert await found(rig, Search(until=START + 1)) == (ids[:2], 2, False)
    assert await found(rig, Search(since=START + 1, until=START + 1)) == (ids[1:2], 1, False)


async def test_bad_searches(rig: Rig) -> None:
    """No queue has this name, and nobody pages that far."""
    for wanted, offset in ((Search(queue="No name"), 0), (Search(), search.MOST_OFFSET + 1)):
        with pytest.raises(InvalidRequest):
            await rig.admin.finder.page(wanted, offset, 10)
    for refused in (rig.admin.queue, rig.admin.overview, rig.admin.history):
        with pytest.raises(InvalidRequest):
            await refused("No name")
    with pytest.raises(NotFound):
        await rig.admin.queue("unknown")
    with pytest.raises(NotFound):
        await rig.admin.queue("")


async def test_retry_of_discarded_jobs(rig: Rig, store: Store, clock: FakeClock) -> None:
    """A dead letter or not, a discarded job starts over; nothing else does."""
    (plain,) = await rig.enqueue(1)
    for _ in range(3):
        await change(store, failed(await take_one(store), clock.now()))
        clock.advance(60_000)
        await store.promote(clock.now(), 10)
    dead = await bury(store)

    for job_id in (plain, dead.id):
        job = Job.FromString(await rig.dead_letters.revive(job_id))
        assert (job.state, job.attempt, job.dead_letter) == (states.AVAILABLE, 0, False)
        assert job.errors
        with pytest.raises(InvalidState):
            await rig.dead_letters.revive(job_id)


async def test_bulk_changes_have_a_bound(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    """So many at once and no more; the next call does the next ones."""
    monkeypatch.setattr(bulk, "MOST_CHANGED", 3)
    ids = await rig.enqueue(5)

    first = await rig.admin.bulk.cancel_all(Search())
    second = await rig.admin.bulk.cancel_all(Search())

    assert (first.matched, first.succeeded, second.matched) == (3, 3, 2)
    assert (first.more, second.more) == (True, False)
    for refused in (rig.admin.bulk.cancel_each, rig.admin.bulk.retry_each, rig.admin.bulk.delete_each):
        with pytest.raises(InvalidRequest):
            await refused(ids)


async def test_bulk_changes_find_what_comes_last(rig: Rig, clock: FakeClock, monkeypatch: pytest.MonkeyPatch) -> None:
    """Old jobs are behind many newer ones, and yet found; if that are too many, the report says so."""
    monkeypatch.setattr(search, "_PAGE_JOBS", 2)
    monkeypatch.setattr(search, "_MOST_PAGES", 1)
    for _ in range(6):
        (job_id,) = await rig.enqueue(1)
        await rig.jobs.cancel(job_id)
        clock.advance(1)

    monkeypatch.setattr(bulk, "_MOST_PAGES", 2)
    short = await rig.admin.bulk.delete_all(Search(until=START))
    monkeypatch.undo()
    whole = await rig.admin.bulk.delete_all(Search(until=START))

    assert (short.matched, short.more) == (0, True)
    assert (whole.matched, whole.more) == (1, False)


async def test_bulk_changes_let_others_work(rig: Rig, store: Store) -> None:
    """The event loop is not held up for as long as a bulk change takes."""
    ids = await rig.enqueue(300)
    turns = 0

    async def count() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    counting = asyncio.create_task(count())
    for change_each in (rig.admin.bulk.cancel_each, rig.admin.bulk.delete_each):
        turns = 0
        assert (await change_each(ids)).succeeded == 300
        assert turns > 1
    counting.cancel()


async def test_bulk_changes_tell_what_failed(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of each of the first so many."""
    monkeypatch.setattr(bulk, "_MOST_ERRORS", 1)
    (one,) = await rig.enqueue(1)
    await rig.jobs.cancel(one)

    report = await rig.admin.bulk.cancel_each([one, "unknown"])

    assert (report.matched, report.succeeded, report.failed) == (2, 0, 2)
    ((job_id, why),) = report.errors
    assert job_id == one
    assert "cancelled" in why


async def test_delete_of_finished_jobs(rig: Rig, store: Store) -> None:
    """By search, in some final states or in all, and by id."""
    ids = await rig.enqueue(4)
    await ack(store, ids[0])
    await ack(store, (await take_one(store)).id)
    await rig.jobs.cancel(ids[1])

    completed = await rig.admin.bulk.delete_all(Search(), [states.COMPLETED])
    rest = await rig.admin.bulk.delete_all(Search())
    each = await rig.admin.bulk.delete_each(ids)

    assert (completed.succeeded, rest.succeeded, each.succeeded, each.failed) == (1, 1, 0, 4)
    assert (await found(rig, Search()))[1] == 2


async def test_overview(rig: Rig, store: Store, clock: FakeClock) -> None:
    """All queues together, or one, or none."""
    for queue in ("a", "b"):
        await rig.enqueue(3, queue=queue)
        (held,) = await take(store, 1, queue, worker="w")
        clock.advance(10)
        await ack(store, held.job_id)
    clock.advance(60_000)
    await take(store, 1, "a", worker="w")

    everything, one, none = [await rig.admin.overview(queue) for queue in ("", "a", "unknown")]

    assert everything.jobs == {**dict.fromkeys(states.ALL, 0), states.AVAILABLE: 3, states.ACTIVE: 1, 5: 2}
    assert one.jobs == {**dict.fromkeys(states.ALL, 0), states.AVAILABLE: 1, states.ACTIVE: 1, 5: 1}
    assert none.jobs == dict.fromkeys(states.ALL, 0)
    assert everything.workers == {"running": 1}
    assert (len(everything.queues), len(one.queues), len(none.queues)) == (2, 1, 0)


async def test_history(rig: Rig, store: Store, clock: FakeClock) -> None:
    """Minutes of all queues are added up; those in which nothing happened are there too."""
    for queue in ("a", "b"):
        await rig.enqueue(1, queue=queue)
        await ack(store, (await take_one(store, queue)).id)
    first = clock.now() // 60_000
    clock.advance(120_000)

    everything, one = await rig.admin.history(), await rig.admin.history("a")

    assert [len(everything), len(one)] == [61, 61]
    assert everything[-3:] == [
        Minute(first, 2, 0, 2, 0, 0), Minute(first + 1, 0, 0, 0, 0, 0), Minute(first + 2, 0, 0, 0, 0, 0)
    ]  # fmt: skip
    assert one[-3].completed == 1
    assert all(minute.completed == 0 for minute in await rig.admin.history("unknown"))


async def test_states_of_workers(rig: Rig, store: Store, clock: FakeClock) -> None:
    """As they said last, unless they have been silent for as long as makes a worker dead."""
    for name, state in (("a", RUNNING), ("b", QUIET), ("c", TERMINATE)):
        await store.heartbeat(name, state, "", 0, 0, clock.now())
    clock.advance(store.silence_ms - 1)
    before = [worker.state for worker in await rig.admin.workers()]
    clock.advance(1)

    assert before == ["running", "quiet", "terminate"]
    assert [worker.state for worker in await rig.admin.workers()] == ["stale"] * 3
    assert (await rig.admin.worker("b")).row.worker_id == "b"
    with pytest.raises(NotFound):
        await rig.admin.worker("bb")


async def test_dead_letters_in_figures(
    rig: Rig, store: Store, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By queue; by type and error as long as they are not too many."""
    first = await bury(store, "a")
    clock.advance(1_000)
    await bury(store, "b")
    clock.advance(1_000)
    last = await bury(store, "a")

    stats = await rig.admin.dead_letter_stats()
    monkeypatch.setattr(admin, "_MOST_SORTED", 2)
    many = await rig.admin.dead_letter_stats()

    assert (stats.total, stats.by_queue) == (3, {"a": 2, "b": 1})
    assert (stats.by_type, stats.by_error) == ({"test.job": 3}, {"boom": 3})
    assert to_timestamp(stats.oldest_at) == first.discarded_at
    assert to_timestamp(stats.newest_at) == last.discarded_at
    assert (many.total, many.by_type, many.by_error) == (3, None, None)


async def test_dead_letters_by_error(rig: Rig, store: Store) -> None:
    """Only those whose last error has this code are retried or deleted."""
    await bury(store)

    assert (await rig.admin.bulk.delete_dead(Search(error="other"))).matched == 0
    assert (await rig.admin.bulk.retry_dead(Search(error="boom"))).succeeded == 1
    await bury(store, "b")
    assert (await rig.admin.bulk.delete_dead(Search(queue="b"))).succeeded == 1
    assert await found(rig, Search(state=states.DISCARDED, dead=True)) == ([], 0, False)


async def test_dead_letters_among_many_others(
    rig: Rig, store: Store, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever asks for dead letters is given no look at other discarded jobs, and is told that there are no more."""
    monkeypatch.setattr(search, "_PAGE_JOBS", 2)
    monkeypatch.setattr(search, "_MOST_PAGES", 3)
    for queue in ("a", "b", "c"):
        for _ in range(3):
            await discard(rig, store, clock, queue)
        await bury(store, queue)
    read: list[bytes] = []
    jobs = store.jobs

    async def noting(*arguments: Any) -> Page[bytes]:  # noqa: ANN401 - as the store takes them
        page = await jobs(*arguments)
        read.extend(page.rows)
        return page

    monkeypatch.setattr(store, "jobs", noting)
    ids, total, more = await found(rig, Search(state=states.DISCARDED, dead=True))

    assert (len(ids), total, more) == (3, 3, False)
    assert len(read) <= 4
    assert (await rig.admin.bulk.delete_dead(Search()))[::4] == (3, False)


async def discard(rig: Rig, store: Store, clock: FakeClock, queue: str) -> None:
    """A job that failed for good and is no dead letter."""
    await rig.enqueue(1, queue=queue)
    for _ in range(3):
        await change(store, failed(await take_one(store, queue), clock.now()))
        clock.advance(60_000)
        await store.promote(clock.now(), 10)


async def test_an_outage_is_told_as_such(rig: Rig, store: Store) -> None:
    """A store that is gone is no empty list."""
    await store.close()

    with pytest.raises(StoreUnavailable):
        await rig.admin.finder.page(Search(), 0, 10)
