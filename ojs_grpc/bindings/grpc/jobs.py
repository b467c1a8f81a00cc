"""Enqueue, EnqueueBatch, GetJob, CancelJob, ActivateJob."""

from ojs_grpc_pb.v1 import job_pb2

from ojs_grpc.bindings.grpc.call import Call
from ojs_grpc.bindings.grpc.encoding import batch_reply, job_reply
from ojs_grpc.codec.template import verify_entry, verify_exact
from ojs_grpc.core.draft import draft_of
from ojs_grpc.operations.engine import Engine
from ojs_grpc.operations.pauses import Pauses


class JobsServicer:
    """RPCs on jobs."""

    engine: Engine

    async def enqueue(self, request: job_pb2.EnqueueRequest, call: Call) -> bytes:
        verify_exact(request)
        enqueued = await self.engine.jobs.enqueue(draft_of(request), call.enqueue_context)
        call.deduplicated = enqueued.deduplicated
        return job_reply(enqueued.jobs[0])

    async def enqueue_batch(self, request: job_pb2.EnqueueBatchRequest, call: Call) -> bytes:
        pauses = Pauses()
        for index, entry in enumerate(request.jobs):
            if entry.exact:
                verify_entry(entry, index, "jobs")
                await pauses.after(entry.ByteSize())
        enqueued = await self.engine.jobs.enqueue_batch(request, call.enqueue_context)
        call.deduplicated = enqueued.deduplicated
        return batch_reply(enqueued.jobs, self.engine.defaults.limits.reply_bytes)

    async def get_job(self, request: job_pb2.GetJobRequest, _: Call) -> bytes:
        return job_reply(await self.engine.jobs.get(request.job_id))

    async def cancel_job(self, request: job_pb2.CancelJobRequest, _: Call) -> bytes:
        return job_reply((await self.engine.jobs.cancel(request.job_id, request.reason)).job)

    async def activate_job(self, request: job_pb2.ActivateJobRequest, _: Call) -> bytes:
        return job_reply((await self.engine.jobs.activate(request.job_id)).job)
