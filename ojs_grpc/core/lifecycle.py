"""The state machine: what may happen to a job, and what it becomes (behaviour section 1.1).

Pure functions from a job as read and what happened to it, to a `Transition` for the store to apply. Only two changes
are decided in the stores themselves, for one round trip: a claim (available to active) and a completion (active to
completed); a third, the promotion of due jobs, has nothing to decide. All of them are in `TRANSITIONS` all the same.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from enum import StrEnum
from typing import NamedTuple

from ojs_grpc_pb.v1.job_pb2 import Job, JobError

from ojs_grpc.core import event_details, retry, states
from ojs_grpc.core.duration import timestamp_ms, to_timestamp
from ojs_grpc.core.events import JobEvent, Kind
from ojs_grpc.core.limits import Limits
from ojs_grpc.core.transition import Transition
from ojs_grpc.errors import InvalidState


class Trigger(StrEnum):
    """What can happen to a job."""

    PROMOTE = "its time has come"
    ACTIVATE = "activate"
    POSTPONE = "activate, before its time"
    CLAIM = "claim"
    COMPLETE = "ack"
    RETRY = "failure, retry allowed"
    EXHAUST = "failure, no retry"
    RELEASE = "release"
    LOSE = "lease lost, attempts left"
    CANCEL = "cancel"
    EXPIRE = "time to live passed"
    RETRY_DEAD = "dead letter retry"


class Rule(NamedTuple):
    """One allowed change."""

    source: int
    trigger: Trigger
    target: int


TRANSITIONS: Sequence[Rule] = (
    Rule(states.SCHEDULED, Trigger.PROMOTE, states.AVAILABLE),
    Rule(states.SCHEDULED, Trigger.CANCEL, states.CANCELLED),
    Rule(states.SCHEDULED, Trigger.EXPIRE, states.DISCARDED),
    Rule(states.PENDING, Trigger.ACTIVATE, states.AVAILABLE),
    Rule(states.PENDING, Trigger.POSTPONE, states.SCHEDULED),
    Rule(states.PENDING, Trigger.CANCEL, states.CANCELLED),
    Rule(states.PENDING, Trigger.EXPIRE, states.DISCARDED),
    Rule(states.AVAILABLE, Trigger.CLAIM, states.ACTIVE),
    Rule(states.AVAILABLE, Trigger.COMPLETE, states.COMPLETED),
    Rule(states.AVAILABLE, Trigger.CANCEL, states.CANCELLED),
    Rule(states.AVAILABLE, Trigger.EXPIRE, states.DISCARDED),
    Rule(states.ACTIVE, Trigger.COMPLETE, states.COMPLETED),
    Rule(states.ACTIVE, Trigger.RETRY, states.RETRYABLE),
    Rule(states.ACTIVE, Trigger.EXHAUST, states.DISCARDED),
    Rule(states.ACTIVE, Trigger.RELEASE, states.AVAILABLE),
    Rule(states.ACTIVE, Trigger.LOSE, states.AVAILABLE),
    Rule(states.ACTIVE, Trigger.CANCEL, states.CANCELLED),
    Rule(states.RETRYABLE, Trigger.PROMOTE, states.AVAILABLE),
    Rule(states.RETRYABLE, Trigger.CANCEL, states.CANCELLED),
    Rule(states.DISCARDED, Trigger.RETRY_DEAD, states.AVAILABLE),
)

# What a step of a workflow finds in its `meta` when its turn has come (behaviour section 4.4).
PARENT_RESULTS = "ojs.parent_results"
PARENT_STEP_IDS = "ojs.parent_step_ids"
PARENT_RESULTS_OMITTED = "ojs.parent_results_omitted"
EXACT_RESULTS = "/parent_results/"
"""How the pointers in `exact` begin that say what Protobuf cannot of these results."""
CONTEXT_MEMBERS = (PARENT_RESULTS, PARENT_STEP_IDS, PARENT_RESULTS_OMITTED)

_TARGETS = {(rule.source, rule.trigger): rule.target for rule in TRANSITIONS}


def sources(trigger: Trigger) -> list[int]:
    """The states in which this can happen."""
    return [rule.source for rule in TRANSITIONS if rule.trigger is trigger]


def refused(job: Job, trigger: Trigger, reason: str = "") -> InvalidState:
    """The error for a trigger that the job's state does not allow."""
    expected = " or ".join(states.state_name(state) for state in sources(trigger))
    return InvalidState(job.id, states.state_name(job.state), expected, reason)


def check_holder(job: Job, lease: int, worker_id: str) -> None:
    """Refuses a report about a job from somebody who does not hold it.

    A lease that was given is the proof (design section 2, idea 4); without one the worker, if given, must be the
    holder; without either the state alone decides.

    Raises:
        InvalidState: the job is not active, or held under another lease or by another worker.
    """
    if job.state != states.ACTIVE:
        raise refused(job, Trigger.RETRY)
    if lease and lease != job.lease:
        raise refused(job, Trigger.RETRY, f"job {job.id} is active under another lease")
    if not lease and worker_id and job.worker_id and worker_id != job.worker_id:
        raise refused(job, Trigger.RETRY, f"job {job.id} is held by another worker")


def fail(
    job: Job, error: JobError, now: int, random: Callable[[], float], limits: Limits, *, requeue: bool = False
) -> Transition:
    """An attempt was reported failed: release, retry, discard or dead letter (behaviour section 2.3).

    Args:
        error: as reported; its `attempt` and `occurred_at` are set here.
        requeue: the worker gives the job back instead of failing it.
    """
    outcome = retry.decide(_policy(job), job.attempt, error, requeue=requeue)
    if outcome is retry.Outcome.RELEASE:
        return release(job, error, now, limits)
    return _failed(job, outcome, error, now, random, limits)


def release(job: Job, error: JobError | None, now: int, limits: Limits) -> Transition:
    """The holder gives the job back: available at once, the attempt returned, the lease stale (behaviour 6.6)."""
    tail = _tail(job)
    if error is not None and (error.code or error.message):
        _append(tail, error, job.attempt, now, limits)
    return _change(job, Trigger.RELEASE, tail, attempt=max(job.attempt - 1, 0), fence=True)


def overdue(
    job: Job,
    lease_expires_at: int,
    times_out_at: int,
    now: int,
    random: Callable[[], float],
    limits: Limits,
) -> Transition:
    """An active job's time has passed: its lease ended, its worker fell silent, or it ran for too long.

    What came first decides. A lost lease makes the job available at once while attempts are left (behaviour 6.4); an
    execution timeout is a failed attempt on the normal retry path (section 8). The change is void if a heartbeat
    comes before it.
    """
    if lease_expires_at <= min(now, times_out_at):
        return _lose(job, JobError(code="visibility_timeout", message="the lease ended without a report"), now, limits)
    if times_out_at > now:
        return _lose(job, JobError(code="worker_death", message=f"worker {job.worker_id} fell silent"), now, limits)
    started = timestamp_ms(job.started_at)
    error = JobError(code="timeout", message=f"no report within {(times_out_at - started) / 1000:g} s")
    error.details.update(
        {
            "timeout_kind": "execution",
            "limit_seconds": (times_out_at - started) / 1000,
            "elapsed_seconds": (now - started) / 1000,
        }
    )
    outcome = retry.decide(_policy(job), job.attempt, error)
    return replace(_failed(job, outcome, error, now, random, limits), overdue_at=now)


def cancel(job: Job, reason: str = "", cancelled_by: str = "") -> Transition:
    """Anyone may cancel a job that is not finished; a running one loses its lease.

    Args:
        reason: for people; cut if it is very long.
        cancelled_by: who wants it, if that is known.
    """
    told = JobEvent(Kind.JOB_CANCELLED, event_details.cancelled(reason, cancelled_by))
    return _change(job, Trigger.CANCEL, _tail(job), events=(told,))


def activate(job: Job) -> Transition:
    """A pending job may run now; one of a workflow only when the workflow says so, see `admit`."""
    if job.state == states.PENDING and job.workflow_id:
        raise refused(job, Trigger.ACTIVATE, f"job {job.id} waits for its workflow {job.workflow_id}")
    return _change(job, Trigger.ACTIVATE, _tail(job))


def admit(job: Job, context: Job, now: int) -> Transition:
    """It is a workflow step's turn: available, or scheduled if its own time is still to come (behaviour 4.3).

    Args:
        context: what the job gets with it: members of `meta`, all of them in `CONTEXT_MEMBERS`, and of `exact`.
    """
    tail = _tail(job)
    tail.MergeFrom(context)
    due_at = timestamp_ms(job.scheduled_at) if job.HasField("scheduled_at") else 0
    if due_at > now:
        return _change(job, Trigger.POSTPONE, tail, due_at=due_at, events=(JobEvent(Kind.JOB_SCHEDULED),))
    return _change(job, Trigger.ACTIVATE, tail)


def expire(job: Job, now: int | None = None) -> Transition:
    """Nobody got the job within its time to live: discarded, and never among the dead letters.

    Args:
        now: when that was noticed; left out, the end of its time to live.
    """
    told = JobEvent(Kind.JOB_EXPIRED, event_details.expired(job, now))
    return _change(job, Trigger.EXPIRE, _tail(job), events=(told,))


def retry_dead(job: Job) -> Transition:
    """A discarded job starts over: attempt 0, the history of errors kept (design section 7)."""
    tail = _tail(job)
    tail.ClearField("retry_delay_ms")
    told = (JobEvent(Kind.DEAD_LETTER_RETRIED),) if job.dead_letter else ()
    return _change(job, Trigger.RETRY_DEAD, tail, attempt=0, fence=True, events=told)


def _policy(job: Job) -> retry.Policy:
    return retry.resolve(job.retry_policy if job.HasField("retry_policy") else None, job.max_attempts)


def _failed(
    job: Job, outcome: retry.Outcome, error: JobError, now: int, random: Callable[[], float], limits: Limits
) -> Transition:
    policy = _policy(job)
    tail = _tail(job)
    _append(tail, error, job.attempt, now, limits)
    if outcome is not retry.Outcome.RETRY:
        # Without attempts left, an error may still be one that others are tried again after.
        retryable = retry.decide(policy, 0, error) is retry.Outcome.RETRY
        return _exhaust(job, tail, error, now, retryable=retryable, dead=outcome is retry.Outcome.DEAD_LETTER)
    tail.retry_delay_ms = retry.delay_ms(policy, job.attempt, random)
    due_at = now + tail.retry_delay_ms
    told = (
        JobEvent(Kind.JOB_FAILED, event_details.failed(job, error, now, retryable=True)),
        JobEvent(Kind.JOB_RETRYING, event_details.retrying(job, error, policy.max_attempts, due_at)),
    )
    # Fenced: whoever failed it, or ran out of time, cannot complete it once it is available again.
    return _change(job, Trigger.RETRY, tail, due_at=due_at, fence=True, events=told)


def _lose(job: Job, error: JobError, now: int, limits: Limits) -> Transition:
    policy = _policy(job)
    tail = _tail(job)
    _append(tail, error, job.attempt, now, limits)
    if job.attempt < policy.max_attempts:
        told = JobEvent(Kind.JOB_FAILED, event_details.failed(job, error, now, retryable=True))
        lost = _change(job, Trigger.LOSE, tail, events=(told,))
    else:
        dead = policy.on_exhaustion == retry.DEAD_LETTER
        lost = _exhaust(job, tail, error, now, retryable=True, dead=dead)
    return replace(lost, overdue_at=now)


def _exhaust(job: Job, tail: Job, error: JobError, now: int, *, retryable: bool, dead: bool) -> Transition:
    tail.completed_at.CopyFrom(to_timestamp(now))
    tail.dead_letter = dead
    told = [
        JobEvent(Kind.JOB_FAILED, event_details.failed(job, error, now, retryable=retryable)),
        JobEvent(Kind.JOB_DISCARDED, event_details.discarded(job, error)),
    ]
    if dead:
        told.append(JobEvent(Kind.DEAD_LETTER_ADDED))
    return _change(job, Trigger.EXHAUST, tail, dead=dead, events=tuple(told))


def _tail(job: Job) -> Job:
    """What stays of the changing fields whatever happens."""
    tail = Job(errors=job.errors, retry_delay_ms=job.retry_delay_ms)
    if job.workflow_id:
        for name in CONTEXT_MEMBERS:
            if name in job.meta.fields:
                tail.meta.fields[name].CopyFrom(job.meta.fields[name])
        for pointer, text in job.exact.items():
            if pointer.startswith(EXACT_RESULTS):
                tail.exact[pointer] = text
    return tail


def _append(tail: Job, error: JobError, attempt: int, now: int, limits: Limits) -> None:
    entry = tail.errors.add()
    entry.CopyFrom(error)
    entry.attempt = attempt
    entry.occurred_at.CopyFrom(to_timestamp(now))
    del tail.errors[: -limits.errors_kept]


def _change(
    job: Job,
    trigger: Trigger,
    tail: Job,
    *,
    attempt: int | None = None,
    due_at: int = 0,
    dead: bool = False,
    fence: bool = False,
    events: tuple[JobEvent, ...] = (),
) -> Transition:
    target = _TARGETS.get((job.state, trigger))
    if target is None:
        raise refused(job, trigger)
    return Transition(
        job_id=job.id,
        state=job.state,
        lease=job.lease,
        to=target,
        attempt=job.attempt if attempt is None else attempt,
        tail=tail.SerializeToString(),
        due_at=due_at,
        dead=dead,
        fence=fence,
        events=events,
    )
