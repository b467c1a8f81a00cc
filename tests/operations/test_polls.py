"""Polls: page after page, the log is read once, from wherever the caller was, on every store."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ojs_grpc_pb.v1.events_pb2 import Event
from ojs_grpc_pb.v1.job_pb2 import Job

from ojs_grpc.core.events import EventId, Kind, NewEvent, id_text
from ojs_grpc.core.limits import Limits
from ojs_grpc.errors import InvalidRequest, StoreUnavailable, Unsupported
from ojs_grpc.operations import events as module
from ojs_grpc.operations.bookmark import Bookmark
from ojs_grpc.operations.event_filters import Filters, read_filters
from ojs_grpc.operations.events import Events, Polled
from ojs_grpc.stores.ports import Store
from tests.clock import START, FakeClock
from tests.operations.event_log import EventLog

ALL = Filters()
QUEUES = ("default", "mail", "reports", "a", "b", "c")


@pytest.fixture
async def events(store: Store) -> AsyncIterator[Events]:
    """The log of a store."""
    events = Events(store)
    yield events
    await events.stop()


async def happen(store: Store, count: int, *queues: str, at_once: bool = True) -> None:
    """So many jobs are enqueued, in each of these queues in turn."""
    names = queues or ("default",)
    told = [_enqueued(names[number % len(names)], number) for number in range(count)]
    for lot in [told] if at_once else [[event] for event in told]:
        await store.log(lot, store.clock.now())


def _enqueued(queue: str, number: int) -> NewEvent:
    subject = Job(type=f"job.t{number}", queue=queue, priority=number)
    return NewEvent(Kind.JOB_ENQUEUED, queue, subject.SerializeToString())


def ids(polled: Polled) -> list[str]:
    """Of the events."""
    return [Event.FromString(message).id for message in polled.events]


def types(polled: Polled) -> list[str]:
    """Of the jobs."""
    return [Event.FromString(message).job_type for message in polled.events]


async def read_all(events: Events, limit: int, filters: Filters = ALL) -> list[Polled]:
    """Page after page."""
    pages = [await events.poll(filters, "", limit)]
    while pages[-1].more:
        pages.append(await events.poll(filters, pages[-1].cursor, limit))
        assert len(pages) < 1000
    return pages


async def test_an_empty_log(events: Events) -> None:
    """Nothing, and nowhere to go on from."""
    assert await events.poll(ALL, "", 10) == ([], "", False)


async def test_a_poll_begins_with_the_oldest_event(events: Events, store: Store) -> None:
    """And goes on behind the last one."""
    await happen(store, 5, at_once=False)

    first = await events.poll(ALL, "", 3)
    second = await events.poll(ALL, first.cursor, 3)
    third = await events.poll(ALL, second.cursor, 3)

    assert [types(first), types(second)] == [["job.t0", "job.t1", "job.t2"], ["job.t3", "job.t4"]]
    assert (first.more, second.more, third.more) == (True, False, False)
    assert (third.events, third.cursor) == ([], second.cursor)
    assert first.cursor == ids(first)[-1]


@pytest.mark.parametrize("limit", [1, 7, 1000])
@pytest.mark.parametrize("at_once", [True, False])
async def test_each_event_is_told_once(events: Events, store: Store, limit: int, at_once: bool) -> None:  # noqa: FBT001
    """However small the pages are, and however many events have the same time."""
    await happen(store, 50, *QUEUES, at_once=at_once)

    pages = await read_all(events, limit)

    told = [name for page in pages for name in types(page)]
    assert sorted(told) == sorted(f"job.t{number}" for number in range(50))
    assert all(len(page.events) <= limit for page in pages)


async def test_the_id_of_an_event_is_a_cursor(events: Events, store: Store) -> None:
    """What came after it follows."""
    await happen(store, 4, at_once=False)
    known = ids(await events.poll(ALL, "", 10))

    assert ids(await events.poll(ALL, known[1], 10)) == known[2:]


async def test_a_cursor_is_good_on_another_server(events: Events, store: Store, other: Store) -> None:
    """Nothing of it is kept here."""
    await happen(store, 6, *QUEUES)
    first = await events.poll(ALL, "", 3)

    second = await Events(other).poll(ALL, first.cursor, 10)

    assert len({*types(first), *types(second)}) == 6


async def test_filters_narrow_a_poll(events: Events, store: Store) -> None:
    """By queue, type of job and type of event, all of them together."""
    await happen(store, 12, "mail", "default", at_once=False)

    async def found(**said: Any) -> list[str]:  # noqa: ANN401
        fields = {"queues": [], "event_types": [], "job_id": "", "workflow_id": "", **said}
        return types(await events.poll(read_filters(**fields, limits=Limits()), "", 100))

    assert await found(queues=["mail"]) == [f"job.t{number}" for number in range(0, 12, 2)]
    assert await found(queues=["mail"], job_types=["job.t4", "job.t5"]) == ["job.t4"]
    assert await found(job_types=["job.t4", "job.t5"]) == ["job.t4", "job.t5"]
    assert len(await found(event_types=["job.*"])) == 12
    assert await found(event_types=["queue.*", "job.completed", "nonsense", "x*"]) == []


async def test_a_poll_reads_a_bounded_part_of_the_log(
    events: Events, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may find nothing; then the next one finds more, from where it stopped."""
    monkeypatch.setattr(module, "_MOST_READ", 10)
    await happen(store, 25, *QUEUES[1:])
    await happen(store, 1)

    pages = await read_all(events, 5, Filters(queues=frozenset({"default"})))

    assert [len(page.events) for page in pages] == [0, 0, 1]
    assert [page.more for page in pages] == [True, True, False]


async def test_an_answer_is_bounded(events: Events, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """In bytes, since results of jobs are part of it."""
    monkeypatch.setattr(module, "_MOST_BYTES", 100)
    await happen(store, 9)

    pages = await read_all(events, 5)

    assert [len(page.events) for page in pages] == [1] * 9


async def test_events_that_happen_meanwhile_follow(events: Events, store: Store, clock: FakeClock) -> None:
    """In whatever queue, also at the same time."""
    await happen(store, 3, *QUEUES[:3])
    first = await events.poll(ALL, "", 10)
    await happen(store, 6, *QUEUES)
    clock.advance(1)
    await happen(store, 6, *QUEUES)

    second = await events.poll(ALL, first.cursor, 100)

    assert len(second.events) == 12
    assert not {*ids(first)} & {*ids(second)}


async def test_what_is_no_cursor_is_refused(events: Events) -> None:
    """With the name of the parameter."""
    for text in ("x", "evt_", f"{id_text(EventId(START, 1, 2, 3))}~", "~00.0.0"):
        with pytest.raises(InvalidRequest) as refusal:
            await events.poll(ALL, text, 10)
        assert refusal.value.violations[0].field == "after"


async def test_without_a_log_there_is_nothing_to_poll() -> None:
    """And the caller learns which setting that is."""
    log = EventLog()
    log.log_events = False

    with pytest.raises(Unsupported):
        await Events(log).poll(ALL, "", 10)  # type: ignore[arg-type]


async def test_an_outage_is_no_empty_answer() -> None:
    """The store's error is the answer."""
    log = EventLog()
    log.failures.append(StoreUnavailable("gone"))

    with pytest.raises(StoreUnavailable):
        await Events(log).poll(ALL, "", 10)  # type: ignore[arg-type]


# Bookmarks

PLACES = st.builds(EventId, st.integers(0, 3), st.integers(0, 3), st.integers(0, 3), st.integers(0, 5))


@given(st.lists(PLACES, max_size=30))
def test_a_bookmark_survives_as_text(places: list[EventId]) -> None:
    """Wherever it went before."""
    bookmark = Bookmark()
    for place in places:
        bookmark.move(place)

    again = Bookmark.parse(bookmark.text())

    assert again.text() == bookmark.text()
    assert again.event == bookmark.event
    for place in places:
        assert again.covers(place) == bookmark.covers(place)


@given(st.lists(PLACES, unique=True, max_size=60), st.data())
def test_a_bookmark_tells_what_was_read(places: list[EventId], data: st.DataObject) -> None:
    """Of a log that is in order of time, and within a partition in that of its numbers."""
    log = sorted(places)
    read = log[: data.draw(st.integers(0, len(log)))]
    bookmark = Bookmark()
    for place in read:
        bookmark.move(place)

    last = bookmark.event
    behind = [
        place for place in log if (place > last if place.partition == last.partition else place.time >= last.time)
    ]

    if read:
        assert [place for place in behind if not bookmark.covers(place)] == log[len(read) :]
