"""Jobs to put into a store, the job that should come out again, and what the core decides about it in between.

Times are ms since the epoch, as everywhere below the bindings; the messages' own types appear only in here.
"""

from collections.abc import Collection, Sequence
from dataclasses import replace
from hashlib import sha256
from itertools import count
from typing import Any

from ojs_grpc_pb.v1.job_pb2 import UNIQUE_CONFLICT_ACTION_REJECT, Job, JobError, RetryPolicy
from ojs_grpc_pb.v1.worker_pb2 import WORKER_STATE_QUIET, WORKER_STATE_RUNNING, WORKER_STATE_TERMINATE

from ojs_grpc.core import ids, lifecycle, states
from ojs_grpc.core.duration import duration_ms, timestamp_ms, to_duration, to_timestamp
from ojs_grpc.core.envelope import NewJob
from ojs_grpc.core.events import EventId, JobEvent, Kind, NewEvent, StoredEvent
from ojs_grpc.core.limits import Limits
from ojs_grpc.core.links import Links
from ojs_grpc.core.rate_limit import RateLimit
from ojs_grpc.core.transition import Transition
from ojs_grpc.core.unique import Unique
from ojs_grpc.stores.ports import (
    Completion,
    Delivery,
    Demand,
    Ending,
    Outcome,
    Overdue,
    QueueFacts,
    Refusal,
    Store,
    Unit,
    Write,
)
from tests.clock import START, FakeClock

QUEUE = "default"
WORKER = "worker-1"
RUNNING, QUIET, TERMINATE = int(WORKER_STATE_RUNNING), int(WORKER_STATE_QUIET), int(WORKER_STATE_TERMINATE)

VISIBILITY_MS = 60_000
"""How long a lease lasts, unless the test says otherwise."""
TIMEOUT_MS = 600_000
"""How long a job may run, unless the test says otherwise."""
MANY_BYTES = 64 * 1024 * 1024
"""A bound on answers that no test reaches."""
LIMITS = Limits()
DEAD_LETTER = RetryPolicy(max_attempts=1, on_exhaustion="dead_letter")
"""The policy of a job that is a dead letter after its first failure."""
LIVING = frozenset({states.SCHEDULED, states.AVAILABLE, states.PENDING, states.ACTIVE, states.RETRYABLE})
"""The states in which a job counts as a duplicate, unless the test says otherwise."""

_SUBJECT = ("id", "type", "queue", "priority", "scheduled_at", "trace_id", "workflow_id")

_numbers = count(1)


def job_id(partition: int) -> str:
    """A new id that names the partition; ids of one test run are all different, and the same in every run."""
    number = next(_numbers)
    return f"01970000-{number >> 12:04x}-7{number & 0xFFF:03x}-8000-0000000000{partition:02x}"


def job(  # noqa: PLR0913 - one argument a field
    queue: str = QUEUE,
    *,
    job_id_: str = "",
    priority: int = 0,
    scheduled_at: int = 0,
    expires_at: int = 0,
    max_attempts: int = 3,
    retry: RetryPolicy | None = None,
    visibility_ms: int = VISIBILITY_MS,
    timeout_ms: int = TIMEOUT_MS,
    padding: int = 0,
    trace_id: str = "",
    workflow_id: str = "",
) -> Job:
    """A job as a producer says it; `padding` makes it that many bytes larger."""
    message = Job(
        id=job_id_ or job_id(ids.partition_of_queue(queue)),
        type="test.job",
        queue=queue,
        priority=priority,
        max_attempts=max_attempts,
        retry_policy=retry,
        created_at=to_timestamp(START),
        timeout=to_duration(timeout_ms),
        visibility_timeout=to_duration(visibility_ms),
        specversion="1.0",
        trace_id=trace_id,
        workflow_id=workflow_id,
    )
    if scheduled_at:
        message.scheduled_at.CopyFrom(to_timestamp(scheduled_at))
    if expires_at:
        message.expires_at.CopyFrom(to_timestamp(expires_at))
    message.args.add().string_value = "x" * padding
    return message


def new_job(message: Job, state: int = 0, *, reserved: bool = False, links: Links | None = None) -> NewJob:
    """What a store is given of a job; it is scheduled if it says a time, else available, unless `state` is given."""
    scheduled = message.HasField("scheduled_at")
    subject = subject_of(message)
    rest = changed(message, **dict.fromkeys(_SUBJECT))
    return NewJob(
        id=message.id,
        queue=message.queue,
        state=state or (states.SCHEDULED if scheduled else states.AVAILABLE),
        priority=message.priority,
        due_at=timestamp_ms(message.scheduled_at) if scheduled else 0,
        expires_at=timestamp_ms(message.expires_at) if message.HasField("expires_at") else 0,
        visibility_ms=duration_ms(message.visibility_timeout),
        timeout_ms=duration_ms(message.timeout),
        reserved=reserved,
        envelope=subject + rest.SerializeToString(),
        subject_size=len(subject),
        links=links,
    )


def subject_of(message: Job) -> bytes:
    """The fields by which events tell of the job."""
    fields: dict[str, Any] = {field.name: value for field, value in message.ListFields() if field.name in _SUBJECT}
    return Job(**fields).SerializeToString()


def unit(*messages: Job, state: int = 0, reserved: bool = False, links: Links | None = None) -> Unit:
    """What one caller enqueues at once; all jobs have these links."""
    return Unit([new_job(message, state, reserved=reserved, links=links) for message in messages])


def unique(what: str = "same", *, states_: Collection[int] = LIVING, period_ms: int = 0) -> Links:
    """The links of a job that is the same as others for which this was called with the same `what`."""
    fingerprint = sha256(what.encode()).digest()
    return Links(unique=Unique(fingerprint, frozenset(states_), period_ms, int(UNIQUE_CONFLICT_ACTION_REJECT)))


def limited(*limits: RateLimit) -> Links:
    """The links of a job whose claims are limited."""
    return Links(limits=limits)


def changed(message: Job, **fields: Any) -> Job:  # noqa: ANN401 - whatever the fields hold
    """The job with these fields instead: timestamps in ms, None for a field that must not be set."""
    copy = Job()
    copy.CopyFrom(message)
    for name, value in fields.items():
        field = Job.DESCRIPTOR.fields_by_name[name]
        # The stubs list the names one by one.
        copy.ClearField(name)  # type: ignore[arg-type]
        if value is None:
            continue
        if name.endswith("_at"):
            getattr(copy, name).CopyFrom(to_timestamp(value))
        elif field.is_repeated:
            getattr(copy, name).extend(value)
        elif field.message_type is not None:
            getattr(copy, name).CopyFrom(value)
        else:
            setattr(copy, name, value)
    return copy


async def do(store: Store, unit: Unit) -> Outcome:
    """Does one unit, now: what became of it."""
    (outcome,) = await store.insert([unit], store.clock.now())
    return outcome


async def put(
    store: Store, *messages: Job, state: int = 0, reserved: bool = False, links: Links | None = None
) -> None:
    """Stores the jobs as one unit, now."""
    assert await do(store, unit(*messages, state=state, reserved=reserved, links=links)) is None


async def write(store: Store, kind: str, name: str, data: bytes | None = b"data", due_at: int = 0) -> None:
    """Writes a document, whatever it was, or deletes it."""
    assert await do(store, Unit(writes=[Write(kind, name, None, data, due_at)])) is None


async def look(store: Store, job_id: str) -> Job | None:
    """The job as it stands."""
    (data,) = await store.read([job_id])
    return None if data is None else Job.FromString(data)


async def see(store: Store, message: Job) -> Job:
    """The same job as it stands; there must be one."""
    found = await look(store, message.id)
    assert found is not None, f"job {message.id} is gone"
    return found


def demand(slots: int = 1, *queues: str, worker: str = WORKER, max_bytes: int = MANY_BYTES, **rest: Any) -> Demand:  # noqa: ANN401 - the fields of Demand
    """Free slots of one worker."""
    return Demand(queues or (QUEUE,), [worker] * slots, max_bytes, **rest)


async def claim(store: Store, *demands: Demand) -> list[list[Delivery]]:
    """Claims in one call, now: what each demand got."""
    return [list(claimed.deliveries) for claimed in await store.claim(demands, store.clock.now())]


async def take(store: Store, slots: int = 1, *queues: str, worker: str = WORKER, **rest: Any) -> list[Delivery]:  # noqa: ANN401 - as above
    """Claims for one worker, now."""
    (deliveries,) = await claim(store, demand(slots, *queues, worker=worker, **rest))
    return deliveries


async def take_one(store: Store, *queues: str, worker: str = WORKER) -> Job:
    """Claims one job; there must be one."""
    (delivery,) = await take(store, 1, *queues, worker=worker)
    return Job.FromString(delivery.job)


def ids_of(deliveries: Sequence[Delivery]) -> list[str]:
    """Which jobs were delivered, in order."""
    return [delivery.job_id for delivery in deliveries]


async def ack(store: Store, job_id: str, *, lease: int = 0, worker: str = "", tail: bytes = b"") -> Refusal | None:
    """Acknowledges one job, now."""
    (answer,) = await store.complete([Completion(job_id, lease, worker, tail)], store.clock.now())
    return answer


async def change(store: Store, transition: Transition) -> Job | None:
    """Applies one transition, now: the job afterwards, or None if it was refused."""
    (data,) = await store.apply([transition], store.clock.now())
    return None if data is None else Job.FromString(data)


async def counts(store: Store) -> dict[str, int]:
    """How many jobs are available in each queue."""
    page = await store.queues("", 1000)
    return {row.name: row.available for row in page.rows}


async def put_limited(store: Store, *limits: RateLimit, queue: str = QUEUE, count: int = 1) -> list[Job]:
    """Stores jobs with these limits, now."""
    messages = [job(queue) for _ in range(count)]
    await put(store, *messages, links=limited(*limits))
    return messages


async def given(store: Store, *queues: str) -> list[str]:
    """All that the queues give now, to somebody who keeps it."""
    return ids_of(await take(store, 100, *queues))


async def later(store: Store, clock: FakeClock, ms: int) -> int:
    """Time passes, and the duty that looks at what waits for a time does its work; the new time."""
    now = clock.advance(ms)
    await store.promote(now, 1000)
    return now


async def facts(store: Store, queue: str = QUEUE) -> QueueFacts:
    """The figures of a queue, now; there must be one."""
    found = await store.queue_facts(queue, store.clock.now())
    assert found is not None
    return found


async def pause(store: Store, queue: str = QUEUE) -> bool:
    """Stops delivery from a queue, now; whether it was not stopped before."""
    event = NewEvent(Kind.QUEUE_PAUSED, queue, Job(queue=queue).SerializeToString())
    return await store.set_paused(queue, paused=True, event=event, now=store.clock.now())


async def resume(store: Store, queue: str = QUEUE) -> bool:
    """Starts delivery from a queue again, now; whether it was stopped."""
    event = NewEvent(Kind.QUEUE_RESUMED, queue, Job(queue=queue).SerializeToString())
    return await store.set_paused(queue, paused=False, event=event, now=store.clock.now())


async def endings(store: Store) -> list[Ending]:
    """All that is noted, by job."""
    found = await store.endings(1000)
    assert not found.more
    return sorted(found.endings)


async def history(store: Store, after: EventId | None = None) -> list[StoredEvent]:
    """The events after one, or all that are in the log."""
    cursor = await store.event_cursor(after or EventId(0, 0, 0, 0))
    events: list[StoredEvent] = []
    more = True
    while more:
        page = await store.events(cursor, 1000)
        events.extend(page.events)
        cursor, more = page.cursor, page.more
    return events


async def told(store: Store, job_id: str) -> list[Kind]:
    """What the log tells of a job."""
    events = await history(store)
    return [Kind(event.kind) for event in events if Job.FromString(event.subject).id == job_id]


async def dead_ids(store: Store, queue: str = "") -> list[str]:
    """The dead letters, in the order listed."""
    page = await store.dead_letters(queue, "", 1000, MANY_BYTES)
    return [Job.FromString(data).id for data in page.rows]


def middle() -> float:
    """A random number without chance: with jitter, a delay stays what the policy says."""
    return 0.5


def failed(job: Job, now: int, code: str = "boom") -> Transition:
    """The holder reports a failed attempt."""
    return lifecycle.fail(job, JobError(code=code, message="it broke"), now, middle, LIMITS)


def released(job: Job, now: int) -> Transition:
    """The holder gives the job back."""
    return lifecycle.release(job, None, now, LIMITS)


def telling(transition: Transition, *kinds: Kind) -> Transition:
    """The change, telling of itself by these events and no others; each detail says the kind's name."""
    return replace(transition, events=tuple(JobEvent(kind, kind.name.encode()) for kind in kinds))


def reaped(overdue: Overdue, now: int) -> Transition:
    """What becomes of an active job whose time has passed."""
    job = Job.FromString(overdue.job)
    return lifecycle.overdue(job, overdue.lease_expires_at, overdue.times_out_at, now, middle, LIMITS)


async def reap(store: Store, limit: int = 1000) -> list[Job]:
    """One round of the duty that ends overdue leases; the jobs it changed."""
    now = store.clock.now()
    found = await store.overdue(now, limit)
    answers = await store.apply([reaped(overdue, now) for overdue in found.jobs], now)
    return [Job.FromString(data) for data in answers if data is not None]


async def bury(store: Store, queue: str = QUEUE, **fields: Any) -> Job:  # noqa: ANN401 - the fields of `job`
    """Makes a dead letter: a job that failed on its only attempt."""
    message = job(queue, retry=DEAD_LETTER, max_attempts=1, **fields)
    await put(store, message)
    buried = await change(store, failed(await take_one(store, queue), store.clock.now()))
    assert buried is not None
    assert buried.dead_letter
    return buried
