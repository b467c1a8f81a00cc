"""How a workflow goes on: whose turn it is, and how it ends (behaviour section 4.3)."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ojs_grpc_pb.v1.job_pb2 import Job
from ojs_grpc_pb.v1.workflow_pb2 import (
    WORKFLOW_STATE_COMPLETED,
    WORKFLOW_STATE_FAILED,
    WORKFLOW_STATE_RUNNING,
    WORKFLOW_STEP_STATE_CANCELLED,
    WORKFLOW_STEP_STATE_COMPLETED,
    WORKFLOW_STEP_STATE_FAILED,
    WORKFLOW_STEP_STATE_PENDING,
    WORKFLOW_STEP_STATE_WAITING,
    Workflow,
)

from ojs_grpc.core.duration import timestamp_ms, to_timestamp
from ojs_grpc.core.states import CANCELLED, COMPLETED, DISCARDED
from ojs_grpc.core.workflow.progress import Progress
from ojs_grpc.core.workflow.record import ENDED
from tests.clock import START

_NAMES = {
    WORKFLOW_STEP_STATE_WAITING: "waiting",
    WORKFLOW_STEP_STATE_PENDING: "pending",
    WORKFLOW_STEP_STATE_COMPLETED: "completed",
    WORKFLOW_STEP_STATE_FAILED: "failed",
    WORKFLOW_STEP_STATE_CANCELLED: "cancelled",
}


class Plan(NamedTuple):
    """A step as a test says it."""

    parents: Sequence[str] = ()
    trigger: str = ""


class Run:
    """A workflow kept as a store keeps it, and read anew for a lot of endings, or remembered.

    Attributes:
        released: steps in the order in which their jobs were released, those released at creation excepted.
        called_off: steps whose jobs were cancelled because their turn will never come.
    """

    def __init__(self, plans: Mapping[str, Plan]) -> None:
        workflow = Workflow(id="w", state=WORKFLOW_STATE_RUNNING)
        for name, plan in plans.items():
            state = WORKFLOW_STEP_STATE_WAITING if plan.parents else WORKFLOW_STEP_STATE_PENDING
            workflow.steps.add(
                id=name, job_id=f"job-{name}", state=state, depends_on=plan.parents, trigger=plan.trigger
            )
        self._data = workflow.SerializeToString()
        self._progress = Progress(self.workflow)
        self.released: list[str] = []
        self.called_off: list[str] = []
        self.finished = 0

    @property
    def workflow(self) -> Workflow:
        """The record as it stands."""
        return Workflow.FromString(self._data)

    @property
    def states(self) -> dict[str, str]:
        """How the steps stand."""
        return {step.id: _NAMES[step.state] for step in self.workflow.steps}

    @property
    def final(self) -> int:
        """The state of the workflow."""
        return self.workflow.state

    def end(
        self, outcomes: Mapping[str, int], now: int = START, *, most: int = 1000, remembered: bool = False
    ) -> str:
        """A lot: the jobs of these steps end in these states; the step for which the workflow failed, if it has.

        Args:
            most: release so many at once at most.
            remembered: go on with what the last lot left.
        """
        self._progress = progress = self._progress if remembered else Progress(self.workflow)
        for name, state in outcomes.items():
            place = progress.find(f"job-{name}")
            if place is not None:
                progress.end(place, state, None, now)
        for place in list(progress.ready)[:most]:
            progress.release(place)
            self.released.append(progress.steps[place].id)
        self.called_off += [progress.steps[place].id for place in progress.take_called_off()]
        failed = None
        if not progress.remaining:
            self.finished += 1
            failed = progress.finish(now)
        self._data = progress.workflow.SerializeToString()
        return "" if failed is None else failed.id


def chain(*names: str) -> dict[str, Plan]:
    """One after another."""
    return {name: Plan([before] if before else []) for before, name in zip(("", *names), names, strict=False)}


def batch(*names: str, **callbacks: str) -> dict[str, Plan]:
    """Jobs, and callbacks with their triggers."""
    return {name: Plan() for name in names} | {name: Plan(names, trigger) for name, trigger in callbacks.items()}


def test_the_next_step_of_a_chain() -> None:
    """Its turn is when the one before has completed."""
    run = Run(chain("a", "b", "c"))

    run.end({"a": COMPLETED})

    assert run.states == {"a": "completed", "b": "pending", "c": "waiting"}
    assert run.released == ["b"]


@pytest.mark.parametrize("how", [DISCARDED, CANCELLED])
def test_a_chain_stops(how: int) -> None:
    """At the first step that fails; all later ones are called off at once, and the workflow has failed for this one."""
    run = Run(chain("a", "b", "c", "d"))
    run.end({"a": COMPLETED})

    failed = run.end({"b": how})

    assert (run.released, run.called_off) == (["b"], ["c", "d"])
    assert (run.final, failed) == (WORKFLOW_STATE_FAILED, "b")


def test_a_step_waits_for_all_that_it_depends_on() -> None:
    """And is released once."""
    run = Run({"a": Plan(), "b": Plan(), "c": Plan(["a", "b"])})

    run.end({"b": COMPLETED})
    assert run.released == []
    run.end({"a": COMPLETED})
    assert run.released == ["c"]
    run.end({"a": COMPLETED, "b": COMPLETED})
    assert run.released == ["c"]


def test_a_group_ends_with_its_last_job() -> None:
    """The others run on after a failure, which is the workflow's in the end."""
    run = Run({"a": Plan(), "b": Plan(), "c": Plan()})

    run.end({"b": DISCARDED})
    run.end({"a": COMPLETED})
    assert run.final == WORKFLOW_STATE_RUNNING
    assert run.end({"c": COMPLETED}) == "b"

    assert run.final == WORKFLOW_STATE_FAILED
    assert run.called_off == []


@pytest.mark.parametrize(
    ("last", "fired", "silent"),
    [
        (COMPLETED, ["done", "good"], ["bad"]),
        (DISCARDED, ["done", "bad"], ["good"]),
        (CANCELLED, ["done", "bad"], ["good"]),
    ],
)
def test_the_callbacks_of_a_batch(last: int, fired: list[str], silent: list[str]) -> None:
    """Each fires if its condition holds; what they answer for is no failure of the workflow."""
    run = Run(batch("a", "b", done="complete", good="success", bad="failure"))

    run.end({"a": COMPLETED})
    assert (run.released, run.called_off) == ([], [])
    run.end({"b": last})
    assert (run.released, run.called_off) == (fired, silent)
    run.end(dict.fromkeys(fired, COMPLETED))

    assert run.final == WORKFLOW_STATE_COMPLETED
    assert run.finished == 1


def test_a_failed_callback_fails_the_workflow() -> None:
    """Also when all jobs of the batch completed."""
    run = Run(batch("a", done="complete", good="success"))
    run.end({"a": COMPLETED})

    run.end({"done": COMPLETED})
    assert run.end({"good": DISCARDED}) == "good"

    assert run.final == WORKFLOW_STATE_FAILED


def test_a_failure_that_no_callback_comes_after() -> None:
    """Fails the workflow, whatever callbacks there are for others."""
    run = Run(batch("a", done="complete") | {"alone": Plan()})

    run.end({"a": DISCARDED, "alone": DISCARDED})
    assert run.end({"done": COMPLETED}) == "alone"

    assert run.final == WORKFLOW_STATE_FAILED


def test_a_callback_answers_for_all_that_comes_before() -> None:
    """A chain within the batch stops, its last step is called off, and the callback fires for both."""
    run = Run(chain("a", "b") | {"bad": Plan(["b"], "failure")})

    run.end({"a": DISCARDED})
    assert (run.released, run.called_off) == (["bad"], ["b"])
    run.end({"bad": COMPLETED})

    assert run.final == WORKFLOW_STATE_COMPLETED


def test_a_callback_that_does_not_fire_is_no_failure() -> None:
    """What depends on two callbacks goes on after the one that fired; what depends on a silent one alone never runs."""
    run = Run(
        batch("a", good="success", bad="failure")
        | {"next": Plan(["good", "bad"]), "cleanup": Plan(["bad"]), "alarm": Plan(["good", "bad"], "failure")}
    )

    run.end({"a": COMPLETED})
    run.end({"good": COMPLETED})

    assert run.released == ["good", "next"]
    assert sorted(run.called_off) == ["alarm", "bad", "cleanup"]
    run.end({"next": COMPLETED})
    assert run.final == WORKFLOW_STATE_COMPLETED


def test_a_step_whose_job_is_cancelled_while_it_waits() -> None:
    """Has ended; its turn does not come any more, and that is a failure."""
    run = Run(chain("a", "b", "c"))

    run.end({"b": CANCELLED})
    assert run.called_off == ["c"]
    assert run.end({"a": COMPLETED}) == "b"

    assert run.released == []
    assert run.final == WORKFLOW_STATE_FAILED


def test_the_first_failure_is_named() -> None:
    """The first one in time."""
    run = Run({"a": Plan(), "b": Plan()})

    run.end({"b": DISCARDED}, START + 1)
    assert run.end({"a": DISCARDED}, START + 2) == "b"

    assert timestamp_ms(run.workflow.completed_at) == START + 2


def test_times() -> None:
    """A step has those of its job, the workflow that of the first job that started."""
    progress = Progress(Run({"a": Plan(), "b": Plan()}).workflow)

    for name, start in (("a", START + 5), ("b", START + 2)):
        job = Job(started_at=to_timestamp(start), completed_at=to_timestamp(start + 10))
        place = progress.find(f"job-{name}")
        assert place is not None
        progress.end(place, COMPLETED, job, START + 99)

    assert timestamp_ms(progress.steps[0].started_at) == START + 5
    assert timestamp_ms(progress.steps[0].completed_at) == START + 15
    assert timestamp_ms(progress.workflow.started_at) == START + 2


# Any DAG, any outcomes, any order


@st.composite
def plans(draw: st.DrawFn) -> dict[str, Plan]:
    """Steps that depend on some others, in any order."""
    names = [f"s{number}" for number in range(draw(st.integers(1, 10)))]
    steps = {}
    for number, name in enumerate(names):
        parents = draw(st.lists(st.sampled_from(names[:number]), unique=True)) if number else []
        trigger = draw(st.sampled_from(["", "", "success", "failure", "complete"])) if parents else ""
        steps[name] = Plan(parents, trigger)
    return {name: steps[name] for name in draw(st.permutations(names))}


def play(steps: Mapping[str, Plan], outcomes: Mapping[str, int], data: st.DataObject) -> Run:
    """Ends all jobs that may run, in some order and in some lots, and tells some endings twice."""
    run = Run(steps)
    while run.final == WORKFLOW_STATE_RUNNING:
        states = run.states
        running = [name for name, state in states.items() if state == "pending"]
        known = [name for name, state in states.items() if state not in ("pending", "waiting")]
        lot = data.draw(st.lists(st.sampled_from(running), unique=True)) if running else []
        again = data.draw(st.lists(st.sampled_from(known), unique=True, max_size=2)) if known else []
        most, remembered = data.draw(st.integers(1, 3)), data.draw(st.booleans())
        if not lot and not again and running:
            lot = running[:1]
        run.end({name: outcomes[name] for name in (*again, *lot)}, most=most, remembered=remembered)
    return run


def expected(steps: Mapping[str, Plan], outcomes: Mapping[str, int]) -> tuple[dict[str, str], bool]:
    """How each step ends, and whether the workflow fails, by the definition of the rules."""
    results: dict[str, str] = {}
    counts: dict[str, str] = {}
    while len(results) < len(steps):
        for name, plan in steps.items():
            if name in results or not all(parent in results for parent in plan.parents):
                continue
            seen = [counts[parent] for parent in plan.parents]
            runs = {
                "complete": True,
                "failure": "failed" in seen,
            }.get(plan.trigger, "failed" not in seen and (not seen or "completed" in seen))
            if runs:
                results[name] = {COMPLETED: "completed", DISCARDED: "failed", CANCELLED: "cancelled"}[outcomes[name]]
                counts[name] = "completed" if results[name] == "completed" else "failed"
            else:
                results[name] = "called off"
                counts[name] = "nothing" if plan.trigger else "failed"
    answered: set[str] = set()
    for name, plan in steps.items():
        if plan.trigger:
            answered |= before(steps, name)
    return results, any(result in ("failed", "cancelled") and name not in answered for name, result in results.items())


def before(steps: Mapping[str, Plan], name: str) -> set[str]:
    """All that a step depends on, through others too."""
    return set(steps[name].parents).union(*(before(steps, parent) for parent in steps[name].parents))


@given(plans(), st.data())
def test_any_workflow_ends_as_the_rules_say(steps: dict[str, Plan], data: st.DataObject) -> None:
    """In whatever order and lots its jobs end: each step's turn comes once or never, and then it is over, once."""
    outcomes = {name: data.draw(st.sampled_from([COMPLETED, COMPLETED, DISCARDED, CANCELLED])) for name in steps}

    run = play(steps, outcomes, data)

    results, fails = expected(steps, outcomes)
    called_off = [name for name, result in results.items() if result == "called off"]
    ran = [name for name, plan in steps.items() if plan.parents and name not in called_off]
    assert run.states == {name: "cancelled" if result == "called off" else result for name, result in results.items()}
    assert sorted(run.released) == sorted(ran)
    assert sorted(run.called_off) == sorted(called_off)
    assert run.final == (WORKFLOW_STATE_FAILED if fails else WORKFLOW_STATE_COMPLETED)
    assert run.finished == 1
    assert all(step.state in ENDED for step in run.workflow.steps)
