"""The servicer of `ojs.v1.OJSService`: a method for each RPC."""

from ojs_grpc.bindings.grpc.cron import CronServicer
from ojs_grpc.bindings.grpc.dead_letter import DeadLetterServicer
from ojs_grpc.bindings.grpc.delivery import DeliveryServicer
from ojs_grpc.bindings.grpc.events import EventsServicer
from ojs_grpc.bindings.grpc.jobs import JobsServicer
from ojs_grpc.bindings.grpc.queues import QueuesServicer
from ojs_grpc.bindings.grpc.streams import StreamsServicer
from ojs_grpc.bindings.grpc.system import SystemServicer
from ojs_grpc.bindings.grpc.workflows import WorkflowsServicer
from ojs_grpc.operations.engine import Engine


class Servicer(
    SystemServicer,
    JobsServicer,
    DeliveryServicer,
    StreamsServicer,
    QueuesServicer,
    DeadLetterServicer,
    CronServicer,
    WorkflowsServicer,
    EventsServicer,
):
    """All RPCs by name in snake case: check, call, convert. They raise `OJSError`s; codes are chosen elsewhere."""

    def __init__(self, engine: Engine, long_poll_seconds: float) -> None:
        self.engine = engine
        self.long_poll_seconds = long_poll_seconds
        self.draining = False
