"""The kinds of jobs in the demo, and what each must come to."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from google.protobuf.duration_pb2 import Duration
from google.protobuf.struct_pb2 import Value
from google.protobuf.timestamp_pb2 import Timestamp
from ojs_grpc_pb.v1 import job_pb2

_RETRY_SECONDS = 0.1


@dataclass(frozen=True)
class Kind:
    """A kind of job.

    Attributes:
        fate: what happens to it, in words as short as a column of the table.
        share: of all jobs; None for the kind that gets the rest.
        most: never more jobs than this.
        failures: attempts that its handler fails.
        loses_a_worker: the first worker that gets it dies, so its lease runs out.
        end: its final state.
        attempts: how many there were by then.
    """

    name: str
    fate: str
    share: float | None = None
    most: int = 1_000_000
    delay_seconds: float = 0.0
    failures: int = 0
    max_attempts: int = 3
    dead: bool = False
    cancelled: bool = False
    loses_a_worker: bool = False
    end: int = job_pb2.JOB_STATE_COMPLETED
    attempts: int = 1

    @property
    def type(self) -> str:
        """The job type."""
        return f"demo.{self.name}"


KINDS = (
    Kind("plain", "runs at once"),
    Kind("scheduled", "runs later", 0.10, delay_seconds=1.0),
    Kind("retried", "fails twice", 0.05, failures=2, attempts=3),
    Kind("lost", "loses worker", 0.01, most=100, loses_a_worker=True, attempts=2),
    Kind(
        "dead",
        "always fails",
        0.01,
        failures=2,
        max_attempts=2,
        dead=True,
        end=job_pb2.JOB_STATE_DISCARDED,
        attempts=2,
    ),
    Kind(
        "cancelled",
        "is cancelled",
        0.01,
        delay_seconds=3600.0,
        cancelled=True,
        end=job_pb2.JOB_STATE_CANCELLED,
        attempts=0,
    ),
)


def split(jobs: int) -> dict[str, int]:
    """How many jobs of each kind, by its name; at least one of each."""
    counts = {kind.name: min(max(1, round(jobs * kind.share)), kind.most) for kind in KINDS if kind.share is not None}
    return {kind.name: counts.get(kind.name, jobs - sum(counts.values())) for kind in KINDS}


def batches(kind: Kind, count: int, queue: str, size: int) -> Iterator[job_pb2.EnqueueBatchRequest]:
    """The requests that enqueue so many jobs of a kind. Ask for one when it is to be sent: a delay counts from then."""
    for start in range(0, count, size):
        numbers = range(start, min(start + size, count))
        entries = [job_pb2.BatchJobEntry(type=kind.type, args=_args(number)) for number in numbers]
        yield job_pb2.EnqueueBatchRequest(jobs=entries, default_options=_options(kind, queue))


def _args(number: int) -> Sequence[Value]:
    return [Value(number_value=number), Value(string_value=f"customer-{number}@example.org")]


def _options(kind: Kind, queue: str) -> job_pb2.EnqueueOptions:
    options = job_pb2.EnqueueOptions(
        queue=queue,
        retry=job_pb2.RetryPolicy(
            max_attempts=kind.max_attempts,
            initial_interval=Duration(nanos=round(_RETRY_SECONDS * 1e9)),
            backoff_coefficient=1.0,
            jitter=False,
            on_exhaustion="dead_letter" if kind.dead else "discard",
        ),
    )
    if kind.delay_seconds:
        due = Timestamp()
        due.GetCurrentTime()
        due.FromNanoseconds(due.ToNanoseconds() + round(kind.delay_seconds * 1e9))
        options.delay_until.CopyFrom(due)
    return options
