"""Typed access to members."""

from collections.abc import Callable
from typing import Any

import pytest

from ojs_grpc.codec.members import Members, error_at
from ojs_grpc.errors import InvalidRequest, PayloadTooLarge, Violation

READERS: dict[str, Callable[[Members], Any]] = {
    "text": lambda members: members.text("a"),
    "truth": lambda members: members.truth("a"),
    "number": lambda members: members.number("a"),
    "whole": lambda members: members.whole("a"),
    "object": lambda members: members.object("a"),
    "array": lambda members: members.array("a"),
    "texts": lambda members: members.texts("a"),
}
FITTING: dict[str, list[Any]] = {
    "text": ["", "5"],
    "truth": [True, False],
    "number": [5, 1.0, -0.5],
    "whole": [5, 1.0, -(2**31), 2**31 - 1],
    "object": [{}, {"a": 1}],
    "array": [[], [1], ["a"]],
    "texts": [[], ["a"]],
}
OTHERS: list[Any] = ["x", True, 1.5, 2**31, {"a": 1}, [1], ["a", 1]]


@pytest.mark.parametrize(("kind", "value"), [(kind, value) for kind, found in FITTING.items() for value in found])
def test_what_fits(kind: str, value: Any) -> None:  # noqa: ANN401 - any JSON value
    """Each reader gives the value of its type."""
    members = Members({"a": value})

    assert READERS[kind](members) == value
    assert not members.broken


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        *(("text", value) for value in OTHERS if type(value) is not str),
        *(("truth", value) for value in OTHERS if type(value) is not bool),
        *(("number", value) for value in [*OTHERS, 10**400] if value not in (1.5, 2**31) or value is True),
        *(("whole", value) for value in [*OTHERS, -(2**31) - 1, 1e300]),
        *(("object", value) for value in OTHERS if type(value) is not dict),
        *(("array", value) for value in OTHERS if type(value) is not list),
        *(("texts", value) for value in OTHERS),
    ],
)
def test_what_does_not_fit(kind: str, value: Any) -> None:  # noqa: ANN401 - any JSON value
    """It is as if it were absent, and noted."""
    members = Members({"a": value}, "options.retry")

    assert READERS[kind](members) is None
    assert [violation.field for violation in members.broken] == ["options.retry.a"]


@pytest.mark.parametrize("kind", READERS)
def test_what_is_absent(kind: str) -> None:
    """Null is the same, and breaks no rule."""
    for document in ({}, {"a": None}):
        members = Members(document)

        assert READERS[kind](members) is None
        assert not members.broken


def test_the_first_name_that_is_there_counts() -> None:
    """Even if what it names breaks a rule."""
    members = Members({"b": 1, "c": "c"})

    assert members.text("a", "b", "c") is None
    assert members.broken == [("b", "must be a string")]


def test_bounds() -> None:
    """They are part of the rule."""
    members = Members({"a": 5})

    assert members.whole("a", low=5, high=5) == 5
    assert members.whole("a", low=6, high=9) is None
    assert members.broken == [("a", "must be a whole number from 6 to 9")]


def test_what_is_required() -> None:
    """It is there and not empty."""
    members = Members({"a": "", "b": 1, "d": "d"})

    assert [members.required_text(name) for name in "abcd"] == ["", "", "", "d"]
    assert members.broken == [("a", "must not be empty"), ("b", "must be a string"), ("c", "is required")]


def test_the_end_of_reading() -> None:
    """All broken rules are told at once."""
    members = Members({})
    members.finish()
    members.refuse("a", "is bad")
    members.refuse("b", "is worse")

    with pytest.raises(InvalidRequest, match="a: is bad; b: is worse"):
        members.finish()


def test_an_error_elsewhere() -> None:
    """It stays what it is."""
    error = error_at(PayloadTooLarge([Violation("args", "is large")], {"a": "1"}), "jobs[3]", {"index": "3"})

    assert type(error) is PayloadTooLarge
    assert error.violations == (("jobs[3].args", "is large"),)
    assert error.details == {"a": "1", "index": "3"}
