"""DeadLetterStore: listing and deleting what waits for somebody's decision."""

import pytest
from ojs_grpc_pb.v1.job_pb2 import Job

from ojs_grpc.core import lifecycle, states
from ojs_grpc.errors import InvalidRequest
from ojs_grpc.stores.ports import Page, Retention, Store
from tests.clock import START, FakeClock
from tests.store.building import (
    DEAD_LETTER,
    MANY_BYTES,
    QUEUE,
    ack,
    bury,
    change,
    dead_ids,
    failed,
    job,
    job_id,
    look,
    put,
    see,
    take_one,
    unit,
)


async def bury_many(store: Store, clock: FakeClock, *queues: str) -> list[str]:
    """A dead letter in each of the queues, one after another."""
    buried = []
    for queue in queues:
        buried.append((await bury(store, queue)).id)
        clock.advance(1)
    return buried


async def walk(store: Store, queue: str, limit: int, max_bytes: int = MANY_BYTES) -> list[Page[bytes]]:
    """All pages."""
    pages = [await store.dead_letters(queue, "", limit, max_bytes)]
    while pages[-1].next_cursor:
        pages.append(await store.dead_letters(queue, pages[-1].next_cursor, limit, max_bytes))
    return pages


def ids_in(*pages: Page[bytes]) -> list[str]:
    """Which jobs the pages hold, in order."""
    return [Job.FromString(data).id for page in pages for data in page.rows]


async def test_no_dead_letters(store: Store, clock: FakeClock) -> None:
    """Jobs in other states, those discarded without being dead letters included, are not listed."""
    await put(store, job(), job(max_attempts=1), job(scheduled_at=START + 1), job(expires_at=START + 1))
    await take_one(store)
    await change(store, failed(await take_one(store), clock.now()))
    clock.advance(10)
    for data in (await store.expired(clock.now(), 10)).jobs:
        await change(store, lifecycle.expire(Job.FromString(data)))

    for queue in ("", QUEUE, "unknown"):
        page = await store.dead_letters(queue, "", 10, MANY_BYTES)
        assert (list(page.rows), page.next_cursor, page.total) == ([], "", 0)


async def test_a_dead_letter_is_the_job_as_it_stands(store: Store) -> None:
    """The list holds the whole job, as reading it by id does."""
    buried = await bury(store, padding=1_000)

    page = await store.dead_letters("", "", 10, MANY_BYTES)

    assert [Job.FromString(data) for data in page.rows] == [buried]
    assert await see(store, buried) == buried


async def test_oldest_first(store: Store, clock: FakeClock) -> None:
    """Dead letters come in the order of their deaths, not of their births."""
    messages = [job(retry=DEAD_LETTER, max_attempts=1) for _ in range(6)]
    await put(store, *messages)
    held = {message.id: await take_one(store) for message in messages}
    order = [messages[number].id for number in (3, 0, 5, 1, 4, 2)]
    for dying in order:
        await change(store, failed(held[dying], clock.now()))
        clock.advance(1)

    assert await dead_ids(store) == order
    assert await dead_ids(store, QUEUE) == order


async def test_by_queue_and_then_oldest_first(store: Store, clock: FakeClock) -> None:
    """The list of all queues goes through them by name; the list of one holds that one only."""
    b1, a1, c1, a2, b2 = await bury_many(store, clock, "b", "a", "c", "a", "b")

    assert await dead_ids(store) == [a1, a2, b1, b2, c1]
    assert await dead_ids(store, "a") == [a1, a2]
    assert await dead_ids(store, "c") == [c1]
    assert (await store.dead_letters("", "", 1, MANY_BYTES)).total == 5
    assert (await store.dead_letters("b", "", 1, MANY_BYTES)).total == 2


async def test_queues_by_name_through_pages(store: Store, clock: FakeClock) -> None:
    """Queues that share the beginning of their names, and lie in different partitions, are listed byte by byte."""
    names = ["a", "a-b", "a.b", "a0", "aa", "b", "0", "z", "emails", "emails.high"]
    buried = dict(zip(names, await bury_many(store, clock, *names), strict=True))

    pages = await walk(store, "", 3)

    assert ids_in(*pages) == [buried[name] for name in sorted(names)]


@pytest.mark.parametrize("queue", ["", "a"])
@pytest.mark.parametrize("limit", [1, 2, 3, 6, 7])
async def test_pages(store: Store, clock: FakeClock, queue: str, limit: int) -> None:
    """Page by page every dead letter comes once, in order; only the last page has no cursor, and it is not empty."""
    buried = await bury_many(store, clock, *["a"] * 4, *([] if queue else ["b", "c"]))

    pages = await walk(store, queue, limit)

    assert ids_in(*pages) == buried
    assert [len(page.rows) for page in pages[:-1]] == [limit] * (len(pages) - 1)
    assert pages[-1].rows
    assert {page.total for page in pages} == {len(buried)}


async def test_a_page_has_its_weight(store: Store, clock: FakeClock) -> None:
    """A page ends before it weighs too much, and holds at least one job whatever that weighs."""
    sizes = [1_000, 1_000, 1_000, 5_000, 1_000]
    buried = []
    for size in sizes:
        buried.append((await bury(store, padding=size)).id)
        clock.advance(1)

    pages = await walk(store, "", 10, max_bytes=3_000)

    assert ids_in(*pages) == buried
    assert [len(page.rows) for page in pages] == [2, 1, 1, 1]
    assert all(len(page.rows) == 1 or sum(map(len, page.rows)) <= 3_000 for page in pages)


async def test_a_page_of_large_jobs(store: Store) -> None:
    """Jobs of a mebibyte are listed three to an answer of 3.5 MiB."""
    buried = [(await bury(store, padding=1024 * 1024)).id for _ in range(4)]

    pages = await walk(store, QUEUE, 50, max_bytes=3_584 * 1024)

    assert ids_in(*pages) == buried
    assert [len(page.rows) for page in pages] == [3, 1]


@pytest.mark.parametrize("queue", ["", QUEUE])
@pytest.mark.parametrize("how", ["deleted", "retried", "forgotten"])
async def test_a_cursor_survives_what_it_points_at(store: Store, clock: FakeClock, queue: str, how: str) -> None:
    """The next page begins at the right place though the jobs around the cursor are gone."""
    buried = await bury_many(store, clock, *[QUEUE] * 6)
    first = await store.dead_letters(queue, "", 2, MANY_BYTES)
    if how == "forgotten":
        assert await store.sweep(Retention(dead_count=3), clock.now(), 10) == 3
    for gone in buried[1:3]:
        if how == "deleted":
            assert await store.delete_dead(gone, store.clock.now())
        if how == "retried":
            found = await look(store, gone)
            assert found is not None
            await change(store, lifecycle.retry_dead(found))

    second = await store.dead_letters(queue, first.next_cursor, 2, MANY_BYTES)
    third = await store.dead_letters(queue, second.next_cursor, 2, MANY_BYTES)

    assert ids_in(first) == buried[:2]
    assert ids_in(second, third) == buried[3:]
    assert third.next_cursor == ""


async def test_a_cursor_survives_its_whole_queue(store: Store, clock: FakeClock) -> None:
    """When nothing is left of the queue that the cursor points into, the next queue follows."""
    a1, a2, b1 = await bury_many(store, clock, "a", "a", "b")
    first = await store.dead_letters("", "", 1, MANY_BYTES)
    for gone in (a1, a2):
        await store.delete_dead(gone, store.clock.now())

    second = await store.dead_letters("", first.next_cursor, 10, MANY_BYTES)

    assert (ids_in(second), second.next_cursor, second.total) == ([b1], "", 1)


async def test_newcomers_between_pages(store: Store, clock: FakeClock) -> None:
    """A job that dies while somebody turns pages neither repeats nor hides another."""
    a1, a2, b1 = await bury_many(store, clock, "a", "a", "b")
    first = await store.dead_letters("", "", 2, MANY_BYTES)
    a3, _ = await bury_many(store, clock, "a", "0")

    second = await store.dead_letters("", first.next_cursor, 10, MANY_BYTES)

    assert ids_in(first, second) == [a1, a2, a3, b1]


@pytest.mark.parametrize("cursor", ["garbage", "!", "\x00", "ü", "=", "x" * 10_000])
async def test_a_malformed_cursor(store: Store, cursor: str) -> None:
    """A cursor that no page gave is the caller's mistake."""
    await bury(store)

    with pytest.raises(InvalidRequest):
        await store.dead_letters("", cursor, 10, MANY_BYTES)


async def test_deleting(store: Store, clock: FakeClock) -> None:
    """A deleted dead letter cannot be read or listed any more; the others stay."""
    first, second = await bury_many(store, clock, QUEUE, QUEUE)

    assert await store.delete_dead(first, store.clock.now()) is True

    assert await look(store, first) is None
    assert await dead_ids(store) == [second]
    assert (await store.dead_letters("", "", 10, MANY_BYTES)).total == 1
    assert await store.delete_dead(first, store.clock.now()) is False


async def test_deleting_frees_the_id(store: Store, clock: FakeClock) -> None:
    """The id of a deleted dead letter may be used again, also by a job of another queue; it lives like any other."""
    first = job(job_id_=job_id(5), retry=DEAD_LETTER, max_attempts=1)
    await put(store, first, reserved=True)
    stale = await take_one(store)
    await change(store, failed(stale, clock.now()))
    await store.delete_dead(first.id, store.clock.now())
    second = job("elsewhere", job_id_=first.id)

    answers = await store.insert([unit(second, reserved=True)], clock.now())

    assert answers == [None]
    held = await take_one(store, "elsewhere")
    assert held.id == first.id
    assert await ack(store, first.id, lease=held.lease) is None
    assert await store.read([first.id]) != [None]


@pytest.mark.parametrize("state", [*states.ALL, 0])
async def test_only_dead_letters_are_deleted(store: Store, clock: FakeClock, state: int) -> None:
    """A job in any other state, a merely discarded one included, is not deleted; nor is one that does not exist."""
    message = job(scheduled_at=START + 10 if state == states.SCHEDULED else 0)
    if state:
        await put(store, message, state=state if state == states.PENDING else 0)
    if state in (states.ACTIVE, states.COMPLETED, states.RETRYABLE, states.DISCARDED):
        held = await take_one(store)
        if state == states.COMPLETED:
            await ack(store, held.id)
        if state in (states.RETRYABLE, states.DISCARDED):
            await change(store, failed(held, clock.now(), code="DISCARD" if state == states.DISCARDED else "boom"))
    if state == states.CANCELLED:
        await change(store, lifecycle.cancel(await see(store, message)))
    before = await look(store, message.id)

    assert await store.delete_dead(message.id, store.clock.now()) is False

    assert await look(store, message.id) == before
    assert (before.state if before else 0) == state


async def test_a_retried_dead_letter_is_none_any_more(store: Store) -> None:
    """A dead letter that started over is not listed, and cannot be deleted."""
    dead = await bury(store)
    await change(store, lifecycle.retry_dead(dead))

    assert await dead_ids(store) == []
    assert await store.delete_dead(dead.id, store.clock.now()) is False
    assert (await see(store, dead)).state == states.AVAILABLE


async def test_a_dead_letter_may_die_again(store: Store, clock: FakeClock) -> None:
    """A job that started over and failed again is listed once, by its latest death."""
    first, second = await bury_many(store, clock, QUEUE, QUEUE)
    found = await look(store, first)
    assert found is not None
    await change(store, lifecycle.retry_dead(found))
    await change(store, failed(await take_one(store), clock.now()))

    assert await dead_ids(store) == [second, first]
    assert (await store.dead_letters(QUEUE, "", 10, MANY_BYTES)).total == 2
