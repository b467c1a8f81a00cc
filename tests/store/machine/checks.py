"""What must always be true."""

from collections import defaultdict

from hypothesis.stateful import invariant
from ojs_grpc_pb.v1.job_pb2 import Job

from ojs_grpc.core.states import ACTIVE, ALL, AVAILABLE, DISCARDED, PENDING, RETRYABLE, SCHEDULED
from ojs_grpc.stores.ports import JobFilter
from tests.store.building import MANY_BYTES
from tests.store.machine.base import DOCUMENT, Base
from tests.store.machine.plans import EVERYTHING, RARE


class Checks(Base):
    """The store shows what the model says."""

    @invariant()
    def every_job_is_as_it_should_be(self) -> None:
        rows = self.model.rows
        found = self.stored(list(rows))
        assert found == [row.job for row in rows.values()]
        for row in rows.values():
            # The model makes a new message for each change.
            if self.latest.get(row.new.id) is not row.job:
                self.latest[row.new.id] = row.job
                self.seen.append(row.job)
        leases = self.run(self.store.leases(list(rows)))
        assert leases == [row.job.lease if row.job.state == ACTIVE else 0 for row in rows.values()]

    @invariant()
    def every_job_is_in_one_place(self) -> None:
        page = self.run(self.store.queues("", EVERYTHING))
        assert {row.name: row.paused for row in page.rows} == {
            queue: queue in self.model.paused for queue in self.model.queues
        }
        for row in page.rows:
            self.check_figures(row.name, row.available)
        dead = [row for row in self.model.within(DISCARDED) if row.job.dead_letter]
        letters = self.run(self.store.dead_letters("", "", EVERYTHING, MANY_BYTES))
        listed = [Job.FromString(data) for data in letters.rows]
        assert [(each.queue, self.model.rows[each.id].ended_at) for each in listed] == sorted(
            (row.new.queue, row.ended_at) for row in dead
        )
        assert letters.total == len(dead) == len({each.id for each in listed})

    def check_figures(self, queue: str, available: int) -> None:
        found = self.run(self.store.queue_facts(queue, self.now))
        assert found is not None
        held = {
            state: [row for row in self.model.within(state) if row.new.queue == queue]
            for state in (AVAILABLE, ACTIVE, SCHEDULED, RETRYABLE, DISCARDED)
        }
        # Jobs whose time to live is over may be left out before anybody discards them.
        living = [row for row in held[AVAILABLE] if row.expires_at > self.now]
        assert len(living) <= available <= len(held[AVAILABLE])
        assert found.available == available
        assert found.paused == (queue in self.model.paused)
        counted = (found.active, found.scheduled, found.retryable, found.discarded, found.completed)
        assert counted == (
            *(len(held[state]) for state in (ACTIVE, SCHEDULED, RETRYABLE, DISCARDED)),
            self.model.figures.completed[queue],
        )
        assert list(found.minutes) == self.model.figures.minutes(queue, self.now)

    @invariant()
    def every_job_is_listed_once(self) -> None:
        counts = {queue.name: queue for queue in self.run(self.store.queue_counts("", self.now))}
        assert counts.keys() == self.model.queues
        page = self.run(self.store.jobs(JobFilter(), "", EVERYTHING, MANY_BYTES))
        jobs = [Job.FromString(data) for data in page.rows]
        assert (page.next_cursor, page.total) == ("", len(jobs))
        for state in ALL:
            listed = [each for each in jobs if each.state == state]
            held = self.model.within(state)
            if state == AVAILABLE:
                # As in `check_figures`.
                held = [row for row in held if row.expires_at > self.now or row.job in listed]
            assert sorted(each.id for each in listed) == sorted(row.new.id for row in held)
            assert len(listed) == sum(queue.jobs[state] for queue in counts.values())

    @invariant()
    def every_duty_knows_when_to_come_back(self) -> None:
        long_ago = 0
        waiting = self.run(self.store.promote(long_ago, 1))
        wanted = self.model.next_at(lambda row: row.wake_at, SCHEDULED, RETRYABLE)
        if waiting.next_at != wanted:
            # A limit by time that holds jobs back ends before that.
            assert waiting.next_at in {start + RARE.period_ms for start in self.model.starts[RARE.key]}
            assert wanted is None or waiting.next_at < wanted
        overdue = self.run(self.store.overdue(long_ago, 1))
        assert overdue.next_at == self.model.next_at(lambda row: row.wake_at, ACTIVE)
        expired = self.run(self.store.expired(long_ago, 1))
        assert expired.next_at == self.model.next_at(lambda row: row.expires_at, SCHEDULED, AVAILABLE, PENDING)
        due = self.run(self.store.due_documents(DOCUMENT, long_ago, 1))
        assert due.next_at == min(self.model.documents.due(1 << 62), default=None)

    @invariant()
    def every_document_is_as_it_should_be(self) -> None:
        page = self.run(self.store.list_documents(DOCUMENT, "", EVERYTHING))
        assert list(page.rows) == [document for _, document in sorted(self.model.documents.by_name.items())]

    @invariant()
    def every_end_is_noted(self) -> None:
        found = self.run(self.store.endings(EVERYTHING))
        assert not found.more
        noted = defaultdict(set)
        for ending in found.endings:
            assert ending.workflow_id == "flow"
            noted[ending.job_id].add(ending.state)
        assert noted.keys() == self.model.endings.keys()
        for job_id, ends in self.model.endings.items():
            # Of a job that was brought back and ended again, only the latest end matters.
            assert ends[-1] in noted[job_id] <= set(ends)

    @invariant()
    def every_history_is_complete(self) -> None:
        self.read_log()
        assert self.histories == self.model.log.histories
