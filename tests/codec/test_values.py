"""JSON values and protobuf's."""

from typing import Any

import pytest
from google.protobuf.struct_pb2 import Struct, Value
from hypothesis import given

from ojs_grpc.codec.values import NESTING, read_struct, read_value, render_struct, render_value
from ojs_grpc.core.values import find_broken_rule
from ojs_grpc.errors import InvalidRequest, PayloadTooLarge
from tests.codec.documents import OBJECTS


def nested(levels: int, inner: Any = 1) -> Any:  # noqa: ANN401 - any JSON value
    """Lists and objects in turn."""
    for level in range(levels):
        inner = {"a": inner} if level % 2 else [inner]
    return inner


@given(OBJECTS)
def test_values_are_written_as_protobuf_writes_them(members: dict[str, Any]) -> None:
    """The bytes are those that the messages would have."""
    expected = Struct()
    expected.update(members)

    assert read_struct(members, "meta", "/meta", {}) == expected


def test_what_a_double_changes_is_noted() -> None:
    """And nothing else, by pointers whose parts are escaped."""
    exact: dict[str, str] = {}

    read_value({"a/b": [1, 2**53 + 1], "~": -(10**21), "c": 2**60, "d": 0.1, "e": True}, "result", "/result", exact)

    assert exact == {"/result/a~1b/1": str(2**53 + 1), "/result/~0": str(-(10**21))}


@pytest.mark.parametrize(
    ("number", "text"),
    [(1.0, "1"), (-3.0, "-3"), (0.0, "0"), (-0.0, "-0.0"), (0.1, "0.1"), (1e20, str(10**20)), (1e21, "1e+21")],
)
def test_numbers_as_they_are_written(number: float, text: str) -> None:
    """Whole numbers as integers, as long as that is usual."""
    assert repr(render_value(Value(number_value=number))) == text


def test_a_value_without_a_kind() -> None:
    """It is null, as protobuf's own JSON has it."""
    assert render_value(Value()) is None
    assert render_struct(Struct()) == {}


def test_nesting_ends_where_the_core_ends_it() -> None:
    """One level more is too large, before any parser stops."""
    deepest = read_value(nested(NESTING), "args", "/args", {})

    assert find_broken_rule([deepest], NESTING) == ""
    with pytest.raises(PayloadTooLarge, match="args: must not nest deeper than 30 levels"):
        read_value(nested(NESTING + 1), "args", "/args", {})


def test_the_members_of_an_object_may_nest_so_deep() -> None:
    """The object itself is no level, as in the core."""
    deepest = read_struct({"a": nested(NESTING)}, "meta", "/meta", {})

    assert find_broken_rule(deepest.fields.values(), NESTING) == ""
    with pytest.raises(PayloadTooLarge):
        read_struct({"a": nested(NESTING + 1)}, "meta", "/meta", {})


def test_an_integer_beyond_a_double() -> None:
    """No double is near it, so no client of protobuf could read it."""
    with pytest.raises(InvalidRequest, match="result: must not hold a number beyond what a double can say"):
        read_value([10**400], "result", "/result", {})


def test_long_texts() -> None:
    """Lengths of more than one byte, and of more than two."""
    value = ["a" * 200, "b" * 20_000, {"c" * 2000: "d" * 2_000_000}]

    assert render_value(read_value(value, "args", "/args", {})) == value
