"""EventStore: reading the log, from any place on, while it grows and when its beginning is dropped."""

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable

import pytest
from ojs_grpc_pb.v1.job_pb2 import Job

from ojs_grpc.core.events import EventId, Kind, NewEvent, StoredEvent, id_text, parse_id
from ojs_grpc.stores.ports import EventCursor, Retention, Store
from tests.clock import FakeClock
from tests.store.building import (
    QUEUE,
    ack,
    history,
    job,
    put,
    take_one,
    told,
)

BEGINNING = EventId(0, 0, 0, 0)
CRON = NewEvent(Kind.CRON_TRIGGERED, "nightly", Job(queue="q").SerializeToString(), b"detail")


async def drain(store: Store, cursor: EventCursor, limit: int = 3) -> tuple[list[StoredEvent], EventCursor]:
    """All events after a cursor, some at a time, and the cursor after them."""
    events: list[StoredEvent] = []
    more = True
    while more:
        page = await store.events(cursor, limit)
        events.extend(page.events)
        cursor, more = page.cursor, page.more
    return events, cursor


async def fill(store: Store, clock: FakeClock, count: int = 30) -> list[StoredEvent]:
    """Writes events in several partitions, at several times, some of them at once; all of them."""
    for number in range(0, count, 3):
        await put(store, job(f"queue-{number % 4}"), job(f"queue-{number % 5}"), job(f"queue-{number % 5}"))
        clock.advance(number % 2)
    events = await history(store)
    assert len(events) == count
    return events


async def test_ids_are_places(store: Store, clock: FakeClock) -> None:
    """Ids are all different, grow within a partition, and fit into what subscribers see."""
    events = await fill(store, clock)

    places = [event.id for event in events]
    assert len(set(places)) == len(places)
    assert [parse_id(id_text(place)) for place in places] == places
    for partition in {place.partition for place in places}:
        own = [place for place in places if place.partition == partition]
        assert own == sorted(own)


@pytest.mark.parametrize("limit", [1, 2, 7, 1_000])
async def test_pages(store: Store, clock: FakeClock, limit: int) -> None:
    """Page by page every event comes once, and the last page says that it is."""
    events = await fill(store, clock)

    read, end = await drain(store, await store.event_cursor(BEGINNING), limit)
    again = await store.events(end, limit)

    assert sorted(read) == sorted(events)
    assert (list(again.events), again.more) == ([], False)


async def test_a_page_is_not_much_larger_than_asked_for(store: Store, clock: FakeClock) -> None:
    """A reader that wants few events does not get the whole log."""
    for _ in range(60):
        await put(store, job(), job())

    page = await store.events(await store.event_cursor(BEGINNING), 10)

    assert 1 <= len(page.events) <= 20
    assert page.more


async def test_the_present_end(store: Store, clock: FakeClock) -> None:
    """From the present end on, a reader gets what is written later and nothing older."""
    await fill(store, clock)
    end = await store.event_cursor(None)
    nothing = await store.events(end, 10)

    await put(store, later := job(), elsewhere := job("queue-1"))

    read, _ = await drain(store, nothing.cursor)
    assert (list(nothing.events), nothing.more) == ([], False)
    assert {Job.FromString(event.subject).id for event in read} == {later.id, elsewhere.id}


async def test_the_end_of_an_empty_log(store: Store) -> None:
    """A reader may wait at the end of a log that has no events yet, in any partition."""
    end = await store.event_cursor(None)
    await put(store, job("a"), job("b"))

    assert len((await drain(store, end))[0]) == 2


async def test_after_any_event(store: Store, clock: FakeClock) -> None:
    """After an event come the later ones of its partition, and of others those at its time or later."""
    events = await fill(store, clock)

    for mark in events:
        cursor = await store.event_cursor(mark.id)
        read, _ = await drain(store, cursor)
        wanted = [
            event
            for event in events
            if (event.id > mark.id if event.id.partition == mark.id.partition else event.id.time >= mark.id.time)
        ]
        assert sorted(read) == sorted(wanted)
        assert [event for event in events if cursor.covers(event.id)] == [each for each in events if each not in wanted]


async def test_a_cursor_covers_what_was_read(store: Store, clock: FakeClock) -> None:
    """The cursor after a page covers its events and those before, and none that is still to come."""
    events = await fill(store, clock)
    cursor = await store.event_cursor(BEGINNING)
    read: list[StoredEvent] = []

    while len(read) < len(events):
        page = await store.events(cursor, 4)
        read.extend(page.events)
        cursor = page.cursor
        for event in events:
            assert cursor.covers(event.id) == (event in read)


async def test_each_partition_is_in_order(store: Store, clock: FakeClock) -> None:
    """However small the pages, the events of a partition come in the order in which they were written."""
    messages = [job(f"queue-{number % 6}") for number in range(24)]
    for message in messages:
        await put(store, message)
    for number in range(6):
        for _ in range(4):
            held = await take_one(store, f"queue-{number}")
            await ack(store, held.id)

    read, _ = await drain(store, await store.event_cursor(BEGINNING), 2)

    lives: dict[str, list[int]] = defaultdict(list)
    for event in read:
        lives[Job.FromString(event.subject).id].append(event.kind)
    assert set(lives) == {message.id for message in messages}
    assert {tuple(life) for life in lives.values()} == {(Kind.JOB_ENQUEUED, Kind.JOB_STARTED, Kind.JOB_COMPLETED)}


async def test_reading_while_others_write(store: Store) -> None:
    """A reader that follows the log while it grows gets every event once."""
    cursor = await store.event_cursor(None)
    read: list[StoredEvent] = []
    writers = asyncio.gather(*[put(store, job(f"queue-{number % 9}"), job(QUEUE)) for number in range(60)])

    while len(read) < 120:
        await store.await_events(cursor, 2_000)
        some, cursor = await drain(store, cursor, 5)
        assert some or not writers.done()
        read.extend(some)
    await writers

    assert sorted(read) == sorted(await history(store))


async def test_two_servers_see_the_same(store: Store, other: Store, clock: FakeClock) -> None:
    """What one server's calls changed is in the log of all, and a place in it means the same to them."""
    cursor = await store.event_cursor(None)
    await asyncio.gather(*[put(server, job(f"queue-{n % 5}")) for n in range(20) for server in (store, other)])
    events = await history(store)

    assert len(events) == 40
    assert sorted(await history(other)) == sorted(events)
    assert len((await drain(store, cursor))[0]) == 40
    mark = events[20].id
    assert sorted(await history(other, mark)) == sorted(await history(store, mark))


# Waiting


async def test_waiting_ends_with_an_event(store: Store) -> None:
    """Who waits at the end of the log is woken by the next event."""
    cursor = await store.event_cursor(None)
    waiting = asyncio.create_task(store.await_events(cursor, 60_000))
    await asyncio.sleep(0.01)
    assert not waiting.done()

    await put(store, job("anywhere"))

    await asyncio.wait_for(waiting, 5)
    assert len((await store.events(cursor, 10)).events) == 1


async def test_a_neighbours_event_ends_waiting(store: Store, other: Store) -> None:
    """An event that another server wrote is noticed too."""
    cursor = await store.event_cursor(None)
    waiting = asyncio.create_task(store.await_events(cursor, 60_000))
    await asyncio.sleep(0.01)

    await put(other, job("anywhere"))

    await asyncio.wait_for(waiting, 5)
    assert len((await store.events(cursor, 10)).events) == 1


async def test_many_wait(store: Store) -> None:
    """All who wait are woken; calls meanwhile are not held up."""
    cursor = await store.event_cursor(None)
    waiting = [asyncio.create_task(store.await_events(cursor, 60_000)) for _ in range(20)]
    await asyncio.sleep(0.01)

    await asyncio.wait_for(put(store, job()), 5)

    await asyncio.wait_for(asyncio.gather(*waiting), 5)


async def test_waiting_for_what_is_there(store: Store) -> None:
    """Nobody waits while there is something after the cursor."""
    cursor = await store.event_cursor(None)
    await put(store, job())

    await asyncio.wait_for(store.await_events(cursor, 60_000), 5)


async def test_waiting_ends_by_itself(store: Store) -> None:
    """Without an event, waiting ends after its time."""
    await put(store, job())

    await asyncio.wait_for(store.await_events(await store.event_cursor(None), 20), 5)


# Forgetting


async def chat(store: Store, clock: FakeClock) -> None:
    """Writes 1,500 events within 300 ms, five at a time."""
    for _ in range(300):
        await store.log([CRON] * 5, clock.now())
        clock.advance(1)


async def forget(store: Store, clock: FakeClock, **limits: int) -> list[StoredEvent]:
    """Sweeps until nothing is left to do; the events that are left."""
    for _ in range(5):
        assert await store.sweep(Retention(**limits), clock.now(), 1_000) == 0
    return await history(store)


async def test_old_events_are_dropped(store: Store, clock: FakeClock) -> None:
    """Events past their age are gone, though some may stay for a while; younger ones all stay."""
    await chat(store, clock)
    clock.advance(10_000)
    await put(store, young := job(), elsewhere := job("elsewhere"))
    clock.advance(5_000)

    left = await forget(store, clock, events_ms=10_000)

    assert len(left) < 700
    assert [await told(store, each.id) for each in (young, elsewhere)] == [[Kind.JOB_ENQUEUED]] * 2


async def test_too_many_events_are_dropped(store: Store, clock: FakeClock) -> None:
    """Of more events than are kept the oldest go, though some may stay for a while."""
    await chat(store, clock)
    before = await history(store)

    left = await forget(store, clock, events_count=500)

    assert 500 <= len(left) < 1_200
    assert left == before[-len(left) :]


async def test_a_place_that_is_gone(store: Store, clock: FakeClock) -> None:
    """A reader whose place was dropped goes on with the oldest event that is left; one at the end waits on."""
    await chat(store, clock)
    gone = (await history(store))[3].id
    begin, end = await store.event_cursor(gone), await store.event_cursor(None)
    clock.advance(10_000)
    left = await forget(store, clock, events_ms=1_000)
    assert gone not in {event.id for event in left}

    await put(store, job())

    assert len((await drain(store, begin, 100))[0]) == len(left) + 1
    assert len(await history(store, gone)) == len(left) + 1
    assert len((await drain(store, end))[0]) == 1


async def test_the_log_outlives_the_server(
    scheme: str, store: Store, connect: Callable[..., Awaitable[Store]], clock: FakeClock
) -> None:
    """After a restart the log is as it was, and goes on behind its end."""
    if scheme == "memory":
        pytest.skip("a store in memory ends with its process")
    events = await fill(store, clock)
    await store.close()

    reopened = await connect()
    await put(reopened, job("queue-1"))

    (fresh,) = set(await history(reopened)) - set(events)
    assert len(await history(reopened)) == len(events) + 1
    assert all(fresh.id > event.id for event in events if event.id.partition == fresh.id.partition)
