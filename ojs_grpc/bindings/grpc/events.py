"""StreamEvents."""

from collections.abc import AsyncIterator

from ojs_grpc_pb.v1 import events_pb2

from ojs_grpc.bindings.grpc.call import Call
from ojs_grpc.operations.engine import Engine
from ojs_grpc.operations.event_filters import read_filters
from ojs_grpc.operations.events import AFTER


class EventsServicer:
    """RPCs on events."""

    engine: Engine

    async def stream_events(self, request: events_pb2.StreamEventsRequest, call: Call) -> AsyncIterator[bytes]:
        limits = self.engine.defaults.limits
        filters = read_filters(request.queues, request.event_types, request.job_id, request.workflow_id, limits)
        stream = self.engine.events.subscribe(filters, str(call.metadata.get(AFTER, "")))
        call.on_end(stream.close)
        # Before the client learns that the stream is open: it hears of everything that it does from then on.
        await stream.begin()
        return stream
