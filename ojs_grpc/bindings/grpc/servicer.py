"""The servicer of `ojs.v1.OJSService`: a method for each RPC that is there, and the level of those that are not."""

from ojs_grpc.bindings.grpc.dead_letter import DeadLetterServicer
from ojs_grpc.bindings.grpc.delivery import DeliveryServicer
from ojs_grpc.bindings.grpc.jobs import JobsServicer
from ojs_grpc.bindings.grpc.queues import QueuesServicer
from ojs_grpc.bindings.grpc.streams import StreamsServicer
from ojs_grpc.bindings.grpc.system import SystemServicer
from ojs_grpc.operations.engine import Engine

# The conformance level that an RPC belongs to, where it is above what this server reaches.
MISSING = {
    "RegisterCron": 2,
    "UnregisterCron": 2,
    "ListCron": 2,
    "CreateWorkflow": 3,
    "GetWorkflow": 3,
    "CancelWorkflow": 3,
    "QueueStats": 4,
    "PauseQueue": 4,
    "ResumeQueue": 4,
    "StreamEvents": 4,
}


class Servicer(
    SystemServicer, JobsServicer, DeliveryServicer, StreamsServicer, QueuesServicer, DeadLetterServicer
):
    """All RPCs by name in snake case: check, call, convert. They raise `OJSError`s; codes are chosen elsewhere."""

    def __init__(self, engine: Engine, long_poll_seconds: float) -> None:
        self.engine = engine
        self.long_poll_seconds = long_poll_seconds
        self.draining = False
