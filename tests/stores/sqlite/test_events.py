"""The log as SQLite keeps it: rows of packed events, and numbers that never come back."""

import asyncio

from ojs_grpc_pb.v1.job_pb2 import Job

from ojs_grpc.core.events import EventId, Kind, NewEvent, StoredEvent
from ojs_grpc.stores.ports import Retention
from ojs_grpc.stores.sqlite.events import forget_events
from ojs_grpc.stores.sqlite.store import SqliteStore
from tests.clock import FakeClock
from tests.store.building import ack, history, job, put, take
from tests.stores.sqlite.conftest import OpenFile

ONE_DAY = Retention(events_ms=86_400_000)


def rows(store: SqliteStore) -> int:
    """How many rows the log has."""
    assert store._db is not None
    return int(store._db.execute("SELECT count(*) FROM events").fetchone()[0])


async def test_a_call_is_a_row(file_store: SqliteStore) -> None:
    """However many jobs a call is about, its events cost one insertion."""
    await put(file_store, *[job() for _ in range(100)])
    await take(file_store, 100)

    assert len(await history(file_store)) == 200
    assert rows(file_store) == 2


async def test_large_results_do_not_make_large_rows(file_store: SqliteStore) -> None:
    """A page of events stays small though one call acknowledges jobs with large results; none is lost or repeated."""
    messages = [job() for _ in range(8)]
    await put(file_store, *messages)
    await take(file_store, 8)
    start = await file_store.event_cursor(None)
    tail = Job(trace_id="x" * 400_000).SerializeToString()
    await asyncio.gather(*[ack(file_store, message.id, tail=tail) for message in messages])

    found: list[StoredEvent] = []
    page = await file_store.events(start, 1)
    while page.events:
        assert len(page.events) <= 3
        found += page.events
        page = await file_store.events(page.cursor, 1)

    assert sorted(Job.FromString(event.subject).id for event in found) == sorted(message.id for message in messages)


async def test_within_a_row(file_store: SqliteStore) -> None:
    """A client that saw half of what was written at once goes on with the other half."""
    await put(file_store, *[job() for _ in range(5)])
    everything = await history(file_store)

    for seen, event in enumerate(everything, 1):
        cursor = await file_store.event_cursor(event.id)
        assert (await file_store.events(cursor, 10)).events == everything[seen:]
        assert [cursor.covers(each.id) for each in everything] == [True] * seen + [False] * (5 - seen)


async def test_numbers_never_come_back(file_store: SqliteStore, clock: FakeClock) -> None:
    """Who has seen all that retention then dropped misses nothing of what comes later."""
    await put(file_store, job(), job())
    seen = await file_store.event_cursor(None)
    clock.advance(ONE_DAY.events_ms)
    await file_store.sweep(ONE_DAY, clock.now(), 10)
    assert await history(file_store) == []

    await file_store.log([NewEvent(Kind.CRON_SKIPPED, "cron")], clock.now())

    assert [event.kind for event in (await file_store.events(seen, 10)).events] == [Kind.CRON_SKIPPED]
    await file_store.sweep(ONE_DAY, clock.now(), 10)
    assert rows(file_store) == 1


async def test_an_event_of_another_log(file_store: SqliteStore) -> None:
    """After an event of a log that is gone, as from before a restart in memory, everything comes."""
    await put(file_store, job())

    assert len(await history(file_store, EventId(1, 1_000_000, 0, 0))) == 1


async def test_another_process_writes(open_file: OpenFile) -> None:
    """Who waits hears of what another process on the file logs."""
    here, there = await open_file(), await open_file()
    cursor = await here.event_cursor(None)
    waiting = asyncio.create_task(here.await_events(cursor, 60_000))
    await asyncio.sleep(0)
    assert not waiting.done()

    await put(there, job())

    async with asyncio.timeout(5):
        await waiting
    assert len((await here.events(cursor, 10)).events) == 1


async def test_large_rows_go_in_small_lots(file_store: SqliteStore, clock: FakeClock) -> None:
    """Dropping large events holds nobody up: few go at once, whatever their number."""
    for _ in range(12):
        await file_store.log([NewEvent(Kind.CRON_SKIPPED, "cron", detail=bytes(1_000_000))], clock.now())
    clock.advance(ONE_DAY.events_ms)
    database = file_store._db
    assert database is not None

    assert forget_events(database, ONE_DAY, clock.now(), 500)

    assert 6 <= rows(file_store) <= 8
    await file_store.sweep(ONE_DAY, clock.now(), 10)
    assert rows(file_store) == 1
