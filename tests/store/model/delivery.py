"""The model of claims and leases."""

from collections import Counter, defaultdict
from collections.abc import Sequence

from ojs_grpc_pb.v1.job_pb2 import Job

from ojs_grpc.core.duration import timestamp_ms
from ojs_grpc.core.events import Kind
from ojs_grpc.core.rate_limit import QueueRules, RateLimit
from ojs_grpc.core.states import ACTIVE, AVAILABLE, COMPLETED
from ojs_grpc.stores.ports import Claimed, Completion, Demand
from tests.store.building import QUIET, RUNNING, changed
from tests.store.model.jobs import Jobs, Row


class Delivery(Jobs):
    """Who holds which job.

    Attributes:
        beats: the last heartbeat of each worker: when and in which state.
        starts: when jobs of each limit's key were claimed.
    """

    def __init__(self, rules: QueueRules, silence_ms: int) -> None:
        super().__init__(rules)
        self.beats: dict[str, tuple[int, int]] = {}
        self.starts: defaultdict[str, list[int]] = defaultdict(list)
        self._silence_ms = silence_ms

    def first_in_line(self, queues: Sequence[str], now: int) -> set[str]:
        """The jobs that may be given next: the best of the first queue that has any."""
        running = Counter(limit.key for row in self.within(ACTIVE) for limit in self.limits(row))
        for queue in queues:
            line = [] if queue in self.paused else [row for row in self.within(AVAILABLE) if row.new.queue == queue]
            able = [row for row in line if row.expires_at > now and self._may_run(row, running, now)]
            best = min(((-row.new.priority, row.place) for row in able), default=None)
            if best is not None:
                return {row.new.id for row in able if (-row.new.priority, row.place) == best}
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
            self.figures.claim(row.new.queue, now - timestamp_ms(row.job.enqueued_at), now)
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
            for limit in self.limits(row):
                self.starts[limit.key].append(now)
            self.tell(row, Kind.JOB_STARTED, now, detail=delivery.worker_id.encode())
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
        took_ms = now - timestamp_ms(row.job.started_at)
        self.figures.complete(row.new.queue, took_ms, now)
        self.tell(row, Kind.JOB_COMPLETED, now, took_ms, completion.tail)
        row.job = changed(row.job, state=COMPLETED, completed_at=now, worker_id="", lease_expires_at=None)
        row.job.MergeFromString(completion.tail)
        self.note_end(row)
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
        self.tell(named, Kind.JOB_HEARTBEAT, now, extended[job_id], (named.job.worker_id or worker).encode())
        return extended, None

    def rated(self) -> bool:
        """Whether jobs wait that may be held back for a time."""
        return any(limit.claims for row in self.within(AVAILABLE) for limit in self.limits(row))

    def _may_run(self, row: Row, running: Counter[str], now: int) -> bool:
        limits = self.limits(row)
        if any(0 < limit.concurrency <= running[limit.key] for limit in limits):
            return False
        return not any(0 < limit.claims <= self._recent(limit, now) for limit in limits)

    def _recent(self, limit: RateLimit, now: int) -> int:
        return sum(now - start < limit.period_ms for start in self.starts[limit.key])

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
