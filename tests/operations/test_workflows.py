"""Workflows created, looked at and cancelled, on every store (behaviour section 4)."""

import pytest
from google.protobuf.duration_pb2 import Duration
from ojs_grpc_pb.v1.job_pb2 import RetryPolicy, UniquePolicy
from ojs_grpc_pb.v1.workflow_pb2 import CreateWorkflowRequest

from ojs_grpc.core import states
from ojs_grpc.core.duration import timestamp_ms, to_timestamp
from ojs_grpc.errors import DuplicateJob, InvalidRequest, NotFound, StoreUnavailable, WorkflowEnded
from ojs_grpc.stores.ports import Store
from tests.clock import START, FakeClock
from tests.operations.workflow_rig import Rig, state_of, step, step_states
from tests.store.building import counts, take

SECOND = 1000


@pytest.fixture
def rig(store: Store) -> Rig:
    """Around an empty store."""
    return Rig(store)


# Create


async def test_create(rig: Rig) -> None:
    """Steps that depend on nothing may run at once, the others' jobs wait; their ids are known from the start."""
    later = to_timestamp(START + SECOND)

    created = await rig.create(step("a"), step("b", "a"), step("c", delay_until=later), name="mine")

    assert (created.name, state_of(created), created.type) == ("mine", "running", "dag")
    assert step_states(created) == {"a": "pending", "b": "waiting", "c": "pending"}
    jobs = [await rig.job(created, name) for name in "abc"]
    assert [job.state for job in jobs] == [states.AVAILABLE, states.PENDING, states.SCHEDULED]
    assert {job.workflow_id for job in jobs} == {created.id}
    assert await rig.workflows.get(created.id) == created
    assert await take(rig.store, 1, "b") == []


async def test_create_tells(rig: Rig) -> None:
    """One event for the workflow."""
    cursor = await rig.store.event_cursor(None)

    await rig.create(step("a"), step("b", "a"), name="mine")

    about = {"workflow_name": "mine", "total_steps": 2.0}
    assert await rig.told(cursor) == [("started", about)]


async def test_nothing_of_a_bad_workflow_is_stored(rig: Rig) -> None:
    """Be it one job of many."""
    with pytest.raises(InvalidRequest):
        await rig.create(step("a"), step("b", "a", priority=1000))

    assert await counts(rig.store) == {}


async def test_nothing_is_stored_beside_a_duplicate(rig: Rig) -> None:
    """The step is named, and the job that is there already."""
    policy = UniquePolicy(key=["type", "queue"])
    first = await rig.create(step("same", unique=policy))

    with pytest.raises(DuplicateJob) as caught:
        await rig.create(step("a"), step("same", "a", unique=policy))

    told = caught.value.details
    assert (told["existing_job_id"], told["existing_job_state"]) == (first.steps[0].job_id, "available")
    assert (told["index"], len(told["unique_key"])) == ("1", 64)
    assert await counts(rig.store) == {"same": 1}


# Get


async def test_get_shows_what_the_jobs_say(rig: Rig, clock: FakeClock) -> None:
    """Between two turns of the duty too."""
    created = await rig.create(step("a"), step("b"), step("c", max_attempts=3), step("d", "a"))
    clock.advance(5)
    await rig.start("a")
    clock.advance(5)
    await rig.complete("b")
    await rig.fail("c")

    shown = await rig.workflows.get(created.id)

    assert step_states(shown) == {"a": "active", "b": "completed", "c": "pending", "d": "waiting"}
    assert timestamp_ms(shown.started_at) == timestamp_ms(shown.steps[0].started_at) == START + 5
    assert timestamp_ms(shown.steps[1].completed_at) == START + 10
    assert state_of(shown) == "running"


@pytest.mark.parametrize("strange", ["", "x", "01970000-0000-7000-8000-000000000000", "\0", "😀" * 9])
async def test_an_unknown_workflow(rig: Rig, strange: str) -> None:
    """Is not found."""
    with pytest.raises(NotFound):
        await rig.workflows.get(strange)
    with pytest.raises(NotFound) as caught:
        await rig.workflows.cancel(strange, "")
    assert caught.value.details["resource_type"] == "workflow"


# Cancel


async def test_cancel(rig: Rig, clock: FakeClock) -> None:
    """What waits for anything is cancelled, what runs may finish, what has ended stays so."""
    later = to_timestamp(START + 60 * SECOND)
    retry = RetryPolicy(max_attempts=3, initial_interval=Duration(seconds=30))
    created = await rig.create(
        step("done"),
        step("runs"),
        step("available"),
        step("scheduled", delay_until=later),
        step("retryable", retry=retry),
        step("waiting", "runs"),
    )
    await rig.complete("done")
    running = await rig.start("runs")
    await rig.fail("retryable")
    await rig.advance()
    cursor = await rig.store.event_cursor(None)
    clock.advance(7)

    cancelled = await rig.workflows.cancel(created.id, "no need")

    assert (state_of(cancelled), timestamp_ms(cancelled.completed_at)) == ("cancelled", START + 7)
    expected = {
        "done": "completed",
        "runs": "active",
        "available": "cancelled",
        "scheduled": "cancelled",
        "retryable": "cancelled",
        "waiting": "cancelled",
    }
    assert step_states(cancelled) == expected
    assert await rig.workflows.get(created.id) == cancelled
    names = [name for name, state in expected.items() if state == "cancelled"]
    assert [(await rig.job(created, name)).state for name in names] == [states.CANCELLED] * 4
    told = await rig.told(cursor)
    assert [(kind, data["reason"]) for kind, data in told] == [("cancelled", "no need")]
    await rig.finish(running)


async def test_a_late_finish_advances_nothing(rig: Rig) -> None:
    """The step is completed, and that is all."""
    created = await rig.create(step("a"), step("b", "a"))
    running = await rig.start("a")
    await rig.workflows.cancel(created.id, "")

    await rig.finish(running, {"n": 1})
    await rig.advance()

    assert await rig.states(created.id) == {"a": "completed", "b": "cancelled"}
    assert await rig.state(created.id) == "cancelled"
    assert (await rig.store.endings(100)).endings == []
    assert await rig.kept_results() == 0


async def test_cancel_of_an_ended_workflow(rig: Rig) -> None:
    """Is refused, also when it is cancelled already."""
    cancelled, completed = await rig.create(step("a")), await rig.create(step("b"))
    await rig.workflows.cancel(cancelled.id, "")
    await rig.complete("b")
    await rig.advance()

    for workflow, state in ((cancelled, "cancelled"), (completed, "completed")):
        with pytest.raises(WorkflowEnded) as caught:
            await rig.workflows.cancel(workflow.id, "")
        assert caught.value.details["current_state"] == state


async def test_cancel_of_a_large_workflow(rig: Rig) -> None:
    """All of it, and the results that steps were to get."""
    names = [f"s{number}" for number in range(450)]
    created = await rig.create(*map(step, names), step("end", *names))
    await rig.complete("s7", result={"n": 1})
    await rig.advance()
    assert await rig.kept_results() == 1

    cancelled = await rig.workflows.cancel(created.id, "")

    found = step_states(cancelled)
    assert found.pop("s7") == "completed"
    assert set(found.values()) == {"cancelled"}
    assert set((await counts(rig.store)).values()) == {0}
    assert await rig.kept_results() == 0


async def test_a_cancellation_that_was_interrupted(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    """Is finished by the duty, of whichever server."""
    created = await rig.create(step("a"), step("b", "a"), step("c"))

    async def lose(*_: object) -> None:
        raise StoreUnavailable("gone")

    with monkeypatch.context() as patch:
        patch.setattr(rig.store, "apply", lose)
        with pytest.raises(StoreUnavailable):
            await rig.workflows.cancel(created.id, "")
    assert await rig.state(created.id) == "cancelled"
    assert await counts(rig.store) == {"a": 1, "b": 0, "c": 1}

    await Rig(rig.store).advance()

    assert set((await rig.states(created.id)).values()) == {"cancelled"}
    assert await counts(rig.store) == {"a": 0, "b": 0, "c": 0}


async def test_cancel_while_a_step_ends(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever writes first; the other one sees it. Here the duty is first."""
    created = await rig.create(step("a"), step("b", "a"))
    await rig.complete("a")
    documents, other = rig.store.documents, Rig(rig.store)
    looked = 0

    async def look_then_advance(kind: str, names: list[str]) -> object:
        nonlocal looked
        looked += 1
        found = await documents(kind, names)
        if looked == 1:
            await other.advance()
        return found

    monkeypatch.setattr(rig.store, "documents", look_then_advance)
    cancelled = await rig.workflows.cancel(created.id, "")

    assert step_states(cancelled) == {"a": "completed", "b": "cancelled"}


async def test_the_trace_of_the_call(rig: Rig) -> None:
    """Goes with every job."""
    trace = {"traceparent": "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"}

    created = await rig.workflows.create(CreateWorkflowRequest(steps=[step("a"), step("b", "a")]), trace)

    assert [dict((await rig.job(created, name)).meta) for name in "ab"] == [trace, trace]
