"""What a store should do, said in the simplest way: every job in one dictionary, and no bytes, indexes or batches.

Where the port leaves a choice (which lease number, which of two jobs with equal times), the model is told what the
store chose and checks that it was allowed to.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from ojs_grpc_pb.v1.job_pb2 import Job

from ojs_grpc.core.duration import timestamp_ms
from ojs_grpc.core.envelope import NewJob
from ojs_grpc.core.states import ACTIVE, AVAILABLE, CANCELLED, COMPLETED, DISCARDED, PENDING, RETRYABLE, SCHEDULED
from ojs_grpc.core.transition import Transition
from ojs_grpc.stores.ports import Claimed, Completion, Demand
from tests.store.building import QUIET, RUNNING, changed

NEVER = 1 << 62


@dataclass
class Row:
    """A job, and what it does not show.

    Attributes:
        job: as the store has to show it.
        new: as it was inserted.
        place: among its equals in the queue, while available.
        wake_at: when it is overdue (active) or due (scheduled, retryable).
        lost: the lease of which a late ack is believed, while available.
    """

    job: Job
    new: NewJob
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


class Model:
    """The jobs, and the last heartbeat of each worker: when and in which state."""

    def __init__(self, silence_ms: int) -> None:
        self.rows: dict[str, Row] = {}
        self.queues: set[str] = set()
        self.beats: dict[str, tuple[int, int]] = {}
        self._silence_ms = silence_ms
        self._sequence = 0

    def within(self, *wanted: int) -> list[Row]:
        """The jobs in these states."""
        return [row for row in self.rows.values() if row.job.state in wanted]

    def insert(self, jobs: Sequence[NewJob], now: int) -> bool:
        """Stores all of them, unless an id is taken."""
        names = [new.id for new in jobs]
        if len(set(names)) < len(names) or self.rows.keys() & set(names):
            return False
        for new in jobs:
            row = self.rows[new.id] = Row(changed(Job.FromString(new.envelope), state=new.state), new)
            row.wake_at = new.due_at
            self.queues.add(new.queue)
            if new.state == AVAILABLE:
                self._line_up(row, now)
        return True

    def first_in_line(self, queues: Sequence[str], now: int) -> set[str]:
        """The jobs that may be given next: the best of the first queue that has any."""
        for queue in queues:
            line = [row for row in self.within(AVAILABLE) if row.new.queue == queue and row.expires_at > now]
            best = min(((-row.new.priority, row.place) for row in line), default=None)
            if best is not None:
                return {row.new.id for row in line if (-row.new.priority, row.place) == best}
        return set()

    def claim(self, demand: Demand, claimed: Claimed, now: int) -> None:
        """Checks what a demand got."""
        slots = [worker for worker in demand.workers if self.beats.get(worker, (0, RUNNING))[1] < QUIET]
        given = list(claimed.deliveries)
        assert [delivery.worker_id for delivery in given] == slots[: len(given)]
        for delivery in given:
            assert delivery.job_id in self.first_in_line(demand.queues, now)
            row = self.rows[delivery.job_id]
            assert delivery.lease > row.job.lease
            row.job = changed(
                row.job,
                state=ACTIVE,
                attempt=row.job.attempt + 1,
                lease=delivery.lease,
                started_at=now,
                lease_expires_at=now + (demand.visibility_ms or row.new.visibility_ms),
                worker_id=delivery.worker_id,
            )
            self._set_wake_up(row, now)
            assert (delivery.queue, Job.FromString(delivery.job)) == (row.new.queue, row.job)
        more = self.first_in_line(demand.queues, now)
        room = len(slots) if demand.max_bytes > 1 else min(1, len(slots))
        assert len(given) == room or not more
        assert not (claimed.drained and more)
        assert claimed.drained or len(given) >= room

    def complete(self, completion: Completion, now: int) -> int | None:
        """None for done, else the state that refuses."""
        row = self.rows.get(completion.job_id)
        if row is None:
            return 0
        if row.job.state == ACTIVE:
            unnamed = not completion.worker_id or row.job.worker_id in ("", completion.worker_id)
            held = completion.lease == row.job.lease if completion.lease else unnamed
        else:
            held = row.job.state == AVAILABLE and 0 < completion.lease == row.lost
        if not held:
            return row.job.state
        row.job = changed(row.job, state=COMPLETED, completed_at=now, worker_id="", lease_expires_at=None)
        row.job.MergeFromString(completion.tail)
        return None

    def heartbeat(
        self, worker: str, worker_state: int, job_id: str, lease: int, extend_ms: int, now: int
    ) -> tuple[dict[str, int], int | None]:
        """The deadlines it sets, and the state that refuses the named job."""
        extended: dict[str, int] = {}
        if worker:
            self.beats[worker] = (now, worker_state)
            for row in self.within(ACTIVE):
                if row.job.worker_id == worker:
                    extended[row.new.id] = self._extend(row, 0 if job_id else extend_ms, now)
        if not job_id:
            return extended, None
        named = self.rows.get(job_id)
        if named is None:
            return extended, 0
        foreign = worker and named.job.worker_id not in ("", worker)
        if named.job.state != ACTIVE or foreign or lease not in (0, named.job.lease):
            return extended, named.job.state
        extended[job_id] = self._extend(named, extend_ms, now)
        return extended, None

    def apply(self, transition: Transition, answer: Job | None, now: int) -> None:
        """Checks what became of a job."""
        row = self.rows.get(transition.job_id)
        if row is None or (row.job.state, row.job.lease) != (transition.state, transition.lease):
            assert answer is None
            return
        if transition.overdue_at is not None and row.wake_at > transition.overdue_at:
            assert answer is None
            return
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
        if transition.to == AVAILABLE:
            self._line_up(row, now)
            row.lost = 0 if transition.fence else row.job.lease
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

    def forget(self, job_ids: Iterable[str]) -> None:
        """These jobs are gone."""
        for job_id in job_ids:
            del self.rows[job_id]

    def next_at(self, when: Callable[[Row], int], *wanted: int) -> int | None:
        """The earliest time of the jobs in these states."""
        return min((when(row) for row in self.within(*wanted) if when(row) < NEVER), default=None)

    def _line_up(self, row: Row, now: int) -> None:
        self._sequence += 1
        row.place = (self._sequence, 0)
        row.job = changed(row.job, enqueued_at=now)

    def _extend(self, row: Row, extend_ms: int, now: int) -> int:
        deadline = now + (extend_ms or row.new.visibility_ms)
        row.job = changed(row.job, lease_expires_at=deadline)
        self._set_wake_up(row, now)
        return deadline

    def _set_wake_up(self, row: Row, now: int) -> None:
        job = row.job
        row.wake_at = min(timestamp_ms(job.lease_expires_at), timestamp_ms(job.started_at) + row.new.timeout_ms)
        beat_at = self.beats.get(job.worker_id, (0, 0))[0]
        if now - beat_at < self._silence_ms:
            row.wake_at = min(row.wake_at, beat_at + self._silence_ms)
