"""StreamJobs."""

from collections.abc import AsyncIterator

from ojs_grpc_pb.v1 import worker_pb2

from ojs_grpc.bindings.grpc.call import Call
from ojs_grpc.bindings.grpc.encoding import milliseconds
from ojs_grpc.operations.engine import Engine


class StreamsServicer:
    """RPCs that answer with a stream."""

    engine: Engine

    async def stream_jobs(self, request: worker_pb2.StreamJobsRequest, call: Call) -> AsyncIterator[bytes]:
        stream = self.engine.streams.open(
            request.queues,
            request.worker_id,
            request.max_concurrent,
            milliseconds(request.visibility_timeout, "visibility_timeout"),
        )
        call.on_end(stream.close)
        return stream
