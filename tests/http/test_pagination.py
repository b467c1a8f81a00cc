"""Lists a page at a time (wire section 1.4)."""

from typing import Any

import pytest

from ojs_grpc.bindings.http.call import Call, Query
from ojs_grpc.bindings.http.pagination import Paging, pagination, read_page, read_paging
from ojs_grpc.errors import InvalidRequest
from ojs_grpc.stores.ports import Page

ROWS = list(range(500))


def call_with(**query: str) -> Call:
    """A request with these parameters."""
    return Call({}, {}, Query(query), {}, "req_1", 0)


async def read(limit: int, cursor: str) -> Page[int]:
    """A list of 500 numbers that knows only cursors."""
    start = int(cursor or 0)
    end = min(start + limit, len(ROWS))
    return Page(ROWS[start:end], str(end) if end < len(ROWS) else "", len(ROWS))


@pytest.mark.parametrize(
    ("query", "paging"),
    [
        ({}, Paging(50)),
        ({"limit": "0"}, Paging(50)),
        ({"limit": "10"}, Paging(10)),
        ({"limit": "1000"}, Paging(200)),
        ({"limit": "10", "offset": "30"}, Paging(10, "", 30)),
        ({"page": "1"}, Paging(50, by_page=True)),
        ({"page": "3", "per_page": "20"}, Paging(20, "", 40, by_page=True)),
        ({"page": "2", "per_page": "1000"}, Paging(200, "", 200, by_page=True)),
        ({"page": "2", "limit": "7"}, Paging(7, "", 7, by_page=True)),
        ({"cursor": "abc", "offset": "9", "limit": "5"}, Paging(5, "abc")),
    ],
)
def test_what_a_request_says(query: dict[str, str], paging: Paging) -> None:
    """In any of the three ways."""
    assert read_paging(call_with(**query)) == paging


@pytest.mark.parametrize(
    "query",
    [
        {"limit": "-1"},
        {"limit": "x"},
        {"page": "0"},
        {"offset": "1.5"},
        {"page": "٣"},
        {"offset": "10001"},
        {"page": "202", "per_page": "50"},
    ],
)
def test_what_is_no_number_or_too_large(query: dict[str, str]) -> None:
    """It is refused, by its name: what stands before an offset has to be read."""
    with pytest.raises(InvalidRequest) as error:
        read_paging(call_with(**query))

    assert error.value.violations[0].field in query


@pytest.mark.parametrize(
    ("paging", "rows"),
    [
        (Paging(50), ROWS[:50]),
        (Paging(50, "100"), ROWS[100:150]),
        (Paging(50, "", 430), ROWS[430:480]),
        (Paging(50, "", 480), ROWS[480:]),
        (Paging(50, "", 500), []),
        (Paging(50, "", 10**9), []),
    ],
)
async def test_a_page(paging: Paging, rows: list[int]) -> None:
    """Also of a list that has nothing to say of offsets."""
    page = await read_page(paging, read)

    assert list(page.rows) == rows
    assert page.total == 500


@pytest.mark.parametrize(
    ("has_more", "cursor", "expected"),
    [
        (True, "abc", {"total": 9, "has_more": True, "limit": 5, "offset": 0, "next_cursor": "abc"}),
        (True, "", {"total": 9, "has_more": True, "limit": 5, "offset": 0}),
        (False, "", {"total": 9, "has_more": False, "limit": 5, "offset": 0}),
    ],
)
def test_what_an_answer_says(has_more: bool, cursor: str, expected: dict[str, Any]) -> None:  # noqa: FBT001
    """A cursor only if there is more."""
    assert pagination(9, has_more=has_more, next_cursor=cursor, paging=Paging(5)) == expected
