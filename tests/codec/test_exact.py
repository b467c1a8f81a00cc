"""Texts by JSON pointer."""

from typing import Any

import pytest

from ojs_grpc.codec.exact import apply, escape


def patched(pointer: str, text: str = '"new"') -> dict[str, Any]:
    """A document after one text was put into it."""
    document = {"a": {"b/c": 1, "~": 2, "": 3, "0": [4, [5]]}, "d": None}
    apply(document, [(pointer, text)])
    return document


@pytest.mark.parametrize(
    ("pointer", "find"),
    [
        ("/d", lambda document: document["d"]),
        ("/a", lambda document: document["a"]),
        ("/a/b~1c", lambda document: document["a"]["b/c"]),
        ("/a/~0", lambda document: document["a"]["~"]),
        ("/a/", lambda document: document["a"][""]),
        ("/a/0/1", lambda document: document["a"]["0"][1]),
        ("/a/0/1/0", lambda document: document["a"]["0"][1][0]),
    ],
)
def test_where_a_pointer_leads(pointer: str, find: Any) -> None:  # noqa: ANN401
    """Names are unescaped, and positions are numbers."""
    assert find(patched(pointer)) == "new"


@pytest.mark.parametrize(
    "pointer",
    [
        *("", "/", "a", "/x", "/a/x", "/a/0/2", "/a/0/-", "/a/0/-1", "/a/0/1/0/0", "/d/x", "/a/0/\u0660"),
        f"/a/0/{'0' * 5000}",
    ],
)
def test_a_pointer_that_leads_nowhere(pointer: str) -> None:
    """Nothing changes."""
    assert patched(pointer) == patched("/x")


def test_a_text_that_is_no_json() -> None:
    """What stands there is better than an error."""
    assert patched("/d", "{") == patched("/x")


def test_a_later_text_reaches_into_an_earlier_one() -> None:
    """They are applied in order."""
    document: dict[str, Any] = {"a": 1}

    apply(document, [("/a", '{"b":"c"}'), ("/a/b", '"d"')])

    assert document == {"a": {"b": "d"}}


@pytest.mark.parametrize("there", ["x", True, None, 2**53 + 2, 2.0**70, [1]])
def test_digits_of_something_else(there: object) -> None:
    """The server put it there, and it stays."""
    document = {"a": there}

    apply(document, [("/a", "9007199254740993"), ("/a", f"1{'0' * 400}")])

    assert document == {"a": there}


def test_digits_of_a_double() -> None:
    """It is they without those that it lost."""
    document: dict[str, Any] = {"a": 2**53}

    apply(document, [("/a", "9007199254740993")])

    assert document == {"a": 2**53 + 1}


def test_escaping() -> None:
    """Tilde and slash, in this order."""
    assert escape("a/b~1") == "a~1b~01"
