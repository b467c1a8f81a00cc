"""From a request to a workflow: its record, and all its jobs (behaviour sections 4.1 and 4.2)."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Final, NamedTuple

from google.protobuf.struct_pb2 import Value
from ojs_grpc_pb.v1.job_pb2 import (
    UNIQUE_CONFLICT_ACTION_REJECT,
    UNIQUE_CONFLICT_ACTION_UNSPECIFIED,
    EnqueueOptions,
    EnqueueRequest,
)
from ojs_grpc_pb.v1.workflow_pb2 import (
    WORKFLOW_STATE_RUNNING,
    WORKFLOW_STEP_STATE_PENDING,
    WORKFLOW_STEP_STATE_WAITING,
    CreateWorkflowRequest,
    Workflow,
    WorkflowStep,
)

from ojs_grpc.core import states
from ojs_grpc.core.duration import to_timestamp
from ojs_grpc.core.envelope import DEFAULT_QUEUE, EnvelopeReader, NewJob
from ojs_grpc.core.ids import new_id, partition_of_queue
from ojs_grpc.core.workflow import graph
from ojs_grpc.core.workflow.record import BATCH, CHAIN, DAG, GROUP, KINDS, TRIGGERS
from ojs_grpc.errors import InvalidRequest, Violation

MAX_STEPS: Final = 1000
"""Steps of a workflow, beside so many callbacks."""
MAX_CALLBACKS: Final = 3
NAME_CHARS: Final = 255
"""How long the name of a workflow may be, and the id of a step."""

_TRIGGER_MEMBER = "ojs.workflow.trigger"
_REFUSING = {UNIQUE_CONFLICT_ACTION_UNSPECIFIED, UNIQUE_CONFLICT_ACTION_REJECT}
_SHAPES = {
    CHAIN: "needs steps that come one after another, without callbacks",
    GROUP: "needs steps that do not depend on each other, without callbacks",
    BATCH: "needs a callback",
}
# No answer has room for more, and a million dependencies may all be wrong: looking at them would keep others waiting.
_MANY_VIOLATIONS = 100
# A record has to fit into a reply, also with the times that it gets later.
_RECORD_BYTES = 3 * 1024 * 1024


class Definition(NamedTuple):
    """A workflow to store: its record, and the job of each step, in the order of the steps."""

    workflow: Workflow
    jobs: Sequence[NewJob]


def read(request: CreateWorkflowRequest, reader: EnvelopeReader, now: int, trace: Mapping[str, str]) -> Definition:
    """Validates a workflow and gives ids to it and to its jobs.

    Args:
        trace: as in `EnvelopeReader.read`.

    Raises:
        InvalidRequest: or one of its kinds, if nothing else is wrong: with every broken rule, unless there are many.
    """
    if not 0 < len(request.steps) <= MAX_STEPS + MAX_CALLBACKS:
        raise _wrong_number(request)
    broken = _shape_violations(request) or _cycle_violations(request)
    # Near the jobs of its first queue.
    workflow_id = new_id(now, partition_of_queue(request.steps[0].options.queue or DEFAULT_QUEUE))
    jobs = _read_jobs(request.steps, reader, now, trace, workflow_id, broken)
    workflow = _record(request, jobs, workflow_id, now)
    if workflow.ByteSize() > _RECORD_BYTES:
        raise InvalidRequest([Violation("steps", "must have fewer dependencies or shorter ids: too large to report")])
    return Definition(workflow, jobs)


def _record(request: CreateWorkflowRequest, jobs: Sequence[NewJob], workflow_id: str, now: int) -> Workflow:
    said = {step.id: trigger for step in request.steps if (trigger := _said_trigger(step))}
    callbacks = graph.infer_callbacks(request.steps, said)
    if len(request.steps) - min(len(callbacks), MAX_CALLBACKS) > MAX_STEPS:
        raise _wrong_number(request)
    workflow = Workflow(
        id=workflow_id,
        name=request.name,
        state=WORKFLOW_STATE_RUNNING,
        type=_kind(request, callbacks),
        created_at=to_timestamp(now),
    )
    for step, job in zip(request.steps, jobs, strict=True):
        workflow.steps.add(
            id=step.id,
            type=step.type,
            state=WORKFLOW_STEP_STATE_WAITING if step.depends_on else WORKFLOW_STEP_STATE_PENDING,
            job_id=job.id,
            depends_on=step.depends_on,
            trigger=callbacks.get(step.id, ""),
        )
    return workflow


def _kind(request: CreateWorkflowRequest, callbacks: Mapping[str, str]) -> str:
    """What the client calls the workflow, or else what its steps are together.

    Raises:
        InvalidRequest: the steps are something else than the client says.
    """
    kind = graph.kind_of({step.id: step.depends_on for step in request.steps}, callbacks)
    said = request.type or kind
    group_of_one = said == GROUP and kind == CHAIN and len(request.steps) == 1
    if said not in (DAG, kind) and not group_of_one and not (said == BATCH and callbacks):
        raise InvalidRequest([Violation("type", f"{said} {_SHAPES[said]}")])
    return said


def _wrong_number(request: CreateWorkflowRequest) -> InvalidRequest:
    rule = f"must be from 1 to {MAX_STEPS}, and {MAX_CALLBACKS} callbacks at most besides, not {len(request.steps)}"
    return InvalidRequest([Violation("steps", rule)])


def _shape_violations(request: CreateWorkflowRequest) -> list[Violation]:
    """What is wrong with the steps as steps, apart from cycles, which are looked for once nothing is."""
    broken = []
    if len(request.name) > NAME_CHARS:
        broken.append(Violation("name", f"must be at most {NAME_CHARS} characters"))
    if request.type and request.type not in KINDS:
        broken.append(Violation("type", f"must be one of {', '.join(KINDS)}"))
    known = {step.id for step in request.steps}
    seen: set[str] = set()
    for place, step in enumerate(request.steps):
        broken += [Violation(f"steps[{place}].{field}", rule) for field, rule in _step_violations(step, known, seen)]
        if len(broken) > _MANY_VIOLATIONS:
            break
    return broken


def _cycle_violations(request: CreateWorkflowRequest) -> list[Violation]:
    parents = {step.id: list(step.depends_on) for step in request.steps}
    cycle = graph.find_cycle(parents)
    if not cycle:
        return []
    place = list(parents).index(cycle[0])
    return [Violation(f"steps[{place}].depends_on", f"makes a cycle: {' → '.join(cycle)}")]


def _step_violations(step: WorkflowStep, known: set[str], seen: set[str]) -> Iterator[Violation]:
    """What is wrong with one step, apart from its job.

    Args:
        known: the ids of all steps.
        seen: the ids of the steps before this one, to which its own is added.
    """
    if rule := _id_rule(step.id, seen):
        yield Violation("id", rule)
    seen.add(step.id)
    if step.depends_on:
        yield from _dependency_violations(step, known)
    if trigger := _said_trigger(step):
        yield from _trigger_violations(step, trigger)
    if step.HasField("options"):
        yield from _option_violations(step.options)


def _id_rule(step_id: str, seen: set[str]) -> str:
    if not step_id:
        return "is required"
    if len(step_id) > NAME_CHARS:
        return f"must be at most {NAME_CHARS} characters"
    return f"must be unique: {step_id!r} is another step's too" if step_id in seen else ""


def _dependency_violations(step: WorkflowStep, known: set[str]) -> Iterator[Violation]:
    if len(step.depends_on) > MAX_STEPS + MAX_CALLBACKS:
        yield Violation("depends_on", "must be no more than there may be steps")
        return
    parents = set(step.depends_on)
    if len(parents) == len(step.depends_on) and step.id not in parents and parents <= known:
        return
    seen: set[str] = set()
    for place, parent in enumerate(step.depends_on):
        field = f"depends_on[{place}]"
        if parent not in known:
            yield Violation(field, f"no step has the id {parent[:NAME_CHARS]!r}")
        elif parent == step.id:
            yield Violation(field, "must not be the step itself")
        elif parent in seen:
            yield Violation(field, f"repeats {parent!r}")
        seen.add(parent)


def _trigger_violations(step: WorkflowStep, trigger: str) -> Iterator[Violation]:
    field = "trigger" if step.trigger else f'options.meta["{_TRIGGER_MEMBER}"]'
    if trigger not in TRIGGERS:
        yield Violation(field, f"must be one of {', '.join(TRIGGERS)}")
    elif not step.depends_on:
        yield Violation(field, "needs depends_on: the steps whose end it waits for")


def _option_violations(options: EnqueueOptions) -> Iterator[Violation]:
    if options.pending:
        yield Violation("options.pending", "must not be set: the workflow says when a step's turn is")
    if options.HasField("unique") and options.unique.on_conflict not in _REFUSING:
        rule = "must be reject: no other job may stand for a step, and no step takes another job's place"
        yield Violation("options.unique.on_conflict", rule)


def _said_trigger(step: WorkflowStep) -> str:
    """The trigger that a step says itself; not empty if it says anything at all."""
    if step.trigger or not _has_trigger_member(step):
        return step.trigger
    said: Value = step.options.meta.fields[_TRIGGER_MEMBER]
    return said.string_value or "unknown"


def _read_jobs(
    steps: Sequence[WorkflowStep],
    reader: EnvelopeReader,
    now: int,
    trace: Mapping[str, str],
    workflow_id: str,
    broken: list[Violation],
) -> list[NewJob]:
    """The job of each step.

    Args:
        broken: what is known to be wrong already.

    Raises:
        InvalidRequest: something is wrong, be it known already.
    """
    kinds: set[type[InvalidRequest]] = {InvalidRequest} if broken else set()
    jobs: list[NewJob] = []
    for place, step in enumerate(steps):
        entry = EnqueueRequest(
            type=step.type,
            args=step.args,
            exact=step.exact,
            schema=step.schema,
            ext=step.ext if step.HasField("ext") else None,
        )
        try:
            job = reader.read(entry, _job_options(step), now, trace, workflow_id=workflow_id)
        except InvalidRequest as error:
            kinds.add(type(error))
            broken += [Violation(f"steps[{place}].{field}", rule) for field, rule in error.violations]
            continue
        jobs.append(job._replace(state=states.PENDING, due_at=0) if step.depends_on else job)
    broken += _equal_jobs(jobs) if not broken else ()
    if broken:
        raise (kinds.pop() if len(kinds) == 1 else InvalidRequest)(broken)
    return jobs


def _job_options(step: WorkflowStep) -> EnqueueOptions:
    """The options of the step's job: without what is said to the workflow."""
    if not _has_trigger_member(step):
        return step.options
    options = EnqueueOptions()
    options.CopyFrom(step.options)
    del options.meta.fields[_TRIGGER_MEMBER]
    return options


def _has_trigger_member(step: WorkflowStep) -> bool:
    return step.options.HasField("meta") and _TRIGGER_MEMBER in step.options.meta.fields


def _equal_jobs(jobs: Sequence[NewJob]) -> Iterator[Violation]:
    """All steps are jobs from the start, so no two of them may count as the same."""
    first: dict[bytes, int] = {}
    for place, job in enumerate(jobs):
        if job.links is not None and job.links.unique is not None:
            earlier = first.setdefault(job.links.unique.fingerprint, place)
            if earlier != place:
                yield Violation(f"steps[{place}].options.unique", f"counts as the same job as steps[{earlier}]")
