"""Reading jobs and changing them by decision: read, decide, apply, and again if somebody else was faster."""

from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

from ojs_grpc_pb.v1.job_pb2 import Job

from ojs_grpc.core import states
from ojs_grpc.core.transition import Transition
from ojs_grpc.errors import JobNotFound, StoreError
from ojs_grpc.operations.alarm import Alarm
from ojs_grpc.operations.coalescing import Coalescer
from ojs_grpc.stores.ports import Outcome, Store, Unit

# Each lost race means that another change of the same job went through; nobody changes one job that often.
_ATTEMPTS = 20
_MAX_ITEMS = 256


class Changed(NamedTuple):
    """A job after a change, serialised, and the state in which it was before."""

    job: bytes
    previous_state: int


class Changes:
    """The one way by which decided transitions reach the store.

    Args:
        released: told of every job that left the active state, so that its slot frees.
        due: told of every time at which a job is to become available.
        expiry: told of every time at which a new job's time to live ends.
    """

    def __init__(
        self, store: Store, released: Callable[[Iterable[str]], None], due: Alarm, expiry: Alarm
    ) -> None:
        self._store = store
        self._released = released
        self._due = due
        self._expiry = expiry
        self._reads: Coalescer[str, bytes | None] = Coalescer(store.read, _MAX_ITEMS)
        self._writes: Coalescer[Transition, bytes | None] = Coalescer(self.apply, _MAX_ITEMS)

    async def read(self, job_id: str) -> bytes:
        """The job as it stands, serialised.

        Raises:
            JobNotFound: no job has this id.
        """
        data = await self._reads.submit(job_id)
        if data is None:
            raise JobNotFound(job_id)
        return data

    async def change(self, job_id: str, decide: Callable[[Job], Transition]) -> Changed:
        """Changes a job by what `decide` says of its present state, atomically.

        Raises:
            JobNotFound: no job has this id.
            InvalidState: or whatever else `decide` raises.
        """
        for _ in range(_ATTEMPTS):
            transition = decide(Job.FromString(await self.read(job_id)))
            data = await self._writes.submit(transition)
            if data is not None:
                return Changed(data, transition.state)
        raise StoreError(f"job {job_id} kept changing")

    async def commit(self, units: Sequence[Unit], now: int) -> list[Outcome]:
        """As `JobStore.insert`; frees the slots of jobs that are no longer active, and tells when new ones are due."""
        outcomes = await self._store.insert(units, now)
        done = [unit for unit, outcome in zip(units, outcomes, strict=True) if outcome is None]
        self._note([change for unit in done for change in unit.changes])
        for job in [job for unit in done for job in unit.jobs]:
            if job.due_at:
                self._due.advance(job.due_at)
            if job.expires_at:
                self._expiry.advance(job.expires_at)
        return outcomes

    async def apply(self, transitions: Sequence[Transition]) -> list[bytes | None]:
        """As `JobStore.apply`, at the store's present time; frees the slots of jobs that are no longer active."""
        results = await self._store.apply(transitions, self._store.clock.now())
        self._note([transition for transition, data in zip(transitions, results, strict=True) if data is not None])
        return results

    def _note(self, applied: Sequence[Transition]) -> None:
        self._released(transition.job_id for transition in applied if transition.state == states.ACTIVE)
        for transition in applied:
            if transition.due_at:
                self._due.advance(transition.due_at)
