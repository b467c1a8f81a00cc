"""QueueStore.queues: the queues that there are, by name."""

from ojs_grpc.core import lifecycle, states
from ojs_grpc.stores.ports import Page, QueueRow, Store
from tests.clock import START, FakeClock
from tests.store.building import ack, change, failed, job, put, released, see, take, take_one


async def test_no_queues(store: Store) -> None:
    """A store that never had a job has no queues; asking for jobs of one does not make it."""
    assert await take(store, 1, "wanted") == []

    page = await store.queues("", 10)

    assert (list(page.rows), page.next_cursor) == ([], "")


async def test_a_queue_exists_from_its_first_job_on(store: Store, clock: FakeClock) -> None:
    """A queue is listed with the time of its first job, also when that job is not available."""
    await put(store, job("b"))
    clock.advance(5)
    await put(store, job("b"), job("a", scheduled_at=START + 1_000))
    await put(store, job("c"), state=states.PENDING)

    page = await store.queues("", 10)

    assert list(page.rows) == [
        QueueRow("a", paused=False, available=0, created_at=START + 5),
        QueueRow("b", paused=False, available=2, created_at=START),
        QueueRow("c", paused=False, available=0, created_at=START + 5),
    ]
    assert page.next_cursor == ""


async def test_a_queue_outlives_its_jobs(store: Store) -> None:
    """A queue whose jobs have all ended is still there."""
    message = job("short")
    await put(store, message)
    await take_one(store, "short")
    await ack(store, message.id)

    page = await store.queues("", 10)

    assert list(page.rows) == [QueueRow("short", paused=False, available=0, created_at=START)]


async def test_available_jobs_are_counted(store: Store, clock: FakeClock) -> None:
    """The count follows every way into and out of the queue."""
    messages = [job("q") for _ in range(6)]
    await put(store, *messages)
    await put(store, job("q", scheduled_at=START + 10))
    counted = []

    async def count() -> None:
        (row,) = (await store.queues("", 10)).rows
        counted.append(row.available)

    await count()
    held = await take_one(store, "q")
    await count()
    await ack(store, held.id)
    await change(store, lifecycle.cancel(await see(store, messages[5])))
    await count()
    failure = await change(store, failed(await take_one(store, "q"), clock.now()))
    assert failure is not None
    await count()
    clock.advance(10_000)
    await store.promote(clock.now(), 10)
    await count()
    again = await take_one(store, "q")
    await change(store, released(again, clock.now()))
    await count()

    assert counted == [6, 5, 4, 3, 5, 5]


async def test_queues_come_by_name_in_pages(store: Store) -> None:
    """Names are sorted byte by byte; a page begins behind the name that ended the last one."""
    names = ["a", "a-b", "a.b", "a0", "aa", "b", "default", "emails.high", "z", "0", "9"]
    await put(store, *[job(name) for name in reversed(names)])
    pages: list[Page[QueueRow]] = [await store.queues("", 4)]
    while pages[-1].next_cursor:
        pages.append(await store.queues(pages[-1].next_cursor, 4))

    assert [row.name for page in pages for row in page.rows] == sorted(names)
    assert [len(page.rows) for page in pages] == [4, 4, 3]
    assert [page.next_cursor for page in pages] == [sorted(names)[3], sorted(names)[7], ""]


async def test_a_full_last_page_is_the_last(store: Store) -> None:
    """When the rows end with the page there is no cursor to an empty one."""
    await put(store, job("a"), job("b"), job("c"), job("d"))

    first = await store.queues("", 2)
    second = await store.queues(first.next_cursor, 2)

    assert first.next_cursor == "b"
    assert ([row.name for row in second.rows], second.next_cursor) == (["c", "d"], "")


async def test_a_page_begins_anywhere(store: Store) -> None:
    """The name that a page begins behind need not be a queue."""
    await put(store, job("a"), job("c"))

    assert [row.name for row in (await store.queues("b", 10)).rows] == ["c"]
    assert [row.name for row in (await store.queues("a", 10)).rows] == ["c"]
    assert list((await store.queues("c", 10)).rows) == []


async def test_five_hundred_queues(store: Store) -> None:
    """Queues of every partition are in one sorted list."""
    names = sorted(f"queue-{number}" for number in range(500))
    await put(store, *[job(name) for name in names])

    first = await store.queues("", 450)
    second = await store.queues(first.next_cursor, 450)

    assert [row.name for row in [*first.rows, *second.rows]] == names
    assert {row.available for row in first.rows} == {1}
