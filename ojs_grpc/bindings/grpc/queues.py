"""ListQueues."""

from ojs_grpc_pb.v1 import queue_pb2

from ojs_grpc.bindings.grpc.call import Call
from ojs_grpc.core.duration import to_timestamp
from ojs_grpc.operations.engine import Engine


class QueuesServicer:
    """RPCs on queues."""

    engine: Engine

    async def list_queues(self, request: queue_pb2.ListQueuesRequest, _: Call) -> queue_pb2.ListQueuesResponse:
        page = await self.engine.queues.list(request.limit, request.cursor)
        return queue_pb2.ListQueuesResponse(
            queues=[
                queue_pb2.QueueInfo(
                    name=row.name,
                    paused=row.paused,
                    available_count=row.available,
                    created_at=to_timestamp(row.created_at),
                )
                for row in page.rows
            ],
            next_cursor=page.next_cursor,
        )
