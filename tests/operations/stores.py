"""A store that does what a test tells it, for what the dispatcher asks of one."""

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from itertools import count
from typing import Any

from ojs_grpc_pb.v1.job_pb2 import Job

from ojs_grpc.core import states
from ojs_grpc.core.transition import Transition
from ojs_grpc.stores.ports import Claimed, Delivery, Demand
from tests.clock import FakeClock


class ScriptedStore:
    """Queues of job ids, from which claims are served.

    Attributes:
        queues: what waits.
        given: every job handed out, with its worker.
        demands: every claim asked.
        withdrawn: workers that are passed over.
        failures: errors to raise, one a claim, before the claim does anything.
        losses: errors to raise, one a claim, after the claim did its work.
        gate: claims answer only while it is set.
        claiming: set while a claim waits at the gate.
    """

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.queues: dict[str, deque[str]] = {}
        self.given: list[tuple[str, str]] = []
        self.demands: list[Sequence[Demand]] = []
        self.withdrawn: set[str] = set()
        self.failures: deque[Exception] = deque()
        self.losses: deque[Exception] = deque()
        self.present: dict[str, int] = {}
        self.gate = asyncio.Event()
        self.gate.set()
        self.claiming = asyncio.Event()
        self.unanswered_errors: deque[Exception] = deque()
        self._lost: list[Delivery] = []
        self._leases = count(1)

    def put(self, queue: str, *jobs: str) -> None:
        """Makes jobs available."""
        self.queues.setdefault(queue, deque()).extend(jobs)

    async def claim(self, demands: Sequence[Demand], _: int) -> list[Claimed]:
        """As the port says, with the test's failures."""
        self.demands.append(demands)
        if self.failures:
            raise self.failures.popleft()
        claims = [self._serve(demand) for demand in demands]
        self.claiming.set()
        await self.gate.wait()
        self.claiming.clear()
        if self.losses:
            self._lost = [delivery for claimed in claims for delivery in claimed.deliveries]
            raise self.losses.popleft()
        return claims

    async def unanswered(self, _: int) -> list[bytes]:
        """What the last loss leased."""
        if self.unanswered_errors:
            raise self.unanswered_errors.popleft()
        return [Job(id=delivery.job_id, lease=delivery.lease).SerializeToString() for delivery in self._lost]

    async def leases(self, job_ids: Sequence[str]) -> list[int]:
        """The present leases."""
        return [self.present.get(job_id, 0) for job_id in job_ids]

    def _serve(self, demand: Demand) -> Claimed:
        slots = deque(worker for worker in demand.workers if worker not in self.withdrawn)
        deliveries = []
        for queue in demand.queues:
            waiting = self.queues.get(queue, deque())
            while slots and waiting:
                worker, job_id, lease = slots.popleft(), waiting.popleft(), next(self._leases)
                deliveries.append(Delivery(job_id, lease, worker, queue, job_id.encode()))
                self.given.append((job_id, worker))
                self.present[job_id] = lease
        return Claimed(deliveries, drained=bool(slots))


class RecordingChanges:
    """Writes down which jobs were given back."""

    def __init__(self, store: ScriptedStore) -> None:
        self.back: list[str] = []
        self.errors: deque[Exception] = deque()
        self._store = store

    async def change(self, job_id: str, decide: Callable[[Job], Transition]) -> bytes:
        """Decides for the job as the store has it."""
        if self.errors:
            raise self.errors.popleft()
        lease: Any = self._store.present.get(job_id, 0)
        transition = decide(Job(id=job_id, state=states.ACTIVE if lease else states.AVAILABLE, attempt=1, lease=lease))
        assert (transition.to, transition.attempt) == (states.AVAILABLE, 0)
        del self._store.present[job_id]
        self.back.append(job_id)
        return b""
