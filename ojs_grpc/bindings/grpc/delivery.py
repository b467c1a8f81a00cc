"""Fetch, Ack, Nack, Heartbeat."""

from ojs_grpc_pb.v1 import worker_pb2

from ojs_grpc.bindings.grpc.call import Call
from ojs_grpc.bindings.grpc.encoding import jobs_reply, milliseconds
from ojs_grpc.codec import error, result
from ojs_grpc.core.duration import to_timestamp
from ojs_grpc.errors import InvalidRequest, Violation
from ojs_grpc.operations.delivery import Result
from ojs_grpc.operations.engine import Engine


class DeliveryServicer:
    """RPCs of workers."""

    engine: Engine
    long_poll_seconds: float
    draining: bool

    async def fetch(self, request: worker_pb2.FetchRequest, call: Call) -> bytes:
        wait_ms = milliseconds(request.wait, "wait") if request.HasField("wait") else self.long_poll_seconds * 1000
        jobs = await self.engine.delivery.fetch(
            request.queues,
            request.worker_id,
            request.count,
            call.seconds_left(wait_ms / 1000),
            milliseconds(request.visibility_timeout, "visibility_timeout"),
        )
        if jobs:
            try:
                await call.open()
            except BaseException:
                self.engine.delivery.give_back([(job.job_id, job.lease) for job in jobs])
                raise
        return jobs_reply(job.job for job in jobs)

    async def ack(self, request: worker_pb2.AckRequest, call: Call) -> worker_pb2.AckResponse:
        result.verify_exact(request)
        await self.engine.delivery.ack(
            request.job_id,
            Result(
                request.result if request.HasField("result") else None,
                request.result_value if request.HasField("result_value") else None,
                request.exact,
            ),
            call.holder(request.lease, request.worker_id),
        )
        return _ACKNOWLEDGED

    async def nack(self, request: worker_pb2.NackRequest, call: Call) -> worker_pb2.NackResponse:
        if not request.requeue and not request.HasField("error"):
            raise InvalidRequest([Violation("error", "is required unless requeue is set")])
        error.verify_exact(request.error)
        holder = call.holder(request.lease, request.worker_id)
        job = await self.engine.delivery.nack(request.job_id, request.error, holder, requeue=request.requeue)
        response = worker_pb2.NackResponse(state=job.state)
        if job.HasField("next_attempt_at"):
            response.next_attempt_at.CopyFrom(job.next_attempt_at)
        return response

    async def heartbeat(self, request: worker_pb2.HeartbeatRequest, call: Call) -> worker_pb2.HeartbeatResponse:
        holder = call.holder(request.lease, request.worker_id)
        beat = await self.engine.delivery.heartbeat(
            request.id,
            holder.worker_id,
            request.current_state or worker_pb2.WORKER_STATE_RUNNING,
            milliseconds(request.extend_by, "extend_by"),
            holder.lease,
            request.active_jobs,
        )
        response = worker_pb2.HeartbeatResponse(
            directed_state=worker_pb2.WORKER_STATE_TERMINATE if self.draining else beat.directed,
            revoked_jobs=beat.revoked,
        )
        if beat.new_deadline:
            response.new_deadline.CopyFrom(to_timestamp(beat.new_deadline))
        return response


_ACKNOWLEDGED = worker_pb2.AckResponse(acknowledged=True)
