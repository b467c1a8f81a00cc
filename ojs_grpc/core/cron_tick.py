"""What becomes of a cron entry whose time has come (behaviour sections 5.3, 5.4 and 18).

Pure functions from the entry and its unfinished jobs to a `Turn`, all of which the store does at once or not at all.
However many runs were missed, there is one; the next is in the future.
"""

from collections.abc import Sequence
from enum import StrEnum
from typing import NamedTuple

from ojs_grpc_pb.v1.job_pb2 import Job
from ojs_grpc_pb.v1.service_pb2 import CronEntry

from ojs_grpc.core import lifecycle, states
from ojs_grpc.core.cron import schedule
from ojs_grpc.core.cron_entry import ALLOW, CANCEL_PREVIOUS, ENQUEUE, SKIP, make_job, next_run_of, plan_next
from ojs_grpc.core.duration import to_timestamp
from ojs_grpc.core.envelope import DEFAULT_QUEUE, EnvelopeReader, NewJob
from ojs_grpc.core.events import Kind, NewEvent
from ojs_grpc.core.members import number_member, text_member, time_member
from ojs_grpc.core.transition import Transition

# The older ones are forgotten: no entry has that many jobs unfinished unless its workers are gone.
_RECENT_JOBS = 100


class Reason(StrEnum):
    """Why a run was skipped. The first two are the spec's."""

    OVERLAP = "overlap_skip"
    DST = "dst_skip"
    DUPLICATE = "duplicate_skip"
    QUEUE_FULL = "queue_full"
    INVALID = "invalid_job"


class Turn(NamedTuple):
    """What to do about an entry.

    Attributes:
        entry: as it is kept from now on.
        due_at: when to look at it again; 0 for never.
    """

    entry: CronEntry
    due_at: int
    jobs: Sequence[NewJob] = ()
    changes: Sequence[Transition] = ()
    events: Sequence[NewEvent] = ()


def jobs_to_read(entry: CronEntry) -> Sequence[str]:
    """The jobs whose states matter for the entry's turn."""
    return () if entry.overlap_policy == ALLOW else entry.recent_jobs


class Tick:
    """A due entry. Each method gives one way to go on; none changes anything.

    Args:
        due_at: when somebody had to look at it. Before its next run: when the clocks left out a run of it.
        recent: those of its recent jobs that are still stored.
    """

    def __init__(self, entry: CronEntry, due_at: int, recent: Sequence[Job], now: int) -> None:
        self._entry = entry
        self._due_at = due_at
        self._scheduled_at = next_run_of(entry)
        self._unfinished = [job for job in recent if job.state not in states.TERMINAL]
        self._now = now

    @property
    def waiting(self) -> int:
        """Where jobs run one by one: how many no worker has taken yet, once this tick has made its own."""
        if self._entry.overlap_policy != ENQUEUE:
            return 0
        return sum(job.state != states.ACTIVE for job in self._unfinished) + 1

    def decide(self, reader: EnvelopeReader) -> Turn:
        """What the entry's overlap policy says.

        Raises:
            InvalidRequest: or whatever else `make_job` raises.
            ValueError: the entry's schedule is not valid any more.
        """
        if self._scheduled_at > self._now:
            return Turn(self._entry, self._scheduled_at, events=self._left_out())
        if self._entry.overlap_policy == SKIP and self._unfinished:
            return self.skip(Reason.OVERLAP, self._unfinished[-1].id)
        return self.run(reader)

    def run(self, reader: EnvelopeReader, replaced: Sequence[Job] = ()) -> Turn:
        """Makes the job.

        Args:
            replaced: these jobs are cancelled for it.

        Raises:
            InvalidRequest: or whatever else `make_job` raises.
            InvalidState: one of those to replace is finished.
            ValueError: the entry's schedule is not valid any more.
        """
        job = make_job(self._entry, self._scheduled_at, reader, self._now)
        entry, due_at = self._next()
        cancelled = list(self._unfinished) if entry.overlap_policy == CANCEL_PREVIOUS else []
        known = {job.id for job in cancelled}
        cancelled += [job for job in replaced if job.id not in known]
        kept = [job.id for job in self._unfinished] if entry.overlap_policy == ENQUEUE else []
        entry.recent_jobs[:] = [*kept, job.id][-_RECENT_JOBS:]
        entry.last_run_at.CopyFrom(to_timestamp(self._now))
        entry.run_count += 1
        detail = [
            text_member("timezone", entry.timezone),
            text_member("job_id", job.id),
            time_member("actual_time", self._now),
            number_member("run_count", entry.run_count),
        ]
        event = self._event(Kind.CRON_TRIGGERED, self._scheduled_at, detail, job.id)
        reason = f"the next run of cron entry {entry.name} takes its place"
        changes = [lifecycle.cancel(job, reason, "cron") for job in cancelled]
        return Turn(entry, due_at, [job], changes, [*self._left_out(), event])

    def skip(self, reason: Reason, existing_job_id: str = "") -> Turn:
        """Makes no job this time.

        Raises:
            ValueError: the entry's schedule is not valid any more.
        """
        entry, due_at = self._next()
        if entry.overlap_policy != ALLOW:
            entry.recent_jobs[:] = [job.id for job in self._unfinished]
        event = self._skipped(reason, self._scheduled_at, existing_job_id)
        return Turn(entry, due_at, events=[*self._left_out(), event])

    def postpone(self, ms: int) -> Turn:
        """Leaves the entry as it is for a while."""
        return Turn(self._entry, self._now + ms)

    def _next(self) -> tuple[CronEntry, int]:
        entry = CronEntry()
        entry.CopyFrom(self._entry)
        run = schedule(entry.cron, entry.timezone).next_run(max(self._now, self._scheduled_at), self._scheduled_at)
        return entry, plan_next(entry, run)

    def _left_out(self) -> list[NewEvent]:
        if self._due_at >= self._scheduled_at:
            return []
        return [self._skipped(Reason.DST, self._due_at + 1)]

    def _skipped(self, reason: Reason, scheduled_at: int, existing_job_id: str = "") -> NewEvent:
        detail = [text_member("reason", reason)]
        if existing_job_id:
            detail.append(text_member("existing_job_id", existing_job_id))
        return self._event(Kind.CRON_SKIPPED, scheduled_at, detail)

    def _event(self, kind: Kind, scheduled_at: int, detail: Sequence[bytes], job_id: str = "") -> NewEvent:
        entry = self._entry
        members = [
            text_member("cron_name", entry.name),
            text_member("cron_expr", entry.cron),
            text_member("job_type", entry.type),
            time_member("scheduled_at", scheduled_at),
            *detail,
        ]
        subject = Job(id=job_id, type=entry.type, queue=entry.options.queue or DEFAULT_QUEUE)
        return NewEvent(kind, entry.name, subject.SerializeToString(), b"".join(members))
