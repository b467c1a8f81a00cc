"""Takes jobs back whose lease ended, whose worker fell silent, or that ran for too long (behaviour 6.4 and 8)."""

from random import random

import structlog
from ojs_grpc_pb.v1.job_pb2 import Job

from ojs_grpc.core import lifecycle
from ojs_grpc.core.limits import Limits
from ojs_grpc.operations.alarm import Alarm
from ojs_grpc.operations.changes import Changes
from ojs_grpc.stores.ports import Store

log = structlog.get_logger(__name__)

_CHUNK = 200


class Reaper:
    """The duty of ending leases whose time has passed."""

    name = "reaper"
    # A short lease taken right after a look is noticed so late at most.
    idle_ms = 500

    def __init__(self, store: Store, changes: Changes, limits: Limits) -> None:
        self._store = store
        self._changes = changes
        self._limits = limits
        self.alarm = Alarm()

    async def run_once(self) -> int | None:
        """Ends a chunk of leases."""
        now = self._store.clock.now()
        found = await self._store.overdue(now, _CHUNK)
        if found.jobs:
            transitions = [
                lifecycle.overdue(
                    Job.FromString(late.job), late.lease_expires_at, late.times_out_at, now, random, self._limits
                )
                for late in found.jobs
            ]
            results = await self._changes.apply(transitions)
            log.info("leases ended", count=sum(result is not None for result in results))
        return found.next_at
