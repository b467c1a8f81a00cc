"""Fetch, ack, nack, heartbeat (behaviour sections 2, 6 and 9)."""

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from random import random
from types import MappingProxyType
from typing import NamedTuple

from google.protobuf.struct_pb2 import Struct, Value
from ojs_grpc_pb.v1.job_pb2 import Job, JobError
from ojs_grpc_pb.v1.worker_pb2 import (
    WORKER_STATE_QUIET,
    WORKER_STATE_RUNNING,
    WORKER_STATE_TERMINATE,
    WorkerState,
)

from ojs_grpc.core import lifecycle, states, values
from ojs_grpc.core.event_rendering import WRAPPED_RESULT
from ojs_grpc.core.ids import is_id
from ojs_grpc.core.kept_error import trim_error
from ojs_grpc.core.limits import Limits
from ojs_grpc.core.transition import Transition
from ojs_grpc.core.validation import queues_rules
from ojs_grpc.core.wire import bytes_field
from ojs_grpc.errors import (
    InvalidRequest,
    InvalidState,
    JobNotFound,
    NotFound,
    OJSError,
    PayloadTooLarge,
    Violation,
)
from ojs_grpc.operations.changes import Changes
from ojs_grpc.operations.coalescing import Coalescer
from ojs_grpc.operations.consumer import Consumer
from ojs_grpc.operations.directives import Directives
from ojs_grpc.operations.dispatcher import Dispatcher
from ojs_grpc.operations.worker_events import WorkerEvents
from ojs_grpc.stores.ports import Completion, Refusal, Store
from ojs_grpc.stores.ports import Delivery as Leased

_WORKER_STATES = (WORKER_STATE_RUNNING, WORKER_STATE_QUIET, WORKER_STATE_TERMINATE)

_MAX_COMPLETIONS = 256
_MAX_FETCH = 256
_MAX_QUEUES = 256


class Holder(NamedTuple):
    """What a caller says to show that it holds a job: its lease, or at least its name. Both may be missing."""

    lease: int = 0
    worker_id: str = ""


class Result(NamedTuple):
    """What a worker hands over with its job: nothing, or an object, or any JSON value.

    Attributes:
        object, value: as in `AckRequest`; the value counts if both are there.
        exact: what protobuf cannot say of it, as in `AckRequest`.
    """

    object: Struct | None = None
    value: Value | None = None
    exact: Mapping[str, str] = MappingProxyType({})


class Beat(NamedTuple):
    """The answer to a heartbeat.

    Attributes:
        new_deadline: the earliest new end of a lease; 0 if nothing was extended.
        extended: the jobs whose leases were extended.
        revoked: of the jobs that the caller named as its own, those that it no longer holds.
        directed: what the worker is to do, as far as its jobs say so.
    """

    new_deadline: int
    extended: Sequence[str]
    revoked: Sequence[str]
    directed: WorkerState.ValueType = WORKER_STATE_RUNNING


class Delivery:
    """Operations of workers."""

    def __init__(
        self,
        store: Store,
        changes: Changes,
        dispatcher: Dispatcher,
        limits: Limits,
        worker_events: WorkerEvents,
        directives: Directives | None = None,
    ) -> None:
        self._store = store
        self._changes = changes
        self._dispatcher = dispatcher
        self._limits = limits
        self._worker_events = worker_events
        self._directives = directives
        self._completions: Coalescer[Completion, Refusal | int] = Coalescer(self._complete, _MAX_COMPLETIONS)

    async def fetch(
        self, queues: Sequence[str], worker_id: str, count: int, wait_seconds: float, visibility_ms: int = 0
    ) -> list[Leased]:
        """Leases up to `count` jobs; waits for the first one as long as it may.

        Returns:
            Fewer than asked when there are no more, or when they weigh more than a reply may. If the caller is
            cancelled meanwhile, what was leased goes back.

        Raises:
            InvalidRequest: no queues, or a bad name.
            StoreError: the store failed; nothing stays leased.
        """
        check_demand(queues, worker_id, self._limits)
        if count < 0:
            raise InvalidRequest([Violation("count", "must not be negative")])
        consumer = Consumer(
            tuple(queues), worker_id, min(count or 1, _MAX_FETCH), visibility_ms, streaming=False
        )
        self._dispatcher.open(consumer)
        try:
            await consumer.asked()
            with suppress(TimeoutError):
                async with asyncio.timeout(wait_seconds):
                    await consumer.wait()
            # With a question under way, nobody knows yet whether there is nothing.
            await consumer.asked()
            taken = list(consumer.claimed)
            consumer.claimed.clear()
        finally:
            # If the caller went away, this gives back what was leased for it.
            self._dispatcher.close(consumer)
        return taken

    def give_back(self, leases: Sequence[tuple[str, int]]) -> None:
        """Releases fetched jobs whose reply never reached the worker, without costing an attempt."""
        self._dispatcher.give_back(leases)

    async def ack(self, job_id: str, result: Result, holder: Holder) -> int:
        """Completes a job and keeps its result; the time at which it was completed.

        Raises:
            InvalidRequest: the result breaks a rule; the job stays active.
            JobNotFound: no job has this id.
            InvalidState: it is not active, or not held by this caller.
        """
        tail = self._result_tail(result)
        done = await self._completions.submit(Completion(job_id, holder.lease, holder.worker_id, tail))
        if isinstance(done, Refusal):
            raise _refused(job_id, done)
        self._dispatcher.release((job_id,))
        return done

    async def nack(self, job_id: str, error: JobError, holder: Holder, *, requeue: bool) -> Job:
        """Fails an attempt, or gives the job back; the job afterwards.

        Raises:
            InvalidRequest: the error breaks a rule.
            JobNotFound: no job has this id.
            InvalidState: it is not active, or not held by this caller.
        """
        for name, struct in (("details", error.details), ("ext", error.ext)):
            if rule := values.check(struct, struct.fields.values(), self._limits.nesting):
                raise values.refusal(f"error.{name}", rule)
        kept = trim_error(error, self._limits)

        def decide(job: Job) -> Transition:
            lifecycle.check_holder(job, holder.lease, holder.worker_id)
            return lifecycle.fail(job, kept, self._store.clock.now(), random, self._limits, requeue=requeue)

        return Job.FromString((await self._changes.change(job_id, decide)).job)

    async def heartbeat(
        self,
        target: str,
        worker_id: str,
        worker_state: WorkerState.ValueType,
        extend_ms: int,
        lease: int = 0,
        active_jobs: Iterable[str] = (),
    ) -> Beat:
        """A sign of life of a worker, or of one job (behaviour section 6.2).

        Args:
            target: the id of a job, or the worker's own id, or empty.
            extend_ms: the leases end so long from now; 0 for each job's own visibility timeout.
            active_jobs: what the worker believes it holds.

        Raises:
            InvalidRequest: nobody is named, or a state that is none.
            NotFound: neither a known job nor the worker.
            InvalidState: the job is no longer held; everything else that the worker holds was extended all the same.
        """
        job_id = target if target != worker_id else ""
        if not job_id and not worker_id:
            raise InvalidRequest([Violation("worker_id", "is required if id names no job")])
        if len(worker_id) > self._limits.worker_id_chars:
            raise InvalidRequest([Violation("worker_id", f"must be at most {self._limits.worker_id_chars} characters")])
        if worker_state not in _WORKER_STATES:
            raise InvalidRequest([Violation("current_state", "must be RUNNING, QUIET or TERMINATE")])
        if job_id and not is_id(job_id):
            raise NotFound("job", job_id)
        now = self._store.clock.now()
        beat = await self._store.heartbeat(worker_id, worker_state, job_id, lease, extend_ms, now)
        if worker_id:
            self._worker_events.beat(worker_id, worker_state, len(beat.jobs), of_job=bool(job_id))
        if beat.refusal is not None:
            raise _refused(job_id, beat.refusal)
        extended = [job for job, _ in beat.jobs]
        held = set(extended)
        revoked = [job for job in active_jobs if job not in held]
        new_deadline = min((deadline for _, deadline in beat.jobs), default=0)
        if self._directives is None:
            return Beat(new_deadline, extended, revoked)
        return Beat(new_deadline, extended, revoked, await self._directives.of([*extended, *revoked]))

    async def _complete(self, completions: Sequence[Completion]) -> list[Refusal | int]:
        """Completes jobs; for each the time at which that was, or why not."""
        now = self._store.clock.now()
        return [refusal or now for refusal in await self._store.complete(completions, now)]

    def _result_tail(self, given: Result) -> bytes:
        """The result fields of a job: any JSON value in our field, and an object in the spec's."""
        result, result_value = given.object, given.value
        if result_value is not None and result_value.HasField("struct_value"):
            result, result_value = result_value.struct_value, None
        if result_value is None and result is not None and list(result.fields) == [WRAPPED_RESULT]:
            result_value = result.fields[WRAPPED_RESULT]
        if result_value is not None:
            result = Struct()
            result.fields[WRAPPED_RESULT].CopyFrom(result_value)
        if result is None:
            return b""
        if rule := values.check(result, result.fields.values(), self._limits.nesting):
            raise values.refusal("result", rule)
        tail = bytes_field(Job.RESULT_FIELD_NUMBER, result.SerializeToString())
        if given.exact:
            tail += Job(exact=given.exact).SerializeToString()
        if len(tail) > self._limits.result_bytes:
            raise PayloadTooLarge([Violation("result", f"must be at most {self._limits.result_bytes} bytes")])
        if result_value is not None:
            tail += bytes_field(Job.RESULT_VALUE_FIELD_NUMBER, result_value.SerializeToString())
        return tail


def check_demand(queues: Sequence[str], worker_id: str, limits: Limits) -> None:
    """Checks what a fetch or a stream asks for.

    Raises:
        InvalidRequest: no queues, too many, a bad name, or too long a worker id.
    """
    broken = queues_rules(queues, _MAX_QUEUES, limits)
    if not queues:
        broken.append(Violation("queues", "must name a queue at least"))
    if len(worker_id) > limits.worker_id_chars:
        broken.append(Violation("worker_id", f"must be at most {limits.worker_id_chars} characters"))
    if broken:
        raise InvalidRequest(broken)


def _refused(job_id: str, refusal: Refusal) -> OJSError:
    """The error for a report that the store refused."""
    if not refusal.state:
        return JobNotFound(job_id)
    current = states.state_name(refusal.state)
    reason = f"job {job_id} is active under another lease or worker" if refusal.state == states.ACTIVE else ""
    return InvalidState(job_id, current, states.state_name(states.ACTIVE), reason)
