"""The state machine: what may happen to a job, and what it becomes (behaviour section 1.1)."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from google.protobuf.struct_pb2 import Struct
from hypothesis import given
from hypothesis import strategies as st
from ojs_grpc_pb.v1.job_pb2 import Job, JobError, RetryPolicy

from ojs_grpc.core import lifecycle
from ojs_grpc.core.duration import timestamp_ms, to_timestamp
from ojs_grpc.core.kept_error import trim_error
from ojs_grpc.core.lifecycle import TRANSITIONS, Trigger
from ojs_grpc.core.limits import Limits
from ojs_grpc.core.states import (
    ACTIVE,
    ALL,
    AVAILABLE,
    CANCELLED,
    COMPLETED,
    DISCARDED,
    PENDING,
    RETRYABLE,
    SCHEDULED,
    TERMINAL,
    state_name,
)
from ojs_grpc.core.transition import Transition
from ojs_grpc.errors import InvalidState
from tests.clock import START

LIMITS = Limits()
ROOT = Path(__file__).resolve().parents[2]

ALLOWED = {
    (SCHEDULED, Trigger.PROMOTE): AVAILABLE,
    (RETRYABLE, Trigger.PROMOTE): AVAILABLE,
    (PENDING, Trigger.ACTIVATE): AVAILABLE,
    (PENDING, Trigger.POSTPONE): SCHEDULED,
    (AVAILABLE, Trigger.CLAIM): ACTIVE,
    (ACTIVE, Trigger.COMPLETE): COMPLETED,
    (ACTIVE, Trigger.RETRY): RETRYABLE,
    (ACTIVE, Trigger.EXHAUST): DISCARDED,
    (ACTIVE, Trigger.RELEASE): AVAILABLE,
    (ACTIVE, Trigger.LOSE): AVAILABLE,
    **{(state, Trigger.CANCEL): CANCELLED for state in (SCHEDULED, AVAILABLE, PENDING, ACTIVE, RETRYABLE)},
    **{(state, Trigger.EXPIRE): DISCARDED for state in (SCHEDULED, AVAILABLE, PENDING)},
    (DISCARDED, Trigger.RETRY_DEAD): AVAILABLE,
    # Not in behaviour 1.1, but in design section 7: the late ack, which a lease proves.
    (AVAILABLE, Trigger.COMPLETE): COMPLETED,
}


def job(state: int = ACTIVE, **fields: Any) -> Job:  # noqa: ANN401
    """A job that was claimed at START."""
    defaults = {"id": "job-1", "attempt": 1, "max_attempts": 3, "lease": 7, "worker_id": "worker-1"}
    return Job(state=state, started_at=to_timestamp(START), **{**defaults, **fields})


def middle() -> float:
    """No chance: with jitter, a delay is what the policy says."""
    return 0.5


def fail(failed: Job, error: JobError | None = None, *, now: int = START, requeue: bool = False) -> Transition:
    """A failed attempt."""
    reported = JobError(code="boom") if error is None else error
    return lifecycle.fail(failed, reported, now, middle, LIMITS, requeue=requeue)


def overdue(late: Job, lease_ends: int, times_out: int, now: int) -> Transition:
    """A job whose time has passed; times from START."""
    return lifecycle.overdue(late, START + lease_ends, START + times_out, START + now, middle, LIMITS)


def later(waiting: Job) -> Job:
    """The same job, with a time of its own still to come."""
    waiting.scheduled_at.CopyFrom(to_timestamp(START + 1))
    return waiting


def tail_of(transition: Transition) -> Job:
    """What it says of the rest of the job."""
    return Job.FromString(transition.tail)


# The table


def test_the_table_is_the_spec() -> None:
    """No row too many, none missing, none twice."""
    assert {(rule.source, rule.trigger): rule.target for rule in TRANSITIONS} == ALLOWED
    assert len(TRANSITIONS) == len(ALLOWED)


def test_what_is_final_is_final() -> None:
    """Nothing leads out of completed and cancelled, and out of discarded only the retry of a dead letter."""
    out = {(rule.source, rule.trigger) for rule in TRANSITIONS if rule.source in TERMINAL}
    assert out == {(DISCARDED, Trigger.RETRY_DEAD)}


DECISIONS: dict[Trigger, Callable[[Job], Transition]] = {
    Trigger.ACTIVATE: lifecycle.activate,
    Trigger.POSTPONE: lambda job: lifecycle.admit(later(job), Job(), START),
    Trigger.RETRY: fail,
    Trigger.EXHAUST: lambda job: fail(job, JobError(code="DISCARD")),
    Trigger.RELEASE: lambda job: fail(job, requeue=True),
    Trigger.LOSE: lambda job: overdue(job, 10, 20, 10),
    Trigger.CANCEL: lifecycle.cancel,
    Trigger.EXPIRE: lifecycle.expire,
    Trigger.RETRY_DEAD: lifecycle.retry_dead,
}


def test_every_trigger_is_decided_somewhere() -> None:
    """Here, or in the stores: promotion, claim and completion."""
    assert set(Trigger) - set(DECISIONS) == {Trigger.PROMOTE, Trigger.CLAIM, Trigger.COMPLETE}


@pytest.mark.parametrize("trigger", DECISIONS)
@pytest.mark.parametrize("state", ALL, ids=state_name)
def test_every_pair_is_allowed_or_refused(state: int, trigger: Trigger) -> None:
    """As the table says; a refusal names the job, its state and the states that would do."""
    target = ALLOWED.get((state, trigger))
    if target is not None:
        transition = DECISIONS[trigger](job(state))
        assert (transition.job_id, transition.state, transition.lease, transition.to) == ("job-1", state, 7, target)
        return

    with pytest.raises(InvalidState) as refusal:
        DECISIONS[trigger](job(state))

    details = refusal.value.details
    assert (details["job_id"], details["current_state"]) == ("job-1", state_name(state))
    wanted = {state_name(source) for source, allowed in ALLOWED if allowed is trigger}
    assert set(details["expected_state"].split(" or ")) == wanted


def test_the_document_is_up_to_date() -> None:
    """docs/state_machine.md says what the table says."""
    script = ROOT / "scripts" / "gen_state_machine.py"
    result = subprocess.run([sys.executable, script, "--check"], capture_output=True, text=True, check=False)

    assert result.returncode == 0, result.stderr


# Holders


@pytest.mark.parametrize(
    ("lease", "worker", "holds"),
    [
        (7, "", True),
        (7, "worker-1", True),
        (7, "worker-2", True),  # the lease is the proof, whatever the name
        (6, "", False),
        (6, "worker-1", False),
        (8, "worker-1", False),
        (0, "worker-1", True),
        (0, "worker-2", False),
        (0, "", True),
    ],
)
def test_who_holds_a_job(lease: int, worker: str, holds: bool) -> None:  # noqa: FBT001
    """A lease proves it, else the worker's name must fit if there is one, else the state decides."""
    if holds:
        lifecycle.check_holder(job(), lease, worker)
    else:
        with pytest.raises(InvalidState) as refusal:
            lifecycle.check_holder(job(), lease, worker)
        assert refusal.value.details["current_state"] == "active"


def test_a_job_without_a_name_is_anybodys() -> None:
    """It was claimed by a client that did not say who it is."""
    lifecycle.check_holder(job(worker_id=""), 0, "worker-2")


@pytest.mark.parametrize("state", [state for state in ALL if state != ACTIVE], ids=state_name)
def test_only_active_jobs_are_held(state: int) -> None:
    """The right lease changes nothing."""
    with pytest.raises(InvalidState):
        lifecycle.check_holder(job(state), 7, "worker-1")


# Failed attempts


def test_a_retry_waits() -> None:
    """The chosen delay is kept, the attempt stays counted, and the old lease is worth nothing any more."""
    transition = fail(job(attempt=2), now=START + 5)

    assert (transition.due_at, transition.attempt, transition.fence) == (START + 5 + 2000, 2, True)
    assert not transition.dead
    kept = tail_of(transition)
    assert kept.retry_delay_ms == 2000
    assert [(error.code, error.attempt, timestamp_ms(error.occurred_at)) for error in kept.errors] == [
        ("boom", 2, START + 5)
    ]
    assert not kept.HasField("completed_at")


@pytest.mark.parametrize(("on_exhaustion", "dead"), [("", False), ("discard", False), ("dead_letter", True)])
def test_the_last_attempt(on_exhaustion: str, dead: bool) -> None:  # noqa: FBT001
    """Discarded, with its time of completion, and a dead letter if the policy says so."""
    last = job(attempt=3, retry_policy=RetryPolicy(on_exhaustion=on_exhaustion))

    transition = fail(last, now=START + 9)

    assert (transition.to, transition.dead, transition.attempt) == (DISCARDED, dead, 3)
    kept = tail_of(transition)
    assert (kept.dead_letter, timestamp_ms(kept.completed_at)) == (dead, START + 9)


def test_who_says_how_many_attempts() -> None:
    """The policy's number, else the job's effective one."""
    assert fail(job(attempt=3, max_attempts=5)).to == RETRYABLE
    assert fail(job(attempt=3, max_attempts=5, retry_policy=RetryPolicy())).to == RETRYABLE
    assert fail(job(attempt=3, max_attempts=5, retry_policy=RetryPolicy(max_attempts=3))).to == DISCARDED


@pytest.mark.parametrize(("attempt", "afterwards"), [(3, 2), (1, 0), (0, 0)])
def test_a_release_gives_the_attempt_back(attempt: int, afterwards: int) -> None:
    """But never below none; the lease is void, and nothing is an error."""
    transition = fail(job(attempt=attempt), JobError(), requeue=True)

    assert (transition.to, transition.attempt, transition.fence) == (AVAILABLE, afterwards, True)
    assert not tail_of(transition).errors


def test_a_release_keeps_its_reason() -> None:
    """If there is one."""
    transition = fail(job(), JobError(code="shutdown"), requeue=True)
    assert [error.code for error in tail_of(transition).errors] == ["shutdown"]


def test_what_was_known_stays_known() -> None:
    """Earlier errors and the delay survive every change."""
    known = job(errors=[JobError(code="old", attempt=1)], retry_delay_ms=1234)
    for transition in (lifecycle.cancel(known), fail(known, JobError(), requeue=True), overdue(known, 1, 9, 1)):
        kept = tail_of(transition)
        assert kept.errors[0] == known.errors[0]
        assert kept.retry_delay_ms == 1234


@given(st.integers(0, 30), st.integers(1, 12))
def test_the_newest_errors_are_kept(before: int, kept: int) -> None:
    """So many as the limit says, oldest first, the new one last."""
    failed = job(errors=[JobError(code=str(number)) for number in range(before)], max_attempts=100)

    transition = lifecycle.fail(failed, JobError(code="new"), START, middle, Limits(errors_kept=kept))

    codes = [error.code for error in tail_of(transition).errors]
    assert codes == [*map(str, range(before)), "new"][-kept:]


# Overdue


@pytest.mark.parametrize(
    ("lease_ends", "times_out", "now", "code"),
    [
        (10, 20, 10, "visibility_timeout"),
        (10, 20, 15, "visibility_timeout"),
        (10, 20, 25, "visibility_timeout"),  # the reaper is late, but the lease ended first
        (20, 10, 10, "timeout"),
        (20, 10, 25, "timeout"),
        (10, 10, 10, "visibility_timeout"),  # at once: the lease, which is the milder end
        (30, 40, 20, "worker_death"),  # neither has ended: its worker fell silent
        (30, 20, 20, "timeout"),
        (20, 30, 20, "visibility_timeout"),
    ],
)
def test_what_came_first_decides(lease_ends: int, times_out: int, now: int, code: str) -> None:
    """Lease, timeout, or neither: then it is the silence of the worker."""
    transition = overdue(job(), lease_ends * 1000, times_out * 1000, now * 1000)

    (error,) = tail_of(transition).errors
    assert (error.code, error.attempt, timestamp_ms(error.occurred_at)) == (code, 1, START + now * 1000)
    assert transition.to == (RETRYABLE if code == "timeout" else AVAILABLE)
    assert transition.overdue_at == START + now * 1000


def test_a_lost_lease_costs_nothing_more_than_its_attempt() -> None:
    """Available at once; the attempt that was counted at the claim stays; a late ack is possible."""
    transition = overdue(job(attempt=2), 10, 20, 10)

    assert (transition.to, transition.attempt, transition.due_at, transition.fence) == (AVAILABLE, 2, 0, False)


@pytest.mark.parametrize("lease_ends", [10, 30])
@pytest.mark.parametrize(("on_exhaustion", "dead"), [("discard", False), ("dead_letter", True)])
def test_the_last_lease_exhausts_the_job(lease_ends: int, on_exhaustion: str, dead: bool) -> None:  # noqa: FBT001
    """By the end of the lease or the death of the worker, when no attempts are left."""
    last = job(attempt=3, retry_policy=RetryPolicy(on_exhaustion=on_exhaustion))

    transition = overdue(last, lease_ends, 40, 20)

    assert (transition.to, transition.dead, transition.overdue_at) == (DISCARDED, dead, START + 20)
    assert tail_of(transition).HasField("completed_at")


def test_a_timeout_is_a_failure_like_any_other() -> None:
    """Backoff, exhaustion, and errors that are not to be retried, by its code `timeout`."""
    assert overdue(job(), 99_000, 5_000, 6_000).due_at == START + 6_000 + 1_000
    assert overdue(job(attempt=3), 99_000, 5_000, 6_000).to == DISCARDED
    never = job(retry_policy=RetryPolicy(non_retryable_errors=["timeout"], on_exhaustion="dead_letter"))
    assert overdue(never, 99_000, 5_000, 6_000).dead


def test_a_timeout_says_how_long_it_took() -> None:
    """In its details, and for people."""
    (error,) = tail_of(overdue(job(), 99_000, 2_500, 2_600)).errors

    details = Struct()
    details.update({"timeout_kind": "execution", "limit_seconds": 2.5, "elapsed_seconds": 2.6})
    assert error.details == details
    assert error.message == "no report within 2.5 s"


def test_a_dead_worker_is_named() -> None:
    """For people."""
    (error,) = tail_of(overdue(job(), 30, 40, 20)).errors
    assert "worker-1" in error.message


# Ends and new beginnings


def test_a_cancel_keeps_attempt_and_history_and_sets_no_completion() -> None:
    """A running job loses its lease by leaving the active state."""
    transition = lifecycle.cancel(job(attempt=2, errors=[JobError(code="old")]))

    assert (transition.to, transition.attempt, transition.dead) == (CANCELLED, 2, False)
    kept = tail_of(transition)
    assert not kept.HasField("completed_at")
    assert len(kept.errors) == 1


def test_an_expired_job_is_no_failure() -> None:
    """No completion, no dead letter, whatever its policy says."""
    transition = lifecycle.expire(job(AVAILABLE, attempt=0, retry_policy=RetryPolicy(on_exhaustion="dead_letter")))

    assert (transition.to, transition.dead) == (DISCARDED, False)
    kept = tail_of(transition)
    assert not kept.dead_letter
    assert not kept.HasField("completed_at")


def test_a_dead_letter_starts_over() -> None:
    """Attempt 0, its errors kept, all else of its end forgotten, its old lease void."""
    dead = job(DISCARDED, attempt=3, errors=[JobError(code="a")], retry_delay_ms=5, dead_letter=True)
    dead.completed_at.CopyFrom(to_timestamp(1))

    transition = lifecycle.retry_dead(dead)

    assert (transition.to, transition.attempt, transition.fence, transition.dead) == (AVAILABLE, 0, True, False)
    assert tail_of(transition) == Job(errors=dead.errors)


# Steps of workflows


def step(state: int = PENDING, **fields: Any) -> Job:  # noqa: ANN401
    """A job of a workflow."""
    return job(state, workflow_id="workflow-1", **fields)


@pytest.mark.parametrize(
    ("wait_ms", "state", "due_at"), [(-1, AVAILABLE, 0), (0, AVAILABLE, 0), (1, SCHEDULED, START + 1)]
)
def test_a_step_whose_turn_comes_may_have_to_wait_for_its_own_time(wait_ms: int, state: int, due_at: int) -> None:
    """Scheduled if that is still to come, else available."""
    waiting = step(scheduled_at=to_timestamp(START + wait_ms))

    transition = lifecycle.admit(waiting, Job(), START)

    assert (transition.to, transition.due_at) == (state, due_at)


def test_a_step_keeps_its_context_for_life() -> None:
    """What it was told of its parents is still there after a failure; what its producer said is not copied."""
    context = Job(exact={"/parent_results/0": "9007199254740993"})
    context.meta.update({lifecycle.PARENT_RESULTS: [1, None], lifecycle.PARENT_STEP_IDS: ["a", "b"]})
    waiting = step(exact={"/args/0": "9007199254740993"})
    waiting.meta["mine"] = True

    admitted = tail_of(lifecycle.admit(waiting, context, START))

    assert (admitted.meta, admitted.exact) == (context.meta, context.exact)
    running = step(ACTIVE, meta=waiting.meta, exact=waiting.exact)
    running.MergeFrom(admitted)
    again = tail_of(fail(running))
    assert (again.meta, again.exact) == (context.meta, context.exact)


def test_a_job_of_no_workflow_keeps_no_context() -> None:
    """Members of these names are its producer's, who has them in the envelope."""
    running = job()
    running.meta[lifecycle.PARENT_RESULTS] = "mine"

    assert not tail_of(fail(running)).HasField("meta")


def test_only_its_workflow_activates_a_step() -> None:
    """A caller is refused, with the workflow's name; the same job without one is activated."""
    with pytest.raises(InvalidState, match="workflow-1"):
        lifecycle.activate(step())

    assert lifecycle.activate(job(PENDING)).to == AVAILABLE


# Reported errors


def test_an_error_within_its_limits_is_kept_whole() -> None:
    """But for what the server writes itself."""
    error = JobError(code="c" * 255, message="m" * 10_000, backtrace="b" * 10_000, retryable=False)
    error.details.update({"x": "x" * 60_000})
    reported = JobError()
    reported.CopyFrom(error)
    reported.attempt = 99
    reported.occurred_at.FromSeconds(1)

    assert trim_error(reported, LIMITS) == error


@given(st.text(), st.text(), st.text(), st.integers(4, 40))
def test_a_cut_error_is_text_within_its_limits(code: str, message: str, backtrace: str, limit: int) -> None:
    """A prefix of what was said, never half a character."""
    limits = Limits(error_code_chars=limit, error_message_bytes=limit, backtrace_chars=limit)

    kept = trim_error(JobError(code=code, message=message, backtrace=backtrace), limits)

    assert kept.code == code[:limit]
    assert kept.backtrace == backtrace[:limit]
    assert message.startswith(kept.message)
    size = len(kept.message.encode())
    assert size <= limit
    # Nothing is cut that has room.
    assert kept.message == message or size > limit - 4


def test_details_that_are_too_large_are_left_out() -> None:
    """Whole, since half an object says something else."""
    error = JobError(code="boom")
    error.details.update({"x": "x" * 65_536})

    assert not trim_error(error, LIMITS).HasField("details")


def test_what_was_reported_is_not_changed() -> None:
    """The request's message belongs to the caller."""
    error = JobError(code="c" * 300)

    trim_error(error, LIMITS)

    assert len(error.code) == 300
