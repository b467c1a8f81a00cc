"""All endpoints, noun by noun."""

from collections.abc import Callable

from ojs_grpc.bindings.http.admin import AdminHandlers
from ojs_grpc.bindings.http.checkpoints import CheckpointsHandlers
from ojs_grpc.bindings.http.conformance import ConformanceHandlers
from ojs_grpc.bindings.http.cron import CronHandlers
from ojs_grpc.bindings.http.dead_letter import DeadLetterHandlers
from ojs_grpc.bindings.http.delivery import DeliveryHandlers
from ojs_grpc.bindings.http.events import EventsHandlers
from ojs_grpc.bindings.http.jobs import JobsHandlers
from ojs_grpc.bindings.http.metrics import MetricsHandlers
from ojs_grpc.bindings.http.openapi import OpenApiHandlers
from ojs_grpc.bindings.http.progress import ProgressHandlers
from ojs_grpc.bindings.http.queues import QueuesHandlers
from ojs_grpc.bindings.http.results import ResultsHandlers
from ojs_grpc.bindings.http.route import Route
from ojs_grpc.bindings.http.schemas import SchemasHandlers
from ojs_grpc.bindings.http.system import SystemHandlers
from ojs_grpc.bindings.http.workflows import WorkflowsHandlers
from ojs_grpc.operations.engine import Engine


def all_routes(engine: Engine, is_draining: Callable[[], bool], *, conformance: bool) -> list[Route]:
    """The routes of every noun.

    Args:
        is_draining: whether the server is about to stop.
        conformance: see `HttpServer`.
    """
    return [
        *SystemHandlers(engine, is_draining).routes(),
        *JobsHandlers(engine).routes(),
        *DeliveryHandlers(engine, is_draining).routes(),
        *QueuesHandlers(engine).routes(),
        *DeadLetterHandlers(engine).routes(),
        *CronHandlers(engine).routes(),
        *WorkflowsHandlers(engine).routes(),
        *EventsHandlers(engine).routes(),
        *ProgressHandlers(engine).routes(),
        *CheckpointsHandlers(engine).routes(),
        *ResultsHandlers(engine).routes(),
        *SchemasHandlers(engine).routes(),
        *AdminHandlers(engine).routes(),
        *OpenApiHandlers().routes(),
        *MetricsHandlers(engine).routes(),
        *(ConformanceHandlers(engine).routes() if conformance else ()),
    ]
