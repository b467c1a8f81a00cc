"""Enqueue, get, cancel, activate (behaviour sections 1, 3 and 13)."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from ojs_grpc_pb.v1.job_pb2 import (
    BatchJobEntry,
    EnqueueBatchRequest,
    EnqueueBatchResponse,
    EnqueueOptions,
    EnqueueRequest,
)

from ojs_grpc.core import lifecycle
from ojs_grpc.core.draft import Draft
from ojs_grpc.core.envelope import Defaults, EnvelopeReader, NewJob, job_bytes
from ojs_grpc.core.options import merge_options
from ojs_grpc.core.records import maker
from ojs_grpc.core.wire import bytes_field, varint_field
from ojs_grpc.errors import InvalidRequest, OJSError, PayloadTooLarge, SchemaViolation, StoreError, Violation
from ojs_grpc.operations.changes import Changed, Changes
from ojs_grpc.operations.coalescing import Coalescer
from ojs_grpc.operations.duplicates import Settlement, Turns, is_unique
from ojs_grpc.operations.pauses import Pauses
from ojs_grpc.operations.schemas import KIND, Schemas
from ojs_grpc.stores.ports import Duplicates, IdempotencyKey, Outcome, Outdated, Store, Unit, Write, unit_of

_KEY_LIFETIME_MS = 86_400_000
_NO_VERSION = -1
# One store call stays short however many callers wait: the jobs of a call, each counting one per 4 KiB of envelope.
_MAX_WEIGHT = 1000
_WEIGHT_UNIT = 4096

# Each round means that somebody else enqueued a duplicate, or changed one, in between.
_ROUNDS = 300

_JOBS_FIELD = EnqueueBatchResponse.JOBS_FIELD_NUMBER
_COUNT_FIELD = EnqueueBatchResponse.COUNT_FIELD_NUMBER


@dataclass(frozen=True, slots=True)
class CallContext:
    """What a call says beside its message.

    Attributes:
        idempotency_key: the same key gives the same answer for a day; empty for none.
        trace: W3C trace context, kept in the jobs' `meta`.
        compared: what is compared under the same key, if not the message itself: a client that says "in five minutes"
            again, a minute later, sends the same request.
    """

    idempotency_key: str = ""
    trace: Mapping[str, str] = field(default_factory=dict)
    compared: EnqueueRequest | EnqueueBatchRequest | None = None


class Enqueued(NamedTuple):
    """What became of the jobs of a call.

    Attributes:
        new: the jobs, in order, if all of them were stored by this call.
        stored_at: when that was.
        standing: else for each the job that stands for it, in order: itself as stored, or its duplicate.
        deduplicated: whether a duplicate stands for at least one of them.
    """

    new: Sequence[NewJob] = ()
    stored_at: int = 0
    standing: Sequence[bytes] = ()
    deduplicated: bool = False

    @property
    def jobs(self) -> Sequence[bytes]:
        """For each job of the call the job that stands for it, in order."""
        return self.standing or [job_bytes(job, self.stored_at) for job in self.new]


_enqueued = maker(Enqueued)


class _Order(NamedTuple):
    """What becomes a unit only when it is sent: its reply says when; `settlement` if some of it must be unique."""

    jobs: Sequence[NewJob]
    key: str
    fingerprint: bytes
    settlement: Settlement | None = None


class Jobs:
    """Operations on jobs by their id. Jobs are given as serialised `ojs.v1.Job`s."""

    def __init__(self, store: Store, changes: Changes, defaults: Defaults, schemas: Schemas) -> None:
        self._store = store
        self._changes = changes
        self._schemas = schemas
        self._limits = defaults.limits
        self._reader = EnvelopeReader(defaults)
        self._turns = Turns()
        self._inserts: Coalescer[Unit | _Order, Outcome | int] = Coalescer(self._insert, _MAX_WEIGHT, _weigh)

    async def enqueue(self, draft: Draft, context: CallContext) -> Enqueued:
        """Stores one job.

        Raises:
            InvalidRequest: or one of its kinds: a rule is broken, or the schema that the job names.
            DuplicateJob: the id that the client chose is taken, or its unique policy refuses a duplicate.
        """
        job = self._reader.read_draft(draft, self._store.clock.now(), context.trace)
        key = context.idempotency_key
        fingerprint = self._fingerprint(context.compared or draft.request(), key) if key else b""
        if draft.others:
            try:
                await self._schemas.check(draft.request())
            except SchemaViolation:
                if answer := await self._answer_to(key, fingerprint):
                    return answer
                raise
        return await self._submit((job,), key, fingerprint)

    async def enqueue_batch(self, request: EnqueueBatchRequest, context: CallContext) -> Enqueued:
        """Stores all jobs of the batch, in its order, or none.

        Raises:
            InvalidRequest: or one of its kinds, with `index` in its details and `jobs[index].` before each field.
            DuplicateJob: an id that the client chose is taken, or twice in the batch; or a unique policy refuses a
                duplicate, which may be in the batch, with `index` in its details.
        """
        if not request.jobs:
            raise InvalidRequest([Violation("jobs", "must not be empty")])
        if len(request.jobs) > self._limits.batch_jobs:
            raise PayloadTooLarge([Violation("jobs", f"must be at most {self._limits.batch_jobs}")])
        now = self._store.clock.now()
        jobs = await self._read_batch(request, context, now)
        key = context.idempotency_key
        fingerprint = self._fingerprint(context.compared or request, key) if key else b""
        try:
            await self._schemas.check_each(request.jobs, "jobs")
        except SchemaViolation:
            if answer := await self._answer_to(key, fingerprint):
                return answer
            raise
        return await self._submit(jobs, key, fingerprint)

    async def get(self, job_id: str) -> bytes:
        """The job as it stands.

        Raises:
            JobNotFound: no job has this id.
        """
        return await self._changes.read(job_id)

    async def cancel(self, job_id: str, reason: str = "") -> Changed:
        """Cancels a job that is not finished; a worker that runs it loses its lease.

        Args:
            reason: for people; kept with the event.

        Raises:
            JobNotFound: no job has this id.
            InvalidState: it is finished, also when it is cancelled already (design section 7).
        """
        return await self._changes.change(job_id, lambda job: lifecycle.cancel(job, reason))

    async def activate(self, job_id: str) -> Changed:
        """Makes a pending job available.

        Raises:
            JobNotFound: no job has this id.
            InvalidState: it is not pending.
        """
        return await self._changes.change(job_id, lifecycle.activate)

    async def _read_batch(self, request: EnqueueBatchRequest, context: CallContext, now: int) -> list[NewJob]:
        common = request.default_options if request.HasField("default_options") else None
        if common is not None:
            # What nobody understands would be copied for every job.
            common.DiscardUnknownFields()
        jobs: list[NewJob] = []
        total, pauses = 0, Pauses()
        for index, entry in enumerate(request.jobs):
            try:
                jobs.append(self._reader.read(entry, _options(entry, common), now, context.trace))
            except InvalidRequest as error:
                raise type(error)(
                    [Violation(f"jobs[{index}].{field}", rule) for field, rule in error.violations],
                    {"index": str(index)},
                ) from None
            except OJSError as error:
                error.details["index"] = str(index)
                raise
            size = len(jobs[-1].envelope)
            total += size
            if total > self._limits.request_bytes:
                # A small request can have large default options.
                rule = f"must have at most {self._limits.request_bytes} bytes together, each with the default options"
                raise PayloadTooLarge([Violation("jobs", rule)])
            # Checks and fingerprints of large arguments take a while.
            await pauses.after(size)
        return jobs

    async def _submit(self, jobs: Sequence[NewJob], key: str, fingerprint: bytes) -> Enqueued:
        """Stores the jobs, or finds the answer to the call that used this key before."""
        if any(map(is_unique, jobs)):
            settlement = Settlement(jobs)
            if not settlement.replacing:
                return await self._submit_unique(settlement, key, fingerprint)
            async with self._turns.take(settlement.replacing):
                return await self._submit_unique(settlement, key, fingerprint)
        stored = await self._inserts.submit(_Order(jobs, key, fingerprint) if key else unit_of(jobs))
        if isinstance(stored, int):
            return _enqueued((jobs, stored, (), False))
        return _answered(stored)

    async def _submit_unique(self, settlement: Settlement, key: str, fingerprint: bytes) -> Enqueued:
        for _ in range(_ROUNDS):
            if not settlement.jobs and not key:
                return Enqueued(standing=settlement.answers(0), deduplicated=True)
            stored = await self._inserts.submit(_Order(settlement.jobs, key, fingerprint, settlement))
            if isinstance(stored, int):
                return Enqueued(standing=settlement.answers(stored), deduplicated=settlement.deduplicated)
            if isinstance(stored, Duplicates):
                settlement.meet(stored.jobs)
            elif isinstance(stored, Outdated):
                settlement.restart()
            else:
                return _answered(stored)
        raise StoreError("duplicates of the job kept changing")

    async def _answer_to(self, key: str, fingerprint: bytes) -> Enqueued | None:
        """The answer to the call that used this key before, if there was one: its schema may have changed since."""
        if not key:
            return None
        now = self._store.clock.now()
        # Is never stored, as no document has such a version; but a known key is answered before that is seen.
        nothing = Write(KIND, "", _NO_VERSION, None)
        unit = Unit(key=IdempotencyKey(key, fingerprint, b"", now + _KEY_LIFETIME_MS), writes=(nothing,))
        (outcome,) = await self._store.insert([unit], now)
        return None if isinstance(outcome, Outdated) else _answered(outcome)

    def _fingerprint(self, request: EnqueueRequest | EnqueueBatchRequest, key: str) -> bytes:
        """Tells a repeated request from another one under the same key."""
        limit = self._limits.idempotency_key_chars
        if len(key) > limit:
            raise InvalidRequest([Violation("x-ojs-idempotency-key", f"must be at most {limit} characters")])
        # Clients may order the members of an object differently when they send a request again.
        return hashlib.sha256(request.SerializeToString(deterministic=True)).digest()

    async def _insert(self, orders: Sequence[Unit | _Order]) -> list[Outcome | int]:
        """Stores orders; for each the time at which it was stored, or the earlier answer, or why not."""
        now = self._store.clock.now()
        units = [order if isinstance(order, Unit) else _unit(order, now) for order in orders]
        outcomes = await self._changes.commit(units, now)
        return [now if outcome is None else outcome for outcome in outcomes]


def _options(entry: BatchJobEntry, common: EnqueueOptions | None) -> EnqueueOptions | None:
    """The options that stand in place of the entry's own, if any do."""
    if common is None:
        return None
    return merge_options(entry.options, common) if entry.HasField("options") else common


def _unit(order: _Order, now: int) -> Unit:
    changes = tuple(order.settlement.changes) if order.settlement is not None else ()
    if not order.key:
        return Unit(order.jobs, changes=changes)
    reply = _reply(order, now)
    key = IdempotencyKey(order.key, order.fingerprint, reply, now + _KEY_LIFETIME_MS)
    return Unit(order.jobs, key, changes)


def _reply(order: _Order, now: int) -> bytes:
    """The answer to repeat, as an EnqueueBatchResponse; its `count` says only whether there were duplicates."""
    if order.settlement is None:
        return b"".join([bytes_field(_JOBS_FIELD, job_bytes(job, now)) for job in order.jobs])
    jobs = [bytes_field(_JOBS_FIELD, job) for job in order.settlement.answers(now)]
    return b"".join([*jobs, varint_field(_COUNT_FIELD, order.settlement.deduplicated)])


def _answered(outcome: Outcome | int) -> Enqueued:
    """The earlier answer to a repeated call; raises what the store has against it."""
    if isinstance(outcome, OJSError):
        raise outcome
    if not isinstance(outcome, bytes):
        raise TypeError
    reply = EnqueueBatchResponse.FromString(outcome)
    return Enqueued(standing=[job.SerializeToString() for job in reply.jobs], deduplicated=bool(reply.count))


def _weigh(order: Unit | _Order) -> int:
    weight = len(order.jobs)
    for job in order.jobs:
        weight += len(job.envelope) // _WEIGHT_UNIT
    if isinstance(order, _Order) and order.settlement is not None:
        weight += len(order.settlement.changes)
    return weight
