"""Progress: how far a job is, as its worker says (behaviour section 17).

What is kept belongs to one claim of the job, and is replaced with the first report under the next one.
"""

import asyncio
from typing import Any, Final, NamedTuple

from ojs_grpc_pb.v1.job_pb2 import Job
from ojs_grpc_pb.v1.worker_pb2 import WORKER_STATE_RUNNING

from ojs_grpc.codec.json_text import dump, parse
from ojs_grpc.core import event_details, lifecycle, states
from ojs_grpc.core.duration import timestamp_ms
from ojs_grpc.core.events import Kind, NewEvent
from ojs_grpc.core.limits import Limits
from ojs_grpc.errors import InvalidRequest, InvalidState, OJSError, StoreError, Violation
from ojs_grpc.operations import checkpoints
from ojs_grpc.operations.changes import Changes
from ojs_grpc.operations.checkpoints import REVIEW_MS
from ojs_grpc.operations.delivery import Holder
from ojs_grpc.operations.kept_values import check_value
from ojs_grpc.stores.ports import Document, Store, Unit, Write

KIND: Final = "progress"

_DATA_BYTES = 64 * 1024
_MESSAGE_CHARS = 1000
# One event of a job within this time at most.
_EVENT_MS = 1000
# Each round means that somebody else wrote in between.
_ROUNDS = 20


class Report(NamedTuple):
    """What a worker says.

    Attributes:
        fraction: what is done, from 0 to 1; what is beyond counts as the nearest of the two.
        message: for people.
        data: for programs.
        checkpoint: where the job could go on.
    """

    fraction: float | None = None
    message: str | None = None
    data: dict[str, Any] | None = None
    checkpoint: dict[str, Any] | None = None


class View(NamedTuple):
    """How far a job is.

    Attributes:
        state: of the job.
        fraction, message, data: the last that was said in the present or last attempt, None if nothing was.
        updated_at: when that was, in ms since the epoch; else when the attempt began, or the job was made.
    """

    job_id: str
    state: int
    fraction: float | None
    message: str | None
    data: dict[str, Any] | None
    updated_at: int


class _Kept(NamedTuple):
    """What is stored.

    Attributes:
        lease, started_at: of the claim that it belongs to.
        told_at: when the last event was logged.
    """

    lease: int
    started_at: int
    fraction: float | None = None
    message: str | None = None
    data: dict[str, Any] | None = None
    updated_at: int = 0
    told_at: int = 0


class Progress:
    """Operations on progress."""

    def __init__(self, store: Store, changes: Changes, limits: Limits) -> None:
        self._store = store
        self._changes = changes
        self._limits = limits

    async def report(self, job_id: str, report: Report, holder: Holder) -> View:
        """Keeps what the worker of an active job says, which also extends its lease; how far the job is then.

        A report about a job that is not active, or not held by this caller, changes nothing. A report of less than was
        reported before in this attempt changes only the checkpoint.

        Raises:
            InvalidRequest: or PayloadTooLarge: a rule is broken.
            JobNotFound: no job has this id.
        """
        self._check(report)
        job = Job.FromString(await self._changes.read(job_id))
        if await self._beat(job, holder):
            return await self._keep(job, report)
        return await self.get(job_id)

    async def get(self, job_id: str) -> View:
        """How far a job is.

        Raises:
            JobNotFound: no job has this id.
        """
        data, (document,) = await asyncio.gather(
            self._changes.read(job_id), self._store.documents(KIND, [job_id])
        )
        job = Job.FromString(data)
        return _view(job, _kept(document, job))

    def _check(self, report: Report) -> None:
        if all(said is None for said in report):
            raise InvalidRequest([Violation("progress", "is required, or else data")])
        if report.message is not None and len(report.message) > _MESSAGE_CHARS:
            raise InvalidRequest([Violation("message", f"must be at most {_MESSAGE_CHARS} characters")])
        if report.data is not None:
            check_value(report.data, "data", _DATA_BYTES, self._limits.nesting)
        if report.checkpoint is not None:
            check_value(report.checkpoint, "checkpoint", checkpoints.MOST_BYTES, self._limits.nesting)

    async def _beat(self, job: Job, holder: Holder) -> bool:
        """Extends the lease under which the job was read; whether it still holds."""
        try:
            lifecycle.check_holder(job, holder.lease, holder.worker_id)
        except InvalidState:
            return False
        now = self._store.clock.now()
        beat = await self._store.heartbeat("", WORKER_STATE_RUNNING, job.id, job.lease, 0, now)
        return beat.refusal is None

    async def _is_held(self, job: Job) -> bool:
        """Whether the job still is as it was read: active under this lease."""
        present = Job.FromString(await self._changes.read(job.id))
        return present.state == states.ACTIVE and present.lease == job.lease

    async def _keep(self, job: Job, report: Report) -> View:
        for _ in range(_ROUNDS):
            now = self._store.clock.now()
            (document,) = await self._store.documents(KIND, [job.id])
            if _is_of_another_claim(document, job) and not await self._is_held(job):
                # Whoever has the job now has reported meanwhile.
                return await self.get(job.id)
            before = _kept(document, job)
            after = _merge(before, report, now)
            writes = [Write(KIND, job.id, 0 if document is None else document.version, _data(after), now + REVIEW_MS)]
            if report.checkpoint is not None:
                (checkpoint,) = await self._store.documents(checkpoints.KIND, [job.id])
                writes.append(checkpoints.replacement(checkpoint, job.id, report.checkpoint, now)[0])
            events = [_event(job, after)] if after.told_at > before.told_at else []
            (outcome,) = await self._changes.commit([Unit(writes=writes, events=events)], now)
            if outcome is None:
                return _view(job, after)
            if isinstance(outcome, OJSError):
                raise outcome
        raise StoreError(f"the progress of job {job.id} kept changing")


def _merge(before: _Kept, report: Report, now: int) -> _Kept:
    fraction = before.fraction
    if report.fraction is not None:
        said = min(max(0.0, report.fraction), 1.0)
        if fraction is not None and said < fraction:
            return before._replace(updated_at=before.updated_at or now)
        fraction = said
    return before._replace(
        fraction=fraction,
        message=before.message if report.message is None else report.message,
        data=before.data if report.data is None else report.data,
        updated_at=now,
        told_at=now if now - before.told_at >= _EVENT_MS else before.told_at,
    )


def _event(job: Job, kept: _Kept) -> NewEvent:
    subject = Job(id=job.id, type=job.type, queue=job.queue, workflow_id=job.workflow_id, trace_id=job.trace_id)
    if "traceparent" in job.meta.fields:
        subject.meta.fields["traceparent"].CopyFrom(job.meta.fields["traceparent"])
    detail = event_details.progress(job, kept.fraction, kept.message or "")
    return NewEvent(Kind.JOB_PROGRESS, job.queue, subject.SerializeToString(), detail)


def _kept(document: Document | None, job: Job) -> _Kept:
    """What was reported under the present claim of a job, or the last one."""
    fresh = _Kept(job.lease, timestamp_ms(job.started_at))
    if document is None:
        return fresh
    kept = _Kept(**parse(document.data))
    # A job that was given up has another lease than its last claim had.
    is_last = job.state != states.ACTIVE and kept.started_at == fresh.started_at
    return kept if is_last or kept.lease == fresh.lease else fresh


def _is_of_another_claim(document: Document | None, job: Job) -> bool:
    return document is not None and parse(document.data)["lease"] != job.lease


def _data(kept: _Kept) -> bytes:
    return dump(kept._asdict())


def _view(job: Job, kept: _Kept) -> View:
    fraction = 1.0 if kept.updated_at and job.state == states.COMPLETED else kept.fraction
    since = job.started_at if job.HasField("started_at") else job.created_at
    return View(job.id, job.state, fraction, kept.message, kept.data, kept.updated_at or timestamp_ms(since))
