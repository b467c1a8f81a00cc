"""What the official suite needs of heartbeats, and nobody else should have (wire section 1.6)."""

from collections.abc import Iterable
from contextlib import suppress

from ojs_grpc_pb.v1.job_pb2 import Job
from ojs_grpc_pb.v1.worker_pb2 import WORKER_STATE_QUIET, WORKER_STATE_RUNNING, WORKER_STATE_TERMINATE, WorkerState

from ojs_grpc.errors import JobNotFound
from ojs_grpc.operations.jobs import Jobs

_MEMBER = "test_directive"
# The strictest first.
_DIRECTIVES = {"terminate": WORKER_STATE_TERMINATE, "quiet": WORKER_STATE_QUIET}


class Directives:
    """What a heartbeat answers by the will of the jobs it is about, who say it in `meta`."""

    def __init__(self, jobs: Jobs) -> None:
        self._jobs = jobs

    async def of(self, job_ids: Iterable[str]) -> WorkerState.ValueType:
        """The strictest word of these jobs; running if none has one."""
        found = {await self._read(job_id) for job_id in set(job_ids)}
        return next((state for word, state in _DIRECTIVES.items() if word in found), WORKER_STATE_RUNNING)

    async def _read(self, job_id: str) -> str:
        with suppress(JobNotFound):
            job = Job.FromString(await self._jobs.get(job_id))
            return job.meta.fields[_MEMBER].string_value if _MEMBER in job.meta.fields else ""
        return ""
