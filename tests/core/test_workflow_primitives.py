"""Chain, group and batch as steps (behaviour section 4.1)."""

from collections.abc import Sequence

import pytest
from ojs_grpc_pb.v1.workflow_pb2 import CreateWorkflowRequest, WorkflowStep

from ojs_grpc.core.envelope import Defaults, EnvelopeReader
from ojs_grpc.core.workflow import definition
from ojs_grpc.core.workflow.primitives import batch, chain, group
from tests.clock import START


def job(type: str) -> WorkflowStep:
    """A job as a client says it."""
    return WorkflowStep(type=type)


def edges(steps: Sequence[WorkflowStep]) -> dict[str, list[str]]:
    """By type: the types that each step depends on."""
    types = {step.id: step.type for step in steps}
    assert len(types) == len(steps), "ids repeat"
    return {step.type: sorted(types[parent] for parent in step.depends_on) for step in steps}


def kind(steps: Sequence[WorkflowStep]) -> str:
    """What the service takes the steps for."""
    request = CreateWorkflowRequest(steps=steps)
    return definition.read(request, EnvelopeReader(Defaults()), START, {}).workflow.type


def test_a_chain() -> None:
    """Each depends on the one before."""
    steps = chain([job("a"), job("b"), job("c")])

    assert edges(steps) == {"a": [], "b": ["a"], "c": ["b"]}
    assert kind(steps) == "chain"


def test_a_group() -> None:
    """Nothing depends on anything."""
    steps = group([job("a"), job("b")])

    assert edges(steps) == {"a": [], "b": []}
    assert kind(steps) == "group"


def test_a_batch() -> None:
    """Callbacks depend on all jobs."""
    steps = batch([job("a"), job("b")], on_complete=job("c"), on_success=job("s"), on_failure=job("f"))

    assert edges(steps) == {"a": [], "b": [], "c": ["a", "b"], "s": ["a", "b"], "f": ["a", "b"]}
    assert [step.trigger for step in steps] == ["", "", "complete", "success", "failure"]
    assert kind(steps) == "batch"


def test_a_batch_without_callbacks() -> None:
    """Is none."""
    with pytest.raises(ValueError, match="callback"):
        batch([job("a")])


def test_a_group_within_a_chain() -> None:
    """Begins when the step before has completed; what follows waits for all of it."""
    steps = chain([job("a"), group([job("b"), chain([job("c"), job("d")])]), job("e")])

    assert edges(steps) == {"a": [], "b": ["a"], "c": ["a"], "d": ["c"], "e": ["b", "d"]}


def test_three_levels() -> None:
    """A chain in a batch in a chain in a group."""
    inner = batch([chain([job("a"), job("b")]), job("c")], on_success=job("s"), on_failure=job("f"))

    steps = group([chain([job("first"), inner, job("last")]), job("other")])

    assert edges(steps) == {
        "first": [],
        "a": ["first"],
        "b": ["a"],
        "c": ["first"],
        "s": ["b", "c"],
        "f": ["b", "c"],
        "last": ["f", "s"],
        "other": [],
    }
    assert kind(steps) == "dag"


def test_after_a_batch_that_has_nothing_to_do_on_success() -> None:
    """What follows depends on its jobs too, since its callback may not fire."""
    steps = chain([batch([job("a"), job("b")], on_failure=job("f")), job("next")])

    assert edges(steps)["next"] == ["a", "b", "f"]


def test_ids_of_the_client() -> None:
    """Stay, as far as no other part has the same."""
    first, last, alert = (WorkflowStep(id=name, type="x") for name in ("first", "c", "alert"))

    steps = chain([first, batch([job("b"), last], on_failure=alert)])

    assert [step.id for step in steps] == ["first", "1.0", "1.c", "1.alert"]
    assert list(steps[3].depends_on) == ["1.0", "1.c"]


def test_the_templates_stay_as_they_are() -> None:
    """The same step may stand in several places."""
    again = job("again")

    steps = chain([again, again, group([again, again])])

    assert len({step.id for step in steps}) == 4
    assert again == job("again")
