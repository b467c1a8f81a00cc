"""Workflows: create, list, get, cancel."""

from collections.abc import Mapping
from functools import partial
from types import MappingProxyType
from typing import Any, Final

from ojs_grpc_pb.v1.workflow_pb2 import (
    WORKFLOW_STATE_CANCELLED,
    WORKFLOW_STATE_COMPLETED,
    WORKFLOW_STATE_FAILED,
    WORKFLOW_STATE_RUNNING,
    WORKFLOW_STATE_UNSPECIFIED,
    CreateWorkflowRequest,
    Workflow,
    WorkflowState,
)

from ojs_grpc.bindings.http.call import Call, Query
from ojs_grpc.bindings.http.job_document import reads_only_objects
from ojs_grpc.bindings.http.pagination import pagination, read_page, read_paging
from ojs_grpc.bindings.http.route import Answer, Body, Route
from ojs_grpc.codec.job import render_job
from ojs_grpc.codec.members import Members
from ojs_grpc.codec.workflow import name_workflow_fields, read_workflow, render_workflow
from ojs_grpc.errors import InvalidRequest, Violation
from ojs_grpc.operations.engine import Engine
from ojs_grpc.operations.pauses import Pauses

_STATES: Final[Mapping[str, WorkflowState.ValueType]] = MappingProxyType(
    {
        "running": WORKFLOW_STATE_RUNNING,
        "active": WORKFLOW_STATE_RUNNING,
        "completed": WORKFLOW_STATE_COMPLETED,
        "failed": WORKFLOW_STATE_FAILED,
        "cancelled": WORKFLOW_STATE_CANCELLED,
        # The admin UI asks for it; no workflow waits here before it runs.
        "pending": WORKFLOW_STATE_UNSPECIFIED,
    }
)
_ROW: Final = (
    "id", "type", "name", "state", "steps_total", "steps_completed", "created_at", "started_at", "completed_at",
    "cancelled_at",
)  # fmt: skip
# Results beyond this are left to requests for the jobs themselves.
_MAX_JOBS_BYTES = 4 * 1024 * 1024
_NO_RESULTS: Final[Mapping[str, Any]] = MappingProxyType({})


class WorkflowsHandlers:
    """Endpoints on workflows."""

    def __init__(self, engine: Engine) -> None:
        self._workflows = engine.workflows

    def routes(self) -> list[Route]:
        """Those of the spec, and what the admin UI and the command line ask for besides."""
        return [
            Route("POST", "/ojs/v1/workflows", self.create, Body.REQUIRED, large=True),
            Route("GET", "/ojs/v1/workflows", self.list),
            Route("GET", "/ojs/v1/workflows/{id}", self.get),
            Route("DELETE", "/ojs/v1/workflows/{id}", self.delete),
            Route("POST", "/ojs/v1/workflows/{id}/cancel", self.cancel, Body.OPTIONAL),
        ]

    async def create(self, call: Call) -> Answer:
        """Stores a workflow with all its jobs."""
        request = await _read(call)
        try:
            workflow = await self._workflows.create(request, call.enqueue_context.trace)
        except InvalidRequest as error:
            raise name_workflow_fields(error, call.document) from None
        return Answer(_render(workflow), 201, ((b"location", f"/ojs/v1/workflows/{workflow.id}".encode()),))

    async def list(self, call: Call) -> Answer:
        """Workflows in short, the oldest first; all, or those in a state."""
        paging = read_paging(call)
        state = _read_state(call.query)
        page = await read_page(paging, partial(self._workflows.page, state=state))
        more, cursor = bool(page.next_cursor), page.next_cursor
        workflows = [_render_row(workflow) for workflow in page.rows]
        return Answer(
            {
                "workflows": workflows,
                # As the admin UI looks for them.
                "items": workflows,
                "total": page.total,
                "pagination": pagination(page.total, has_more=more, next_cursor=cursor, paging=paging),
            }
        )

    async def get(self, call: Call) -> Answer:
        """The workflow as it stands, with the results of its steps."""
        workflow = await self._workflows.get(call.path["id"])
        results = await self._results(workflow)
        if reads_only_objects(call):
            results = {job_id: result for job_id, result in results.items() if isinstance(result, dict)}
        return Answer(_render(workflow, results))

    async def delete(self, call: Call) -> Answer:
        """Cancels a workflow; the query may say why."""
        return Answer(_render(await self._workflows.cancel(call.path["id"], call.query.text("reason"))))

    async def cancel(self, call: Call) -> Answer:
        """Cancels a workflow; the body may say why."""
        members = Members(call.document)
        reason = members.text("reason") or ""
        members.finish()
        return Answer(_render(await self._workflows.cancel(call.path["id"], reason)))

    async def _results(self, workflow: Workflow) -> dict[str, Any]:
        """What the jobs of completed steps resulted in, by id."""
        jobs = await self._workflows.completed_jobs(workflow, _MAX_JOBS_BYTES)
        rendered = {job_id: render_job(job) for job_id, job in jobs.items()}
        return {job_id: job["result"] for job_id, job in rendered.items() if "result" in job}


async def _read(call: Call) -> CreateWorkflowRequest:
    steps, pauses = read_workflow(call.document, call.now), Pauses()
    while True:
        try:
            size = next(steps)
        except StopIteration as end:
            request: CreateWorkflowRequest = end.value
            return request
        await pauses.after(size)


def _read_state(query: Query) -> WorkflowState.ValueType | None:
    """The state that a list is limited to, None for all.

    Raises:
        InvalidRequest: there is no such state.
    """
    name = query.text("state")
    if not name:
        return None
    if name not in _STATES:
        raise InvalidRequest([Violation("state", f"must be one of {', '.join(_STATES)}")])
    return _STATES[name]


def _render_row(workflow: Workflow) -> dict[str, Any]:
    """A workflow in short."""
    document = render_workflow(workflow)
    return {name: document[name] for name in _ROW if name in document} | {"step_count": document["steps_total"]}


def _render(workflow: Workflow, results: Mapping[str, Any] = _NO_RESULTS) -> dict[str, Any]:
    """The workflow twice: JavaScript's client looks for its members at the top, the others in `workflow`.

    Args:
        results: of its steps, by job.
    """
    document = render_workflow(workflow)
    for step in document["steps"]:
        if step["job_id"] in results:
            step["result"] = results[step["job_id"]]
    if "steps_cancelled" in document:
        # As the command line has it.
        document["cancelled_steps"] = document["steps_cancelled"]
    return {**document, "workflow": document}
