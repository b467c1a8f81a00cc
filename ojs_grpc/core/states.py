"""The eight states as plain ints (the values of the `JobState` enum), for code that stores and compares them."""

from typing import Final

from ojs_grpc_pb.v1 import job_pb2

SCHEDULED: Final = int(job_pb2.JOB_STATE_SCHEDULED)
AVAILABLE: Final = int(job_pb2.JOB_STATE_AVAILABLE)
PENDING: Final = int(job_pb2.JOB_STATE_PENDING)
ACTIVE: Final = int(job_pb2.JOB_STATE_ACTIVE)
COMPLETED: Final = int(job_pb2.JOB_STATE_COMPLETED)
RETRYABLE: Final = int(job_pb2.JOB_STATE_RETRYABLE)
CANCELLED: Final = int(job_pb2.JOB_STATE_CANCELLED)
DISCARDED: Final = int(job_pb2.JOB_STATE_DISCARDED)

ALL: Final = (SCHEDULED, AVAILABLE, PENDING, ACTIVE, COMPLETED, RETRYABLE, CANCELLED, DISCARDED)
TERMINAL: Final = frozenset({COMPLETED, CANCELLED, DISCARDED})

_NAMES: Final = {
    state: job_pb2.JobState.Name(job_pb2.JobState.ValueType(state)).removeprefix("JOB_STATE_").lower() for state in ALL
}


def state_name(state: int) -> str:
    """The state's name as the spec writes it: `available`."""
    return _NAMES[state]
