"""The contract between the service and its stores, written once.

A store takes and gives sequences ("batch first"), applies what the core decided if its precondition still holds, and
decides by itself only two things, each for one round trip: which jobs a claim gets, and whether a completion holds a
valid lease. All times are ms since the epoch and all durations ms; `now` is always an argument, so a store computes no
time. States are the ints of `core.states`. Jobs travel as the bytes of `ojs.v1.Job` (see `core.overlay`).

Every method may raise `StoreUnavailable`, `StoreTimeout` or `StoreError`; then nothing is known of its effect, unless
the docstring says more. Calls may run concurrently; each is atomic: other callers see all of it or nothing.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Generic, NamedTuple, Protocol, TypeVar

from ojs_grpc.core.clock import Clock
from ojs_grpc.core.envelope import NewJob
from ojs_grpc.core.transition import Transition
from ojs_grpc.errors import OJSError

Row = TypeVar("Row")


class IdempotencyKey(NamedTuple):
    """What makes a repeated call safe: the client's key, a hash of the request, the reply to repeat, and until when."""

    key: str
    fingerprint: bytes
    reply: bytes
    expires_at: int


class Unit(NamedTuple):
    """What one caller enqueues at once: all of it is stored, in this order, or nothing."""

    jobs: Sequence[NewJob]
    key: IdempotencyKey | None = None


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


class QueueRow(NamedTuple):
    """A queue as listed."""

    name: str
    paused: bool
    available: int
    created_at: int


class Page(NamedTuple, Generic[Row]):
    """A page of a listing. `next_cursor` is empty on the last one."""

    rows: Sequence[Row]
    next_cursor: str
    total: int = 0


@dataclass(frozen=True, slots=True)
class Retention:
    """How long finished jobs stay (design section 4). Ages in ms, counts a queue."""

    finished_ms: int = 7 * 86_400_000
    finished_count: int = 1_000_000
    discarded_ms: int = 30 * 86_400_000
    dead_ms: int = 180 * 86_400_000
    dead_count: int = 10_000


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


class JobStore(Protocol):
    """Jobs by id."""

    async def insert(self, units: Sequence[Unit], now: int) -> list[OJSError | bytes | None]:
        """Stores each unit or refuses it, independently of the others.

        Returns:
            For each unit: None if stored; the earlier reply if its idempotency key is known with the same fingerprint
            (nothing stored); `InvalidRequest` if the key is known with another one; `DuplicateJob` if a reserved id is
            taken, also by an earlier job of the same call.
        """
        ...

    async def read(self, job_ids: Sequence[str]) -> list[bytes | None]:
        """The jobs as they stand, in the order asked; None for an unknown id."""
        ...

    async def apply(self, transitions: Sequence[Transition], now: int) -> list[bytes | None]:
        """Applies each transition whose precondition holds, independently of the others.

        Returns:
            For each: the job afterwards, or None if the precondition does not hold (or there is no such job).
        """
        ...


class DeliveryStore(Protocol):
    """Leases."""

    async def claim(self, demands: Sequence[Demand], now: int) -> list[Claimed]:
        """Leases available jobs to free slots: priority descending, then the order in which they became available.

        A job past its TTL that was never active is not given. A worker whose last heartbeat said quiet or terminate
        gets nothing; its slots are passed over. `attempt` grows by one, `started_at` is now. The lease ends after the
        visibility time; the job's wake-up time is the earliest of that, of its timeout, and, for a worker that has
        sent a heartbeat less than `silence_ms` ago, of that beat plus `silence_ms`.

        Returns:
            For each demand its deliveries, none beyond its slots, in the order of `workers`; and whether its queues
            were found empty (paused counts as empty), rather than slots or bytes used up. Slots of workers that are
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
        """Makes up to `limit` scheduled and retryable jobs available whose time has come, earliest first."""
        ...

    async def expired(self, now: int, limit: int) -> ExpiredJobs:
        """Jobs past their TTL that no worker ever got, earliest first. Changes nothing."""
        ...


class QueueStore(Protocol):
    """Queues. One exists from its first job on."""

    async def queues(self, after: str, limit: int) -> Page[QueueRow]:
        """Queues with names greater than `after`, sorted by name. `next_cursor` is the last name."""
        ...


class DeadLetterStore(Protocol):
    """Discarded jobs that wait for somebody's decision."""

    async def dead_letters(self, queue: str, cursor: str, limit: int, max_bytes: int) -> Page[bytes]:
        """Dead letters of one queue, or of all if `queue` is empty: by queue name, then oldest first.

        `total` counts all of them. A page weighs at most `max_bytes` but holds at least one job. A cursor is opaque and
        survives that the job it points at is gone; a malformed one raises `InvalidRequest`.
        """
        ...

    async def delete_dead(self, job_id: str) -> bool:
        """Deletes a dead letter, its id included; False if this job is none."""
        ...


class RetentionStore(Protocol):
    """Forgetting."""

    async def sweep(self, retention: Retention, now: int, limit: int) -> int:
        """Removes up to `limit` finished jobs that are too old or too many, and outdated idempotency keys.

        Returns:
            How many jobs and keys were removed; fewer than `limit` means that nothing is left to remove now.
        """
        ...


class Store(JobStore, DeliveryStore, ScheduleStore, QueueStore, DeadLetterStore, RetentionStore, Protocol):
    """A store, opened by `stores.open_store(url)`."""

    clock: Clock
    """The time that all servers on this store agree on."""
    name: str
    """What the manifest calls it: sqlite, memory, redis."""
    shared: bool
    """Whether several server processes may use it at once."""
    silence_ms: int
    """A worker that has sent heartbeats and then none for this long is dead (behaviour section 6.3)."""

    async def open(self, signals: Signals) -> None:
        """Connects, creates what is missing, checks what must hold. Raises `StoreUnavailable` or `ValueError`."""
        ...

    async def ping(self) -> None:
        """Returns if the store works, and raises what a call would raise if it doesn't."""
        ...

    async def close(self) -> None:
        """Ends all work and frees what `open` took. May be called twice."""
        ...
