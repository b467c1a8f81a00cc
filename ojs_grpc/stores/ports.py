"""The contract between the service and its stores, written once.

A store takes and gives sequences ("batch first"), applies what the core decided if its precondition still holds, and
decides by itself only two things, each for one round trip: which jobs a claim gets, and whether a completion holds a
valid lease. All times are ms since the epoch and all durations ms; `now` is always an argument, so a store computes no
time. States are the ints of `core.states`. Jobs travel as the bytes of `ojs.v1.Job` (see `core.overlay`).

Every method may raise `StoreUnavailable`, `StoreTimeout` or `StoreError`; then nothing is known of its effect, unless
the docstring says more. Calls may run concurrently; each is atomic: other callers see all of it or nothing.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Generic, NamedTuple, Protocol, TypeVar

from ojs_grpc.core import states
from ojs_grpc.core.clock import Clock
from ojs_grpc.core.envelope import NewJob
from ojs_grpc.core.events import EventId, NewEvent, StoredEvent
from ojs_grpc.core.records import maker
from ojs_grpc.core.transition import Transition
from ojs_grpc.core.unique import Unique
from ojs_grpc.errors import OJSError

Row = TypeVar("Row")


class IdempotencyKey(NamedTuple):
    """What makes a repeated call safe: the client's key, a hash of the request, the reply to repeat, and until when."""

    key: str
    fingerprint: bytes
    reply: bytes
    expires_at: int


class Document(NamedTuple):
    """Something that is no job and is kept by name: a cron entry, a workflow.

    Attributes:
        version: changes with every write, and never comes back, also not after the document was deleted.
        due_at: when somebody has to look at it; 0 for never.
    """

    name: str
    version: int
    data: bytes
    due_at: int


class Write(NamedTuple):
    """A change of one document.

    Attributes:
        kind, name: which one. Kinds are few, and each has names of its own.
        version: the precondition: the document's present version; 0: there is none of this name; None: no condition.
        data: what it holds from now on; None deletes it.
        due_at: as in `Document`.
    """

    kind: str
    name: str
    version: int | None
    data: bytes | None
    due_at: int = 0


class Ending(NamedTuple):
    """A job of a workflow has ended, and the workflow has not been told yet."""

    job_id: str
    workflow_id: str
    state: int


class Unit(NamedTuple):
    """What one caller wants done at once: all of it happens, in this order, or nothing.

    Attributes:
        alike: jobs that must have no duplicates before the unit, beside those that it stores.
        changes: transitions whose preconditions must all hold.
        writes: documents whose preconditions must all hold; each document at most once.
        jobs: stored in this order. No two of them have the same fingerprint.
        key: the unit is done once, however often it is sent.
        endings: forgotten; no precondition.
        events: logged after those of the changes and the jobs.
    """

    jobs: Sequence[NewJob] = ()
    key: IdempotencyKey | None = None
    changes: Sequence[Transition] = ()
    writes: Sequence[Write] = ()
    endings: Sequence[Ending] = ()
    events: Sequence[NewEvent] = ()
    alike: Sequence[Unique] = ()


_unit = maker(Unit)


def unit_of(jobs: Sequence[NewJob]) -> Unit:
    """A unit that only stores jobs."""
    return _unit((jobs, None, (), (), (), (), ()))


class Outdated(NamedTuple):
    """A unit was not done: a precondition of its changes or of its writes does not hold."""


class Duplicates(NamedTuple):
    """A unit was not done: these jobs of it have duplicates (behaviour section 3.3).

    Attributes:
        jobs: by position in the unit, the duplicate as it stands; the newest if there are several. Positions of
            `Unit.alike` follow those of its jobs.
    """

    jobs: Mapping[int, bytes]


Outcome = OJSError | bytes | Outdated | Duplicates | None
"""What became of a unit, see `JobStore.insert`."""


class Demand(NamedTuple):
    """Free slots of workers that ask for the same queues.

    Attributes:
        queues: asked strictly in this order.
        workers: one worker id a slot (may repeat, may be empty for an unnamed worker), in the order in which jobs are
            handed out.
        visibility_ms: length of the leases; 0 for each job's own.
        max_bytes: stop before the jobs given weigh more than this, but give at least one.
        streaming: this process streams the jobs and wants to hear (`Signals.released`) when one is finished or taken
            away through another process.
    """

    queues: tuple[str, ...]
    workers: Sequence[str]
    max_bytes: int
    visibility_ms: int = 0
    streaming: bool = False


class Delivery(NamedTuple):
    """A claimed job: active, leased to `worker_id`."""

    job_id: str
    lease: int
    worker_id: str
    queue: str
    job: bytes


class Claimed(NamedTuple):
    """What a demand got, and whether its queues held nothing more for it (else there may be more)."""

    deliveries: Sequence[Delivery]
    drained: bool


class Completion(NamedTuple):
    """An acknowledgement. `tail` is the encoded result fields, appended to the job.

    It holds if the job is active and, when given, `lease` is its lease (else `worker_id`, when given, its holder; a job
    claimed without a name is anybody's). It also holds if the job lost its lease and went back to available, nobody
    claimed it since, and `lease` is the one it lost (design section 7, "late ack").
    """

    job_id: str
    lease: int
    worker_id: str
    tail: bytes


class Refusal(NamedTuple):
    """Why a completion or a heartbeat did nothing: the job's present state (0: there is no such job)."""

    state: int
    lease: int = 0
    worker_id: str = ""


class Overdue(NamedTuple):
    """An active job whose wake-up time has passed, and the times that core.lifecycle judges it by."""

    job: bytes
    lease_expires_at: int
    times_out_at: int


class Extension(NamedTuple):
    """What a heartbeat did: the jobs it extended with their new deadlines, and whether the named job refused."""

    jobs: Sequence[tuple[str, int]]
    refusal: Refusal | None = None


class Promotion(NamedTuple):
    """How many jobs became available, and when the next one is due (None: nothing waits)."""

    promoted: int
    next_at: int | None


class OverdueJobs(NamedTuple):
    """Some overdue jobs, and when the next one will be (None: nothing waits; <= now: there are more)."""

    jobs: Sequence[Overdue]
    next_at: int | None


class ExpiredJobs(NamedTuple):
    """Some jobs past their TTL, and when the next one will be (as in `OverdueJobs`)."""

    jobs: Sequence[bytes]
    next_at: int | None


class EndedJobs(NamedTuple):
    """Some endings, those noted longest ago first as far as that is known, and whether there are more."""

    endings: Sequence[Ending]
    more: bool


class DueDocuments(NamedTuple):
    """Some due documents, earliest first, and when the next one will be (None: none waits; <= now: there are more)."""

    documents: Sequence[Document]
    next_at: int | None


class Minute(NamedTuple):
    """What happened in a queue within one minute.

    Attributes:
        minute: minutes since the epoch.
        completed: jobs completed, which together took `duration_ms` from claim to completion.
        failed: failed attempts, lost leases included.
        claimed: jobs claimed, which together had waited `wait_ms` since they became available.
    """

    minute: int
    completed: int
    failed: int
    claimed: int
    duration_ms: int
    wait_ms: int


class QueueFacts(NamedTuple):
    """A queue's figures.

    Attributes:
        discarded: dead letters included, as far as they are still stored.
        completed: since the queue exists.
        minutes: this minute and the 60 before it, those in which something happened, oldest first.
    """

    paused: bool
    available: int
    active: int
    scheduled: int
    retryable: int
    discarded: int
    completed: int
    minutes: Sequence[Minute]


class QueueRow(NamedTuple):
    """A queue as listed."""

    name: str
    paused: bool
    available: int
    created_at: int


LISTED: Final = (
    states.ACTIVE,
    states.AVAILABLE,
    states.RETRYABLE,
    states.SCHEDULED,
    states.PENDING,
    states.DISCARDED,
    states.CANCELLED,
    states.COMPLETED,
)
"""The states in the order in which jobs are listed."""


class JobFilter(NamedTuple):
    """Which jobs are meant: those of one queue, or of all if it is empty; in one state, or in any if that is 0."""

    queue: str = ""
    state: int = 0


class QueueCounts(NamedTuple):
    """A queue as operators see it.

    Attributes:
        jobs: how many are stored in each of the eight states.
        completed: jobs completed since the queue exists.
        minutes: this minute and the one before it, those in which something happened, oldest first.
    """

    name: str
    paused: bool
    created_at: int
    jobs: Mapping[int, int]
    completed: int
    minutes: Sequence[Minute]


class WorkerRow(NamedTuple):
    """A worker as listed.

    Attributes:
        state: as in its last heartbeat; 0 if it never sent one.
        last_beat_at: when that was; 0 if it never sent one.
        active: how many jobs it holds.
    """

    worker_id: str
    state: int
    last_beat_at: int
    active: int


class Page(NamedTuple, Generic[Row]):
    """A page of a listing. `next_cursor` is empty on the last one; `total` counts the rows of all pages."""

    rows: Sequence[Row]
    next_cursor: str
    total: int = 0


class EventCursor(Protocol):
    """A place in the event log, known to the store that gave it."""

    def covers(self, event: EventId) -> bool:
        """Whether the event stands before this place."""
        ...


class EventPage(NamedTuple):
    """Some events after a cursor, the cursor after them, and whether there may be more now.

    Each partition's events are in order; those of different partitions as they came, nearly. None is left out.
    """

    events: Sequence[StoredEvent]
    cursor: EventCursor
    more: bool


@dataclass(frozen=True, slots=True)
class Retention:
    """How long finished jobs and events stay (design section 4). Ages in ms, counts a queue; events in all."""

    finished_ms: int = 7 * 86_400_000
    finished_count: int = 1_000_000
    discarded_ms: int = 30 * 86_400_000
    dead_ms: int = 180 * 86_400_000
    dead_count: int = 10_000
    events_ms: int = 7 * 86_400_000
    events_count: int = 1_000_000


class Signals(Protocol):
    """What a store tells the service without being asked. Called on the event loop; must return at once."""

    def ready(self, queues: Sequence[str]) -> None:
        """These queues may have jobs to claim now, put there by anyone; no names at all: any queue may.

        The latter after a time in which a store could not hear what others do.
        """
        ...

    def released(self, job_ids: Sequence[str]) -> None:
        """These jobs, which this process holds for its streams, were finished or taken away by another process."""
        ...

    def ended(self) -> None:
        """A call of this process noted endings (`WorkflowStore.endings`)."""
        ...


class JobStore(Protocol):
    """Jobs by id."""

    async def insert(self, units: Sequence[Unit], now: int) -> list[Outcome]:
        """Does each unit or refuses it, independently of the others but in their order.

        Returns:
            For each unit: None if done. Else nothing of it is, and the first of these that applies: the earlier reply
            if its idempotency key is known with the same fingerprint; `InvalidRequest` if the key is known with another
            one; `Outdated`; `DuplicateJob` if a reserved id is taken, also by an earlier job of the same call;
            `Duplicates`, where a job that the unit itself changes counts as changed; `QueueFull` if a queue with a
            `max_depth` would hold more after the unit, unless it holds no more than before.
        """
        ...

    async def read(self, job_ids: Sequence[str]) -> list[bytes | None]:
        """The jobs as they stand, in the order asked; None for an unknown id."""
        ...

    async def apply(self, transitions: Sequence[Transition], now: int) -> list[bytes | None]:
        """Applies each transition whose precondition holds, independently of the others, and logs its events.

        Returns:
            For each: the job afterwards, or None if the precondition does not hold (or there is no such job).
        """
        ...


class DeliveryStore(Protocol):
    """Leases."""

    async def claim(self, demands: Sequence[Demand], now: int) -> list[Claimed]:
        """Leases available jobs to free slots: priority descending, then the order in which they became available.

        A job past its TTL that was never active is not given, nor one whose limits (`Links.limits`, `QueueRule.limit`)
        are used up: the next one in line that may run is given instead, at a cost that does not grow with the jobs
        passed over. Active jobs count against a limit's `concurrency`, every claim against its `claims`. A worker whose
        last heartbeat said quiet or terminate gets nothing; its slots are passed over. `attempt` grows by one,
        `started_at` is now. The lease ends after the visibility time; the job's wake-up time is the earliest of that,
        of its timeout, and, for a worker that has sent a heartbeat less than `silence_ms` ago, of that beat plus
        `silence_ms`.

        Returns:
            For each demand its deliveries, none beyond its slots, in the order of `workers`; and whether its queues
            were found empty (paused or limited counts as empty, and `Signals.ready` tells when that ends), rather than
            slots or bytes used up. Slots of workers that are
            passed over say nothing about the queues: if only such slots were left, it is not drained.
        """
        ...

    async def complete(self, completions: Sequence[Completion], now: int) -> list[Refusal | None]:
        """Completes each job whose `Completion` holds; None for done."""
        ...

    async def heartbeat(
        self, worker_id: str, worker_state: int, job_id: str, lease: int, extend_ms: int, now: int
    ) -> Extension:
        """Takes a sign of life and extends leases to now + `extend_ms` (0: each job's visibility time).

        Logs JOB_HEARTBEAT for the job that is named, if its lease was extended.

        With `worker_id`: remembers the beat and `worker_state`, and extends everything the worker holds. With
        `job_id`: extends that job if it is active, and, when they are given, under `lease` and held by `worker_id`;
        else says why not. With both, `extend_ms` is for the named job alone. Wake-up times follow, as in `claim`.
        """
        ...

    async def leases(self, job_ids: Sequence[str]) -> list[int]:
        """The present lease of each job, 0 for one that is not active (or gone)."""
        ...

    async def unanswered(self, now: int) -> list[bytes]:
        """Jobs leased by a claim of this process whose answer was lost with the connection, as they stand.

        Call it after a claim has failed, before the next one. It also makes sure that such a claim, should it still be
        on its way, leases nothing when it arrives.
        """
        ...

    async def overdue(self, now: int, limit: int) -> OverdueJobs:
        """Active jobs whose wake-up time has passed, earliest first. Changes nothing."""
        ...


class ScheduleStore(Protocol):
    """Jobs that wait for a time."""

    async def promote(self, now: int, limit: int) -> Promotion:
        """Makes up to `limit` scheduled and retryable jobs available whose time has come, earliest first.

        Also looks at limits by time that held jobs back: their next end is part of `next_at`, and once it has come,
        `Signals.ready` names the queues.
        """
        ...

    async def expired(self, now: int, limit: int) -> ExpiredJobs:
        """Jobs past their TTL that no worker ever got, earliest first. Changes nothing."""
        ...


class QueueStore(Protocol):
    """Queues. One exists from its first job on, or from its first pause."""

    async def queues(self, after: str, limit: int) -> Page[QueueRow]:
        """Queues with names greater than `after`, sorted by name. `next_cursor` is the last name.

        `total` counts all queues, also those before `after`.
        """
        ...

    async def set_paused(self, queue: str, paused: bool, event: NewEvent, now: int) -> bool:  # noqa: FBT001
        """Stops or starts delivery from a queue, which exists from now on; on resume, `Signals.ready` names it.

        Returns:
            Whether this changed anything; only then the event is logged.
        """
        ...

    async def queue_facts(self, queue: str, now: int) -> QueueFacts | None:
        """The figures of a queue, at a cost that does not grow with its jobs; None if there is no such queue."""
        ...


class DocumentStore(Protocol):
    """Documents by kind and name. They are written by units (`JobStore.insert`)."""

    async def documents(self, kind: str, names: Sequence[str]) -> list[Document | None]:
        """The documents as they stand, in the order asked; None for an unknown name."""
        ...

    async def list_documents(self, kind: str, after: str, limit: int) -> Page[Document]:
        """Documents with names greater than `after`, sorted by name. `next_cursor` is the last name.

        `total` counts all of the kind, also those before `after`.
        """
        ...

    async def due_documents(self, kind: str, now: int, limit: int) -> DueDocuments:
        """Documents whose `due_at` has come. Changes nothing; costs next to nothing while none is due."""
        ...


class WorkflowStore(Protocol):
    """What the jobs of workflows leave behind for them."""

    async def endings(self, limit: int) -> EndedJobs:
        """Jobs of workflows that ended and are not yet forgotten (`Unit.endings`). Changes nothing.

        An ending is noted in the same step as every change to a terminal state, whoever makes it.
        """
        ...


class EventStore(Protocol):
    """The log of events. Every change of a job, by whatever method, is in it, written in the same atomic step.

    Nothing is logged if the store was opened with `log_events=False`.
    """

    async def log(self, events: Sequence[NewEvent], now: int) -> None:
        """Logs events that belong to no change."""
        ...

    async def event_cursor(self, after: EventId | None) -> EventCursor:
        """The place after an event, which may be gone; None: the present end of the log.

        Of events in other partitions, those at the event's time or later stand after this place.
        """
        ...

    async def events(self, cursor: EventCursor, limit: int) -> EventPage:
        """Events after a cursor, about `limit` of them: some more rather than a part of what was written at once."""
        ...

    async def await_events(self, cursor: EventCursor, wait_ms: int) -> None:
        """Returns when there is something after the cursor, or soon after; after `wait_ms` at the latest."""
        ...


class DeadLetterStore(Protocol):
    """Discarded jobs that wait for somebody's decision."""

    async def dead_letters(self, queue: str, cursor: str, limit: int, max_bytes: int) -> Page[bytes]:
        """Dead letters of one queue, or of all if `queue` is empty: by queue name, then oldest first.

        `total` counts all of them. A page weighs at most `max_bytes` but holds at least one job. A cursor is opaque and
        survives that the job it points at is gone; a malformed one raises `InvalidRequest`.
        """
        ...

    async def delete_dead(self, job_id: str, now: int) -> bool:
        """Deletes a dead letter, its id included, and logs DEAD_LETTER_DELETED; False if this job is none."""
        ...


class OperatorStore(Protocol):
    """What operators look at. Nothing here is on the way of a job."""

    async def jobs(self, wanted: JobFilter, cursor: str, limit: int, max_bytes: int) -> Page[bytes]:
        """Jobs as they stand, state by state in the order of `LISTED`.

        Active jobs come by when somebody has to look at them, retryable and scheduled ones by when they become
        available, earliest first, whatever their queues. All others come by the name of their queue, and there:
        available ones in line; pending ones newest first; discarded, cancelled and completed ones latest end first.
        Available ones with limits come behind those of all queues that have none, and dead letters of all queues
        before other discarded ones. A job that changes between two pages may be on both or on none.

        A page costs what it looks at, which is little more than what it gives, unless few jobs of a large index are
        wanted: of one queue among active, retryable and scheduled jobs, or retryable ones among many scheduled. So a
        page looks at some thousand jobs at most; it may hold fewer than `limit`, even none, and still not be the last.
        It weighs at most `max_bytes` but may hold one job that weighs more. `total` is exact on the first page, which
        costs some microseconds for each queue, and repeated on the others. A cursor is opaque and belongs to one
        filter; a malformed one raises `InvalidRequest`.
        """
        ...

    async def queue_counts(self, queue: str, now: int) -> Sequence[QueueCounts]:
        """The counts of one queue (none if it does not exist), or of all if it is empty, by name.

        Costs the same for each queue, however many jobs there are.
        """
        ...

    async def delete_finished(self, job_ids: Sequence[str], now: int) -> list[bool]:
        """Deletes those of the jobs that are completed, cancelled or discarded, their ids included.

        Logs DEAD_LETTER_DELETED for dead letters.

        Returns:
            For each: whether it was deleted.
        """
        ...

    async def workers(self, cursor: str, limit: int) -> Page[WorkerRow]:
        """Workers with ids greater than the cursor, by id: those heard of within a day, and those that hold jobs.

        `next_cursor` is the last id. `total` may count workers that claimed within a day, never sent a heartbeat and
        hold nothing any more.
        """
        ...

    async def clear(self) -> None:
        """Removes everything: jobs, queues, documents, events, keys, workers. Numbers go on: nothing has one twice.

        The service may go on, and cursors into the log stay good. Meant for tests: what others do meanwhile may be lost
        in part, and other processes on an SQLite file have to be started anew.
        """
        ...


class RetentionStore(Protocol):
    """Forgetting."""

    async def sweep(self, retention: Retention, now: int, limit: int) -> int:
        """Removes up to `limit` finished jobs that are too old or too many, and outdated idempotency keys.

        Also drops events that are too old or too many, in larger lots, which don't count, and outdated statistics.

        Returns:
            How many jobs and keys were removed; fewer than `limit` means that nothing is left to remove now.
        """
        ...


class Store(
    JobStore,
    DeliveryStore,
    ScheduleStore,
    QueueStore,
    DocumentStore,
    WorkflowStore,
    EventStore,
    DeadLetterStore,
    OperatorStore,
    RetentionStore,
    Protocol,
):
    """A store, opened by `stores.open_store(url)`."""

    clock: Clock
    """The time that all servers on this store agree on."""
    name: str
    """What the manifest calls it: sqlite, memory, redis."""
    shared: bool
    """Whether several server processes may use it at once."""
    silence_ms: int
    """A worker that has sent heartbeats and then none for this long is dead (behaviour section 6.3)."""
    log_events: bool
    """Whether events are logged."""

    async def open(self, signals: Signals) -> None:
        """Connects, creates what is missing, checks what must hold. Raises `StoreUnavailable` or `ValueError`."""
        ...

    async def ping(self) -> None:
        """Returns if the store works, and raises what a call would raise if it doesn't."""
        ...

    async def close(self) -> None:
        """Ends all work and frees what `open` took. May be called twice."""
        ...
