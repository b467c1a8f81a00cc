"""The changing fields of a job as bytes that override its envelope.

A stored job is an envelope, serialised once at enqueue, and a few fields that change. Serialised protobuf messages
concatenate into their merge, so `envelope + overlay(...) + tail` is the job as it stands now, without parsing anything.

    envelope   what the producer said, and `id`, `created_at`, `max_attempts`: never changes
    overlay    state, attempt, lease and times: what a store keeps as columns, encoded on the way out
    tail       errors, retry_delay_ms, result ...: a fragment of `Job` that the core writes, opaque to stores
"""

from functools import lru_cache

from ojs_grpc_pb.v1.job_pb2 import Job

from ojs_grpc.core import states
from ojs_grpc.core.wire import bytes_field, timestamp_field, varint_field

_STATE = [varint_field(Job.STATE_FIELD_NUMBER, state) for state in range(max(states.ALL) + 1)]
_ENDED_AT = {
    states.COMPLETED: Job.COMPLETED_AT_FIELD_NUMBER,
    states.CANCELLED: Job.CANCELLED_AT_FIELD_NUMBER,
    states.DISCARDED: Job.DISCARDED_AT_FIELD_NUMBER,
}


@lru_cache(maxsize=4096)
def _timestamp(number: int, ms: int) -> bytes:
    # Jobs that are claimed or enqueued together share their times, so most calls hit.
    return timestamp_field(number, ms)


@lru_cache(maxsize=4096)
def _worker(worker_id: str) -> bytes:
    return bytes_field(Job.WORKER_ID_FIELD_NUMBER, worker_id.encode())


def overlay(
    state: int,
    attempt: int = 0,
    lease: int = 0,
    enqueued_at: int = 0,
    started_at: int = 0,
    ended_at: int = 0,
    due_at: int = 0,
    worker_id: str = "",
) -> bytes:
    """Encodes the changing fields; times are ms since the epoch, 0 for not set.

    Args:
        ended_at: when the job became terminal; the state says which field that is.
        due_at: active: end of the lease; retryable: time of the next attempt; else not shown.
        worker_id: the holder; shown while active.
    """
    data = _STATE[state]
    if enqueued_at:
        data += _timestamp(Job.ENQUEUED_AT_FIELD_NUMBER, enqueued_at)
    if attempt:
        data += varint_field(Job.ATTEMPT_FIELD_NUMBER, attempt)
    if started_at:
        data += _timestamp(Job.STARTED_AT_FIELD_NUMBER, started_at)
    if lease:
        data += varint_field(Job.LEASE_FIELD_NUMBER, lease)
    if state == states.ACTIVE:
        data += _timestamp(Job.LEASE_EXPIRES_AT_FIELD_NUMBER, due_at)
        if worker_id:
            data += _worker(worker_id)
    elif state == states.RETRYABLE:
        data += _timestamp(Job.NEXT_ATTEMPT_AT_FIELD_NUMBER, due_at)
    elif ended_at and state in _ENDED_AT:
        data += _timestamp(_ENDED_AT[state], ended_at)
    return data
