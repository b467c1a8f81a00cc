"""What is accepted as a workflow, and what becomes of it (behaviour sections 4.1 and 4.2)."""

from typing import Any
from unittest import mock

import pytest
from google.protobuf.duration_pb2 import Duration
from google.protobuf.struct_pb2 import Struct
from ojs_grpc_pb.v1.job_pb2 import (
    UNIQUE_CONFLICT_ACTION_IGNORE,
    UNIQUE_CONFLICT_ACTION_REJECT,
    EnqueueOptions,
    Job,
    RetryPolicy,
    UniquePolicy,
)
from ojs_grpc_pb.v1.workflow_pb2 import (
    WORKFLOW_STATE_RUNNING,
    WORKFLOW_STEP_STATE_PENDING,
    WORKFLOW_STEP_STATE_WAITING,
    CreateWorkflowRequest,
    WorkflowStep,
)

from ojs_grpc.core import states
from ojs_grpc.core.duration import timestamp_ms, to_timestamp
from ojs_grpc.core.envelope import Defaults, EnvelopeReader
from ojs_grpc.core.ids import is_id
from ojs_grpc.core.links import Links
from ojs_grpc.core.unique import Unique
from ojs_grpc.core.workflow import definition
from ojs_grpc.core.workflow.definition import Definition
from ojs_grpc.errors import InvalidRequest, InvalidRetryPolicy, PayloadTooLarge
from tests.clock import START


def step(step_id: str, *depends_on: str, trigger: str = "", type: str = "test.step", **options: Any) -> WorkflowStep:  # noqa: ANN401
    """A step; keywords are options."""
    return WorkflowStep(
        id=step_id, type=type, depends_on=depends_on, trigger=trigger, options=EnqueueOptions(**options)
    )


def read(
    *steps: WorkflowStep, name: str = "w", type: str = "", reader: EnvelopeReader | None = None
) -> Definition:
    """The workflow of these steps."""
    request = CreateWorkflowRequest(name=name, steps=steps, type=type)
    return definition.read(request, reader or EnvelopeReader(Defaults()), START, {})


def fields(*steps: WorkflowStep, name: str = "w", type: str = "") -> list[str]:
    """The fields that are wrong."""
    with pytest.raises(InvalidRequest) as caught:
        read(*steps, name=name, type=type)
    return [field for field, _ in caught.value.violations]


def says(trigger: Any) -> Struct:  # noqa: ANN401 - any JSON value
    """Metadata by which a client without our field says a trigger."""
    meta = Struct()
    meta["ojs.workflow.trigger"] = trigger
    return meta


def test_the_record() -> None:
    """Runs from the start, its steps in the order of the request, each with its job's id."""
    workflow, jobs = read(step("b", "a", type="second"), step("a", type="first"), name="two")

    assert (workflow.name, workflow.state, workflow.type) == ("two", WORKFLOW_STATE_RUNNING, "chain")
    assert is_id(workflow.id)
    assert timestamp_ms(workflow.created_at) == START
    assert [(s.id, s.type, list(s.depends_on), s.state) for s in workflow.steps] == [
        ("b", "second", ["a"], WORKFLOW_STEP_STATE_WAITING),
        ("a", "first", [], WORKFLOW_STEP_STATE_PENDING),
    ]
    assert [s.job_id for s in workflow.steps] == [job.id for job in jobs]


def test_the_jobs() -> None:
    """All steps are jobs of the workflow; those that depend on others are pending, also if they have a time."""
    later = to_timestamp(START + 1000)

    workflow, jobs = read(
        step("a", queue="q"),
        step("b", delay_until=later),
        step("c", "a", priority=3),
        step("d", "a", delay_until=later),
    )

    assert [job.state for job in jobs] == [states.AVAILABLE, states.SCHEDULED, states.PENDING, states.PENDING]
    assert [job.due_at for job in jobs] == [0, START + 1000, 0, 0]
    assert {job.links for job in jobs} == {Links(workflow.id)}
    envelopes = [Job.FromString(job.envelope) for job in jobs]
    assert {job.workflow_id for job in envelopes} == {workflow.id}
    assert [job.queue for job in envelopes] == ["q", "default", "default", "default"]
    assert envelopes[2].priority == 3
    assert timestamp_ms(envelopes[3].scheduled_at) == START + 1000


def test_what_only_json_says() -> None:
    """Goes to the jobs as at an enqueue."""
    ext = Struct()
    ext["x_team"] = "blue"
    exact = {"/args/0": "9007199254740993"}

    _, (job, plain) = read(
        WorkflowStep(id="a", type="test.step", exact=exact, schema="urn:x", ext=ext), step("b")
    )

    envelope = Job.FromString(job.envelope)
    assert (dict(envelope.exact), envelope.schema, envelope.ext) == (exact, "urn:x", ext)
    assert not Job.FromString(plain.envelope).HasField("ext")


@pytest.mark.parametrize(
    ("steps", "kind"),
    [
        ([step("a")], "chain"),
        ([step("c", "b"), step("a"), step("b", "a")], "chain"),
        ([step("a"), step("b")], "group"),
        ([step("a"), step("b"), step("x", "a", trigger="failure")], "batch"),
        ([step("a"), step("b", "a"), step("x", "b", trigger="complete")], "dag"),
        ([step("a"), step("b", "a"), step("c")], "dag"),
        ([step("a"), step("b", "a"), step("c", "a")], "dag"),
        ([step("a"), step("b"), step("c", "a", "b")], "dag"),
    ],
)
def test_what_the_steps_are_together(steps: list[WorkflowStep], kind: str) -> None:
    """A chain, a group, a batch, or any other DAG."""
    assert read(*steps).workflow.type == kind


JOIN = [step("a"), step("b"), step("c", "a", "b")]
ANSWERED = [step("a"), step("b"), step("x", "a", "b", trigger="failure")]


@pytest.mark.parametrize(
    ("said", "steps"),
    [
        ("chain", [step("a")]),
        ("chain", [step("b", "a"), step("a")]),
        ("group", [step("a")]),
        ("group", [step("a"), step("b")]),
        ("batch", ANSWERED),
        ("batch", [step("a"), step("b", "a"), step("x", "b", trigger="complete")]),
        ("dag", [step("a")]),
        ("dag", [step("a"), step("b", "a")]),
        ("dag", JOIN),
    ],
)
def test_what_the_client_calls_it(said: str, steps: list[WorkflowStep]) -> None:
    """Is what it is, if the steps fit."""
    assert read(*steps, type=said).workflow.type == said


@pytest.mark.parametrize(
    ("said", "steps"),
    [
        ("chain", [step("a"), step("b")]),
        ("chain", JOIN),
        ("chain", [step("a"), step("x", "a", trigger="success")]),
        ("group", [step("a"), step("b", "a")]),
        ("group", ANSWERED),
        ("batch", [step("a")]),
        ("batch", JOIN),
        ("saga", [step("a")]),
        ("Chain", [step("a")]),
    ],
)
def test_what_it_is_not(said: str, steps: list[WorkflowStep]) -> None:
    """Is refused."""
    assert fields(*steps, type=said) == ["type"]


def test_callbacks_that_say_so() -> None:
    """By our field, or else by metadata, which the job does not get."""
    meta = says("failure")
    meta["other"] = 1

    workflow, jobs = read(
        step("a"),
        step("b", "a", trigger="complete", meta=says("success")),
        step("c", "a", meta=meta),
    )

    assert [s.trigger for s in workflow.steps] == ["", "complete", "failure"]
    assert "ojs.workflow.trigger" not in Job.FromString(jobs[1].envelope).meta
    assert dict(Job.FromString(jobs[2].envelope).meta) == {"other": 1}


@pytest.mark.parametrize("separator", ["_", "-"])
def test_callbacks_of_the_official_clients(separator: str) -> None:
    """Are known by their ids, if they depend on all jobs and nothing depends on them."""
    names = [f"on{separator}{name}" for name in ("complete", "success", "failure")]

    workflow = read(step("a"), step("b"), *(step(name, "a", "b") for name in names)).workflow

    assert [s.trigger for s in workflow.steps] == ["", "", "complete", "success", "failure"]
    assert workflow.type == "batch"


@pytest.mark.parametrize(
    "steps",
    [
        [step("a"), step("b"), step("on_failure", "a")],
        [step("a"), step("on_failure", "a"), step("b", "on_failure")],
        [step("on_complete")],
        # One that does not depend on all jobs is itself a job that the other does not depend on.
        [step("a"), step("b"), step("on_failure", "a"), step("on_success", "a", "b")],
    ],
)
def test_ordinary_steps_with_the_ids_of_callbacks(steps: list[WorkflowStep]) -> None:
    """An id alone makes no callback."""
    assert {s.trigger for s in read(*steps).workflow.steps} == {""}


@pytest.mark.parametrize(
    ("steps", "wrong"),
    [
        ([], ["steps"]),
        ([step(f"s{number}") for number in range(1001)], ["steps"]),
        ([step("")], ["steps[0].id"]),
        ([step("a"), step("x" * 256)], ["steps[1].id"]),
        ([step("a"), step("a")], ["steps[1].id"]),
        ([step("a"), step("b", "a", "x")], ["steps[1].depends_on[1]"]),
        ([step("a", "a")], ["steps[0].depends_on[0]"]),
        ([step("a"), step("b", "a", "a")], ["steps[1].depends_on[1]"]),
        ([step("a"), step("b", "a", trigger="Success")], ["steps[1].trigger"]),
        ([step("a", trigger="success")], ["steps[0].trigger"]),
        ([step("a"), step("b", "a", meta=says("never"))], ['steps[1].options.meta["ojs.workflow.trigger"]']),
        ([step("a"), step("b", "a", meta=says(1))], ['steps[1].options.meta["ojs.workflow.trigger"]']),
        ([step("a"), step("b", "a", meta=says(""))], ['steps[1].options.meta["ojs.workflow.trigger"]']),
        ([step("a", pending=True)], ["steps[0].options.pending"]),
        ([step("a"), step("b", queue="Q")], ["steps[1].options.queue"]),
        ([step("a", type="A")], ["steps[0].type"]),
        (
            [step("a", unique=UniquePolicy(on_conflict=UNIQUE_CONFLICT_ACTION_IGNORE), type="A")],
            ["steps[0].options.unique.on_conflict", "steps[0].type"],
        ),
        (
            [step("a", queue="Q"), step("", "x", trigger="x")],
            ["steps[1].id", "steps[1].depends_on[0]", "steps[1].trigger", "steps[0].options.queue"],
        ),
    ],
)
def test_what_is_refused(steps: list[WorkflowStep], wrong: list[str]) -> None:
    """Every broken rule is named by its field."""
    assert fields(*steps) == wrong


def test_countless_mistakes() -> None:
    """Are not all looked at: one answer has room for a few, and others wait meanwhile."""
    unknown = [f"x{number}" for number in range(1000)]

    assert len(fields(*(step(f"s{number}", *unknown) for number in range(1000)))) < 2000


def test_a_cycle_is_told_as_a_short_one() -> None:
    """With the steps that make it, whatever else hangs on it; the jobs' own mistakes are named too."""
    ring = [step(f"r{number}", f"r{(number - 1) % 50}") for number in range(50)]
    ring[0].depends_on.append("r2")

    with pytest.raises(InvalidRequest) as caught:
        read(step("start"), *ring, step("end", "r7", queue="Q"))

    assert caught.value.violations == (
        ("steps[1].depends_on", "makes a cycle: r0 → r1 → r2 → r0"),
        ("steps[51].options.queue", "must be lower-case letters, digits, - and ., starting with a letter or a digit"),
    )


def test_a_thousand_steps() -> None:
    """Are the most there may be; the callbacks of a batch do not count."""
    jobs = [step(f"s{number}") for number in range(1000)]
    names = [job.id for job in jobs]
    callbacks = [step(name, *names) for name in ("on_complete", "on_success", "on_failure")]

    assert len(read(*jobs, *callbacks).jobs) == 1003
    assert fields(*jobs, *callbacks, step("x", trigger="complete")) == ["steps"]
    assert fields(*jobs, step("x", "s1")) == ["steps"]


def test_a_name_too_long() -> None:
    """Is refused, one of 255 characters is not."""
    assert fields(step("a"), name="x" * 256) == ["name"]
    assert read(step("x" * 255), name="ä" * 255).workflow.name == "ä" * 255


def test_more_dependencies_than_a_reply_can_tell() -> None:
    """Are refused: the workflow could never be looked at."""
    names = [f"{number:0200}" for number in range(200)]

    assert fields(*(step(name, *names[:number]) for number, name in enumerate(names))) == ["steps"]


def test_a_single_kind_of_mistake_keeps_its_kind() -> None:
    """As for a job alone; mixed ones are an invalid request."""
    retry, large = RetryPolicy(max_attempts=-1), EnqueueOptions(tags=["x"], meta=Struct())
    large.meta["x"] = "x" * 70_000

    with pytest.raises(InvalidRetryPolicy):
        read(step("a", retry=retry), step("b", retry=retry))
    with pytest.raises(PayloadTooLarge):
        read(step("a"), WorkflowStep(id="b", type="b", options=large))
    with pytest.raises(InvalidRequest) as caught:
        read(step("a", retry=retry), step("b", queue="Q"))
    assert type(caught.value) is InvalidRequest


def test_unique_steps() -> None:
    """Are possible if a duplicate is refused, and no two of them count as the same."""
    policy = UniquePolicy(key=["type"], on_conflict=UNIQUE_CONFLICT_ACTION_REJECT, period=Duration(seconds=9))

    _, jobs = read(step("a", type="one", unique=policy), step("b", "a", type="two", unique=policy))

    assert all(job.links is not None and isinstance(job.links.unique, Unique) for job in jobs)
    same = [step("a", unique=policy), step("b"), step("c", "a", unique=policy)]
    assert fields(*same) == ["steps[2].options.unique"]


def test_the_trace_of_the_call() -> None:
    """Is kept with every job."""
    request = CreateWorkflowRequest(steps=[step("a"), step("b", "a")])
    trace = {"traceparent": "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"}

    _, jobs = definition.read(request, EnvelopeReader(Defaults()), START, trace)

    assert [dict(Job.FromString(job.envelope).meta) for job in jobs] == [trace, trace]


def test_countless_dependencies() -> None:
    """Of one step: they are counted, and not looked at."""
    request = CreateWorkflowRequest(steps=[WorkflowStep(id="a", type="a", depends_on=[""] * 1_000_000)])

    with mock.patch.object(definition.graph, "find_cycle") as find_cycle, pytest.raises(InvalidRequest):
        definition.read(request, EnvelopeReader(Defaults()), START, {})

    assert not find_cycle.called
