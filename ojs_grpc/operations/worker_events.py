"""What workers do, as events: best effort, and never at the cost of a call (behaviour section 18)."""

import asyncio
from collections.abc import Sequence

import structlog
from ojs_grpc_pb.v1.job_pb2 import Job
from ojs_grpc_pb.v1.worker_pb2 import WORKER_STATE_QUIET, WORKER_STATE_RUNNING, WORKER_STATE_TERMINATE

from ojs_grpc.core.events import Kind, NewEvent
from ojs_grpc.core.members import number_member, text_member, texts_member
from ojs_grpc.errors import StoreError
from ojs_grpc.stores.ports import Store

log = structlog.get_logger(__name__)

# What happens within this time is written together.
_GATHER_SECONDS = 0.05
# In an outage of the store, more than so many events are not kept for later.
_MAX_WAITING = 10_000
# Workers that said that they wind down, and have not been seen since, are forgotten when there are so many of them.
_MAX_WINDING_DOWN = 10_000


class WorkerEvents:
    """Notes what workers do, and logs it in the background."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._streams: dict[str, list[Sequence[str]]] = {}
        """The queues of each open stream, by worker."""
        self._winding_down: dict[str, int] = {}
        """The last state that a worker said, unless that is the usual one."""
        self._waiting: list[NewEvent] = []
        self._task: asyncio.Task[None] | None = None

    def opened(self, worker_id: str, queues: Sequence[str], concurrency: int) -> None:
        """A worker opened a stream."""
        streams = self._streams.setdefault(worker_id, [])
        streams.append(queues)
        if len(streams) == 1:
            self._winding_down.pop(worker_id, None)
            told = texts_member("queues", queues) + number_member("concurrency", concurrency)
            self._note(Kind.WORKER_STARTED, worker_id, told, queues)

    def closed(self, worker_id: str, queues: Sequence[str]) -> None:
        """A stream of the worker ended, for whatever reason; it was opened for the same queues."""
        streams = self._streams[worker_id]
        streams.remove(queues)
        if not streams:
            del self._streams[worker_id]
            if self._winding_down.pop(worker_id, 0) != WORKER_STATE_TERMINATE:
                self._stop_worker(worker_id, queues)

    def beat(self, worker_id: str, state: int, active_jobs: int, *, of_job: bool) -> None:
        """A worker sent a heartbeat.

        Args:
            active_jobs: how many it holds.
            of_job: it was about one of its jobs, which has an event of its own.
        """
        queues = sorted({queue for stream in self._streams.get(worker_id, ()) for queue in stream})
        if not of_job:
            told = number_member("active_jobs", active_jobs) + texts_member("queues", queues)
            self._note(Kind.WORKER_HEARTBEAT, worker_id, told, queues)
        if self._winding_down.get(worker_id, WORKER_STATE_RUNNING) == state:
            return
        self._remember(worker_id, state)
        if state == WORKER_STATE_QUIET:
            self._note(Kind.WORKER_QUIET, worker_id, number_member("active_jobs", active_jobs), queues)
        elif state == WORKER_STATE_TERMINATE:
            self._stop_worker(worker_id, queues)

    async def stop(self) -> None:
        """Returns when everything is written; the store must still be open."""
        if self._task is not None:
            await self._task

    def _remember(self, worker_id: str, state: int) -> None:
        self._winding_down.pop(worker_id, None)
        if state == WORKER_STATE_RUNNING:
            return
        if len(self._winding_down) >= _MAX_WINDING_DOWN:
            del self._winding_down[next(iter(self._winding_down))]
        self._winding_down[worker_id] = state

    def _stop_worker(self, worker_id: str, queues: Sequence[str]) -> None:
        # A worker that vanished cannot be told from one that closed its stream.
        self._note(Kind.WORKER_STOPPED, worker_id, text_member("reason", "shutdown"), queues)

    def _note(self, kind: Kind, worker_id: str, told: bytes, queues: Sequence[str]) -> None:
        if not self._store.log_events or len(self._waiting) >= _MAX_WAITING:
            return
        # The subject has room for one queue; a worker of several is of none.
        subject = Job(queue=queues[0]).SerializeToString() if len(queues) == 1 else b""
        self._waiting.append(NewEvent(kind, worker_id, subject, text_member("worker_id", worker_id) + told))
        if self._task is None:
            self._task = asyncio.create_task(self._write_soon(), name="worker events")

    async def _write_soon(self) -> None:
        try:
            while self._waiting:
                await asyncio.sleep(_GATHER_SECONDS)
                await self._write()
        finally:
            self._task = None

    async def _write(self) -> None:
        events, self._waiting = self._waiting, []
        if not events:
            return
        try:
            await self._store.log(events, self._store.clock.now())
        except StoreError as error:
            log.warning("could not log what workers do", count=len(events), error=error.message)
        except Exception:
            log.exception("could not log what workers do")
