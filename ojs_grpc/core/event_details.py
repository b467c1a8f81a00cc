"""What the events of decided changes say beside whom they are about: serialised Structs (behaviour section 18)."""

from ojs_grpc_pb.v1.job_pb2 import Job, JobError

from ojs_grpc.core.duration import timestamp_ms
from ojs_grpc.core.members import flag_member, number_member, object_member, text_member, time_member

# A reason is kept for as long as the log; nobody reads more than that.
_REASON_CHARS = 1000


def failed(job: Job, error: JobError, now: int, *, retryable: bool) -> bytes:
    """Of JOB_FAILED: the attempt, and what went wrong.

    Args:
        retryable: whether another attempt follows such an error, if there is one left.
    """
    told = _error(error) + flag_member("retryable", retryable)
    if error.backtrace:
        told += text_member("stack_trace", error.backtrace)
    detail = number_member("attempt", job.attempt) + object_member("error", told)
    if job.HasField("started_at"):
        detail += number_member("duration_ms", max(now - timestamp_ms(job.started_at), 0))
    return detail


def retrying(job: Job, error: JobError, max_attempts: int, due_at: int) -> bytes:
    """Of JOB_RETRYING, which follows JOB_FAILED."""
    return (
        number_member("attempt", job.attempt)
        + number_member("max_attempts", max_attempts)
        + time_member("next_retry_at", due_at)
        + object_member("error", _error(error))
    )


def discarded(job: Job, error: JobError) -> bytes:
    """Of JOB_DISCARDED, which follows the last JOB_FAILED."""
    return number_member("total_attempts", job.attempt) + object_member("last_error", _error(error))


def cancelled(reason: str, cancelled_by: str) -> bytes:
    """Of JOB_CANCELLED: as far as it is known."""
    detail = text_member("reason", reason[:_REASON_CHARS]) if reason else b""
    return detail + text_member("cancelled_by", cancelled_by) if cancelled_by else detail


def expired(job: Job, now: int | None) -> bytes:
    """Of JOB_EXPIRED; `now` is when it was noticed, None for the end of the time to live."""
    created_at = timestamp_ms(job.created_at)
    expires_at = timestamp_ms(job.expires_at)
    return (
        time_member("created_at", created_at)
        + time_member("expired_at", expires_at if now is None else now)
        + number_member("ttl_ms", expires_at - created_at)
    )


def progress(job: Job, fraction: float | None, message: str) -> bytes:
    """Of JOB_PROGRESS.

    Args:
        job: active.
        fraction: what is done of it, from 0 to 1, if that is known.
        message: for people; may be empty.
    """
    detail = text_member("worker_id", job.worker_id) + number_member("attempt", job.attempt)
    if fraction is not None:
        detail += number_member("progress_percent", round(fraction * 100, 6))
    return detail + text_member("progress_message", message) if message else detail


def _error(error: JobError) -> bytes:
    return text_member("code", error.code) + text_member("message", error.message)
