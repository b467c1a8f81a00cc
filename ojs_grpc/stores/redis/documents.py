"""Documents: what is no job and is kept by name."""

from collections.abc import Sequence
from struct import Struct

from ojs_grpc.stores.ports import Document, DueDocuments, Page
from ojs_grpc.stores.redis import keys
from ojs_grpc.stores.redis.base import RedisBase

# The version, and when it is due; the data follows.
_HEADER = Struct("<qq")


class RedisDocuments(RedisBase):
    """Implements `DocumentStore`. Units write documents (`packing.py`)."""

    async def documents(self, kind: str, names: Sequence[str]) -> list[Document | None]:
        if not names:
            return []
        values = await self._connections.call("HMGET", keys.of_kind("documents", kind), *names)
        return [
            None if value is None else _document(name, value) for name, value in zip(names, values, strict=True)
        ]

    async def list_documents(self, kind: str, after: str, limit: int) -> Page[Document]:
        names = [keys.of_kind("documents", kind), keys.of_kind("names", kind)]
        total, *found = await self._run("list_documents", names, [after, limit + 1])
        rows = _documents(found)
        page = rows[:limit]
        return Page(page, page[-1].name if len(rows) > len(page) else "", total)

    async def due_documents(self, kind: str, now: int, limit: int) -> DueDocuments:
        names = [keys.of_kind("documents", kind), keys.of_kind("wakes", kind)]
        next_at, *found = await self._run("due_documents", names, [now, limit])
        return DueDocuments(_documents(found), next_at)


def _documents(found: Sequence[bytes]) -> list[Document]:
    """Documents of which a script gave names and values."""
    return [_document(name.decode(), value) for name, value in zip(found[::2], found[1::2], strict=True)]


def _document(name: str, value: bytes) -> Document:
    version, due_at = _HEADER.unpack_from(value)
    return Document(name, version, value[_HEADER.size :], due_at)
