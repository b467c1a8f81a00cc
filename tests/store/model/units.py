"""The model of units: what they are refused for, and what they do."""

from collections import Counter
from collections.abc import Mapping

from ojs_grpc_pb.v1.job_pb2 import Job

from ojs_grpc.core.events import Kind
from ojs_grpc.core.rate_limit import QueueRules
from ojs_grpc.core.states import AVAILABLE, RETRYABLE, SCHEDULED
from ojs_grpc.core.transition import Transition
from ojs_grpc.errors import DuplicateJob, QueueFull
from ojs_grpc.stores.ports import Document, Duplicates, Outcome, Outdated, Unit
from tests.store.building import changed
from tests.store.model.documents import Documents
from tests.store.model.jobs import Jobs, Row

DEEP = (AVAILABLE, SCHEDULED, RETRYABLE)


class Units(Jobs):
    """Jobs and documents that change together."""

    def __init__(self, rules: QueueRules) -> None:
        super().__init__(rules)
        self.documents = Documents()

    def insert(
        self,
        unit: Unit,
        outcome: Outcome,
        jobs: Mapping[str, Job],
        documents: Mapping[str, Document | None],
        now: int,
    ) -> None:
        """Checks what became of a unit.

        Args:
            jobs, documents: that the unit is about, as they stand afterwards.
        """
        wanted = self._refusal(unit, now)
        assert type(outcome) is wanted
        if isinstance(outcome, Duplicates):
            twins = self._twins(unit, now)
            assert outcome.jobs.keys() == twins.keys()
            for place, data in outcome.jobs.items():
                found = Job.FromString(data)
                assert found.id in twins[place]
                assert found == self.rows[found.id].job
        if outcome is not None:
            return
        for transition in unit.changes:
            self.apply(transition, jobs.get(transition.job_id), now)
        for write in unit.writes:
            self.documents.write(write, documents[write.name])
        self._store(unit, now)
        for ending in unit.endings:
            self._forget_ending(ending.job_id, ending.state)
        for event in unit.events:
            self.log.say(event, now)

    def _store(self, unit: Unit, now: int) -> None:
        for new in unit.jobs:
            row = self.rows[new.id] = Row(changed(Job.FromString(new.envelope), state=new.state), new, now)
            row.wake_at = new.due_at
            self.queues.add(new.queue)
            if new.state == AVAILABLE:
                self.line_up(row, now)
            elif new.state == SCHEDULED:
                self.tell(row, Kind.JOB_SCHEDULED, now)

    def _refusal(self, unit: Unit, now: int) -> type[object]:
        names = [new.id for new in unit.jobs]
        if not all(map(self.holds, unit.changes)) or not all(map(self.documents.allow, unit.writes)):
            return Outdated
        if len(set(names)) < len(names) or self.rows.keys() & set(names):
            return DuplicateJob
        if self._twins(unit, now):
            return Duplicates
        return QueueFull if self._overfull(unit) else type(None)

    def _twins(self, unit: Unit, now: int) -> dict[int, set[str]]:
        """Of the unit's jobs that have duplicates, the newest of these; more than one only if they are equally new."""
        after = {transition.job_id: transition.to for transition in unit.changes}
        found: dict[int, set[str]] = {}
        for place, new in enumerate(unit.jobs):
            policy = new.links and new.links.unique
            if not policy:
                continue
            twins = [
                row
                for job_id, row in self.rows.items()
                if row.links.unique
                and row.links.unique.fingerprint == policy.fingerprint
                and after.get(job_id, row.job.state) in policy.states
                and not 0 < policy.period_ms <= now - row.created_at
            ]
            if twins:
                newest = max(row.created_at for row in twins)
                found[place] = {row.new.id for row in twins if row.created_at == newest}
        return found

    def _overfull(self, unit: Unit) -> bool:
        before = Counter(row.new.queue for row in self.within(*DEEP))
        after = before.copy()
        after.update(new.queue for new in unit.jobs if new.state in DEEP)
        for transition in unit.changes:
            after[self.rows[transition.job_id].new.queue] += _deeper(transition)
        bounds = {queue: self.rules.of(queue).max_depth for queue in after}
        return any(0 < bound < after[queue] > before[queue] for queue, bound in bounds.items())

    def _forget_ending(self, job_id: str, state: int) -> None:
        left = [each for each in self.endings.pop(job_id, []) if each != state]
        if left:
            self.endings[job_id] = left


def _deeper(transition: Transition) -> int:
    return (transition.to in DEEP) - (transition.state in DEEP)
