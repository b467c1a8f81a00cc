"""Checks on values: what JSON cannot say, what nests too deep, and that the quick look misses neither."""

import struct
import sys
from math import isfinite
from typing import Any

import pytest
from google.protobuf.struct_pb2 import ListValue, Struct, Value
from hypothesis import example, given
from hypothesis import strategies as st

from ojs_grpc.core import values
from ojs_grpc.core.values import NOT_FINITE, check, find_broken_rule, may_break_rules, refusal
from ojs_grpc.errors import InvalidRequest, PayloadTooLarge

TOO_DEEP = "must not nest deeper than {} levels"
NAN = float("nan")

SCALARS = st.one_of(
    st.floats(allow_nan=True, allow_infinity=True).map(lambda number: Value(number_value=number)),
    st.text(max_size=5).map(lambda text: Value(string_value=text)),
    st.booleans().map(lambda flag: Value(bool_value=flag)),
    st.sampled_from([Value(null_value=0), Value()]),
)


def _list(items: list[Value]) -> Value:
    return Value(list_value=ListValue(values=items))


def _object(members: dict[str, Value]) -> Value:
    return Value(struct_value=Struct(fields=members))


VALUES = st.recursive(
    SCALARS,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3).map(_list), st.dictionaries(st.text(max_size=3), inner, max_size=3).map(_object)
    ),
    max_leaves=8,
)


def depth(value: Value) -> int:
    """How deep lists and objects nest, told the plain way."""
    if value.HasField("list_value"):
        return 1 + max(map(depth, value.list_value.values), default=0)
    if value.HasField("struct_value"):
        return 1 + max(map(depth, value.struct_value.fields.values()), default=0)
    return 0


def numbers(value: Value) -> list[float]:
    """All numbers in a value."""
    if value.HasField("list_value"):
        return [number for inner in value.list_value.values for number in numbers(inner)]
    if value.HasField("struct_value"):
        return [number for inner in value.struct_value.fields.values() for number in numbers(inner)]
    return [value.number_value] if value.HasField("number_value") else []


def nested(levels: int, kind: str, leaf: Value) -> Value:
    """So many lists or objects around a leaf."""
    for _ in range(levels):
        leaf = _list([leaf]) if kind == "list" else _object({"a": leaf})
    return leaf


@given(st.lists(VALUES, max_size=3), st.integers(0, 4))
def test_rules_are_found_broken_exactly_when_they_are(items: list[Value], nesting: int) -> None:
    """Against the plain way to tell."""
    too_deep = any(depth(value) > nesting for value in items)
    bad_number = not all(isfinite(number) for value in items for number in numbers(value))

    rule = find_broken_rule(items, nesting)

    assert bool(rule) == (too_deep or bad_number)
    assert rule in ("", NOT_FINITE, TOO_DEEP.format(nesting))
    if rule == NOT_FINITE:
        assert bad_number
    elif rule:
        assert too_deep


@given(st.lists(VALUES, max_size=3), st.integers(0, 4))
@example([_list([Value(number_value=NAN)])], 4)
@example([nested(5, "object", Value())], 4)
def test_the_quick_look_misses_nothing(items: list[Value], nesting: int) -> None:
    """Whatever breaks a rule makes the bytes suspicious; `check` then says what `find_broken_rule` says."""
    message = ListValue(values=items)
    rule = find_broken_rule(items, nesting)

    assert not rule or may_break_rules(message.SerializeToString(), nesting)
    assert check(message, items, nesting) == rule


@pytest.mark.parametrize(
    "bits",
    [
        0x7FF0000000000000,  # infinity
        0xFFF0000000000000,  # minus infinity
        0x7FF8000000000000,  # the usual NaN
        0xFFF8000000000000,
        0x7FF0000000000001,  # a signalling NaN
        0x7FFFFFFFFFFFFFFF,
        0xFFFFFFFFFFFFFFFF,
        0x7FF00A0A0A0A0A0A,  # line ends, which a pattern's dot may skip
    ],
)
def test_every_kind_of_not_a_number_is_seen(bits: int) -> None:
    """By its bytes and by its value, at any depth."""
    (number,) = struct.unpack("<d", struct.pack("<Q", bits))
    value = _object({"x": _list([Value(number_value=number)])})

    assert may_break_rules(value.SerializeToString(), 30)
    assert find_broken_rule([value], 30) == NOT_FINITE


@pytest.mark.parametrize("number", [0.0, -0.0, 1.0, -1.0, 5e-324, sys.float_info.max, -sys.float_info.max, 2.0**53])
def test_finite_numbers_need_no_second_look(number: float) -> None:
    """The quick look lets them pass."""
    assert not may_break_rules(Value(number_value=number).SerializeToString(), 30)


@pytest.mark.parametrize("kind", ["list", "object"])
@pytest.mark.parametrize("nesting", [0, 1, 30])
def test_the_bound_on_nesting_is_exact(kind: str, nesting: int) -> None:
    """So many levels pass, one more does not; what is empty nests all the same."""
    leaf = Value(bool_value=True)
    empty = _list([]) if kind == "list" else _object({})
    assert find_broken_rule([nested(nesting, kind, leaf)], nesting) == ""
    assert find_broken_rule([nested(nesting + 1, kind, leaf)], nesting) == TOO_DEEP.format(nesting)
    assert find_broken_rule([nested(nesting, kind, empty)], nesting) == TOO_DEEP.format(nesting)
    assert may_break_rules(nested(nesting + 1, kind, leaf).SerializeToString(), nesting)


def test_width_is_not_depth() -> None:
    """Many lists beside each other are suspicious at most."""
    wide = [_list([Value(number_value=1)]) for _ in range(100)]
    assert check(ListValue(values=wide), wide, 1) == ""


def test_a_deep_value_with_a_bad_number_is_refused() -> None:
    """For either reason."""
    assert find_broken_rule([nested(5, "list", Value(number_value=NAN))], 3)


def test_text_with_the_bytes_of_a_nan_is_text() -> None:
    """The quick look may be wrong, the second one is not."""
    value = Value(string_value="\x11aaaaaa" + "\U000f0000" * 3)
    assert check(_list([value]), [value], 30) == ""


@pytest.mark.parametrize(
    ("rule", "kind"), [(NOT_FINITE, InvalidRequest), (TOO_DEEP.format(30), PayloadTooLarge)], ids=["number", "depth"]
)
def test_what_is_too_deep_is_too_large(rule: str, kind: Any) -> None:  # noqa: ANN401
    """Each rule has its error, which names the field."""
    error = refusal("args", rule)
    assert type(error) is kind
    assert error.violations == (("args", rule),)


def test_nothing_breaks_no_rule() -> None:
    """No values, no bytes."""
    assert find_broken_rule([], 0) == ""
    assert not may_break_rules(b"", 0)
    assert values.check(Struct(), [], 0) == ""
