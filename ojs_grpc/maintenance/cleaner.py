"""Forgets what nobody needs any more (design section 4, "Finished jobs")."""

from ojs_grpc_pb.v1.job_pb2 import Job

from ojs_grpc.operations import checkpoints, progress
from ojs_grpc.operations.alarm import Alarm
from ojs_grpc.operations.checkpoints import REVIEW_MS, is_over
from ojs_grpc.stores.ports import Document, Retention, Store, Unit, Write

# Redis does nothing else meanwhile, so a chunk takes it about a millisecond.
_CHUNK = 200
# They may be large, and so may the jobs that are read for them.
_DOCUMENTS = 20


class Cleaner:
    """The duty of retention: of finished jobs, of events, and of what belongs to jobs that are gone."""

    name = "cleaner"
    idle_ms = 60_000

    def __init__(self, store: Store, retention: Retention) -> None:
        self._store = store
        self._retention = retention
        self.alarm = Alarm()

    async def run_once(self) -> int | None:
        """Removes a chunk of each."""
        now = self._store.clock.now()
        removed = await self._store.sweep(self._retention, now, _CHUNK)
        more = [await self._review(kind, now) for kind in (progress.KIND, checkpoints.KIND)]
        return now if removed >= _CHUNK or any(more) else None

    async def _review(self, kind: str, now: int) -> bool:
        """Looks at some documents that are named after jobs and due; whether there are more of them."""
        due = await self._store.due_documents(kind, now, _DOCUMENTS)
        if due.documents:
            jobs = await self._store.read([document.name for document in due.documents])
            pairs = zip(due.documents, jobs, strict=True)
            # A document that was written meanwhile is left alone.
            await self._store.insert([Unit(writes=[_write(kind, document, job, now)]) for document, job in pairs], now)
        return due.next_at is not None and due.next_at <= now


def _write(kind: str, document: Document, job: bytes | None, now: int) -> Write:
    """Keeps a document for another while if its job has a use for it, and deletes it else."""
    is_needed = job is not None and not (kind == checkpoints.KIND and is_over(Job.FromString(job).state))
    if is_needed:
        return Write(kind, document.name, document.version, document.data, now + REVIEW_MS)
    return Write(kind, document.name, document.version, None)
