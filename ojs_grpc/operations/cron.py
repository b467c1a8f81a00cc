"""Cron entries: jobs enqueued by the clock (behaviour section 5)."""

from collections.abc import Sequence

from ojs_grpc_pb.v1.service_pb2 import CronEntry, RegisterCronRequest

from ojs_grpc.core import cron_entry
from ojs_grpc.core.envelope import Defaults, EnvelopeReader
from ojs_grpc.errors import NotFound, OJSError, StoreError
from ojs_grpc.operations.alarm import Alarm
from ojs_grpc.operations.changes import Changes
from ojs_grpc.stores.ports import Document, Outdated, Store, Unit, Write

KIND = "cron"
"""The kind of documents that entries are kept in."""

# Each lost race means that another change of the same entry went through.
_ATTEMPTS = 20
# Entries read at once; each may be as large as a job.
_PAGE = 100


class Crons:
    """Operations on cron entries."""

    def __init__(self, store: Store, changes: Changes, defaults: Defaults) -> None:
        self._store = store
        self._changes = changes
        self._reader = EnvelopeReader(defaults)
        self._reply_bytes = defaults.limits.reply_bytes
        self.alarm = Alarm()
        """Rings when an entry is due."""

    async def register(self, request: RegisterCronRequest) -> tuple[CronEntry, bool]:
        """Adds an entry, or replaces the one of the same name, which keeps its history.

        What was planned stays planned, unless the expression, the zone or `enabled` changed: then from now on.

        Returns:
            The entry as it is kept, and whether it is new.

        Raises:
            InvalidRequest: or one of its kinds: a rule is broken. An entry of the same name goes on as it was.
            Unsupported: the job asks for a feature that is not there.
        """
        read = cron_entry.read_entry(request, self._reader, self._store.clock.now())
        for _ in range(_ATTEMPTS):
            entry = CronEntry()
            entry.CopyFrom(read)
            document = await self._document(request.name)
            old = CronEntry.FromString(document.data) if document else None
            due_at = cron_entry.plan(entry, old, self._store.clock.now())
            if due_at is None:
                due_at = document.due_at if document else 0
            if await self._write(request.name, document, entry.SerializeToString(), due_at):
                if due_at:
                    self.alarm.advance(due_at)
                return entry, document is None
        raise StoreError(f"cron entry {request.name} kept changing")

    async def unregister(self, name: str) -> None:
        """Removes an entry; jobs that it has made stay.

        Raises:
            NotFound: there is none of this name.
        """
        for _ in range(_ATTEMPTS):
            document = await self._document(name) if cron_entry.is_name(name) else None
            if document is None:
                raise NotFound("cron", name)
            if await self._write(name, document, None, 0):
                return
        raise StoreError(f"cron entry {name} kept changing")

    async def list(self) -> Sequence[bytes]:
        """All entries by name, as serialised `CronEntry`s.

        If they are too large together for one reply, what makes them large is left out, see `cron_entry.brief`.
        """
        entries: list[bytes] = []
        after, brief = "", False
        while True:
            page = await self._store.list_documents(KIND, after, _PAGE)
            rows = [document.data for document in page.rows]
            entries += map(cron_entry.brief, rows) if brief else rows
            if not brief and sum(map(len, entries)) > self._reply_bytes:
                entries, brief = list(map(cron_entry.brief, entries)), True
            after = page.next_cursor
            if not after:
                return entries

    async def _document(self, name: str) -> Document | None:
        (document,) = await self._store.documents(KIND, [name])
        return document

    async def _write(self, name: str, old: Document | None, data: bytes | None, due_at: int) -> bool:
        """Whether the document was still the same, and is written now."""
        write = Write(KIND, name, old.version if old else 0, data, due_at)
        (outcome,) = await self._changes.commit([Unit(writes=[write])], self._store.clock.now())
        if isinstance(outcome, OJSError):
            raise outcome
        return not isinstance(outcome, Outdated)
