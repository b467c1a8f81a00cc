"""What servers do by themselves, and operators."""

from ojs_grpc_pb.v1.job_pb2 import Job

from ojs_grpc.core import lifecycle
from ojs_grpc.core.events import Kind, NewEvent
from ojs_grpc.core.states import ACTIVE, DISCARDED, TERMINAL
from ojs_grpc.stores.ports import Retention, Unit, Write
from tests.store.building import RUNNING, reaped
from tests.store.machine.base import DOCUMENT
from tests.store.machine.delivery import DeliverySteps
from tests.store.machine.jobs import Plan
from tests.store.machine.plans import EVERYTHING, KEPT_MS


class DutySteps(DeliverySteps):
    """Time passes, things fall due, somebody interferes."""

    def pass_time(self, ms: int) -> None:
        """What a server does by itself: whatever is due."""
        self.wait(ms)
        self.promote(EVERYTHING)
        self.reap(EVERYTHING, None)
        self.expire(EVERYTHING)

    def wait(self, ms: int) -> None:
        self.clock.advance(ms)

    def reap(self, limit: int, beating: str | None) -> None:
        found = self.run(self.store.overdue(self.now, limit))
        due = sorted(row.wake_at for row in self.model.within(ACTIVE) if row.wake_at <= self.now)
        overdue = [Job.FromString(each.job) for each in found.jobs]
        assert [self.model.rows[each.id].wake_at for each in overdue] == due[:limit]
        assert [self.model.rows[each.id].job for each in overdue] == overdue
        if beating:
            self.heartbeat(beating, RUNNING, None, "none", 0)
        self.apply([reaped(each, self.now) for each in found.jobs])

    def expire(self, limit: int) -> None:
        found = self.run(self.store.expired(self.now, limit))
        due = sorted(row.expires_at for row in self.model.rows.values() if row.expires_at <= self.now)
        expired = [Job.FromString(data) for data in found.jobs]
        assert [self.model.rows[each.id].expires_at for each in expired] == due[:limit]
        self.apply([lifecycle.expire(each) for each in expired])

    def delete_dead(self, index: int) -> None:
        row = self.pick(index, lambda row: row.job.state in TERMINAL)
        if row is not None:
            deleted = self.run(self.store.delete_dead(row.new.id, self.now))
            assert deleted == self.model.delete_dead(row.new.id, self.now)

    def sweep(self, limit: int) -> None:
        retention = Retention(KEPT_MS, EVERYTHING, 2 * KEPT_MS + 10, 3 * KEPT_MS, EVERYTHING)
        old = set()
        for row in self.model.within(*TERMINAL):
            kept = retention.discarded_ms if row.job.state == DISCARDED else retention.finished_ms
            if row.ended_at + (retention.dead_ms if row.job.dead_letter else kept) < self.now:
                old.add(row.new.id)
        removed = self.run(self.store.sweep(retention, self.now, limit))
        finished = [row.new.id for row in self.model.within(*TERMINAL)]
        found = self.run(self.store.read(finished))
        gone = {job_id for job_id, data in zip(finished, found, strict=True) if data is None}
        assert gone <= old
        assert len(gone) == removed == min(limit, len(old))
        self.model.forget(gone)

    def crash(self) -> None:
        if self.url == "memory:":
            return
        self.read_log()
        self.run(self.store.close())
        self.store = self.opened()
        self.cursor = self.run(self.store.event_cursor(max(self.places, default=None)))

    def pause(self, queue: str, paused: bool) -> None:  # noqa: FBT001 - drawn
        kind = Kind.QUEUE_PAUSED if paused else Kind.QUEUE_RESUMED
        event = NewEvent(kind, queue, Job(queue=queue).SerializeToString())
        done = self.run(self.store.set_paused(queue, paused, event, self.now))
        assert done == self.model.set_paused(queue, event, self.now, paused=paused)

    def write(self, name: str, version: str, kept: bool, delay_ms: int | None) -> None:  # noqa: FBT001 - drawn
        data = b"%d" % self.now if kept else None
        due_at = 0 if delay_ms is None or not kept else self.now + delay_ms
        self.insert(Unit(writes=[Write(DOCUMENT, name, self.version(name, version), data, due_at)]))

    def fire(self, plan: Plan, limit: int) -> None:
        """What a server does with cron entries: a job, and the next time."""
        found = self.run(self.store.due_documents(DOCUMENT, self.now, limit))
        due = self.model.documents.due(self.now)
        assert [each.due_at for each in found.documents] == due[:limit]
        assert list(found.documents) == [self.model.documents.by_name[each.name] for each in found.documents]
        for each in found.documents:
            write = Write(DOCUMENT, each.name, each.version, b"fired", self.now + plan["delay_ms"])
            event = NewEvent(Kind.CRON_TRIGGERED, each.name, Job(queue=each.name).SerializeToString(), each.data)
            self.insert(Unit([self.make(plan)], writes=[write], events=[event]))

    def forget_endings(self, limit: int) -> None:
        found = self.run(self.store.endings(limit))
        assert found.more or limit >= len(self.model.endings)
        self.insert(Unit(endings=found.endings))
