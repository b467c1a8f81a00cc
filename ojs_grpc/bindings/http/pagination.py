"""Lists a page at a time (wire section 1.4)."""

from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple, TypeVar

from ojs_grpc.bindings.http.call import Call
from ojs_grpc.errors import InvalidRequest, Violation
from ojs_grpc.stores.ports import Page

_DEFAULT_LIMIT = 50
_MAX_LIMIT = 200
_MOST = 10**9
# Rows before an offset are read: so many at most.
_MOST_SKIPPED = 10_000

Row = TypeVar("Row")


class Paging(NamedTuple):
    """Which page of a list a caller wants.

    Attributes:
        limit: rows on a page.
        cursor: where the page before ended; empty for the start of the list. It wins over `offset`.
        offset: rows before the page.
        by_page: the caller counts pages.
    """

    limit: int
    cursor: str = ""
    offset: int = 0
    by_page: bool = False


def read_paging(call: Call, default: int = _DEFAULT_LIMIT, most: int = _MAX_LIMIT) -> Paging:
    """What a request's `limit` with `cursor` or `offset`, or its `page` with `per_page`, say.

    A limit above `most` counts as `most`, and one of zero as none.

    Raises:
        InvalidRequest: one of them is no whole number, or negative, or leads too far into the list.
    """
    query = call.query
    limit = query.whole("limit", 0, 0, _MOST) or query.whole("per_page", 0, 0, _MOST) or default
    limit = min(limit, most)
    page = query.whole("page", 1, 1, _MOST)
    offset = query.whole("offset", (page - 1) * limit, 0, _MOST_SKIPPED)
    if offset > _MOST_SKIPPED:
        raise InvalidRequest([Violation("page", f"must begin at most {_MOST_SKIPPED} rows on; further on, use cursor")])
    cursor = query.text("cursor")
    by_page = bool(query.text("page") or query.text("per_page"))
    return Paging(limit, cursor, 0 if cursor else offset, by_page)


async def read_page(paging: Paging, read: Callable[[int, str], Awaitable[Page[Row]]]) -> Page[Row]:
    """A page of a list that knows only cursors: rows before an offset are read and dropped.

    Args:
        read: gives the page of so many rows after a cursor.
    """
    cursor, before = paging.cursor, paging.offset
    while before:
        skipped = await read(min(before, _MAX_LIMIT), cursor)
        cursor, before = skipped.next_cursor, before - len(skipped.rows)
        if not cursor:
            return Page((), "", skipped.total)
    return await read(paging.limit, cursor)


def pagination(total: int, *, has_more: bool, next_cursor: str, paging: Paging) -> dict[str, Any]:
    """The member of that name in an answer with a list."""
    member: dict[str, Any] = {"total": total, "has_more": has_more, "limit": paging.limit, "offset": paging.offset}
    if paging.by_page:
        member |= {"page": paging.offset // paging.limit + 1, "per_page": paging.limit}
    return {**member, "next_cursor": next_cursor} if has_more and next_cursor else member
