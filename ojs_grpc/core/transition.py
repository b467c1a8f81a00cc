"""A decided change of one job, as a value: the core makes it, a store applies it."""

from dataclasses import dataclass

from ojs_grpc.core.events import JobEvent


@dataclass(frozen=True, slots=True)
class Transition:
    """A decided change of one job, applied only if `state` and `lease` are still the job's.

    Attributes:
        state, lease: the precondition: as read when the change was decided.
        overdue_at: also a precondition, if given: the job's wake-up time is still not later than this (a heartbeat or
            an extension since then cancels the change).
        to: the next state. `available` takes a new place at the end of its priority and sets `enqueued_at`; terminal
            states set their own time; leaving `active` ends the lease.
        attempt: the attempt count afterwards.
        tail: replaces the job's tail.
        due_at: scheduled or retryable: when it becomes available.
        dead: discarded: list it among the dead letters.
        fence: take a new lease number, so that the one that was given out is stale from now on.
        events: what the change tells, in this order. The store itself adds JOB_ENQUEUED, after them, when the job
            becomes available. A JOB_FAILED among them counts as a failed attempt in the queue's statistics.
    """

    job_id: str
    state: int
    lease: int
    to: int
    attempt: int
    tail: bytes
    overdue_at: int | None = None
    due_at: int = 0
    dead: bool = False
    fence: bool = False
    events: tuple[JobEvent, ...] = ()
