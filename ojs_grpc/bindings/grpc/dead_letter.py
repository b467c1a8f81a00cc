"""ListDeadLetter, RetryDeadLetter, DeleteDeadLetter."""

from ojs_grpc_pb.v1 import queue_pb2

from ojs_grpc.bindings.grpc.call import Call
from ojs_grpc.bindings.grpc.encoding import job_reply, jobs_reply
from ojs_grpc.operations.engine import Engine


class DeadLetterServicer:
    """RPCs on dead letters."""

    engine: Engine

    async def list_dead_letter(self, request: queue_pb2.ListDeadLetterRequest, _: Call) -> bytes:
        page = await self.engine.dead_letters.list(request.queue, request.limit, request.cursor)
        rest = queue_pb2.ListDeadLetterResponse(total_count=page.total, next_cursor=page.next_cursor)
        return jobs_reply(page.rows) + rest.SerializeToString()

    async def retry_dead_letter(self, request: queue_pb2.RetryDeadLetterRequest, _: Call) -> bytes:
        return job_reply(await self.engine.dead_letters.retry(request.job_id))

    async def delete_dead_letter(
        self, request: queue_pb2.DeleteDeadLetterRequest, _: Call
    ) -> queue_pb2.DeleteDeadLetterResponse:
        await self.engine.dead_letters.delete(request.job_id)
        return queue_pb2.DeleteDeadLetterResponse()
