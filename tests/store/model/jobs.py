"""The model of jobs, and of what happens whenever one changes."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from ojs_grpc_pb.v1.job_pb2 import Job

from ojs_grpc.core.duration import timestamp_ms
from ojs_grpc.core.envelope import NewJob
from ojs_grpc.core.events import Kind
from ojs_grpc.core.links import Links
from ojs_grpc.core.rate_limit import QueueRules, RateLimit
from ojs_grpc.core.states import (
    AVAILABLE,
    CANCELLED,
    COMPLETED,
    DISCARDED,
    PENDING,
    RETRYABLE,
    SCHEDULED,
    TERMINAL,
)
from ojs_grpc.core.transition import Transition
from tests.store.building import changed
from tests.store.model.figures import Figures
from tests.store.model.log import Log, Told

NEVER = 1 << 62


@dataclass
class Row:
    """A job, and what it does not show.

    Attributes:
        job: as the store has to show it.
        new: as it was inserted.
        created_at: when that was.
        place: among its equals in the queue, while available.
        wake_at: when it is overdue (active) or due (scheduled, retryable).
        lost: the lease of which a late ack is believed, while available.
    """

    job: Job
    new: NewJob
    created_at: int
    place: tuple[int, int] = (0, 0)
    wake_at: int = 0
    lost: int = 0

    @property
    def expires_at(self) -> int:
        """The end of its time to live, which does not matter once it was active."""
        mortal = self.job.state in (SCHEDULED, AVAILABLE, PENDING) and not self.job.HasField("started_at")
        return self.new.expires_at if mortal and self.new.expires_at else NEVER

    @property
    def ended_at(self) -> int:
        """When it was finished."""
        field = {COMPLETED: "completed_at", CANCELLED: "cancelled_at", DISCARDED: "discarded_at"}[self.job.state]
        return timestamp_ms(getattr(self.job, field))

    @property
    def links(self) -> Links:
        """What ties it to others."""
        return self.new.links or Links()


class Jobs:
    """The jobs; the queues that there are, and those that are paused.

    Attributes:
        endings: of jobs of workflows: the ends that are not forgotten, the latest one last.
    """

    def __init__(self, rules: QueueRules) -> None:
        self.rows: dict[str, Row] = {}
        self.queues: set[str] = set()
        self.paused: set[str] = set()
        self.rules = rules
        self.endings: dict[str, list[int]] = {}
        self.log = Log()
        self.figures = Figures()
        self._sequence = 0

    def within(self, *wanted: int) -> list[Row]:
        """The jobs in these states."""
        return [row for row in self.rows.values() if row.job.state in wanted]

    def holds(self, transition: Transition) -> bool:
        """Whether the precondition of a change holds."""
        row = self.rows.get(transition.job_id)
        if row is None or (row.job.state, row.job.lease) != (transition.state, transition.lease):
            return False
        return transition.overdue_at is None or row.wake_at <= transition.overdue_at

    def apply(self, transition: Transition, answer: Job | None, now: int) -> None:
        """Checks what became of a job."""
        if not self.holds(transition):
            assert answer is None
            return
        row = self.rows[transition.job_id]
        assert answer is not None
        assert answer.lease > row.job.lease if transition.fence else answer.lease == row.job.lease
        times = {RETRYABLE: ("next_attempt_at", transition.due_at), CANCELLED: ("cancelled_at", now)}
        name, at = times.get(transition.to, ("discarded_at", now if transition.to == DISCARDED else None))
        kept = Job()
        if row.job.HasField("enqueued_at"):
            kept.enqueued_at.CopyFrom(row.job.enqueued_at)
        if row.job.HasField("started_at"):
            kept.started_at.CopyFrom(row.job.started_at)
        kept.MergeFromString(row.new.envelope)
        kept.MergeFromString(transition.tail)
        fields = {"state": transition.to, "attempt": transition.attempt, "lease": answer.lease, name: at}
        row.job = changed(kept, **fields)
        row.wake_at = transition.due_at
        for event in transition.events:
            self.tell(row, event.kind, now, detail=event.detail)
            if event.kind == Kind.JOB_FAILED:
                self.figures.fail(row.new.queue, now)
        if transition.to == AVAILABLE:
            self.line_up(row, now)
            row.lost = 0 if transition.fence else row.job.lease
        self.note_end(row)
        assert answer == row.job

    def promote(self, promoted: set[str], limit: int, now: int) -> None:
        """Checks which jobs became available."""
        waiting = {row.new.id: row for row in self.within(SCHEDULED, RETRYABLE)}
        due = sorted(row.wake_at for row in waiting.values() if row.wake_at <= now)
        assert sorted(waiting[job_id].wake_at for job_id in promoted) == due[:limit]
        self._sequence += 1
        for job_id in promoted:
            row = waiting[job_id]
            row.lost = row.job.lease
            row.job = changed(row.job, state=AVAILABLE, enqueued_at=now, next_attempt_at=None)
            row.place = (self._sequence, row.wake_at)
            self.tell(row, Kind.JOB_ENQUEUED, now)

    def delete_dead(self, job_id: str, now: int) -> bool:
        """Whether the job was a dead letter; then it is gone."""
        row = self.rows[job_id]
        if row.job.dead_letter:
            self.tell(row, Kind.DEAD_LETTER_DELETED, now)
            self.forget([job_id])
        return row.job.dead_letter

    def forget(self, job_ids: Iterable[str]) -> None:
        """These jobs are gone."""
        for job_id in job_ids:
            del self.rows[job_id]

    def next_at(self, when: Callable[[Row], int], *wanted: int) -> int | None:
        """The earliest time of the jobs in these states."""
        return min((when(row) for row in self.within(*wanted) if when(row) < NEVER), default=None)

    def limits(self, row: Row) -> list[RateLimit]:
        """All that limits the claims of a job."""
        rule = self.rules.of(row.new.queue).limit
        return [*row.links.limits, *([rule] if rule else [])]

    def line_up(self, row: Row, now: int) -> None:
        """The job becomes available."""
        self._sequence += 1
        row.place = (self._sequence, 0)
        row.job = changed(row.job, enqueued_at=now)
        self.tell(row, Kind.JOB_ENQUEUED, now)

    def note_end(self, row: Row) -> None:
        """If the job has ended and is one of a workflow, that is noted."""
        if row.job.state in TERMINAL and row.links.workflow_id:
            self.endings.setdefault(row.new.id, []).append(row.job.state)

    def tell(self, row: Row, kind: int, now: int, value: int = 0, detail: bytes = b"") -> None:
        """Something happened to the job."""
        subject = row.new.envelope[: row.new.subject_size]
        self.log.tell(subject, Told(kind, now, row.job.attempt, value, detail))
