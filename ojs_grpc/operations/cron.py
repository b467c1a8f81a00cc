"""Cron entries: jobs enqueued by the clock (behaviour section 5)."""

from collections.abc import Sequence

from ojs_grpc_pb.v1.service_pb2 import CronEntry, RegisterCronRequest

from ojs_grpc.core import cron_entry
from ojs_grpc.core.envelope import Defaults, EnvelopeReader
from ojs_grpc.errors import InvalidRequest, NotFound, OJSError, StoreError, Violation
from ojs_grpc.operations.alarm import Alarm
from ojs_grpc.operations.changes import Changes
from ojs_grpc.operations.listing import page_of
from ojs_grpc.operations.schemas import Schemas
from ojs_grpc.stores.ports import Document, Outdated, Page, Store, Unit, Write

KIND = "cron"
"""The kind of documents that entries are kept in."""

# Each lost race means that another change of the same entry went through.
_ATTEMPTS = 20
# Entries read at once; each may be as large as a job.
_PAGE = 100


class Crons:
    """Operations on cron entries."""

    def __init__(self, store: Store, changes: Changes, defaults: Defaults, schemas: Schemas) -> None:
        self._store = store
        self._changes = changes
        self._schemas = schemas
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
        await self._schemas.check(request)
        for _ in range(_ATTEMPTS):
            entry = CronEntry()
            entry.CopyFrom(read)
            document = await self._document(request.name)
            if await self._replace(request.name, document, entry):
                return entry, document is None
        raise _kept_changing(request.name)

    async def set_enabled(self, name: str, enabled: bool) -> CronEntry:  # noqa: FBT001 - it is the value
        """Stops or starts the runs of an entry, which count from now on; nothing changes if it is so already.

        Returns:
            The entry as it is kept.

        Raises:
            NotFound: there is none of this name.
            InvalidRequest: its schedule means nothing to this server, which has other time zones.
        """
        for _ in range(_ATTEMPTS):
            document = await self._find(name)
            entry = CronEntry.FromString(document.data)
            if entry.enabled == enabled:
                return entry
            entry.enabled = enabled
            if await self._replace(name, document, entry):
                return entry
        raise _kept_changing(name)

    async def unregister(self, name: str) -> CronEntry:
        """Removes an entry, the one returned; jobs that it has made stay.

        Raises:
            NotFound: there is none of this name.
        """
        for _ in range(_ATTEMPTS):
            document = await self._find(name)
            if await self._write(name, document, None, 0):
                return CronEntry.FromString(document.data)
        raise _kept_changing(name)

    async def get(self, name: str) -> CronEntry:
        """The entry of this name.

        Raises:
            NotFound: there is none.
        """
        return CronEntry.FromString((await self._find(name)).data)

    async def page(self, limit: int, cursor: str, *, enabled: bool | None = None) -> Page[CronEntry]:
        """Entries by name, `limit` a page, or fewer if they are large.

        Args:
            enabled: only those that are, or that are not; to count them, this looks at all entries.
        """
        if enabled is not None:
            return await self._page_of(enabled, limit, cursor)
        page = await self._store.list_documents(KIND, cursor, limit)
        rows = self._fitting(page.rows)
        more = len(rows) < len(page.rows)
        return _entries(rows, rows[-1].name if more else page.next_cursor, page.total)

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

    async def _page_of(self, enabled: bool, limit: int, cursor: str) -> Page[CronEntry]:  # noqa: FBT001 - it is the value
        page = await page_of(
            self._store, KIND, lambda found: CronEntry.FromString(found.data).enabled == enabled, limit, cursor
        )
        rows = self._fitting(page.rows)
        more = len(rows) < len(page.rows)
        return _entries(rows, rows[-1].name if more else page.next_cursor, page.total)

    def _fitting(self, documents: Sequence[Document]) -> Sequence[Document]:
        """The first ones, as many as one reply may carry, and at least one."""
        room = self._reply_bytes
        for place, document in enumerate(documents):
            room -= len(document.data)
            if room < 0 and place:
                return documents[:place]
        return documents

    async def _find(self, name: str) -> Document:
        document = await self._document(name) if cron_entry.is_name(name) else None
        if document is None:
            raise NotFound("cron", name)
        return document

    async def _document(self, name: str) -> Document | None:
        (document,) = await self._store.documents(KIND, [name])
        return document

    async def _replace(self, name: str, old: Document | None, entry: CronEntry) -> bool:
        """Plans the entry, and keeps it unless the old one has changed; whether it is kept."""
        before = CronEntry.FromString(old.data) if old else None
        try:
            due_at = cron_entry.plan(entry, before, self._store.clock.now())
        except ValueError as error:
            raise InvalidRequest([Violation("timezone", str(error))]) from error
        if due_at is None:
            due_at = old.due_at if old else 0
        if not await self._write(name, old, entry.SerializeToString(), due_at):
            return False
        if due_at:
            self.alarm.advance(due_at)
        return True

    async def _write(self, name: str, old: Document | None, data: bytes | None, due_at: int) -> bool:
        """Whether the document was still the same, and is written now."""
        write = Write(KIND, name, old.version if old else 0, data, due_at)
        (outcome,) = await self._changes.commit([Unit(writes=[write])], self._store.clock.now())
        if isinstance(outcome, OJSError):
            raise outcome
        return not isinstance(outcome, Outdated)


def _kept_changing(name: str) -> StoreError:
    return StoreError(f"cron entry {name} kept changing")


def _entries(documents: Sequence[Document], cursor: str, total: int) -> Page[CronEntry]:
    return Page([CronEntry.FromString(document.data) for document in documents], cursor, total)
