"""Fetch, ack, nack, heartbeat."""

import itertools
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from typing import Any, Final

from ojs_grpc_pb.v1.job_pb2 import Job, JobError
from ojs_grpc_pb.v1.worker_pb2 import (
    WORKER_STATE_QUIET,
    WORKER_STATE_RUNNING,
    WORKER_STATE_TERMINATE,
    WorkerState,
)

from ojs_grpc.bindings.http.call import Call
from ojs_grpc.bindings.http.checkpoints import add_checkpoints
from ojs_grpc.bindings.http.holder import read_holder, read_lease
from ojs_grpc.bindings.http.job_document import render_for
from ojs_grpc.bindings.http.route import Answer, Body, Route
from ojs_grpc.codec.error import read_error
from ojs_grpc.codec.job import render_job
from ojs_grpc.codec.members import Members, is_whole
from ojs_grpc.codec.result import read_result
from ojs_grpc.codec.times import time_text
from ojs_grpc.core import states
from ojs_grpc.core.validation import MAX_DURATION_MS
from ojs_grpc.errors import InvalidState, JobNotFound
from ojs_grpc.operations.delivery import Result
from ojs_grpc.operations.engine import Engine
from ojs_grpc.stores.ports import Delivery

_MAX_WAIT_MS = 60_000
_MAX_NAMELESS = 256

_WORKER_STATES: dict[str, WorkerState.ValueType] = {
    "running": WORKER_STATE_RUNNING,
    "quiet": WORKER_STATE_QUIET,
    "terminate": WORKER_STATE_TERMINATE,
}
_STATE_NAMES = {state: name for name, state in _WORKER_STATES.items()}
_NO_CODE = "handler_error"
"""The code of an error that says none."""
# What a failed attempt's answer tells of the job, where the job has it.
_OUTCOME = (
    "id", "state", "attempt", "max_attempts", "next_attempt_at", "retry_delay_ms", "discarded_at", "completed_at"
)
# And what it does not tell, so that nobody renders it.
_LARGE: Final = ("args", "meta", "ext", "errors")


class DeliveryHandlers:
    """Endpoints of workers.

    Args:
        is_draining: whether the server is about to stop.
    """

    def __init__(self, engine: Engine, is_draining: Callable[[], bool]) -> None:
        self._engine = engine
        self._delivery = engine.delivery
        self._is_draining = is_draining

    def routes(self) -> list[Route]:
        """Those of the spec, and `ack` and `nack` under the job."""
        return [
            Route("POST", "/ojs/v1/workers/fetch", self.fetch, Body.REQUIRED),
            Route("POST", "/ojs/v1/workers/ack", self.ack, Body.REQUIRED),
            Route("POST", "/ojs/v1/workers/nack", self.nack, Body.REQUIRED),
            Route("POST", "/ojs/v1/workers/heartbeat", self.heartbeat, Body.REQUIRED),
            Route("POST", "/ojs/v1/jobs/{id}/ack", self.ack_job, Body.OPTIONAL),
            Route("POST", "/ojs/v1/jobs/{id}/nack", self.nack_job, Body.REQUIRED),
        ]

    async def fetch(self, call: Call) -> Answer:
        """Leases jobs; answers at once unless `wait_ms` says otherwise."""
        members = Members(call.document)
        queues = members.texts("queues") or []
        worker_id = members.text("worker_id") or ""
        count = members.whole("count", low=0) or 1
        visibility_ms = members.whole("visibility_timeout_ms", low=0, high=MAX_DURATION_MS) or 0
        wait_ms = min(members.whole("wait_ms", low=0, high=MAX_DURATION_MS) or 0, _MAX_WAIT_MS)
        members.finish()
        work = self._delivery.fetch(queues, worker_id, count, wait_ms / 1000, visibility_ms)
        fetched = await (call.unless_gone(work) if wait_ms else work)
        try:
            jobs = [render_for(call, job.job) for job in fetched]
            await add_checkpoints(self._engine.checkpoints, jobs)
        except BaseException:
            self._give_back(fetched)
            raise
        document: dict[str, Any] = {"jobs": jobs, "job": jobs[0]} if jobs else {"jobs": jobs}
        return Answer(document, on_lost=lambda: self._give_back(fetched))

    async def ack(self, call: Call) -> Answer:
        """Completes the job that the body names."""
        return await self._ack(_read_job_id(call.document), call.document)

    async def ack_job(self, call: Call) -> Answer:
        """Completes the job that the path names."""
        return await self._ack(call.path["id"], call.document)

    async def nack(self, call: Call) -> Answer:
        """Fails an attempt of the job that the body names, or gives it back."""
        return await self._nack(_read_job_id(call.document), call.document)

    async def nack_job(self, call: Call) -> Answer:
        """Fails an attempt of the job that the path names; the error may be no more than a message."""
        document = call.document
        if isinstance(message := document.get("error"), str):
            document = {**document, "error": {"message": message}}
        return await self._nack(call.path["id"], document)

    async def heartbeat(self, call: Call) -> Answer:
        """A sign of life; extends what the worker holds, and jobs leased without a name that it says it runs."""
        members = Members(call.document)
        worker_id = members.required_text("worker_id")
        job_id = members.text("job_id") or ""
        state = members.text("state") or "running"
        if state not in _WORKER_STATES:
            members.refuse("state", "must be running, quiet or terminate")
        extend_ms = members.whole("visibility_timeout_ms", low=0, high=MAX_DURATION_MS) or 0
        lease = read_lease(members)
        active = _read_active(members)
        members.finish()
        beat = await self._delivery.heartbeat(job_id, worker_id, _WORKER_STATES[state], extend_ms, lease, active)
        nameless = await self._extend_nameless(beat.revoked, extend_ms)
        extended = [*beat.extended, *nameless]
        directed = "terminate" if self._is_draining() else _STATE_NAMES[beat.directed]
        # SDKs read `state`, others `directive`.
        document: dict[str, Any] = {"state": directed, "directive": "" if directed == "running" else directed}
        document |= {"jobs_extended": extended, "server_time": time_text(self._engine.store.clock.now())}
        if revoked := [job for job in beat.revoked if job not in nameless]:
            document["revoked"] = revoked
        return Answer(document)

    async def _ack(self, job_id: str, document: dict[str, Any]) -> Answer:
        members = Members(document)
        holder = read_holder(members)
        members.finish()
        completed_at = await self._delivery.ack(job_id, Result(*read_result(document)), holder)
        return Answer(
            {
                "acknowledged": True,
                "id": job_id,
                "job_id": job_id,
                "state": states.state_name(states.COMPLETED),
                "completed_at": time_text(completed_at),
            }
        )

    async def _nack(self, job_id: str, document: dict[str, Any]) -> Answer:
        members = Members(document)
        holder = read_holder(members)
        requeue = members.truth("requeue") or False
        given = document.get("error")
        if given is None and not requeue:
            members.refuse("error", "is required unless requeue is true")
        members.finish()
        error = read_error(given) if given is not None else JobError()
        if given is not None and not error.code:
            error.code = _NO_CODE
        failed = await self._delivery.nack(job_id, error, holder, requeue=requeue)
        for field in _LARGE:
            failed.ClearField(field)
        job = render_job(failed)
        return Answer({"job_id": job_id, **{name: job[name] for name in _OUTCOME if name in job}})

    async def _extend_nameless(self, job_ids: Iterable[str], extend_ms: int) -> list[str]:
        """Extends those of the jobs that were leased without the name of a worker."""
        extended = []
        for job_id in itertools.islice(job_ids, _MAX_NAMELESS):
            with suppress(JobNotFound, InvalidState):
                job = Job.FromString(await self._engine.jobs.get(job_id))
                if job.state == states.ACTIVE and not job.worker_id:
                    await self._delivery.heartbeat(job_id, "", WORKER_STATE_RUNNING, extend_ms, job.lease)
                    extended.append(job_id)
        return extended

    def _give_back(self, jobs: Sequence[Delivery]) -> None:
        self._delivery.give_back([(job.job_id, job.lease) for job in jobs])


def _read_job_id(document: dict[str, Any]) -> str:
    members = Members(document)
    job_id = members.required_text("job_id")
    members.finish()
    return job_id


def _read_active(members: Members) -> list[str]:
    """The jobs that a worker says it runs: some SDKs list them, others count them and list them elsewhere."""
    count = members.members.get("active_jobs")
    listed = members.texts("active_jobs") if not is_whole(count) else None
    return [*(listed or ()), *(members.texts("active_job_ids") or ())]
