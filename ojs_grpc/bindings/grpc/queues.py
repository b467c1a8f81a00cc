"""ListQueues, QueueStats, PauseQueue, ResumeQueue."""

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

    async def queue_stats(self, request: queue_pb2.QueueStatsRequest, _: Call) -> queue_pb2.QueueStatsResponse:
        facts, recent = await self.engine.queues.stats(request.queue)
        return queue_pb2.QueueStatsResponse(
            queue=request.queue,
            stats=queue_pb2.QueueStatistics(
                available=facts.available,
                active=facts.active,
                scheduled=facts.scheduled,
                retryable=facts.retryable,
                dead=facts.discarded,
                completed_last_hour=recent.completed,
                failed_last_hour=recent.failed,
                avg_duration_ms=recent.avg_duration_ms,
                avg_wait_ms=recent.avg_wait_ms,
                throughput_per_second=recent.throughput_per_second,
                paused=facts.paused,
                completed=facts.completed,
            ),
        )

    async def pause_queue(self, request: queue_pb2.PauseQueueRequest, _: Call) -> queue_pb2.PauseQueueResponse:
        await self.engine.queues.pause(request.queue)
        return queue_pb2.PauseQueueResponse()

    async def resume_queue(self, request: queue_pb2.ResumeQueueRequest, _: Call) -> queue_pb2.ResumeQueueResponse:
        await self.engine.queues.resume(request.queue)
        return queue_pb2.ResumeQueueResponse()
