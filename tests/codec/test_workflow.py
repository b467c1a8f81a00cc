"""Workflows in JSON: steps, primitives, defaults, and the answer (wire section 1.2)."""

from typing import Any

import pytest
from google.protobuf.json_format import MessageToDict
from ojs_grpc_pb.v1.workflow_pb2 import (
    WORKFLOW_STATE_CANCELLED,
    WORKFLOW_STATE_COMPLETED,
    WORKFLOW_STATE_RUNNING,
    WORKFLOW_STEP_STATE_ACTIVE,
    WORKFLOW_STEP_STATE_CANCELLED,
    WORKFLOW_STEP_STATE_COMPLETED,
    WORKFLOW_STEP_STATE_FAILED,
    WORKFLOW_STEP_STATE_WAITING,
    CreateWorkflowRequest,
    Workflow,
    WorkflowStepStatus,
)

from ojs_grpc.codec.workflow import name_workflow_fields, render_workflow
from ojs_grpc.core.duration import to_timestamp
from ojs_grpc.core.envelope import Defaults, EnvelopeReader
from ojs_grpc.core.workflow import definition
from ojs_grpc.errors import InvalidRequest, InvalidRetryPolicy, PayloadTooLarge, Violation
from tests.clock import START
from tests.codec.documents import read_workflow


def job(type: str = "test.job", **members: Any) -> dict[str, Any]:  # noqa: ANN401 - any JSON
    """A job without arguments."""
    return {"type": type, "args": [], **members}


def step(id: str, *depends_on: str, **members: Any) -> dict[str, Any]:  # noqa: ANN401 - any JSON
    """A step that says what it depends on."""
    return job(id=id, depends_on=list(depends_on), **members)


def chain(*steps: Any, **members: Any) -> dict[str, Any]:  # noqa: ANN401 - any JSON
    """One after another."""
    return {"type": "chain", "steps": list(steps), **members}


def group(*jobs: Any, **members: Any) -> dict[str, Any]:  # noqa: ANN401 - any JSON
    """All at once."""
    return {"type": "group", "jobs": list(jobs), **members}


def batch(*jobs: Any, callbacks: Any = None, **members: Any) -> dict[str, Any]:  # noqa: ANN401 - any JSON
    """All at once, and a callback."""
    return {"type": "batch", "jobs": list(jobs), "callbacks": callbacks or {"on_success": job("s")}, **members}


def read(document: dict[str, Any]) -> CreateWorkflowRequest:
    """The request, which the engine takes."""
    request = read_workflow(document, START)
    definition.read(request, EnvelopeReader(Defaults()), START, {})
    return request


def kind(document: dict[str, Any]) -> str:
    """What the engine keeps it as."""
    return definition.read(read_workflow(document, START), EnvelopeReader(Defaults()), START, {}).workflow.type


def shape(document: dict[str, Any]) -> dict[str, list[str]]:
    """By id: the steps that each one depends on."""
    return {each.id: list(each.depends_on) for each in read(document).steps}


def fields(document: dict[str, Any]) -> list[str]:
    """The fields that are wrong, as this codec or the engine finds them."""
    try:
        request = read_workflow(document, START)
    except InvalidRequest as error:
        return [field for field, _ in error.violations]
    with pytest.raises(InvalidRequest) as caught:
        definition.read(request, EnvelopeReader(Defaults()), START, {})
    return [field for field, _ in name_workflow_fields(caught.value, document).violations]


# Steps that say what they depend on


def test_steps() -> None:
    """As they are."""
    request = read({"name": "w", "steps": [step("a"), step("b", "a", options={"queue": "q"})]})

    assert request.name == "w"
    assert request.type == ""
    assert [(each.id, each.type, list(each.depends_on)) for each in request.steps] == [
        ("a", "test.job", []),
        ("b", "test.job", ["a"]),
    ]
    assert [each.options.queue for each in request.steps] == ["", "q"]
    assert not request.steps[0].HasField("options")
    assert not request.steps[0].HasField("ext")


@pytest.mark.parametrize("said", ["chain", "batch", "dag", None])
def test_steps_that_are_called_something(said: str | None) -> None:
    """The form is told by their dependencies."""
    steps = [step("a"), step("b", "a"), *([step("on_success", "a", "b")] if said == "batch" else [])]

    assert kind({"type": said, "steps": steps}) == (said or "chain")


def test_what_no_field_can_say() -> None:
    """Goes with the step, as at an enqueue."""
    (read_step,) = read({"steps": [step("a", args=[2**53 + 1], schema="urn:x", x_team="blue", name="first")]}).steps

    assert dict(read_step.exact) == {"/args/0": str(2**53 + 1)}
    assert read_step.schema == "urn:x"
    assert MessageToDict(read_step.ext) == {"x_team": "blue", "name": "first"}


def test_a_trigger() -> None:
    """Makes a callback of a step."""
    request = read({"steps": [step("a"), step("b", "a", trigger="failure")]})

    assert [each.trigger for each in request.steps] == ["", "failure"]


def test_callbacks_of_the_official_clients() -> None:
    """Python's says it by an option, which the job does not get; Go's by the id, which the engine knows."""
    python = [step("step-0"), step("on_failure", "step-0", options={"callback_type": "on_failure", "queue": "q"})]
    go = [step("job-0"), step("on-failure", "job-0")]

    callback = read({"name": "w", "steps": python}).steps[1]

    assert (callback.trigger, callback.options.queue) == ("failure", "q")
    assert not callback.HasField("ext")
    assert kind({"name": "w", "steps": python}) == "batch"
    assert kind({"name": "w", "steps": go}) == "batch"


# Primitives


def test_a_chain() -> None:
    """Each depends on the one before; ids are given where there are none."""
    document = chain(job(), job(id="mine"), job())

    assert shape(document) == {"0": [], "mine": ["0"], "2": ["mine"]}
    assert kind(document) == "chain"


def test_a_group() -> None:
    """Nothing depends on anything."""
    assert shape(group(job(), job())) == {"0": [], "1": []}
    assert kind(group(job(), job())) == "group"


def test_of_one() -> None:
    """Is what the client calls it."""
    assert kind(chain(job())) == "chain"
    assert kind(group(job())) == "group"


def test_a_batch() -> None:
    """Callbacks depend on all jobs."""
    callbacks = {"on_failure": job("f"), "on_complete": job("c"), "on_success": job("s")}
    request = read(batch(job("a"), job("b"), callbacks=callbacks))

    assert [(each.id, each.type, each.trigger, list(each.depends_on)) for each in request.steps] == [
        ("0", "a", "", []),
        ("1", "b", "", []),
        ("on_complete", "c", "complete", ["0", "1"]),
        ("on_success", "s", "success", ["0", "1"]),
        ("on_failure", "f", "failure", ["0", "1"]),
    ]
    assert request.type == "batch"


@pytest.mark.parametrize("name", ["steps", "jobs", "tasks"])
def test_other_names_of_the_parts(name: str) -> None:
    """All clients are understood."""
    assert shape({"type": "chain", name: [job(), job()]}) == {"0": [], "1": ["0"]}
    assert shape({"type": "batch", name: [job()], "on_complete": job()}) == {"0": [], "on_complete": ["0"]}


def test_parts_that_nest() -> None:
    """Each is a job, or a primitive again; the whole is what its steps are, and a batch if it has callbacks."""
    document = chain(job("a"), group(job("b"), chain(job("c"), job("d"))), job("e"))

    assert shape(document) == {"0": [], "1.0": ["0"], "1.1.0": ["0"], "1.1.1": ["1.1.0"], "2": ["1.0", "1.1.1"]}
    assert kind(document) == "dag"
    assert kind(group(chain(job(), job()), job())) == "dag"
    assert kind(batch(chain(job(), job()), job())) == "batch"


def test_a_batch_within_a_chain() -> None:
    """Its callbacks come before what follows."""
    assert shape(chain(batch(job()), job())) == {"0.0": [], "0.on_success": ["0.0"], "1": ["0.on_success"]}


def test_a_job_whose_type_is_the_name_of_a_primitive() -> None:
    """Is a job."""
    assert [each.type for each in read(group(job("chain"), job("batch"))).steps] == ["chain", "batch"]


def test_options_for_all_steps() -> None:
    """Callbacks included; what a step says itself wins."""
    request = read(
        batch(
            job(options={"queue": "own"}),
            job(queue="flat"),
            job(options={"priority": 0, "meta": {"a": 2}}),
            options={"queue": "all", "priority": 3, "meta": {"a": 1, "b": 1}},
        )
    )

    assert [each.options.queue for each in request.steps] == ["own", "flat", "all", "all"]
    assert [each.options.priority for each in request.steps] == [3, 3, 0, 3]
    assert [dict(each.options.meta) for each in request.steps] == [{"a": a, "b": 1} for a in (1, 1, 2, 1)]


# What is refused


@pytest.mark.parametrize(
    ("document", "wrong"),
    [
        ({}, ["steps"]),
        ({"steps": None}, ["steps"]),
        ({"steps": []}, ["steps"]),
        ({"steps": {}}, ["steps"]),
        ({"jobs": []}, ["jobs"]),
        ({"type": "group"}, ["jobs"]),
        ({"type": "group", "steps": []}, ["steps"]),
        ({"type": "saga", "steps": [job()]}, ["type"]),
        ({"type": 1, "name": [], "options": 5, "steps": [job()]}, ["name", "type", "options"]),
        ({"steps": [job(), 5]}, ["steps[1]"]),
        ({"steps": [job()]}, ["steps[0].id"]),
        ({"steps": [step("a"), step("a")]}, ["steps[1].id"]),
        ({"steps": [step("a", "x")]}, ["steps[0].depends_on[0]"]),
        ({"steps": [step("a", "b"), step("b", "a")]}, ["steps[0].depends_on"]),
        ({"jobs": [step("a", "b"), step("b", "a")]}, ["jobs[0].depends_on"]),
        ({"steps": [job(id=1, depends_on="a")]}, ["steps[0].id", "steps[0].depends_on"]),
        ({"steps": [step("a"), step("b", "a", trigger=1)]}, ["steps[1].trigger"]),
        ({"steps": [step("a"), step("b", "a", trigger="never")]}, ["steps[1].trigger"]),
        ({"steps": [step("a"), step("b", "a", options={"callback_type": "x"})]}, ["steps[1].options.callback_type"]),
        ({"steps": [step("a"), step("b", "a", options={"callback_type": 1})]}, ["steps[1].options.callback_type"]),
        ({"steps": [step("a", type=None), step("b", args=None)]}, ["steps[0].type", "steps[1].args"]),
        ({"steps": [step("a")], "callbacks": {"on_success": job()}}, ["callbacks"]),
        ({"type": "dag", "steps": [step("a")], "on_success": job()}, ["callbacks"]),
        (chain(job(), job("X")), ["steps[1].type"]),
        (chain(job(), job(), callbacks={"on_success": job()}), ["callbacks"]),
        (group(job(), job(args=1), job("X")), ["jobs[1].args"]),
        (group(job(), job(options={"queue": "Q"})), ["jobs[1].options.queue"]),
        (group(job(id="a"), job(id="a")), ["jobs[1].id"]),
        ({"type": "group", "tasks": [job("X")]}, ["tasks[0].type"]),
        ({"type": "batch", "jobs": [job()]}, ["callbacks"]),
        ({"type": "batch", "jobs": [job()], "callbacks": {}}, ["callbacks"]),
        ({"type": "batch", "jobs": [job()], "callbacks": [1]}, ["callbacks"]),
        (batch(job(), callbacks={"on_success": job(), "on_error": job()}), ["callbacks.on_error"]),
        (batch(job(), callbacks={"on_success": 5}), ["callbacks.on_success"]),
        (batch(job(), callbacks={"on_success": {"args": []}}), ["callbacks.on_success.type"]),
        (batch(job(), callbacks={"on_complete": job(), "on_failure": job("X")}), ["callbacks.on_failure.type"]),
        ({"type": "batch", "jobs": [job()], "on_success": job("X")}, ["on_success.type"]),
        (batch(job(), step("b", "0")), ["jobs[1].depends_on"]),
        (chain(job(), group(job(), job("X"))), ["steps[1].jobs[1].type"]),
        (chain(job(), group()), ["steps[1].jobs"]),
        (chain(job(), {"type": "batch", "jobs": [job()]}), ["steps[1].callbacks"]),
        (chain(job(), batch(job(), callbacks={"on_success": job("X")})), ["steps[1].callbacks.on_success.type"]),
        (chain(chain(chain(chain(chain(job()))))), ["steps[0].steps[0].steps[0].steps[0].steps"]),
        (group(job(), job(), options={"timeout_ms": "x"}), ["options.timeout_ms"]),
        (group(*[job()] * 1004), ["jobs"]),
        (chain(*[group(*[job()] * 100)] * 11), ["steps"]),
        ({"steps": [step(f"s{number}") for number in range(1001)]}, ["steps"]),
        ({"jobs": [step(f"s{number}") for number in range(1001)]}, ["jobs"]),
    ],
)
def test_what_is_refused(document: dict[str, Any], wrong: list[str]) -> None:
    """Every broken rule is named, where the client wrote it."""
    assert fields(document) == wrong


def test_the_deepest_nesting() -> None:
    """Three within the outermost one."""
    assert len(read(chain(group(batch(chain(job()))))).steps) == 2


def test_a_single_kind_of_mistake_keeps_its_kind() -> None:
    """As for a job alone; mixed ones are an invalid request."""
    broken = job(options={"retry": {"max_attempts": "x"}})

    with pytest.raises(InvalidRetryPolicy):
        read_workflow(group(broken, broken), START)
    with pytest.raises(InvalidRequest) as caught:
        read_workflow(group(broken, job(args=None)), START)
    assert type(caught.value) is InvalidRequest


def test_countless_mistakes() -> None:
    """Are not all looked at."""
    assert len(fields(group(*[job(args=None)] * 1000))) < 200


def test_long_ids() -> None:
    """They are refused before the next part of a chain names all of them, again and again."""
    long = chain(group(*[job(id="x" * 300)] * 500), group(*[job()] * 500))

    assert fields(long)[0] == "steps[0].jobs[0].id"


def test_large_options_for_all_steps() -> None:
    """They are not copied without end."""
    with pytest.raises(PayloadTooLarge, match="options: must be such that all steps have at most"):
        read_workflow(group(*[job()] * 1000, options={"meta": {"x": "x" * 1_000_000}}), START)


def test_what_the_core_refuses_in_options_for_all_steps() -> None:
    """It is named where it stands."""
    document = group(job(), job(queue="own"), options={"scheduled_at": "x", "queue": "q"})
    found = ["steps[0].options.delay_until", "steps[0].options.queue", "steps[1].options.queue", "steps[1].type"]

    named = name_workflow_fields(InvalidRequest([Violation(field, "r") for field in found]), document)

    assert [field for field, _ in named.violations] == [
        "options.scheduled_at", "options.queue", "jobs[1].queue", "jobs[1].type"
    ]  # fmt: skip


def test_errors_of_the_whole() -> None:
    """Keep their fields, kind and details."""
    error = InvalidRetryPolicy([Violation("name", "r"), Violation("steps[0].x", "r")], {"a": "b"})

    named = name_workflow_fields(error, group(job()))

    assert [field for field, _ in named.violations] == ["name", "jobs[0].x"]
    assert (type(named), named.details) == (InvalidRetryPolicy, {"a": "b"})


# Answers


def status(id: str, state: int, *depends_on: str, trigger: str = "", **times: int) -> WorkflowStepStatus:
    """A step of an answer."""
    return WorkflowStepStatus(
        id=id,
        type="test.job",
        state=state,  # type: ignore[arg-type]
        job_id=f"job-{id}",
        depends_on=depends_on,
        trigger=trigger,
        **{name: to_timestamp(ms) for name, ms in times.items()},
    )


def test_a_running_workflow() -> None:
    """With what each client looks for."""
    workflow = Workflow(
        id="w-1",
        name="report",
        type="chain",
        state=WORKFLOW_STATE_RUNNING,
        created_at=to_timestamp(START),
        started_at=to_timestamp(START + 1),
        steps=[
            status("a", WORKFLOW_STEP_STATE_COMPLETED, started_at=START + 1, completed_at=START + 2),
            status("b", WORKFLOW_STEP_STATE_ACTIVE, "a", started_at=START + 3),
            status("c", WORKFLOW_STEP_STATE_WAITING, "b"),
        ],
    )

    assert render_workflow(workflow) == {
        "id": "w-1",
        "type": "chain",
        "name": "report",
        "state": "running",
        "steps_total": 3,
        "steps_completed": 1,
        "jobs_total": 3,
        "jobs_completed": 1,
        "steps": [
            {
                "id": "a",
                "index": 0,
                "type": "test.job",
                "state": "completed",
                "job_id": "job-a",
                "job_ids": ["job-a"],
                "depends_on": [],
                "started_at": "2025-06-15T15:06:40.001Z",
                "completed_at": "2025-06-15T15:06:40.002Z",
            },
            {
                "id": "b",
                "index": 1,
                "type": "test.job",
                "state": "active",
                "job_id": "job-b",
                "job_ids": ["job-b"],
                "depends_on": ["a"],
                "started_at": "2025-06-15T15:06:40.003Z",
            },
            {
                "id": "c",
                "index": 2,
                "type": "test.job",
                "state": "waiting",
                "job_id": "job-c",
                "job_ids": ["job-c"],
                "depends_on": ["b"],
            },
        ],
        "metadata": {
            "created_at": "2025-06-15T15:06:40.000Z",
            "started_at": "2025-06-15T15:06:40.001Z",
            "job_count": 3,
            "completed_count": 1,
            "failed_count": 0,
        },
        "created_at": "2025-06-15T15:06:40.000Z",
        "started_at": "2025-06-15T15:06:40.001Z",
    }


def test_callbacks_are_not_counted() -> None:
    """They are steps like the others otherwise, and stand under their names too."""
    workflow = Workflow(
        type="batch",
        state=WORKFLOW_STATE_COMPLETED,
        completed_at=to_timestamp(START),
        steps=[
            status("a", WORKFLOW_STEP_STATE_COMPLETED),
            status("b", WORKFLOW_STEP_STATE_FAILED),
            status("c", WORKFLOW_STEP_STATE_COMPLETED, "a", "b", trigger="complete"),
            status("f", WORKFLOW_STEP_STATE_COMPLETED, "a", "b", trigger="failure"),
        ],
    )

    rendered = render_workflow(workflow)

    assert (rendered["jobs_total"], rendered["jobs_completed"], rendered["steps_total"]) == (2, 1, 2)
    assert rendered["metadata"]["failed_count"] == 1
    assert rendered["completed_at"] == rendered["metadata"]["completed_at"] == "2025-06-15T15:06:40.000Z"
    assert rendered["callbacks"] == {"on_complete": rendered["steps"][2], "on_failure": rendered["steps"][3]}
    assert [each.get("trigger") for each in rendered["steps"]] == [None, None, "complete", "failure"]


def test_a_cancelled_workflow() -> None:
    """Says when, and how far it had come; it was not completed."""
    workflow = Workflow(
        state=WORKFLOW_STATE_CANCELLED,
        completed_at=to_timestamp(START),
        steps=[
            status("a", WORKFLOW_STEP_STATE_COMPLETED),
            status("b", WORKFLOW_STEP_STATE_ACTIVE),
            status("c", WORKFLOW_STEP_STATE_CANCELLED),
        ],
    )

    rendered = render_workflow(workflow)

    assert rendered["state"] == "cancelled"
    assert rendered["cancelled_at"] == rendered["metadata"]["cancelled_at"] == "2025-06-15T15:06:40.000Z"
    assert "completed_at" not in rendered
    assert (rendered["steps_cancelled"], rendered["steps_already_completed"]) == (1, 1)
