"""Dead letters: discarded jobs that wait for somebody's decision (behaviour section 10)."""

from collections.abc import Callable

from ojs_grpc_pb.v1.job_pb2 import Job

from ojs_grpc.core import lifecycle, states, unique
from ojs_grpc.core.limits import Limits
from ojs_grpc.core.validation import queue_rule
from ojs_grpc.errors import DuplicateJob, InvalidRequest, NotFound, OJSError, StoreError, Violation
from ojs_grpc.operations.changes import Changes
from ojs_grpc.operations.queues import page_size
from ojs_grpc.stores.ports import Duplicates, Page, Store, Unit

_DEFAULT_LIMIT = 50
_MAX_LIMIT = 1000
# Each round means that somebody else changed the job in between.
_ROUNDS = 20


class DeadLetters:
    """Operations on dead letters."""

    def __init__(self, store: Store, changes: Changes, limits: Limits) -> None:
        self._store = store
        self._changes = changes
        self._limits = limits

    async def list(self, queue: str, limit: int, cursor: str) -> Page[bytes]:
        """Dead letters of one queue or, if it is empty, of all: serialised jobs, oldest first within a queue.

        Raises:
            InvalidRequest: a bad queue name, limit or cursor.
        """
        if queue and (rule := queue_rule(queue, self._limits)):
            raise InvalidRequest([Violation("queue", rule)])
        size = page_size(limit, _DEFAULT_LIMIT, _MAX_LIMIT)
        return await self._store.dead_letters(queue, cursor, size, self._limits.reply_bytes)

    async def get(self, job_id: str) -> bytes:
        """A dead letter as it stands, serialised.

        Raises:
            NotFound: it is none.
        """
        data = await self._changes.read(job_id)
        if not Job.FromString(data).dead_letter:
            raise NotFound("dead_letter", job_id)
        return data

    async def retry(self, job_id: str) -> bytes:
        """Makes a dead letter available again: attempt 0, its errors kept. The job afterwards.

        Raises:
            NotFound: it is no dead letter.
            DuplicateJob: it is unique, and has a twin that is not finished (behaviour section 10).
            QueueFull: its queue has no room for it.
            StoreError: it kept changing.
        """
        return await self._restart(job_id, _check_dead)

    async def revive(self, job_id: str) -> bytes:
        """As `retry`, for any discarded job.

        Raises:
            JobNotFound: no job has this id.
            InvalidState: it is not discarded.
            DuplicateJob, QueueFull, StoreError: as for `retry`.
        """
        return await self._restart(job_id, lambda _: None)

    async def _restart(self, job_id: str, check: Callable[[Job], None]) -> bytes:
        for _ in range(_ROUNDS):
            job = Job.FromString(await self._changes.read(job_id))
            check(job)
            twins = [unique.of_job(job)] if job.HasField("unique_policy") else []
            unit = Unit(changes=[lifecycle.retry_dead(job)], alike=twins)
            (outcome,) = await self._changes.commit([unit], self._store.clock.now())
            if isinstance(outcome, Duplicates):
                raise _duplicate(outcome.jobs[0], twins[0])
            if isinstance(outcome, OJSError):
                raise outcome
            if outcome is None:
                return await self._changes.read(job_id)
        raise StoreError(f"job {job_id} kept changing")

    async def delete(self, job_id: str) -> None:
        """Removes a dead letter for good.

        Raises:
            NotFound: it is no dead letter.
        """
        if not await self._store.delete_dead(job_id, self._store.clock.now()):
            raise NotFound("dead_letter", job_id)


def _check_dead(job: Job) -> None:
    if not job.dead_letter:
        raise NotFound("dead_letter", job.id)


def _duplicate(twin: bytes, key: unique.Unique) -> DuplicateJob:
    job = Job.FromString(twin)
    return DuplicateJob(job.id, states.state_name(job.state), key.fingerprint.hex())
