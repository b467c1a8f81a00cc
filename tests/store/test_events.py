"""EventStore: the log tells of every change, in order, and of nothing that did not happen (behaviour section 18)."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest
from ojs_grpc_pb.v1.job_pb2 import Job

from ojs_grpc.core import ids, lifecycle, states
from ojs_grpc.core.events import MOST_DETAIL_BYTES, Kind, NewEvent, StoredEvent
from ojs_grpc.core.links import Links
from ojs_grpc.stores.ports import Retention, Store, Unit, Write
from tests.clock import START, FakeClock
from tests.store.building import (
    DEAD_LETTER,
    QUEUE,
    RUNNING,
    VISIBILITY_MS,
    WORKER,
    ack,
    bury,
    change,
    changed,
    do,
    facts,
    failed,
    history,
    job,
    job_id,
    new_job,
    pause,
    put,
    reap,
    released,
    resume,
    see,
    subject_of,
    take,
    take_one,
    telling,
    told,
    unit,
    write,
)

CRON = NewEvent(Kind.CRON_TRIGGERED, "nightly", Job(queue="q").SerializeToString(), b"detail")


def facts_of(event: StoredEvent) -> tuple[Kind, int, int, int, bytes]:
    """Everything but who and where: kind, time since the test began, attempt, value and detail."""
    return Kind(event.kind), event.at - START, event.attempt, event.value, event.detail


async def log_of(store: Store, message: Job) -> list[tuple[Kind, int, int, int, bytes]]:
    """What the log tells of a job; all of it about the same subject."""
    events = [event for event in await history(store) if Job.FromString(event.subject).id == message.id]
    assert {event.subject for event in events} <= {subject_of(message)}
    return [facts_of(event) for event in events]


async def test_a_life_without_trouble(store: Store, clock: FakeClock) -> None:
    """From the enqueue to the acknowledgement, with attempt, duration, worker and result."""
    await put(store, message := job())
    clock.advance(10)
    held = await take_one(store)
    clock.advance(250)
    await store.heartbeat(WORKER, RUNNING, message.id, held.lease, 5_000, clock.now())
    clock.advance(50)
    tail = Job(trace_id="result").SerializeToString()
    await ack(store, message.id, lease=held.lease, tail=tail)

    assert await log_of(store, message) == [
        (Kind.JOB_ENQUEUED, 0, 0, 0, b""),
        (Kind.JOB_STARTED, 10, 1, 0, WORKER.encode()),
        (Kind.JOB_HEARTBEAT, 260, 1, START + 5_260, WORKER.encode()),
        (Kind.JOB_COMPLETED, 310, 1, 300, tail),
    ]


@pytest.mark.parametrize("more", [0, 1])
async def test_a_large_result_is_left_out(store: Store, more: int) -> None:
    """It is with the job; the log would keep it a second time."""
    message = job()
    await put(store, message)
    held = await take_one(store)
    tail = Job(trace_id="x" * (MOST_DETAIL_BYTES - 5 + more)).SerializeToString()
    assert len(tail) == MOST_DETAIL_BYTES + more

    await ack(store, held.id, tail=tail)

    (*_, (kind, *_, detail)) = await log_of(store, message)
    assert (kind, detail) == (Kind.JOB_COMPLETED, b"" if more else tail)
    assert (await see(store, message)).trace_id.startswith("xxx")


async def test_a_job_for_later(store: Store, clock: FakeClock) -> None:
    """A scheduled job is told of when it is stored, and again when its time has come."""
    await put(store, message := job(scheduled_at=START + 100))
    clock.advance(105)
    await store.promote(clock.now(), 10)

    assert await log_of(store, message) == [
        (Kind.JOB_SCHEDULED, 0, 0, 0, b""),
        (Kind.JOB_ENQUEUED, 105, 0, 0, b""),
    ]


async def test_a_pending_job(store: Store, clock: FakeClock) -> None:
    """A job that waits for something is not enqueued before it is activated."""
    await put(store, message := job(), state=states.PENDING)
    before = await log_of(store, message)
    clock.advance(7)
    await change(store, lifecycle.activate(await see(store, message)))

    assert before == []
    assert await log_of(store, message) == [(Kind.JOB_ENQUEUED, 7, 0, 0, b"")]


async def test_failure_and_retry(store: Store, clock: FakeClock) -> None:
    """The events of a change come in its order, with its details, and the promotion tells of the return."""
    await put(store, message := job(max_attempts=2))
    transition = telling(failed(await take_one(store), clock.now()), Kind.JOB_FAILED, Kind.JOB_RETRYING)
    await change(store, transition)
    clock.advance(60_000)
    await store.promote(clock.now(), 10)
    last = telling(failed(await take_one(store), clock.now()), Kind.JOB_FAILED, Kind.JOB_DISCARDED)
    await change(store, last)

    assert (await log_of(store, message))[2:] == [
        (Kind.JOB_FAILED, 0, 1, 0, b"JOB_FAILED"),
        (Kind.JOB_RETRYING, 0, 1, 0, b"JOB_RETRYING"),
        (Kind.JOB_ENQUEUED, 60_000, 1, 0, b""),
        (Kind.JOB_STARTED, 60_000, 2, 0, WORKER.encode()),
        (Kind.JOB_FAILED, 60_000, 2, 0, b"JOB_FAILED"),
        (Kind.JOB_DISCARDED, 60_000, 2, 0, b"JOB_DISCARDED"),
    ]


async def test_a_lost_lease_and_a_late_acknowledgement(store: Store, clock: FakeClock) -> None:
    """The lost attempt failed, the job is enqueued again, and then it was completed after all."""
    await put(store, message := job())
    held = await take_one(store)
    clock.advance(VISIBILITY_MS)
    await reap(store)
    clock.advance(5)
    await ack(store, message.id, lease=held.lease, tail=b"")

    assert [each[:4] for each in await log_of(store, message)] == [
        (Kind.JOB_ENQUEUED, 0, 0, 0),
        (Kind.JOB_STARTED, 0, 1, 0),
        (Kind.JOB_FAILED, VISIBILITY_MS, 1, 0),
        (Kind.JOB_ENQUEUED, VISIBILITY_MS, 1, 0),
        (Kind.JOB_COMPLETED, VISIBILITY_MS + 5, 1, VISIBILITY_MS + 5),
    ]


async def test_a_release(store: Store, clock: FakeClock) -> None:
    """A job that is given back tells only that it is enqueued again, with the attempt returned."""
    await put(store, message := job())
    await change(store, released(await take_one(store), clock.now()))

    assert (await log_of(store, message))[1:] == [
        (Kind.JOB_STARTED, 0, 1, 0, WORKER.encode()),
        (Kind.JOB_ENQUEUED, 0, 0, 0, b""),
    ]


async def test_dead_letters(store: Store, clock: FakeClock) -> None:
    """Burial, return and deletion of a dead letter are told of."""
    await put(store, message := job(max_attempts=1, retry=DEAD_LETTER))
    await change(store, failed(await take_one(store), clock.now()))
    clock.advance(1)
    await change(store, lifecycle.retry_dead(await see(store, message)))
    await change(store, failed(await take_one(store), clock.now()))
    clock.advance(1)
    await store.delete_dead(message.id, clock.now())

    lives = [Kind.JOB_STARTED, Kind.JOB_FAILED, Kind.JOB_DISCARDED, Kind.DEAD_LETTER_ADDED]
    seen = await log_of(store, message)
    assert [each[0] for each in seen] == [
        Kind.JOB_ENQUEUED,
        *lives,
        Kind.DEAD_LETTER_RETRIED,
        Kind.JOB_ENQUEUED,
        *lives,
        Kind.DEAD_LETTER_DELETED,
    ]
    assert seen[5:7] == [(Kind.DEAD_LETTER_RETRIED, 1, 0, 0, b""), (Kind.JOB_ENQUEUED, 1, 0, 0, b"")]
    assert seen[-1] == (Kind.DEAD_LETTER_DELETED, 2, 1, 0, b"")


@pytest.mark.parametrize("how", ["cancelled", "expired"])
async def test_other_ends(store: Store, clock: FakeClock, how: str) -> None:
    """What a change tells is written, with its detail and nothing beside it."""
    await put(store, message := job(expires_at=START + 1))
    clock.advance(1)
    waiting = await see(store, message)
    transition = lifecycle.cancel(waiting) if how == "cancelled" else lifecycle.expire(waiting)
    (event,) = transition.events

    await change(store, transition)

    assert (await log_of(store, message))[1:] == [(event.kind, 1, 0, 0, event.detail)]


async def test_pauses(store: Store, clock: FakeClock) -> None:
    """A pause and a resume are told of if they changed anything."""
    for act in (pause, pause, resume, resume):
        await act(store)
        clock.advance(1)

    events = await history(store)
    assert [facts_of(event) for event in events] == [
        (Kind.QUEUE_PAUSED, 0, 0, 0, b""),
        (Kind.QUEUE_RESUMED, 2, 0, 0, b""),
    ]
    assert {event.subject for event in events} == {Job(queue=QUEUE).SerializeToString()}


async def test_events_that_belong_to_no_change(store: Store, clock: FakeClock) -> None:
    """What the service itself has to tell is logged as it says, in order under a key."""
    worker = NewEvent(Kind.WORKER_STARTED, WORKER, b"", b"started")
    clock.advance(3)

    await store.log([worker, CRON, worker._replace(kind=Kind.WORKER_QUIET, detail=b"")], clock.now())
    await store.log([], clock.now())

    events = await history(store)
    assert sorted(facts_of(event) for event in events) == [
        (Kind.WORKER_STARTED, 3, 0, 0, b"started"),
        (Kind.WORKER_QUIET, 3, 0, 0, b""),
        (Kind.CRON_TRIGGERED, 3, 0, 0, b"detail"),
    ]
    assert [event.kind for event in events if event.kind != Kind.CRON_TRIGGERED] == [
        Kind.WORKER_STARTED,
        Kind.WORKER_QUIET,
    ]
    assert {event.subject for event in events if event.kind == Kind.CRON_TRIGGERED} == {CRON.subject}


async def test_a_unit_tells_in_order(store: Store) -> None:
    """First what the unit changed, then what it stored, then what it says itself."""
    await put(store, old := job())
    stored = [job(), job(scheduled_at=START + 1), job()]
    say = NewEvent(Kind.WORKFLOW_STARTED, QUEUE, Job(workflow_id="w").SerializeToString(), b"started")

    await do(
        store,
        Unit([new_job(each) for each in stored], changes=[lifecycle.cancel(await see(store, old))], events=[say]),
    )

    seen = [(event.kind, Job.FromString(event.subject).id) for event in (await history(store))[1:]]
    assert seen == [
        (Kind.JOB_CANCELLED, old.id),
        (Kind.JOB_ENQUEUED, stored[0].id),
        (Kind.JOB_SCHEDULED, stored[1].id),
        (Kind.JOB_ENQUEUED, stored[2].id),
        (Kind.WORKFLOW_STARTED, ""),
    ]


async def test_the_subject_says_whom_it_is_about(store: Store) -> None:
    """Of a job's subject, everything that filters and subscribers need can be read, and no arguments."""
    message = job("emails", priority=-3, scheduled_at=START + 1, trace_id="trace", workflow_id="flow", padding=99)
    await put(store, message, links=Links("flow"))

    (event,) = await history(store)

    assert Job.FromString(event.subject) == Job(
        id=message.id,
        type="test.job",
        queue="emails",
        priority=-3,
        scheduled_at=message.scheduled_at,
        trace_id="trace",
        workflow_id="flow",
    )


async def test_what_is_no_change_is_not_told(store: Store, clock: FakeClock) -> None:
    """Refused calls, repeated ones, and calls that only look leave no event."""
    await put(store, message := job(job_id_=job_id(3)), reserved=True)
    held = await take_one(store)
    waiting = changed(held, state=states.AVAILABLE)
    before = await history(store)

    await do(store, unit(message, reserved=True))
    await do(store, Unit([new_job(job())], writes=[Write("kind", "name", 5, b"")], events=[CRON]))
    await change(store, lifecycle.cancel(waiting))
    await ack(store, message.id, lease=held.lease + 5)
    await store.heartbeat("other", RUNNING, message.id, held.lease, 0, clock.now())
    await store.heartbeat(WORKER, RUNNING, "", 0, 0, clock.now())
    await store.delete_dead(message.id, clock.now())
    await take(store)
    await store.promote(clock.now(), 10)
    await store.overdue(clock.now(), 10)
    await write(store, "kind", "name")
    await store.sweep(Retention(), clock.now(), 10)

    assert await history(store) == before


async def test_a_heartbeat_tells_of_the_named_job_alone(store: Store, clock: FakeClock) -> None:
    """A beat extends all that its worker holds and tells of the one job it names."""
    await put(store, first := job(), second := job())
    held = [await take_one(store), await take_one(store)]

    assert len((await store.heartbeat(WORKER, RUNNING, second.id, held[1].lease, 0, clock.now())).jobs) == 2

    assert Kind.JOB_HEARTBEAT not in await told(store, first.id)
    assert (await told(store, second.id))[-1] == Kind.JOB_HEARTBEAT


async def test_a_worker_without_a_name(store: Store, clock: FakeClock) -> None:
    """A job that nobody in particular claimed and extends has events without a worker."""
    await put(store, message := job())
    held = await take_one(store, worker="")
    await store.heartbeat("", RUNNING, message.id, held.lease, 9, clock.now())

    assert (await log_of(store, message))[1:] == [
        (Kind.JOB_STARTED, 0, 1, 0, b""),
        (Kind.JOB_HEARTBEAT, 0, 1, START + 9, b""),
    ]


@pytest.mark.parametrize(("holder", "sender"), [("", WORKER), (WORKER, "")])
async def test_a_heartbeat_tells_the_name_that_is_known(
    store: Store, clock: FakeClock, holder: str, sender: str
) -> None:
    """If only one of who claimed the job and who beats for it has a name, that is the worker."""
    await put(store, message := job())
    held = await take_one(store, worker=holder)

    await store.heartbeat(sender, RUNNING, message.id, held.lease, 9, clock.now())

    assert (await log_of(store, message))[-1] == (Kind.JOB_HEARTBEAT, 0, 1, START + 9, WORKER.encode())


async def test_an_id_of_the_clients_choice(store: Store, clock: FakeClock) -> None:
    """The events of a job whose id names another partition are as complete, and as ordered, as all others."""
    partition = (ids.partition_of_queue(QUEUE) + 1) % 256
    await put(store, message := job(job_id_=job_id(partition)), reserved=True)
    await change(store, released(await take_one(store), clock.now()))
    await ack(store, (await take_one(store)).id)

    assert await told(store, message.id) == [
        Kind.JOB_ENQUEUED,
        Kind.JOB_STARTED,
        Kind.JOB_ENQUEUED,
        Kind.JOB_STARTED,
        Kind.JOB_COMPLETED,
    ]


async def test_without_a_log(open_with: Callable[..., Awaitable[Store]], clock: FakeClock) -> None:
    """A store that was told to log nothing does everything else, figures included."""
    store = await open_with(log_events=False)
    assert not store.log_events
    begin = await store.event_cursor(None)

    await bury(store)
    await put(store, job())
    await ack(store, (await take_one(store)).id)
    await pause(store)
    await store.log([CRON], clock.now())

    await asyncio.wait_for(store.await_events(begin, 20), 5)
    page = await store.events(begin, 10)
    assert (list(page.events), page.more) == ([], False)
    assert await history(store) == []
    (minute,) = (await facts(store)).minutes
    assert (minute.completed, minute.failed, minute.claimed) == (1, 1, 2)
