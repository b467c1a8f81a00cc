"""Enqueue, get, cancel, activate (behaviour sections 1 and 13)."""

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
from ojs_grpc.core.envelope import Defaults, EnvelopeReader, NewJob, job_bytes, merge_options
from ojs_grpc.core.wire import bytes_field
from ojs_grpc.errors import InvalidRequest, OJSError, PayloadTooLarge, Violation
from ojs_grpc.operations.changes import Changes
from ojs_grpc.operations.coalescing import Coalescer
from ojs_grpc.stores.ports import IdempotencyKey, Outcome, Store, Unit

_KEY_LIFETIME_MS = 86_400_000
# One store call stays short however many callers wait: the jobs of a call, each counting one per 4 KiB of envelope.
_MAX_WEIGHT = 1000
_WEIGHT_UNIT = 4096

_JOBS_FIELD = EnqueueBatchResponse.JOBS_FIELD_NUMBER


@dataclass(frozen=True, slots=True)
class CallContext:
    """What a call says beside its message.

    Attributes:
        idempotency_key: the same key gives the same answer for a day; empty for none.
        trace: W3C trace context, kept in the jobs' `meta`.
    """

    idempotency_key: str = ""
    trace: Mapping[str, str] = field(default_factory=dict)


class _Order(NamedTuple):
    """What one call wants stored."""

    jobs: Sequence[NewJob]
    key: str
    fingerprint: bytes


class Jobs:
    """Operations on jobs by their id. Jobs are given as serialised `ojs.v1.Job`s."""

    def __init__(self, store: Store, changes: Changes, defaults: Defaults) -> None:
        self._store = store
        self._changes = changes
        self._limits = defaults.limits
        self._reader = EnvelopeReader(defaults)
        self._inserts: Coalescer[_Order, Outcome | int] = Coalescer(self._insert, _MAX_WEIGHT, _weigh)

    async def enqueue(self, request: EnqueueRequest, context: CallContext) -> bytes:
        """Stores one job.

        Raises:
            InvalidRequest: or one of its kinds: a rule is broken.
            DuplicateJob: the id that the client chose is taken.
        """
        now = self._store.clock.now()
        job = self._reader.read(request, request.options, now, context.trace)
        key = context.idempotency_key
        (stored,) = await self._store_order((job,), key, self._fingerprint(request, key) if key else b"")
        return stored

    async def enqueue_batch(self, request: EnqueueBatchRequest, context: CallContext) -> Sequence[bytes]:
        """Stores all jobs of the batch, in its order, or none.

        Raises:
            InvalidRequest: or one of its kinds, with `index` in its details and `jobs[index].` before each field.
            DuplicateJob: an id that the client chose is taken, or twice in the batch.
        """
        if not request.jobs:
            raise InvalidRequest([Violation("jobs", "must not be empty")])
        if len(request.jobs) > self._limits.batch_jobs:
            raise PayloadTooLarge([Violation("jobs", f"must be at most {self._limits.batch_jobs}")])
        now = self._store.clock.now()
        jobs = self._read_batch(request, context, now)
        key = context.idempotency_key
        return await self._store_order(jobs, key, self._fingerprint(request, key) if key else b"")

    async def get(self, job_id: str) -> bytes:
        """The job as it stands.

        Raises:
            JobNotFound: no job has this id.
        """
        return await self._changes.read(job_id)

    async def cancel(self, job_id: str) -> bytes:
        """Cancels a job that is not finished; a worker that runs it loses its lease.

        Raises:
            JobNotFound: no job has this id.
            InvalidState: it is finished, also when it is cancelled already (design section 7).
        """
        return await self._changes.change(job_id, lifecycle.cancel)

    async def activate(self, job_id: str) -> bytes:
        """Makes a pending job available.

        Raises:
            JobNotFound: no job has this id.
            InvalidState: it is not pending.
        """
        return await self._changes.change(job_id, lifecycle.activate)

    def _read_batch(self, request: EnqueueBatchRequest, context: CallContext, now: int) -> list[NewJob]:
        common = request.default_options if request.HasField("default_options") else None
        jobs: list[NewJob] = []
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
        return jobs

    async def _store_order(self, jobs: Sequence[NewJob], key: str = "", fingerprint: bytes = b"") -> Sequence[bytes]:
        """Stores the jobs, or finds the answer to the call that used this key before."""
        stored = await self._inserts.submit(_Order(jobs, key, fingerprint))
        if isinstance(stored, OJSError):
            raise stored
        if isinstance(stored, bytes):
            return [job.SerializeToString() for job in EnqueueBatchResponse.FromString(stored).jobs]
        if not isinstance(stored, int):
            raise TypeError
        return [job_bytes(job, stored) for job in jobs]

    def _fingerprint(self, request: EnqueueRequest | EnqueueBatchRequest, key: str) -> bytes:
        """Tells a repeated request from another one under the same key."""
        limit = self._limits.idempotency_key_chars
        if len(key) > limit:
            raise InvalidRequest([Violation("x-ojs-idempotency-key", f"must be at most {limit} characters")])
        # Clients may order the members of an object differently when they send a request again.
        return hashlib.sha256(request.SerializeToString(deterministic=True)).digest()

    async def _insert(self, orders: Sequence[_Order]) -> list[Outcome | int]:
        """Stores orders; for each the time at which it was stored, or the earlier answer, or why not."""
        now = self._store.clock.now()
        outcomes = await self._changes.commit([_unit(order, now) for order in orders], now)
        return [now if outcome is None else outcome for outcome in outcomes]


def _options(entry: BatchJobEntry, common: EnqueueOptions | None) -> EnqueueOptions:
    if common is None:
        return entry.options
    return merge_options(entry.options, common) if entry.HasField("options") else common


def _unit(order: _Order, now: int) -> Unit:
    if not order.key:
        return Unit(order.jobs)
    reply = b"".join([bytes_field(_JOBS_FIELD, job_bytes(job, now)) for job in order.jobs])
    return Unit(order.jobs, IdempotencyKey(order.key, order.fingerprint, reply, now + _KEY_LIFETIME_MS))


def _weigh(order: _Order) -> int:
    return sum([1 + len(job.envelope) // _WEIGHT_UNIT for job in order.jobs])
