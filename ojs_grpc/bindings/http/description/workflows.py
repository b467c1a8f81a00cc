"""Workflows."""

from ojs_grpc.bindings.http.description.operation import PAGING, Noun, Operation, Parameter
from ojs_grpc.bindings.http.description.schemas import (
    ANYTHING,
    TIME,
    Schema,
    answered,
    array,
    asked,
    either,
    mapping,
    one_of,
    ref,
    text,
    whole,
)

_CALLBACKS: dict[str, Schema] = dict.fromkeys(("on_complete", "on_success", "on_failure"), ref("JobTemplate"))
_PARTS = array(ref("WorkflowPart"), minItems=1)
_PRIMITIVE: dict[str, Schema] = {
    "type": one_of("chain", "group", "batch"),
    "steps": _PARTS,
    "jobs": _PARTS,
    "tasks": _PARTS,
    "callbacks": asked({}, _CALLBACKS),
    **_CALLBACKS,
}
_HAS_PARTS: Schema = {"anyOf": [{"required": [name]} for name in ("steps", "jobs", "tasks")]}
_STEP = asked(
    {},
    {
        "id": text("By which other steps name this one."),
        "depends_on": array(text(), "The steps that must complete before."),
        "trigger": one_of("", "complete", "success", "failure", description="The step is a callback."),
    },
)
_REQUEST: Schema = {
    "description": "Steps that name those they depend on; or a chain, group or batch of jobs.",
    "allOf": [
        asked({}, {"name": text(), "options": ref("JobOptions"), **_PRIMITIVE}),
        _HAS_PARTS,
    ],
}
_PART: Schema = either(
    {"allOf": [ref("JobTemplate"), _STEP]},
    {"allOf": [asked({"type": _PRIMITIVE["type"]}, {n: s for n, s in _PRIMITIVE.items() if n != "type"}), _HAS_PARTS]},
    description="A job, or a primitive again.",
)

_TIMES: dict[str, Schema] = dict.fromkeys(("started_at", "completed_at", "cancelled_at"), TIME)
_STEP_ANSWER = answered(
    {
        "id": text(),
        "index": whole(),
        "type": text(),
        "state": one_of("waiting", "pending", "active", "completed", "failed", "cancelled"),
        "job_id": text(),
        "depends_on": array(text()),
    },
    {"trigger": text(), "started_at": TIME, "completed_at": TIME, "result": ANYTHING},
)
_STATES = ("running", "completed", "failed", "cancelled")
_WORKFLOW: dict[str, Schema] = {
    "id": text(),
    "type": one_of("dag", "chain", "group", "batch"),
    "name": text(),
    "state": one_of(*_STATES),
    **dict.fromkeys(("steps_total", "steps_completed", "jobs_total", "jobs_completed"), whole()),
    "steps": array(ref("WorkflowStep")),
    "metadata": answered(
        {"created_at": TIME, "job_count": whole(), "completed_count": whole(), "failed_count": whole()}, _TIMES
    ),
    "created_at": TIME,
}
_ANSWER: Schema = {"allOf": [ref("Workflow"), answered({"workflow": ref("Workflow")})]}

NOUN = Noun(
    "workflows",
    "Jobs that depend on each other.",
    [
        Operation(
            "createWorkflow",
            "POST",
            "/ojs/v1/workflows",
            "Create a workflow with all its jobs",
            {201: _ANSWER},
            body=ref("WorkflowRequest"),
            refusals=[409],
            headers={"Location": text("Where the workflow is.", pattern="^/ojs/v1/workflows/")},
            takes=("traceparent", "tracestate"),
        ),
        Operation(
            "listWorkflows",
            "GET",
            "/ojs/v1/workflows",
            "List workflows, the oldest first",
            {
                200: answered(
                    {
                        "workflows": array(ref("WorkflowItem")),
                        "items": array(ref("WorkflowItem")),
                        "total": whole(),
                        "pagination": ref("Pagination"),
                    }
                )
            },
            query=[Parameter("state", one_of(*_STATES, "active", "pending"), "Only in this state."), *PAGING],
        ),
        Operation(
            "getWorkflow", "GET", "/ojs/v1/workflows/{id}", "Get a workflow", {200: _ANSWER}, refusals=[404]
        ),
        Operation(
            "cancelWorkflow",
            "DELETE",
            "/ojs/v1/workflows/{id}",
            "Cancel a workflow",
            {200: _ANSWER},
            query=[Parameter("reason", text())],
            refusals=[404, 409],
        ),
        Operation(
            "cancelWorkflowByPost",
            "POST",
            "/ojs/v1/workflows/{id}/cancel",
            "Cancel a workflow",
            {200: _ANSWER},
            body=asked({}, {"reason": text()}),
            needs_body=False,
            refusals=[404, 409],
        ),
    ],
    {
        "WorkflowRequest": _REQUEST,
        "WorkflowPart": _PART,
        "WorkflowStep": _STEP_ANSWER,
        "WorkflowItem": answered(
            {name: _WORKFLOW[name] for name in ("id", "type", "name", "state", "steps_total", "steps_completed")}
            | {"created_at": TIME, "step_count": whole()},
            _TIMES,
            "A workflow without its steps.",
        ),
        "Workflow": answered(
            _WORKFLOW,
            {
                **_TIMES,
                "callbacks": mapping(ref("WorkflowStep")),
                "steps_cancelled": whole(),
                "steps_already_completed": whole(),
                "cancelled_steps": whole(),
            },
        ),
    },
)
