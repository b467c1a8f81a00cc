"""Discards jobs that nobody took within their time to live (behaviour section 8)."""

from ojs_grpc_pb.v1.job_pb2 import Job

from ojs_grpc.core import lifecycle
from ojs_grpc.operations.alarm import Alarm
from ojs_grpc.operations.changes import Changes
from ojs_grpc.stores.ports import Store

_CHUNK = 200


class Expirer:
    """The duty of discarding expired jobs."""

    name = "expirer"
    idle_ms = 1000

    def __init__(self, store: Store, changes: Changes, alarm: Alarm) -> None:
        self._store = store
        self._changes = changes
        self.alarm = alarm

    async def run_once(self) -> int | None:
        """Discards a chunk."""
        now = self._store.clock.now()
        found = await self._store.expired(now, _CHUNK)
        if found.jobs:
            await self._changes.apply([lifecycle.expire(Job.FromString(job), now) for job in found.jobs])
        return found.next_at
