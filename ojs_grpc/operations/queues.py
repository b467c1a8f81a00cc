"""Queues as a list (behaviour section 11)."""

from ojs_grpc.errors import InvalidRequest, Violation
from ojs_grpc.stores.ports import Page, QueueRow, Store

_DEFAULT_LIMIT = 100
_MAX_LIMIT = 1000


class Queues:
    """Operations on queues."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def list(self, limit: int, cursor: str) -> Page[QueueRow]:
        """Queues by name, `limit` a page (0: 100; at most 1,000).

        Raises:
            InvalidRequest: a negative limit.
        """
        return await self._store.queues(cursor, page_size(limit, _DEFAULT_LIMIT, _MAX_LIMIT))


def page_size(limit: int, default: int, most: int) -> int:
    """The page size that a caller gets for the one it asked for.

    Raises:
        InvalidRequest: it is negative.
    """
    if limit < 0:
        raise InvalidRequest([Violation("limit", "must not be negative")])
    return min(limit or default, most)
