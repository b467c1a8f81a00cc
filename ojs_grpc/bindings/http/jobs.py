"""Enqueue, get, cancel, activate."""

from dataclasses import replace
from typing import Any

from ojs_grpc_pb.v1.job_pb2 import EnqueueBatchRequest

from ojs_grpc.bindings.http.call import Call
from ojs_grpc.bindings.http.job_document import render_enqueued_for, render_for, wrap_for
from ojs_grpc.bindings.http.route import Answer, Body, Route
from ojs_grpc.codec.enqueue import read_batch, read_draft, read_enqueue
from ojs_grpc.codec.fields import name_job_fields
from ojs_grpc.codec.json_text import dump
from ojs_grpc.codec.members import Members
from ojs_grpc.core import states
from ojs_grpc.errors import InvalidRequest, PayloadTooLarge, Violation
from ojs_grpc.operations.changes import Changed
from ojs_grpc.operations.engine import Engine
from ojs_grpc.operations.jobs import Enqueued
from ojs_grpc.operations.pauses import Pauses


class JobsHandlers:
    """Endpoints on jobs."""

    def __init__(self, engine: Engine) -> None:
        self._jobs = engine.jobs
        self._limits = engine.defaults.limits

    def routes(self) -> list[Route]:
        """Those of the spec, and `cancel` by POST."""
        return [
            Route("POST", "/ojs/v1/jobs", self.enqueue, Body.REQUIRED),
            Route("POST", "/ojs/v1/jobs/batch", self.enqueue_batch, Body.REQUIRED, large=True),
            Route("GET", "/ojs/v1/jobs/{id}", self.get),
            Route("DELETE", "/ojs/v1/jobs/{id}", self.delete),
            Route("POST", "/ojs/v1/jobs/{id}/cancel", self.cancel, Body.OPTIONAL),
            Route("POST", "/ojs/v1/jobs/{id}/activate", self.activate),
        ]

    async def enqueue(self, call: Call) -> Answer:
        """Stores a job; 200 if an earlier one stands for it."""
        draft, context = read_draft(call.document, call.now), call.enqueue_context
        if context.idempotency_key:
            context = replace(context, compared=read_enqueue(call.document, 0))
        try:
            enqueued = await self._jobs.enqueue(draft, context)
        except InvalidRequest as error:
            raise name_job_fields(error, call.document) from None
        job = render_enqueued_for(call, enqueued, 0, call.document)
        document = wrap_for(call, job)
        if enqueued.deduplicated:
            return Answer({**document, "deduplicated": True})
        return Answer(document, 201, ((b"location", b"/ojs/v1/jobs/" + job["id"].encode()),))

    async def enqueue_batch(self, call: Call) -> Answer:
        """Stores all jobs of a batch, or none."""
        request, context = await self._read_batch(call, call.now), call.enqueue_context
        if context.idempotency_key:
            context = replace(context, compared=await self._read_batch(call, 0))
        try:
            enqueued = await self._jobs.enqueue_batch(request, context)
        except InvalidRequest as error:
            raise name_job_fields(error, call.document) from None
        count = len(request.jobs)
        more: dict[str, Any] = {"count": count}
        if not call.is_sdk:
            # As the command line reads it.
            more |= {"enqueued": count, "failed": 0}
        if enqueued.deduplicated:
            more["deduplicated"] = True
        return Answer(b'{"jobs":[%b],%b' % (await _dump_jobs(call, enqueued), dump(more)[1:]), 201)

    async def get(self, call: Call) -> Answer:
        """The job as it stands."""
        return Answer(wrap_for(call, render_for(call, await self._jobs.get(call.path["id"]))))

    async def delete(self, call: Call) -> Answer:
        """Cancels a job; the query may say why."""
        changed = await self._jobs.cancel(call.path["id"], call.query.text("reason"))
        return Answer(wrap_for(call, _render_changed(call, changed)))

    async def cancel(self, call: Call) -> Answer:
        """Cancels a job; the body may say why."""
        members = Members(call.document)
        reason = members.text("reason") or ""
        members.finish()
        return Answer(wrap_for(call, _render_changed(call, await self._jobs.cancel(call.path["id"], reason))))

    async def activate(self, call: Call) -> Answer:
        """Makes a pending job available."""
        job = _render_changed(call, await self._jobs.activate(call.path["id"]))
        # It becomes available as it is activated.
        return Answer({"job": {**job, "activated_at": job["enqueued_at"]}})


    async def _read_batch(self, call: Call, now: int) -> EnqueueBatchRequest:
        request, pauses = EnqueueBatchRequest(), Pauses()
        room = self._limits.request_bytes
        for data in read_batch(call.document, now, self._limits.batch_jobs):
            room -= len(data)
            if room < 0:
                raise PayloadTooLarge([Violation("jobs", f"must be at most {self._limits.request_bytes} bytes")])
            request.jobs.add().MergeFromString(data)
            await pauses.after(len(data))
        return request


async def _dump_jobs(call: Call, enqueued: Enqueued) -> bytes:
    """The jobs as members of an array."""
    parts, pauses = [], Pauses()
    stored = enqueued.standing or [job.envelope for job in enqueued.new]
    for place, asked in enumerate(call.document["jobs"]):
        parts.append(dump(render_enqueued_for(call, enqueued, place, asked)))
        await pauses.after(len(stored[place]))
    return b",".join(parts)


def _render_changed(call: Call, changed: Changed) -> dict[str, Any]:
    """A job after a change, with the state it was in."""
    return {**render_for(call, changed.job), "previous_state": states.state_name(changed.previous_state)}
