"""Streams of events: each subscriber gets what it asked for, once, in order, and is told of what it missed."""

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any
from unittest import mock

import pytest
from google.protobuf.json_format import MessageToDict
from ojs_grpc_pb.v1.events_pb2 import Event

from ojs_grpc.core.event_rendering import GAP, KEEPALIVE
from ojs_grpc.core.events import Kind, name_of, parse_id
from ojs_grpc.core.limits import Limits
from ojs_grpc.errors import InvalidRequest, ServerStopping, StoreUnavailable, Unsupported
from ojs_grpc.operations import event_hub, subscriber
from ojs_grpc.operations.event_filters import Filters, read_filters
from ojs_grpc.operations.events import Events, EventStream
from ojs_grpc.stores.ports import Store
from tests.clock import FakeClock
from tests.grpc.service import UNKNOWN_ID, eventually, patience
from tests.operations.event_log import EventLog
from tests.store.building import job, put

LIMITS = Limits()
ALL = Filters()
OTHER_ID = UNKNOWN_ID[:-1] + "1"


@pytest.fixture
def log() -> EventLog:
    """An empty log."""
    return EventLog()


@pytest.fixture
async def events(log: EventLog) -> AsyncIterator[Events]:
    """Streams of it, with room for ten events each."""
    events = Events(log, buffer=10)  # type: ignore[arg-type]
    yield events
    await events.stop()


def wanting(
    *types: str, queues: tuple[str, ...] = (), job_id: str = "", workflow_id: str = ""
) -> Filters:
    """Filters as a caller says them."""
    return read_filters(queues, types, job_id, workflow_id, LIMITS)


async def subscribed(events: Events, filters: Filters = ALL, after: str = "") -> EventStream:
    """A stream that has found its place."""
    stream = events.subscribe(filters, after)
    async with patience():
        await stream.begin()
    return stream


async def read(stream: EventStream) -> Event:
    """The next event."""
    async with patience():
        return Event.FromString(await anext(stream))


async def ids(stream: EventStream, count: int) -> list[str]:
    """The next so many ids."""
    return [(await read(stream)).id for _ in range(count)]


def data(event: Event) -> dict[str, Any]:
    """Its data as JSON."""
    return MessageToDict(event.data)


# What is wanted


@pytest.mark.parametrize(
    "filters",
    [
        wanting(),
        wanting("job.failed"),
        wanting("job.started", "job.failed", "job.teleported"),
        wanting(queues=("mail", "other")),
        wanting("job.failed", queues=("mail",)),
        wanting(job_id=UNKNOWN_ID),
        wanting("job.failed", job_id=UNKNOWN_ID, queues=("mail",)),
        wanting(workflow_id="workflow-1"),
        wanting("job.failed", workflow_id="workflow-1", job_id=UNKNOWN_ID),
        wanting(*map(name_of, Kind), queues=("mail", *(f"q-{n}" for n in range(255)))),
    ],
)
async def test_an_event_that_passes_all_filters_is_given_once(log: EventLog, events: Events, filters: Filters) -> None:
    """Whatever the filters are, and whether it is read live or from the log."""
    wanted = {"id": UNKNOWN_ID, "queue": "mail", "workflow_id": "workflow-1"}
    start = log.write(Kind.CRON_SKIPPED)
    live = await subscribed(events, filters)

    first = log.write(Kind.JOB_FAILED, **wanted)
    second = log.write(Kind.JOB_FAILED, **wanted)

    assert await ids(live, 2) == [first, second]
    assert await ids(await subscribed(events, filters, after=start), 2) == [first, second]


@pytest.mark.parametrize(
    "filters",
    [
        wanting("job.started"),
        wanting("job.teleported"),
        wanting(queues=("other",)),
        wanting("job.started", queues=("mail",)),
        wanting("job.failed", queues=("other",)),
        wanting(job_id=OTHER_ID),
        wanting("job.started", job_id=UNKNOWN_ID),
        wanting(queues=("other",), job_id=UNKNOWN_ID),
        wanting(workflow_id="workflow-2"),
        wanting(workflow_id="workflow-2", job_id=UNKNOWN_ID),
        wanting("job.started", workflow_id="workflow-1"),
    ],
)
async def test_an_event_that_fails_one_filter_is_not_given(log: EventLog, events: Events, filters: Filters) -> None:
    """Read live or from the log: another stream has had it, and this one has not."""
    start = log.write(Kind.CRON_SKIPPED)
    streams = [await subscribed(events, filters), await subscribed(events, filters, after=start)]
    everything = await subscribed(events)

    unwanted = log.write(Kind.JOB_FAILED, id=UNKNOWN_ID, queue="mail", workflow_id="workflow-1")

    assert await ids(everything, 1) == [unwanted]
    for stream in streams:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.01):
                await anext(stream)


async def test_an_alias_finds_the_event_by_its_own_name(log: EventLog, events: Events) -> None:
    """A dead job is a discarded one."""
    stream = await subscribed(events, wanting("job.dead"))
    log.write(Kind.JOB_DISCARDED)
    assert (await read(stream)).type == "job.discarded"


async def test_a_queue_has_events_without_a_job(log: EventLog, events: Events) -> None:
    """And a filter of queues lets them pass, but none that are of no queue."""
    stream = await subscribed(events, wanting(queues=("mail",)))
    log.write(Kind.WORKER_QUIET)
    log.write(Kind.QUEUE_PAUSED, queue="mail")
    assert (await read(stream)).type == "queue.paused"


async def test_an_event_of_a_newer_server_is_passed_over(log: EventLog, events: Events) -> None:
    """Nobody here knows what to call it."""
    start = log.write()
    live = await subscribed(events)
    log.write(255)
    known = log.write()

    assert await ids(live, 1) == [known]
    assert await ids(await subscribed(events, after=start), 1) == [known]


@pytest.mark.parametrize(
    ("request_fields", "broken"),
    [
        ({"queues": ["ok", "Not OK"]}, ["queues[1]"]),
        ({"queues": ["q"] * 257}, ["queues"]),
        ({"queues": [""] * 257}, ["queues"]),
        ({"event_types": ["job.failed"] * 257}, ["event_types"]),
        ({"job_types": ["ok", "Not OK"]}, ["job_types"]),
        ({"job_types": ["ok"] * 257}, ["job_types"]),
        ({"job_id": "job-1"}, ["job_id"]),
        ({"workflow_id": "w" * 256}, ["workflow_id"]),
        ({"queues": [""], "job_id": UNKNOWN_ID + "\n"}, ["queues[0]", "job_id"]),
    ],
)
def test_filters_that_make_no_sense_are_refused(request_fields: dict[str, Any], broken: list[str]) -> None:
    """With the names of their fields."""
    fields = {"queues": [], "event_types": [], "job_id": "", "workflow_id": "", **request_fields}
    with pytest.raises(InvalidRequest) as refusal:
        read_filters(**fields, limits=LIMITS)
    assert [field for field, _ in refusal.value.violations] == broken


# From where


async def test_a_stream_begins_with_what_happens_next(log: EventLog, events: Events) -> None:
    """Also when others are still being told what happened before."""
    first = await subscribed(events)
    before = log.write()
    late = await subscribed(events)

    after = log.write()

    assert await ids(late, 1) == [after]
    assert await ids(first, 2) == [before, after]


async def test_a_stream_goes_on_after_an_event(log: EventLog, events: Events) -> None:
    """However much happened since: page after page, then live."""
    known = log.write()
    past = log.write_many(3 * event_hub._PAGE)
    stream = await subscribed(events, after=known)

    assert await ids(stream, len(past)) == past
    present = log.write_many(5)
    assert await ids(stream, 5) == present


@pytest.mark.parametrize("moment", ["before_read", "after_read"])
@pytest.mark.parametrize("others", [(), ("job.enqueued", "queue.paused")], ids=["alone", "with others"])
async def test_nothing_falls_between_the_log_and_the_present(
    log: EventLog, moment: str, others: tuple[str, ...]
) -> None:
    """Whatever is written at whatever moment of the joining, it comes once, and in order."""
    events = Events(log)  # type: ignore[arg-type]
    known = log.write()
    past = log.write_many(event_hub._PAGE - 3)
    for name in others:
        await subscribed(events, wanting(name))

    def write_some() -> None:
        if log.reads < 12:
            log.write_many(2)

    setattr(log, moment, write_some)
    stream = await subscribed(events, after=known)
    seen = [await read(stream) for _ in past]
    for _ in range(20):
        last = log.write()
        seen.append(await read(stream))
    while seen[-1].id != last:
        seen.append(await read(stream))

    numbers = [parse_id(event.id).number for event in seen]
    assert numbers == list(range(2, parse_id(last).number + 1))
    await events.stop()


async def test_what_others_are_told_meanwhile_is_not_missed(log: EventLog, events: Events) -> None:
    """An event that is written when a stream has read the end of the log, and is not among the live ones yet."""
    known = log.write()
    everything = await subscribed(events)
    await eventually(lambda: log.reads == 1)
    stream = await subscribed(events, after=known)
    end = log.held[3] = asyncio.Event()
    waiting = asyncio.ensure_future(read(stream))
    await eventually(lambda: log.reads == 3)

    written = log.write()
    await asyncio.sleep(2 * event_hub._PACE_SECONDS)
    end.set()

    assert (await waiting).id == written
    assert await ids(everything, 1) == [written]


async def test_no_place_that_is_none(events: Events) -> None:
    """What is no id of an event is refused by its name."""
    with pytest.raises(InvalidRequest) as refusal:
        events.subscribe(ALL, after=UNKNOWN_ID)
    assert [field for field, _ in refusal.value.violations] == ["x-ojs-after"]


async def test_no_stream_without_a_log(log: EventLog, events: Events) -> None:
    """The setting that turns it off is named."""
    log.log_events = False
    with pytest.raises(Unsupported, match="events_count"):
        events.subscribe(ALL)


# Slow and silent


async def test_a_slow_subscriber_is_told_how_many_events_it_missed(log: EventLog, events: Events) -> None:
    """Once, in their place; others miss nothing, and afterwards it gets events again."""
    slow, quick = await subscribed(events), await subscribed(events)
    written = []
    for _ in range(25):
        written.append(log.write())
        assert await ids(quick, 1) == written[-1:]

    assert await ids(slow, 10) == written[:10]
    gap = await read(slow)
    assert (gap.type, gap.id, data(gap)) == (GAP, "", {"missed": 15, "after": written[9]})
    again = log.write_many(3)
    assert await ids(slow, 3) == again
    assert await ids(quick, 3) == again


async def test_a_gap_grows_until_there_is_room_again(log: EventLog, events: Events) -> None:
    """Half of the buffer: a subscriber that is always a little too slow gets runs of events, not one gap for each."""
    slow, quick = await subscribed(events), await subscribed(events)

    async def happens(count: int) -> list[str]:
        written = log.write_many(count)
        assert await ids(quick, count) == written
        return written

    first = await happens(10)
    await happens(1)
    assert await ids(slow, 5) == first[:5]
    await happens(1)
    assert await ids(slow, 1) == first[5:6]
    later = await happens(1)

    assert await ids(slow, 4) == first[6:]
    assert data(await read(slow))["missed"] == 2
    assert await ids(slow, 1) == later


async def test_large_events_fill_a_buffer_sooner(
    log: EventLog, events: Events, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else a few slow subscribers to jobs with large results would take all memory."""
    monkeypatch.setattr(subscriber, "_MAX_BYTES", 1000)
    slow, quick = await subscribed(events), await subscribed(events)
    written = []
    for _ in range(5):
        written.append(log.write(trace_id="x" * 400))
        assert await ids(quick, 1) == written[-1:]

    assert await ids(slow, 3) == written[:3]
    assert data(await read(slow))["missed"] == 2
    again = log.write_many(10)
    assert await ids(slow, 10) == again


async def test_what_is_read_from_the_log_is_not_bounded(log: EventLog, events: Events) -> None:
    """A subscriber that catches up sets the pace itself: pages are read as it takes their events."""
    known = log.write()
    past = log.write_many(3 * event_hub._PAGE)
    stream = await subscribed(events, after=known)
    assert await ids(stream, 1) == past[:1]
    reads = log.reads
    await asyncio.sleep(0.05)

    assert log.reads == reads
    assert await ids(stream, len(past) - 1) == past[1:]


async def test_a_silent_stream_says_that_it_lives(log: EventLog) -> None:
    """Again and again, and only when there is nothing else to say."""
    events = Events(log, keepalive_seconds=0.01)  # type: ignore[arg-type]
    stream = await subscribed(events)

    assert [(await read(stream)).type for _ in range(2)] == [KEEPALIVE, KEEPALIVE]
    written = log.write()
    found = await read(stream)
    while found.type == KEEPALIVE:
        found = await read(stream)
    assert found.id == written
    await events.stop()


async def test_a_long_search_of_the_log_is_no_silence(log: EventLog) -> None:
    """If nothing in it passes the filters, the stream lives all the same."""
    events = Events(log, keepalive_seconds=0.0)  # type: ignore[arg-type]
    known = log.write()
    log.write_many(3 * event_hub._PAGE)
    wanted = log.write(Kind.JOB_FAILED)
    stream = await subscribed(events, wanting("job.failed"), after=known)

    assert (await read(stream)).type == KEEPALIVE
    stream._keepalive_seconds = 60
    assert (await read(stream)).id == wanted
    await events.stop()


# What it costs


async def test_much_that_was_written_at_once_is_handed_out_in_slices(
    log: EventLog, events: Events, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between them, others have their turn; a stream takes what it has been given meanwhile."""
    monkeypatch.setattr(event_hub, "SLICE", 10)
    stream = await subscribed(events)
    written = log.write_many(100)
    assert await ids(stream, 100) == written


async def test_nothing_is_read_for_nobody(log: EventLog, events: Events, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not before the first subscriber, and not after the last one has left."""
    monkeypatch.setattr(event_hub, "_WAIT_MS", 1)
    log.write()
    await asyncio.sleep(0.01)
    assert log.reads == 0
    stream = await subscribed(events)
    await eventually(lambda: log.reads)

    stream.close()
    stream.close()

    await eventually(lambda: events._hub._task is None)
    assert not events._hub._index
    assert not events._subscribers


async def test_an_event_is_rendered_once_for_all_and_never_for_nobody(log: EventLog, events: Events) -> None:
    """However many subscribers get it."""
    streams = [await subscribed(events, wanting("job.failed")) for _ in range(5)]
    with mock.patch.object(subscriber, "render", wraps=subscriber.render) as render:
        log.write(Kind.JOB_STARTED)
        failed = log.write(Kind.JOB_FAILED)
        for stream in streams:
            assert await ids(stream, 1) == [failed]

    assert render.call_count == 1


def test_nobody_fills_the_index() -> None:
    """A subscriber to many types of events of many queues stands there once for each queue."""
    filters = wanting(*map(name_of, Kind), queues=tuple(f"q-{n}" for n in range(256)))

    assert len(list(filters.index_keys())) == 256


async def test_who_wants_something_else_is_not_even_asked(log: EventLog, events: Events) -> None:
    """With a thousand subscribers of their own queues, jobs and workflows, an event is looked at for its own few."""
    many = [
        await subscribed(events, filters)
        for n in range(250)
        for filters in (
            wanting(queues=(f"q-{n}",)),
            wanting("job.failed", "job.started", queues=(f"q-{n}",)),
            wanting("job.failed", workflow_id=f"workflow-{n}"),
            wanting("job.failed", job_id=f"{UNKNOWN_ID[:-3]}{n:03x}"),
        )
    ]
    with mock.patch.object(Filters, "pass_event", autospec=True, side_effect=Filters.pass_event) as asked:
        written = log.write(Kind.JOB_FAILED, id=f"{UNKNOWN_ID[:-3]}007", queue="q-7", workflow_id="workflow-7")
        for stream in many[28:32]:
            assert await ids(stream, 1) == [written]

    assert asked.call_count == 4


async def test_under_load_the_log_is_read_in_lots(
    log: EventLog, events: Events, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not once for every event."""
    monkeypatch.setattr(event_hub, "_PACE_SECONDS", 0.2)
    stream = await subscribed(events, wanting(queues=("mail",)))
    await eventually(lambda: log.reads)
    for _ in range(100):
        log.write()
        await asyncio.sleep(0)
    written = log.write(queue="mail")

    assert await ids(stream, 1) == [written]
    assert log.reads <= 3


# Trouble


@pytest.mark.parametrize("failure", [StoreUnavailable("gone"), RuntimeError("a bug")])
async def test_a_stream_outlasts_an_outage(
    log: EventLog, events: Events, monkeypatch: pytest.MonkeyPatch, failure: Exception
) -> None:
    """It goes on from where it was."""
    monkeypatch.setattr(event_hub, "_RETRY_SECONDS", 0.001)
    stream = await subscribed(events)
    await eventually(lambda: log.reads)

    log.failures.extend([failure] * 3)
    written = log.write_many(2)

    assert await ids(stream, 2) == written
    assert not log.failures


async def test_catching_up_outlasts_an_outage_too(
    log: EventLog, events: Events, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Once it has begun; before that, the store's error is the answer."""
    monkeypatch.setattr("ojs_grpc.operations.events._RETRY_SECONDS", 0.001)
    known, *written = log.write_many(4)
    log.failures.append(StoreUnavailable("gone"))
    with pytest.raises(StoreUnavailable):
        await subscribed(events, after=known)
    stream = await subscribed(events, after=known)

    log.failures.extend([StoreUnavailable("gone")] * 3)

    assert await ids(stream, 3) == written


def ended_while_waiting(log: EventLog) -> str:
    """The stream is live."""
    return ""


def ended_while_catching_up(log: EventLog) -> str:
    """The stream never gets to the end of the log."""

    def write_a_page() -> None:
        log.write_many(event_hub._PAGE)

    log.before_read = write_a_page
    return log.write()


@pytest.mark.parametrize("prepare", [ended_while_waiting, ended_while_catching_up])
async def test_a_stopping_server_ends_streams(
    log: EventLog, events: Events, prepare: Callable[[EventLog], str]
) -> None:
    """At once, whatever they are doing, and opens none any more."""
    stream = await subscribed(events, wanting("job.failed"), after=prepare(log))
    waiting = asyncio.ensure_future(anext(stream))
    await asyncio.sleep(0.01)

    events.refuse(ServerStopping())

    async with patience():
        with pytest.raises(ServerStopping):
            await waiting
    with pytest.raises(ServerStopping):
        events.subscribe(ALL)


async def test_a_stream_that_is_closed_while_it_joins_leaves_nothing(log: EventLog, events: Events) -> None:
    """Its caller went away too early."""
    stream = events.subscribe(ALL)
    joining = asyncio.ensure_future(stream.begin())
    await asyncio.sleep(0)

    stream.close()
    joining.cancel()

    await asyncio.sleep(0.01)
    assert not events._hub._index
    assert events._hub._task is None


# With real stores


async def test_streams_that_join_while_much_happens_miss_nothing(store: Store, clock: FakeClock) -> None:
    """In many queues at once: some from now on, some after an event that they know; nothing comes twice."""
    events = Events(store, buffer=10_000)
    first = await subscribed(events)
    jobs = [[job(f"queue-{number}") for number in range(20)] for _ in range(60)]

    async def enqueue_all() -> None:
        for batch in jobs:
            clock.advance(1)
            await asyncio.gather(*(put(store, each) for each in batch))

    writing = asyncio.create_task(enqueue_all())
    everything = [await read(first)]
    resumed = []
    for _ in range(10):
        everything += [await read(first) for _ in range(50)]
        resumed.append((len(everything), await subscribed(events, after=everything[-1].id)))
    everything += [await read(first) for _ in range(1200 - len(everything))]
    await writing

    assert len({event.job_id for event in everything}) == 1200
    for had, stream in resumed:
        rest = {event.id for event in everything[had:]}
        got: set[str] = set()
        while not got >= rest:
            event = await read(stream)
            assert event.id not in got
            got.add(event.id)
        stream.close()
    await events.stop()
