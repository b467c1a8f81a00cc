"""A job's row as the bytes of the job."""

from typing import NamedTuple

from ojs_grpc.core.overlay import overlay


class Record(NamedTuple):
    """What makes up a job as it stands: `{RECORD}` in statements."""

    state: int
    attempt: int
    lease: int
    enqueued_at: int
    started_at: int
    ended_at: int
    due_at: int
    worker: str
    tail: bytes
    subject: bytes
    data: bytes


RECORD_COLUMNS = "state, attempt, lease, enqueued_at, started_at, ended_at, due_at, worker, tail, subject, data"


def job_bytes(record: Record) -> bytes:
    """The job as it stands."""
    *columns, tail, subject, data = record
    return b"".join((subject, data, overlay(*columns), tail))  # type: ignore[arg-type]
