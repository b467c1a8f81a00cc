"""The duty that lets workflows go on, on every store (behaviour section 4; section 24, traps 9 to 12, 58 and 60)."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Any

import pytest
from ojs_grpc_pb.v1.job_pb2 import Job, RetryPolicy
from ojs_grpc_pb.v1.workflow_pb2 import WorkflowStep

from ojs_grpc.core import lifecycle, states
from ojs_grpc.core.duration import to_duration, to_timestamp
from ojs_grpc.core.rate_limit import QueueRule, QueueRules
from ojs_grpc.core.workflow import context
from ojs_grpc.core.workflow.primitives import batch, chain, group
from ojs_grpc.errors import StoreUnavailable
from ojs_grpc.maintenance import workflow_advancer, workflow_turn
from ojs_grpc.maintenance.expirer import Expirer
from ojs_grpc.operations.alarm import Alarm
from ojs_grpc.stores import open_store
from ojs_grpc.stores.ports import Completion, Outcome, Retention, Store, Unit
from tests.clock import START, FakeClock
from tests.operations.workflow_rig import RETENTION_MS, Rig, context_of, step
from tests.signals import RecordingSignals
from tests.store.building import counts, failed, reap, take

SECOND = 1000
DEAD_LETTER = RetryPolicy(max_attempts=1, on_exhaustion="dead_letter")


@pytest.fixture
def rig(store: Store) -> Rig:
    """Around an empty store."""
    return Rig(store)


async def test_without_work(rig: Rig) -> None:
    """Knows of nothing to come."""
    assert await rig.advancer.run_once() is None


async def test_one_after_another(rig: Rig) -> None:
    """Each step is available once the one before has completed, and the workflow is completed with the last one."""
    created = await rig.create(step("a"), step("b", "a"), step("c", "b"))

    for name in "abc":
        await rig.complete(name)
        await rig.advance()

    assert await rig.states(created.id) == {"a": "completed", "b": "completed", "c": "completed"}
    assert await rig.state(created.id) == "completed"


async def test_a_step_with_a_time_of_its_own(rig: Rig) -> None:
    """Waits for both: its turn makes it scheduled, and the promoter hears of it."""
    heard: list[int] = []
    rig.due.advance = heard.append  # type: ignore[method-assign, assignment]
    created = await rig.create(step("a"), step("b", "a", delay_until=to_timestamp(START + SECOND)))

    await rig.complete("a")
    await rig.advance()

    assert (await rig.job(created, "b")).state == states.SCHEDULED
    assert heard == [START + SECOND]
    assert await rig.store.promote(START + SECOND, 10) == (1, None)
    assert len(await take(rig.store, 1, "b")) == 1


async def fail(rig: Rig, clock: FakeClock, job_id: str) -> None:
    """Its attempts are used up."""
    await rig.fail("a")


async def lose(rig: Rig, clock: FakeClock, job_id: str) -> None:
    """Its worker is gone, and there are no attempts left."""
    await rig.start("a")
    clock.advance(SECOND)
    assert await reap(rig.store)


async def cancel(rig: Rig, clock: FakeClock, job_id: str) -> None:
    """Somebody cancels it."""
    await rig.cancel_job(job_id)


async def expire(rig: Rig, clock: FakeClock, job_id: str) -> None:
    """Nobody takes it in time."""
    clock.advance(60 * SECOND)
    await Expirer(rig.store, rig.changes, Alarm()).run_once()


@pytest.mark.parametrize(
    ("end", "state", "code"),
    [
        (fail, "failed", "boom"),
        (lose, "failed", "visibility_timeout"),
        (cancel, "cancelled", "cancelled"),
        (expire, "failed", "expired"),
    ],
)
async def test_a_step_that_does_not_complete(
    rig: Rig, clock: FakeClock, end: Callable[[Rig, FakeClock, str], Awaitable[None]], state: str, code: str
) -> None:
    """However it ends: what depends on it is cancelled at once, its callback fires, and it is told why."""
    created = await rig.create(
        step("a", ttl=to_duration(60 * SECOND), visibility_timeout=to_duration(SECOND)),
        step("b", "a"),
        step("c", "b"),
        step("alarm", "c", trigger="failure"),
    )
    cursor = await rig.store.event_cursor(None)

    await end(rig, clock, created.steps[0].job_id)
    await rig.advance()

    assert await rig.states(created.id) == {"a": state, "b": "cancelled", "c": "cancelled", "alarm": "pending"}
    assert [(await rig.job(created, name)).state for name in "bc"] == [states.CANCELLED] * 2
    told = [data for kind, data in await rig.told(cursor) if kind == "step_failed"]
    assert [(data["step_id"], data["error"]["code"]) for data in told] == [("a", code)]
    await rig.complete("alarm")
    await rig.advance()
    assert await rig.state(created.id) == "completed"


async def test_a_retry_is_no_failure(rig: Rig, clock: FakeClock) -> None:
    """The workflow waits for the last attempt."""
    created = await rig.create(step("a", max_attempts=2), step("b", "a"))

    await rig.fail("a")
    await rig.advance()
    assert await rig.states(created.id) == {"a": "pending", "b": "waiting"}
    clock.advance(60 * SECOND)
    await rig.store.promote(clock.now(), 10)
    await rig.complete("a")
    await rig.advance()

    assert await rig.states(created.id) == {"a": "completed", "b": "pending"}


async def test_a_group_with_callbacks(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    """Hundreds of jobs that end at once, in several lots: each callback fires once."""
    monkeypatch.setattr(workflow_advancer, "_LOT", 70)
    jobs = [step(f"s{number}", queue="jobs") for number in range(300)]
    names = [job.id for job in jobs]
    callbacks = [step(f"on_{name}", *names, queue=name) for name in ("complete", "success", "failure")]
    created = await rig.create(*jobs, *callbacks)
    assert created.type == "batch"
    deliveries = await take(rig.store, 300, "jobs")
    await rig.cancel_job(deliveries.pop(5).job_id)

    held = [Completion(delivery.job_id, delivery.lease, "", b"") for delivery in deliveries]
    assert await rig.store.complete(held, rig.store.clock.now()) == [None] * 299
    await rig.advance()

    assert await counts(rig.store) == {"jobs": 0, "complete": 1, "failure": 1, "success": 0}
    await rig.complete("complete", "failure")
    await rig.advance()
    assert await rig.state(created.id) == "completed"


@pytest.mark.parametrize(
    ("failing", "ran", "end"),
    [
        ("", ["first", "other", "a", "c", "b", "good", "last"], "completed"),
        ("a", ["first", "other", "a", "c", "bad", "last"], "completed"),
        ("good", ["first", "other", "a", "c", "b", "good"], "failed"),
    ],
)
async def test_nested_primitives(rig: Rig, failing: str, ran: list[str], end: str) -> None:
    """A chain in a batch in a chain in a group: each part goes by its own rules."""
    jobs = {name: WorkflowStep(type=name) for name in ("first", "a", "b", "c", "good", "bad", "last", "other")}
    for job in jobs.values():
        job.options.max_attempts = 1
    inner = batch([chain([jobs["a"], jobs["b"]]), jobs["c"]], on_success=jobs["good"], on_failure=jobs["bad"])
    created = await rig.create(*group([chain([jobs["first"], inner, jobs["last"]]), jobs["other"]]))

    seen: list[str] = []
    while await rig.state(created.id) == "running":
        held = Job.FromString((await take(rig.store, 1))[0].job)
        seen.append(held.type)
        if held.type == failing:
            await rig.store.apply([failed(held, rig.store.clock.now())], rig.store.clock.now())
        else:
            await rig.finish(held)
        await rig.advance()

    assert seen == ran
    assert await rig.state(created.id) == end


async def test_what_a_workflow_tells(rig: Rig, clock: FakeClock) -> None:
    """Each step's end and its own, in order, with what subscribers need."""
    await rig.create(step("a"), step("b", "a"))
    cursor = await rig.store.event_cursor(None)
    job = await rig.start("a")
    clock.advance(30)
    await rig.finish(job)
    await rig.advance()
    await rig.fail("b")
    clock.advance(5)
    await rig.advance()

    about = {"workflow_name": "w", "total_steps": 2.0}
    boom = {"code": "boom", "message": "it broke"}
    assert await rig.told(cursor) == [
        (
            "step_completed",
            about | {"step_id": "a", "step_type": "test.step", "duration_ms": 30.0, "steps_remaining": 1.0},
        ),
        ("step_failed", about | {"step_id": "b", "step_type": "test.step", "steps_remaining": 0.0, "error": boom}),
        ("failed", about | {"failed_step_id": "b", "failed_step_type": "test.step", "error": boom}),
    ]


async def test_the_end_is_told_with_its_duration(rig: Rig, clock: FakeClock) -> None:
    """Since the creation."""
    await rig.create(step("a"))
    await rig.complete("a")
    clock.advance(40)
    cursor = await rig.store.event_cursor(None)

    await rig.advance()

    about = {"workflow_name": "w", "total_steps": 1.0}
    assert (await rig.told(cursor))[-1] == ("completed", about | {"duration_ms": 40.0})


# Results


async def test_a_chain_hands_results_on(rig: Rig) -> None:
    """Each step finds those of all earlier ones, in order, null where there is none, also on its second attempt."""
    created = await rig.create(step("a"), step("b", "a"), step("c", "b"), step("d", "c", max_attempts=2))

    for name, result in (("a", {"n": 1}), ("b", None), ("c", {"n": 3})):
        await rig.complete(name, result=result)
        await rig.advance()
    await rig.fail("d")

    expected = {"results": [{"n": 1.0}, None, {"n": 3.0}], "step_ids": ["a", "b", "c"]}
    assert context_of(await rig.job(created, "d")) == expected
    assert context_of(await rig.job(created, "a")) == {}
    assert await rig.kept_results() == 0


async def test_results_outlive_their_jobs(rig: Rig) -> None:
    """A step that depends on several finds all results, in its own order; then they are forgotten."""
    created = await rig.create(step("a"), step("b"), step("c"), step("d", "c", "b", "a"), step("e", "a"))
    await rig.complete("a", result={"from": "a"})
    await rig.complete("b")
    await rig.advance()
    await rig.store.sweep(Retention(finished_ms=-1), rig.store.clock.now(), 100)
    assert await rig.store.read([created.steps[0].job_id]) == [None]

    await rig.complete("c", result={"from": "c"})
    await rig.advance()

    expected = {"results": [{"from": "c"}, None, {"from": "a"}], "step_ids": ["c", "b", "a"]}
    assert context_of(await rig.job(created, "d")) == expected
    assert context_of(await rig.job(created, "e")) == {"results": [{"from": "a"}], "step_ids": ["a"]}
    await rig.complete("d", "e")
    await rig.advance()
    assert await rig.state(created.id) == "completed"
    assert await rig.kept_results() == 0


async def test_results_too_large_together(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first ones are kept, wherever they come from; how many are read is bounded."""
    monkeypatch.setattr(context, "MAX_BYTES", 1000)
    monkeypatch.setattr(workflow_turn, "_RESULTS_CHUNK", 2)
    names = [f"s{number}" for number in range(6)]
    created = await rig.create(*map(step, names), step("end", *names))
    for name in reversed(names):
        await rig.complete(name, result={"x": "x" * 300})
        await rig.advance()

    found = context_of(await rig.job(created, "end"))

    assert [result is None for result in found["results"]] == [False, False, False, True, True, True]
    assert (found["step_ids"], found["results_omitted"]) == (names, True)


async def test_many_steps_with_large_results(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    """Are released little by little, all of them in the end, and each once."""
    monkeypatch.setattr(workflow_turn, "_CONTEXT_BYTES", 1000)
    names = [f"s{number}" for number in range(10)]
    created = await rig.create(step("a"), *(step(name, "a") for name in names))
    await rig.complete("a", result={"x": "x" * 400})

    next_at = await rig.advancer.run_once()
    assert next_at is not None
    assert next_at <= rig.store.clock.now()
    assert 0 < sum((await counts(rig.store)).values()) < 10
    # Whichever server goes on.
    await Rig(rig.store).advance()

    assert [(await rig.job(created, name)).state for name in names] == [states.AVAILABLE] * 10
    found = [context_of(await rig.job(created, name))["results"] for name in names]
    assert found == [[{"x": "x" * 400}]] * 10
    await rig.complete(*names)
    await rig.advance()
    assert await rig.state(created.id) == "completed"
    assert await rig.kept_results() == 0


@pytest.mark.parametrize("bound", ["_LOT_CHANGES", "_LOT_CONTEXT_BYTES"])
async def test_many_workflows_at_once(rig: Rig, monkeypatch: pytest.MonkeyPatch, bound: str) -> None:
    """Are advanced a few at a time, however much of theirs ends together, and each of them in the end."""
    monkeypatch.setattr(workflow_advancer, bound, 100)
    monkeypatch.setattr(workflow_advancer, "_PREPARED_AT_ONCE", 2)
    names = [f"s{number}" for number in range(9)]
    created = [await rig.create(step("a"), *(step(name, "a", queue="next") for name in names)) for _ in range(40)]
    await rig.complete(*["a"] * 40, result={"x": "x" * 10})
    largest, insert = 0, rig.store.insert

    async def measure(units: Sequence[Unit], now: int) -> list[Outcome]:
        nonlocal largest
        largest = max(largest, sum(len(unit.changes) for unit in units))
        return await insert(units, now)

    monkeypatch.setattr(rig.store, "insert", measure)
    await rig.advance()

    assert 0 < largest <= 108
    assert (await counts(rig.store))["next"] == 360
    assert {await rig.state(workflow.id) for workflow in created} == {"running"}


# Races and crashes


async def test_many_advancers_at_once(rig: Rig) -> None:
    """Each step is released once, each end told once."""
    names = [f"s{number}" for number in range(20)]
    created = await rig.create(*map(step, names), step("end", *names))
    cursor = await rig.store.event_cursor(None)
    await rig.complete(*names)

    await asyncio.gather(*(Rig(rig.store).advance() for _ in range(4)))

    assert await rig.state(created.id) == "running"
    await rig.complete("end")
    await asyncio.gather(*(Rig(rig.store).advance() for _ in range(4)))
    assert await rig.state(created.id) == "completed"
    kinds = [kind for kind, _ in await rig.told(cursor)]
    assert (kinds.count("step_completed"), kinds.count("completed")) == (21, 1)


@pytest.mark.parametrize("restart", [True, False])
@pytest.mark.parametrize("done", [True, False])
async def test_a_crash_at_any_write(
    rig: Rig, monkeypatch: pytest.MonkeyPatch, done: bool, restart: bool  # noqa: FBT001 - parameters of the test
) -> None:
    """Before it, or after it with the answer lost: what was left is done once, by the same server or by another."""
    insert, lost = rig.store.insert, 0

    async def lose_every_other(units: Sequence[Unit], now: int) -> list[Outcome]:
        nonlocal lost
        lost += 1
        if lost % 2:
            if done:
                await insert(units, now)
            raise StoreUnavailable("gone")
        return await insert(units, now)

    created = await rig.create(step("a"), step("b"), step("c", "a", "b"), step("x", "c", trigger="complete"))
    cursor = await rig.store.event_cursor(None)
    monkeypatch.setattr(rig.store, "insert", lose_every_other)

    for name in "abcx":
        await rig.complete(name, result={"n": 1})
        with pytest.raises(StoreUnavailable):
            await rig.advance()
        await (Rig(rig.store) if restart else rig).advance()
        lost = 0

    assert await rig.state(created.id) == "completed"
    kinds = [kind for kind, _ in await rig.told(cursor)]
    assert kinds == ["step_completed"] * 4 + ["completed"]
    assert (await rig.store.endings(100)).endings == []


async def test_somebody_is_faster(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between the look at the workflow and the write another server advances it by another ending."""
    created = await rig.create(step("a"), step("b"), step("c", "a", "b"))
    await rig.complete("a")
    documents, looked = rig.store.documents, 0

    async def look_then_lose(kind: str, names: Sequence[str]) -> object:
        nonlocal looked
        looked += 1
        found = await documents(kind, names)
        if looked == 1:
            await rig.complete("b")
            await Rig(rig.store).advance()
        return found

    monkeypatch.setattr(rig.store, "documents", look_then_lose)
    await rig.advance()

    assert await rig.states(created.id) == {"a": "completed", "b": "completed", "c": "pending"}
    assert len(await take(rig.store, 2, "c")) == 1


async def test_a_waiting_step_is_cancelled_at_the_last_moment(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    """After the duty saw its job, and before it could release it."""
    created = await rig.create(step("a"), step("b", "a"), step("c", "b"))
    await rig.complete("a")
    insert, tries = rig.store.insert, 0

    async def cancel_then_insert(units: Sequence[Unit], now: int) -> list[Outcome]:
        nonlocal tries
        tries += 1
        if tries == 1:
            await rig.cancel_job(created.steps[1].job_id)
        return await insert(units, now)

    monkeypatch.setattr(rig.store, "insert", cancel_then_insert)
    await rig.advance()

    assert await rig.states(created.id) == {"a": "completed", "b": "cancelled", "c": "cancelled"}
    assert await rig.state(created.id) == "failed"
    assert (await rig.store.endings(100)).endings == []


@pytest.mark.parametrize("more", [(), (step("other"),)])
async def test_a_dead_letter_that_is_retried(rig: Rig, more: Sequence[WorkflowStep]) -> None:
    """Is a job like any other: the workflow has failed with it, be it over or not."""
    created = await rig.create(step("a", retry=DEAD_LETTER), step("b", "a"), *more)
    await rig.fail("a")
    await rig.advance()

    dead = await rig.job(created, "a")
    assert await rig.store.apply([lifecycle.retry_dead(dead)], rig.store.clock.now()) != [None]
    await rig.complete("a")
    await rig.advance()

    assert (await rig.job(created, "a")).state == states.COMPLETED
    assert (await rig.states(created.id))["b"] == "cancelled"
    assert (await rig.store.endings(100)).endings == []
    if more:
        await rig.complete("other")
        await rig.advance()
    assert await rig.state(created.id) == "failed"


async def test_a_dead_letter_that_is_retried_before_its_end_was_told(rig: Rig) -> None:
    """Ends twice within one lot, and one of them counts; which one, a store may not know."""
    created = await rig.create(step("a", retry=DEAD_LETTER), step("b", "a"))
    await rig.fail("a")
    dead = await rig.job(created, "a")
    assert await rig.store.apply([lifecycle.retry_dead(dead)], rig.store.clock.now()) != [None]
    await rig.complete("a")

    await rig.advance()

    possible = ({"a": "failed", "b": "cancelled"}, {"a": "completed", "b": "pending"})
    assert await rig.states(created.id) in possible
    assert (await rig.store.endings(100)).endings == []


async def test_large_jobs(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    """Are read a few at a time, and their workflows advance all the same."""
    monkeypatch.setattr(workflow_advancer, "_LOT_BYTES", 1000)
    monkeypatch.setattr(workflow_advancer, "_FIRST_JOBS", 2)
    names = [f"s{number}" for number in range(9)]
    created = [await rig.create(*map(step, names), step("end", *names)) for _ in range(2)]
    for name in names * 2:
        await rig.complete(name, result={"x": "x" * 400})

    next_at = await rig.advancer.run_once()
    assert next_at is not None
    assert next_at <= rig.store.clock.now()
    assert len((await rig.store.endings(100)).endings) > 10
    await rig.advance()

    for workflow in created:
        found = context_of(await rig.job(workflow, "end"))
        assert found["results"] == [{"x": "x" * 400}] * 9


# Full queues


@pytest.fixture
async def bounded(url: str, clock: FakeClock) -> AsyncIterator[Rig]:
    """Around an empty store whose queues hold two jobs at most; those of the steps in the tests are not bounded."""
    free = {name: QueueRule() for name in "abc"}
    store = open_store(url, clock=clock, rules=QueueRules(QueueRule(max_depth=2), free))
    await store.open(RecordingSignals())
    yield Rig(store)
    await store.close()


async def test_a_full_queue_holds_back_what_has_no_room(bounded: Rig, clock: FakeClock) -> None:
    """And nothing else: other steps are released, the endings forgotten, and the duty waits before it tries again."""
    rig, names = bounded, [f"s{number}" for number in range(5)]
    created = await rig.create(step("a"), *(step(name, "a", queue="two") for name in names), step("b", "a"))
    await rig.complete("a", result={"n": 1})

    await rig.advance()

    assert sorted((await rig.states(created.id)).values()) == ["completed", *["pending"] * 3, *["waiting"] * 3]
    assert (await rig.job(created, "b")).state == states.AVAILABLE
    assert (await rig.store.endings(1)).endings == []
    assert await rig.advancer.run_once() == START + SECOND

    await rig.complete("b")
    for held in (2, 2, 1):
        await rig.complete(*["two"] * held)
        clock.advance(SECOND)
        await rig.advance()
    assert await rig.state(created.id) == "completed"
    found = [context_of(await rig.job(created, name))["results"] for name in names]
    assert found == [[{"n": 1}]] * 5
    assert await rig.kept_results() == 0


async def test_a_chain_through_a_full_queue(bounded: Rig, clock: FakeClock) -> None:
    """Loses no result over it."""
    rig = bounded
    await rig.create(step("x", queue="two"), step("y", queue="two"))
    created = await rig.create(step("a"), step("b", "a"), step("end", "b", queue="two"))
    for number, name in enumerate("ab"):
        await rig.complete(name, result={"n": number})
        await rig.advance()
    assert (await rig.states(created.id))["end"] == "waiting"

    await rig.complete("two")
    clock.advance(SECOND)
    await rig.advance()

    assert context_of(await rig.job(created, "end"))["results"] == [{"n": 0}, {"n": 1}]
    await rig.complete("two", "two")
    await rig.advance()
    assert await rig.state(created.id) == "completed"
    assert await rig.kept_results() == 0


async def test_many_full_queues(bounded: Rig, clock: FakeClock) -> None:
    """Hold back one workflow, and no other."""
    rig, queues = bounded, [f"q{number}" for number in range(10)]
    for _ in range(2):
        await rig.create(*map(step, queues))
    stuck = await rig.create(step("a"), *(step(f"s{queue}", "a", queue=queue) for queue in queues))
    await rig.complete("a")
    await rig.advance()

    other = await rig.create(step("b"), step("c", "b"))
    await rig.complete("b")
    await rig.advance()

    assert (await rig.states(other.id))["c"] == "pending"
    assert (await rig.store.endings(1)).endings == []
    assert await rig.advancer.run_once() == START + SECOND
    await rig.complete(*queues)
    clock.advance(SECOND)
    await rig.advance()
    assert set((await rig.states(stuck.id)).values()) == {"completed", "pending"}


# Retention and rest


async def test_a_workflow_is_forgotten(rig: Rig, clock: FakeClock) -> None:
    """So long after its end, completed or cancelled, and not before; one that runs never is."""
    completed, cancelled, running = [await rig.create(step(name)) for name in "abc"]
    await rig.complete("a")
    await rig.workflows.cancel(cancelled.id, "")
    await rig.advance()

    assert await rig.advancer.run_once() == START + RETENTION_MS
    clock.advance(RETENTION_MS - 1)
    await rig.advance()
    assert all([await rig.is_kept(workflow.id) for workflow in (completed, cancelled, running)])
    clock.advance(1)
    await rig.advance()

    assert [await rig.is_kept(workflow.id) for workflow in (completed, cancelled, running)] == [False, False, True]


async def test_it_rests_after_work(rig: Rig, clock: FakeClock, monkeypatch: pytest.MonkeyPatch) -> None:
    """As long as that took, so that more has ended by the next turn; never long enough to be noticed."""
    created = await rig.create(step("a"), step("b", "a"))
    endings = rig.store.endings

    async def slowly(limit: int) -> Any:  # noqa: ANN401 - as the store answers
        clock.advance(6)
        return await endings(limit)

    monkeypatch.setattr(rig.store, "endings", slowly)
    await rig.advancer.run_once()
    await rig.complete("a")

    assert await rig.advancer.run_once() == START + 12
    assert (await rig.states(created.id))["b"] == "waiting"
    clock.advance(6)
    await rig.advancer.run_once()

    assert (await rig.states(created.id))["b"] == "pending"
