"""What is done about duplicates, each job by its own policy (behaviour section 3.4)."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from weakref import WeakValueDictionary

from ojs_grpc_pb.v1.job_pb2 import Job

from ojs_grpc.core import lifecycle, states
from ojs_grpc.core.duration import timestamp_ms
from ojs_grpc.core.envelope import NewJob, job_bytes
from ojs_grpc.core.transition import Transition
from ojs_grpc.core.unique import IGNORE, REJECT, REPLACE, REPLACE_EXCEPT_SCHEDULE, Unique
from ojs_grpc.core.wire import timestamp_field
from ojs_grpc.errors import DuplicateJob

# Jobs that one job replaces. There are several only where policies with other states or periods let them pile up.
_MOST_REPLACED = 100


class Settlement:
    """The jobs of one call, some of them unique, on their way into the store.

    Among themselves they are settled at once, so that those in `jobs` have different fingerprints: the second of two
    is refused, left out, or takes the place of the first, which then never gets into the store. For a duplicate that
    the store has, `meet` does the same; then the unit is sent again, since yet another one may be there by then.

    Raises:
        DuplicateJob: one of the jobs is a duplicate of an earlier one, and its policy refuses that.
    """

    def __init__(self, jobs: Sequence[NewJob]) -> None:
        self._chosen: dict[int, NewJob] = {}
        self._fingerprints: list[bytes] = []
        self._holders: dict[bytes, int] = {}
        for position, job in enumerate(jobs):
            self._choose(position, job)
        self.restart()

    def restart(self) -> None:
        """Forgets what was decided about duplicates in the store: they have changed."""
        self._jobs = dict(self._chosen)
        self._existing: dict[int, bytes] = {}
        self._replaced: Counter[int] = Counter()
        self.changes: list[Transition] = []
        """What has to happen to the duplicates together with the insertion."""

    @property
    def jobs(self) -> list[NewJob]:
        """The jobs to store."""
        return list(self._jobs.values())

    @property
    def replacing(self) -> list[bytes]:
        """The fingerprints whose holders make way."""
        policies = filter(None, map(_unique, self._chosen.values()))
        return [each.fingerprint for each in policies if each.on_conflict in (REPLACE, REPLACE_EXCEPT_SCHEDULE)]

    @property
    def deduplicated(self) -> bool:
        """Whether a job is answered by another one."""
        return bool(self._existing) or len(self._chosen) < len(self._fingerprints)

    def meet(self, duplicates: Mapping[int, bytes]) -> None:
        """Decides about duplicates, given by their place in `jobs`.

        Raises:
            DuplicateJob: a policy refuses its duplicate, or would have to replace too many of them.
        """
        positions = list(self._jobs)
        for place in sorted(duplicates):
            self._meet(positions[place], duplicates[place])

    def answers(self, now: int) -> list[bytes]:
        """For each job of the call the job that stands for it now, those in `jobs` being stored at `now`."""
        found = [self._holders.get(key, place) for place, key in enumerate(self._fingerprints)]
        return [self._existing.get(place) or job_bytes(self._jobs[place], now) for place in found]

    def _choose(self, position: int, job: NewJob) -> None:
        unique = _unique(job)
        self._fingerprints.append(unique.fingerprint if unique else b"")
        holder = self._holders.get(unique.fingerprint) if unique else None
        if unique and holder is not None:
            if unique.on_conflict == REJECT:
                raise self._refusal(position, DuplicateJob("", unique_key=unique.fingerprint.hex()))
            if unique.on_conflict == IGNORE:
                return
            earlier = self._chosen.pop(holder)
            if unique.on_conflict == REPLACE_EXCEPT_SCHEDULE and earlier.state == states.SCHEDULED:
                job = _reschedule(job, earlier.due_at)
        if unique:
            self._holders[unique.fingerprint] = position
        self._chosen[position] = job

    def _meet(self, position: int, data: bytes) -> None:
        job = self._jobs[position]
        unique = _unique(job)
        if unique is None:
            raise TypeError
        if unique.on_conflict == IGNORE:
            self._existing[position] = data
            del self._jobs[position]
            return
        existing = Job.FromString(data)
        self._replaced[position] += 1
        if unique.on_conflict == REJECT or self._replaced[position] > _MOST_REPLACED:
            state = states.state_name(existing.state)
            raise self._refusal(position, DuplicateJob(existing.id, state, unique.fingerprint.hex()))
        self.changes.append(lifecycle.cancel(existing, f"replaced by job {job.id}"))
        keeps_time = unique.on_conflict == REPLACE_EXCEPT_SCHEDULE and existing.state == states.SCHEDULED
        # Of several duplicates the newest comes first, and its time is the one to keep.
        if keeps_time and job is self._chosen[position]:
            self._jobs[position] = _reschedule(job, timestamp_ms(existing.scheduled_at))

    def _refusal(self, position: int, error: DuplicateJob) -> DuplicateJob:
        # A call with one job needs no word on which of them it is.
        if position or len(self._fingerprints) > 1:
            error.details["index"] = str(position)
        return error


class Turns:
    """Lets those who replace the same job do so one after another.

    The store would have each of them find another duplicate than the one it has just decided about, again and again.
    This spares the callers of one process that; those of others are few.
    """

    def __init__(self) -> None:
        self._locks: WeakValueDictionary[bytes, asyncio.Lock] = WeakValueDictionary()

    @asynccontextmanager
    async def take(self, fingerprints: Sequence[bytes]) -> AsyncIterator[None]:
        """Waits until nobody else has any of them, and has them until the block is left."""
        async with AsyncExitStack() as held:
            # All take them in the same order, so no two wait for each other.
            for fingerprint in sorted(fingerprints):
                await held.enter_async_context(self._locks.setdefault(fingerprint, asyncio.Lock()))
            yield


def is_unique(job: NewJob) -> bool:
    """Whether the job may have duplicates."""
    return job.links is not None and job.links.unique is not None


def _unique(job: NewJob) -> Unique | None:
    return job.links.unique if job.links is not None else None


def _reschedule(job: NewJob, due_at: int) -> NewJob:
    """The job with the time of the one whose place it takes; a pending one waits for no time."""
    if job.state == states.PENDING:
        return job
    # Within the subject, after what the job said itself: the later field is the one that is read.
    time = timestamp_field(Job.SCHEDULED_AT_FIELD_NUMBER, due_at)
    size = job.subject_size
    return job._replace(
        state=states.SCHEDULED,
        due_at=due_at,
        envelope=job.envelope[:size] + time + job.envelope[size:],
        subject_size=size + len(time),
    )
