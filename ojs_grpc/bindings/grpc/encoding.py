"""Replies put together from jobs that are bytes already (design section 2, idea 1)."""

from collections.abc import Iterable, Sequence

from google.protobuf.duration_pb2 import Duration
from ojs_grpc_pb.v1 import job_pb2

from ojs_grpc.core.duration import duration_ms
from ojs_grpc.core.wire import bytes_field, varint_field
from ojs_grpc.errors import InvalidRequest, Violation


def job_reply(job: bytes) -> bytes:
    """An EnqueueResponse, GetJobResponse, CancelJobResponse, ActivateJobResponse or RetryDeadLetterResponse.

    In each of them the job is field 1.
    """
    return bytes_field(1, job)


def jobs_reply(jobs: Iterable[bytes]) -> bytes:
    """A FetchResponse, or the start of an EnqueueBatchResponse or ListDeadLetterResponse: the jobs are field 1."""
    return b"".join([bytes_field(1, job) for job in jobs])


def batch_reply(jobs: Sequence[bytes], reply_bytes: int) -> bytes:
    """An EnqueueBatchResponse.

    Stock clients refuse messages above 4 MiB, and all jobs are stored by now. So if the jobs are larger than
    `reply_bytes` together, they are given without the fields that make them large, `args`, `meta` and those for JSON;
    and if that is not enough, with nothing but their `id` and `state`.
    """
    for shorten in (_without_payload, _without_all):
        if sum(map(len, jobs)) <= reply_bytes:
            break
        jobs = [shorten(job) for job in jobs]
    return jobs_reply(jobs) + varint_field(job_pb2.EnqueueBatchResponse.COUNT_FIELD_NUMBER, len(jobs))


def milliseconds(value: Duration, field: str) -> int:
    """A duration in a request, as ms.

    Raises:
        InvalidRequest: it is no valid duration, or negative.
    """
    try:
        ms = duration_ms(value)
    except ValueError as error:
        raise InvalidRequest([Violation(field, str(error))]) from None
    # Rounded up to a millisecond, a small negative duration is zero.
    if ms < 0 or value.nanos < 0:
        raise InvalidRequest([Violation(field, "must not be negative")])
    return ms


def _without_payload(data: bytes) -> bytes:
    job = job_pb2.Job.FromString(data)
    for field in ("args", "meta", "ext", "exact"):
        job.ClearField(field)
    return job.SerializeToString()


def _without_all(data: bytes) -> bytes:
    job = job_pb2.Job.FromString(data)
    return job_pb2.Job(id=job.id, state=job.state).SerializeToString()
