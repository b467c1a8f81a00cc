"""OperatorStore.workers: who works here."""

from ojs_grpc.stores.ports import Page, Retention, Store, WorkerRow
from tests.clock import START, FakeClock
from tests.store.building import QUIET, RUNNING, ack, job, put, take


async def test_no_workers(store: Store) -> None:
    """Nobody was heard of."""
    assert await store.workers("", 10) == Page([], "", 0)


async def test_workers_that_beat(store: Store, clock: FakeClock) -> None:
    """A worker is listed with its last heartbeat and the number of jobs it holds, in whatever partitions."""
    await store.heartbeat("b", RUNNING, "", 0, 0, clock.now())
    clock.advance(5)
    await store.heartbeat("a", RUNNING, "", 0, 0, clock.now())
    clock.advance(5)
    await store.heartbeat("b", QUIET, "", 0, 0, clock.now())
    await put(store, *[job(f"queue-{number}") for number in range(5)])
    for number in range(5):
        await take(store, 1, f"queue-{number}", worker="a")

    page = await store.workers("", 10)

    assert page == Page([WorkerRow("a", RUNNING, START + 5, 5), WorkerRow("b", QUIET, START + 10, 0)], "", 2)


async def test_workers_that_never_beat(store: Store, clock: FakeClock) -> None:
    """Who holds a job is listed, also without a heartbeat; who holds none is not, and the nameless never are."""
    messages = [job() for _ in range(4)]
    await put(store, *messages)
    await take(store, 2, worker="silent")
    await take(store, 1, worker="")
    (done,) = await take(store, 1, worker="gone")
    await ack(store, done.job_id)
    await store.heartbeat("zealous", RUNNING, "", 0, 0, clock.now())

    page = await store.workers("", 10)

    assert list(page.rows) == [WorkerRow("silent", 0, 0, 2), WorkerRow("zealous", RUNNING, START, 0)]


async def test_pages(store: Store, clock: FakeClock) -> None:
    """Workers come by id, page by page."""
    names = [f"worker-{number:02}" for number in range(45)]
    for name in reversed(names):
        await store.heartbeat(name, RUNNING, "", 0, 0, clock.now())
    pages = [await store.workers("", 15)]
    while pages[-1].next_cursor:
        pages.append(await store.workers(pages[-1].next_cursor, 15))

    assert [row.worker_id for page in pages for row in page.rows] == names
    assert [len(page.rows) for page in pages] == [15, 15, 15]
    assert {page.total for page in pages} == {45}


async def test_a_day_later(store: Store, clock: FakeClock) -> None:
    """Who was not heard of for a day is forgotten."""
    await store.heartbeat("old", RUNNING, "", 0, 0, clock.now())
    clock.advance(86_400_000)
    await store.heartbeat("new", RUNNING, "", 0, 0, clock.now())

    await store.sweep(Retention(), clock.now(), 100)

    page = await store.workers("", 10)
    assert ([row.worker_id for row in page.rows], page.total) == (["new"], 1)
