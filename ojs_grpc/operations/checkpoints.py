"""Checkpoints: from where a job goes on when it is run again (behaviour section 17).

A job has one at most, the latest. It outlives attempts and is over with the job; `Cleaner` forgets it then.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

from ojs_grpc_pb.v1.job_pb2 import Job

from ojs_grpc.codec.json_text import dump, parse
from ojs_grpc.core import lifecycle, states
from ojs_grpc.core.limits import Limits
from ojs_grpc.errors import InvalidRequest, NotFound, OJSError, StoreError, Violation
from ojs_grpc.operations.changes import Changes
from ojs_grpc.operations.delivery import Holder
from ojs_grpc.operations.kept_values import check_value
from ojs_grpc.stores.ports import Document, Store, Unit, Write

KIND: Final = "checkpoint"
REVIEW_MS: Final = 86_400_000
"""So often somebody looks whether the job of a checkpoint, or of a progress, is still there."""

MOST_BYTES: Final = 1 << 20
# Of the checkpoints that are given with jobs: bytes, and how many are read at once.
_MOST_TOGETHER = 4 << 20
_SLICE = 20
# Each round means that somebody else wrote in between.
_ROUNDS = 20


class Checkpoint(NamedTuple):
    """Where a job can go on.

    Attributes:
        state: any JSON value of the worker's.
        sequence: grows with every checkpoint of the job.
        created_at: ms since the epoch.
        facts: what the worker said besides.
    """

    state: Any
    sequence: int
    created_at: int
    facts: Mapping[str, Any]


class Checkpoints:
    """Operations on checkpoints."""

    def __init__(self, store: Store, changes: Changes, limits: Limits) -> None:
        self._store = store
        self._changes = changes
        self._limits = limits

    async def save(
        self,
        job_id: str,
        state: Any,  # noqa: ANN401 - any JSON value
        holder: Holder,
        sequence: int | None = None,
        facts: Mapping[str, Any] | None = None,
    ) -> Checkpoint:
        """Replaces the checkpoint of an active job.

        Args:
            sequence: must be greater than the one before; one more than that if it is None.

        Raises:
            PayloadTooLarge: it is too large, or nests too deep.
            InvalidRequest: the sequence does not grow.
            JobNotFound: no job has this id.
            InvalidState: it is not active, or not held by this caller.
        """
        check_value([state, facts], "state", MOST_BYTES, self._limits.nesting + 1)
        for _ in range(_ROUNDS):
            now = self._store.clock.now()
            before = await self._read(job_id)
            # Behind that: of two workers, the one that lost the job does not replace what the other one saved.
            job = Job.FromString(await self._changes.read(job_id))
            lifecycle.check_holder(job, holder.lease, holder.worker_id)
            write, checkpoint = replacement(before, job_id, state, now, sequence, facts)
            (outcome,) = await self._changes.commit([Unit(writes=[write])], now)
            if outcome is None:
                return checkpoint
            if isinstance(outcome, OJSError):
                raise outcome
        raise StoreError(f"the checkpoint of job {job_id} kept changing")

    async def load(self, job_id: str) -> Checkpoint:
        """The checkpoint of a job that may still be run.

        Raises:
            JobNotFound: no job has this id.
            NotFound: it has no checkpoint.
        """
        job = Job.FromString(await self._changes.read(job_id))
        document = await self._read(job_id)
        if document is None or is_over(job.state):
            raise NotFound("checkpoint", job_id)
        return _checkpoint(document)

    async def clear(self, job_id: str) -> bool:
        """Forgets the checkpoint of a job; whether there was one."""
        document = await self._read(job_id)
        if document is None:
            return False
        await self._changes.commit([Unit(writes=[Write(KIND, job_id, None, None)])], self._store.clock.now())
        return True

    async def of(self, job_ids: Sequence[str]) -> list[Checkpoint | None]:
        """For each of these jobs its checkpoint, if it has one; of large ones the first few, which fill an answer."""
        documents: list[Document | None] = []
        while len(documents) < len(job_ids) and _size(documents) < _MOST_TOGETHER:
            documents += await self._store.documents(KIND, job_ids[len(documents) : len(documents) + _SLICE])
        documents += [None] * (len(job_ids) - len(documents))
        return [None if document is None else _checkpoint(document) for document in documents]

    async def _read(self, job_id: str) -> Document | None:
        (document,) = await self._store.documents(KIND, [job_id])
        return document


def is_over(state: int) -> bool:
    """Whether a job in this state has no use for its checkpoint; a discarded one may be a dead letter, and retried."""
    return state in {states.COMPLETED, states.CANCELLED}


def replacement(
    before: Document | None,
    job_id: str,
    state: Any,  # noqa: ANN401 - any JSON value
    now: int,
    sequence: int | None = None,
    facts: Mapping[str, Any] | None = None,
) -> tuple[Write, Checkpoint]:
    """The write of a job's next checkpoint.

    Raises:
        InvalidRequest: the sequence does not grow.
    """
    last = 0 if before is None else _checkpoint(before).sequence
    if sequence is not None and sequence <= last:
        raise InvalidRequest([Violation("sequence", f"must be greater than {last}")])
    checkpoint = Checkpoint(state, last + 1 if sequence is None else sequence, now, facts or {})
    version = 0 if before is None else before.version
    return Write(KIND, job_id, version, dump(checkpoint._asdict()), now + REVIEW_MS), checkpoint


def _size(documents: Sequence[Document | None]) -> int:
    return sum(len(document.data) for document in documents if document is not None)


def _checkpoint(document: Document) -> Checkpoint:
    return Checkpoint(**parse(document.data))
