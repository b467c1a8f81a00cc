"""What the changes of the state machine tell (behaviour section 18)."""

from typing import Any

import pytest
from google.protobuf.json_format import MessageToDict
from google.protobuf.struct_pb2 import Struct
from ojs_grpc_pb.v1.job_pb2 import Job, JobError, RetryPolicy

from ojs_grpc.core import lifecycle
from ojs_grpc.core.duration import to_timestamp
from ojs_grpc.core.events import name_of
from ojs_grpc.core.states import ACTIVE, AVAILABLE, DISCARDED, PENDING
from ojs_grpc.core.transition import Transition
from tests.clock import START
from tests.core.test_lifecycle import LIMITS, fail, job, later, middle, overdue

BOOM = JobError(code="boom", message="it broke")
TOLD = {"code": "boom", "message": "it broke"}
NEVER = RetryPolicy(non_retryable_errors=["boom"])
DEAD = RetryPolicy(max_attempts=1, on_exhaustion="dead_letter")


def told(transition: Transition) -> list[tuple[str, dict[str, Any]]]:
    """Name and details of each event, in order."""
    return [(name_of(event.kind), MessageToDict(Struct.FromString(event.detail))) for event in transition.events]


def test_a_failure_that_is_retried() -> None:
    """It failed, and then when it is tried again."""
    events = told(fail(job(attempt=2, max_attempts=5), BOOM, now=START + 245))

    assert events == [
        ("job.failed", {"attempt": 2, "error": {**TOLD, "retryable": True}, "duration_ms": 245}),
        (
            "job.retrying",
            {"attempt": 2, "max_attempts": 5, "next_retry_at": "2025-06-15T15:06:42.245Z", "error": TOLD},
        ),
    ]


def test_the_last_failure() -> None:
    """Every failed attempt is told, also the one that ends the job; the error itself was worth another one."""
    events = told(fail(job(attempt=3), BOOM, now=START + 9))

    assert events == [
        ("job.failed", {"attempt": 3, "error": {**TOLD, "retryable": True}, "duration_ms": 9}),
        ("job.discarded", {"total_attempts": 3, "last_error": TOLD}),
    ]


@pytest.mark.parametrize(
    ("error", "policy"),
    [
        (BOOM, NEVER),
        (JobError(code="boom", message="it broke", retryable=False), RetryPolicy()),
    ],
)
def test_an_error_that_is_never_retried_says_so(error: JobError, policy: RetryPolicy) -> None:
    """By the job's policy or the handler's word, with attempts left."""
    (failed, discarded) = told(fail(job(retry_policy=policy), error))

    assert failed[1]["error"]["retryable"] is False
    assert discarded[0] == "job.discarded"


def test_a_dead_letter_is_told_as_such() -> None:
    """After the rest."""
    events = told(fail(job(retry_policy=DEAD), BOOM))
    assert [name for name, _ in events] == ["job.failed", "job.discarded", "dead_letter.added"]


def test_a_stack_trace_is_told_once() -> None:
    """With the failure."""
    error = JobError(code="boom", backtrace="at line 1\nat line 2")
    failed, retrying = told(fail(job(), error))

    assert failed[1]["error"]["stack_trace"] == error.backtrace
    assert "stack_trace" not in retrying[1]["error"]


def test_a_lost_lease_is_a_failed_attempt() -> None:
    """The store tells that the job is available again."""
    events = told(overdue(job(attempt=2), 10, 20, 10))

    ((name, detail),) = events
    assert (name, detail["attempt"], detail["duration_ms"]) == ("job.failed", 2, 10)
    assert (detail["error"]["code"], detail["error"]["retryable"]) == ("visibility_timeout", True)


def test_the_last_lease_ends_the_job() -> None:
    """As the last failure does."""
    last = job(attempt=3, retry_policy=RetryPolicy(on_exhaustion="dead_letter"))
    events = told(overdue(last, 10, 20, 10))

    assert [name for name, _ in events] == ["job.failed", "job.discarded", "dead_letter.added"]
    assert events[1][1]["last_error"]["code"] == "visibility_timeout"


def test_a_timeout_is_told_like_a_failure() -> None:
    """And retried like one."""
    events = told(overdue(job(), 99_000, 5_000, 6_000))

    assert [name for name, _ in events] == ["job.failed", "job.retrying"]
    assert events[0][1]["error"]["code"] == "timeout"


def test_a_cancel_says_why_and_by_whom() -> None:
    """As far as that is known, and not at any length."""
    assert told(lifecycle.cancel(job())) == [("job.cancelled", {})]
    full = lifecycle.cancel(job(), "too late", "ops")
    assert told(full) == [("job.cancelled", {"reason": "too late", "cancelled_by": "ops"})]
    ((_, detail),) = told(lifecycle.cancel(job(), "x" * 100_000))
    assert detail["reason"] == "x" * 1000


def test_an_expired_job_says_how_long_it_had() -> None:
    """And when that was noticed; left out, it was at once."""
    old = job(AVAILABLE, created_at=to_timestamp(START), expires_at=to_timestamp(START + 300_000))
    detail = {"created_at": "2025-06-15T15:06:40Z", "expired_at": "2025-06-15T15:11:40.123Z", "ttl_ms": 300_000}

    assert told(lifecycle.expire(old, START + 300_123)) == [("job.expired", detail)]
    ((_, at_once),) = told(lifecycle.expire(old))
    assert at_once["expired_at"] == "2025-06-15T15:11:40Z"


def test_a_dead_letter_that_is_retried_is_told() -> None:
    """Beside being enqueued, which the store tells."""
    assert told(lifecycle.retry_dead(job(DISCARDED, dead_letter=True))) == [("dead_letter.retried", {})]
    assert told(lifecycle.retry_dead(job(DISCARDED))) == []


def test_a_step_that_has_to_wait_is_scheduled() -> None:
    """From then on it is a scheduled job like any other."""
    assert told(lifecycle.admit(later(job(PENDING)), Job(), START)) == [("job.scheduled", {})]


@pytest.mark.parametrize(
    "transition",
    [
        lifecycle.activate(job(PENDING)),
        lifecycle.admit(job(PENDING), Job(), START),
        lifecycle.release(job(ACTIVE), BOOM, START, LIMITS),
        lifecycle.fail(job(ACTIVE), JobError(), START, middle, LIMITS, requeue=True),
    ],
)
def test_what_only_makes_a_job_available_tells_nothing_of_its_own(transition: Transition) -> None:
    """The store tells that it was enqueued."""
    assert (transition.to, transition.events) == (AVAILABLE, ())
