"""Workflows in JSON (wire section 1.2)."""

from collections.abc import Generator, Sequence
from typing import Any, Final

from ojs_grpc_pb.v1.workflow_pb2 import (
    WORKFLOW_STATE_CANCELLED,
    WORKFLOW_STEP_STATE_CANCELLED,
    WORKFLOW_STEP_STATE_COMPLETED,
    WORKFLOW_STEP_STATE_FAILED,
    CreateWorkflowRequest,
    Workflow,
    WorkflowState,
    WorkflowStep,
    WorkflowStepState,
    WorkflowStepStatus,
)

from ojs_grpc.codec.fields import name_field
from ojs_grpc.codec.members import Members, error_at
from ojs_grpc.codec.step_options import with_defaults, with_spec_names
from ojs_grpc.codec.template import read_template
from ojs_grpc.codec.times import timestamp_text
from ojs_grpc.codec.workflow_outline import Job, read_outline
from ojs_grpc.core.limits import Limits
from ojs_grpc.core.workflow.definition import NAME_CHARS
from ojs_grpc.core.workflow.record import BATCH, KINDS, TRIGGERS
from ojs_grpc.errors import InvalidRequest, PayloadTooLarge, Violation

_STEP_OWN: Final = frozenset({"id", "depends_on", "trigger"})
# The Python client says by this option what a step is for.
_CALLBACK_OPTION: Final = "callback_type"
_CALLBACK_TYPES: Final = {f"on_{trigger}": trigger for trigger in TRIGGERS}
_MANY_VIOLATIONS: Final = 100
_MOST_BYTES: Final = Limits().request_bytes


def read_workflow(document: dict[str, Any], now: int) -> Generator[int, None, CreateWorkflowRequest]:
    """A workflow to create, in either form; it may be large, so that others should have their turn in between.

    Args:
        now: as in `read_enqueue`.

    Yields:
        The size of each step when it is read.

    Returns:
        The request.

    Raises:
        InvalidRequest: or one of the kinds that `read_template` raises: with every broken rule, unless there are many,
            that the engine does not look after. The engine's own errors are for `name_workflow_fields`.
    """
    members = Members(document)
    name, kind = members.text("name") or "", members.text("type") or ""
    if kind and kind not in KINDS:
        members.refuse("type", f"must be one of {', '.join(KINDS)}")
    defaults = members.object("options") or {}
    members.finish()
    if defaults:
        # What is wrong with them is told once, and not of every step.
        read_template({"type": "any", "args": [], "options": defaults}, now)
    outline = read_outline(document)
    read = yield from _read_steps(list(outline.jobs()), defaults, now)
    steps = outline.compose(iter(read))
    # With primitives inside, the steps are something else than the whole is called; a batch is known by its callbacks.
    if outline.nests and kind != BATCH:
        kind = ""
    return CreateWorkflowRequest(name=name, steps=steps, type=kind)


def name_workflow_fields(error: InvalidRequest, document: dict[str, Any]) -> InvalidRequest:
    """What the engine said of a request that `read_workflow` read, its fields as the client wrote them."""
    outline = read_outline(document)
    jobs = list(outline.jobs())
    defaults = {"options": document.get("options")}
    violations = []
    for field, rule in error.violations:
        place, bracket, rest = field.removeprefix("steps[").partition("]")
        if bracket and place.isdigit():
            job = jobs[int(place)]
            places = [(f"{job.field}.", job.document), ("", defaults)]
            violations.append(Violation(name_field(rest.removeprefix("."), places), rule))
        else:
            violations.append(Violation(outline.field if field == "steps" else field, rule))
    return type(error)(violations, error.details)


def render_workflow(workflow: Workflow) -> dict[str, Any]:
    """The workflow as a document. Steps are counted without callbacks."""
    steps = [_render_step(place, step) for place, step in enumerate(workflow.steps)]
    counted = [step for step in workflow.steps if not step.trigger]
    times = _render_times(workflow)
    completed = _count(counted, WORKFLOW_STEP_STATE_COMPLETED)
    document: dict[str, Any] = {
        "id": workflow.id,
        "type": workflow.type,
        "name": workflow.name,
        "state": WorkflowState.Name(workflow.state).removeprefix("WORKFLOW_STATE_").lower(),
        "steps_total": len(counted),
        "steps_completed": completed,
        "jobs_total": len(counted),
        "jobs_completed": completed,
        "steps": steps,
        "metadata": {
            **times,
            "job_count": len(counted),
            "completed_count": completed,
            "failed_count": _count(counted, WORKFLOW_STEP_STATE_FAILED),
        },
        **times,
    }
    if workflow.type == BATCH:
        document["callbacks"] = {f"on_{step['trigger']}": step for step in reversed(steps) if "trigger" in step}
    if workflow.state == WORKFLOW_STATE_CANCELLED:
        document["steps_cancelled"] = _count(workflow.steps, WORKFLOW_STEP_STATE_CANCELLED)
        document["steps_already_completed"] = _count(workflow.steps, WORKFLOW_STEP_STATE_COMPLETED)
    return document


def _read_steps(
    jobs: Sequence[Job], defaults: dict[str, Any], now: int
) -> Generator[int, None, list[WorkflowStep]]:
    """The steps, without what the primitives add.

    Raises:
        InvalidRequest: with the broken rules of all of them, unless there are many.
        PayloadTooLarge: they are larger together than a request may be: each has the default options.
    """
    steps: list[WorkflowStep] = []
    room = _MOST_BYTES
    broken: list[Violation] = []
    kinds: set[type[InvalidRequest]] = set()
    for job in jobs:
        try:
            steps.append(_read_step(job.document, defaults, now))
        except InvalidRequest as error:
            kinds.add(type(error))
            broken += error_at(error, job.field).violations
            if len(broken) > _MANY_VIOLATIONS:
                break
            continue
        size = steps[-1].ByteSize()
        room -= size
        if room < 0:
            rule = f"must be such that all steps have at most {_MOST_BYTES} bytes together"
            raise PayloadTooLarge([Violation("options" if defaults else job.field, rule)])
        yield size
    if broken:
        raise (kinds.pop() if len(kinds) == 1 else InvalidRequest)(broken)
    return steps


def _read_step(document: dict[str, Any], defaults: dict[str, Any], now: int) -> WorkflowStep:
    members = Members(document)
    step = WorkflowStep(
        id=members.text("id") or "",
        depends_on=members.texts("depends_on") or (),
        trigger=members.text("trigger") or "",
    )
    if len(step.id) > NAME_CHARS:
        # Not for the core to say: a part of a chain names all steps of the part before it.
        members.refuse("id", f"must be at most {NAME_CHARS} characters")
    document = with_defaults(with_spec_names(document), defaults)
    if type(options := document.get("options")) is dict and options.get(_CALLBACK_OPTION) is not None:
        said = Members(options, "options", members.broken).text(_CALLBACK_OPTION)
        if said is not None and said not in _CALLBACK_TYPES:
            members.refuse(f"options.{_CALLBACK_OPTION}", f"must be one of {', '.join(_CALLBACK_TYPES)}")
        step.trigger = step.trigger or _CALLBACK_TYPES.get(said or "", "")
        options = {name: value for name, value in options.items() if name != _CALLBACK_OPTION}
        document = {**document, "options": options}
    try:
        read = read_template(document, now, _STEP_OWN)
    except InvalidRequest as error:
        if members.broken:
            raise InvalidRequest([*members.broken, *error.violations]) from None
        raise
    members.finish()
    step.type, step.schema = read.type, read.schema
    step.args.extend(read.args)
    step.exact.update(read.exact)
    if read.options.ByteSize():
        step.options.CopyFrom(read.options)
    if read.HasField("ext"):
        step.ext.CopyFrom(read.ext)
    return step


def _render_step(place: int, step: WorkflowStepStatus) -> dict[str, Any]:
    document: dict[str, Any] = {
        "id": step.id,
        "index": place,
        "type": step.type,
        "state": WorkflowStepState.Name(step.state).removeprefix("WORKFLOW_STEP_STATE_").lower(),
        "job_id": step.job_id,
        # As the admin UI looks for it.
        "job_ids": [step.job_id],
        "depends_on": list(step.depends_on),
    }
    if step.trigger:
        document["trigger"] = step.trigger
    if step.HasField("started_at"):
        document["started_at"] = timestamp_text(step.started_at)
    if step.HasField("completed_at"):
        document["completed_at"] = timestamp_text(step.completed_at)
    return document


def _render_times(workflow: Workflow) -> dict[str, str]:
    times = {"created_at": timestamp_text(workflow.created_at)}
    if workflow.HasField("started_at"):
        times["started_at"] = timestamp_text(workflow.started_at)
    if workflow.HasField("completed_at"):
        cancelled = workflow.state == WORKFLOW_STATE_CANCELLED
        times["cancelled_at" if cancelled else "completed_at"] = timestamp_text(workflow.completed_at)
    return times


def _count(steps: Sequence[WorkflowStepStatus], state: int) -> int:
    return sum(step.state == state for step in steps)
