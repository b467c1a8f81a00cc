"""Canonical JSON, against the library that implements RFC 8785."""

from unicodedata import normalize

import pytest
import rfc8785
from google.protobuf.struct_pb2 import ListValue, Struct, Value
from hypothesis import example, given
from hypothesis import strategies as st

from ojs_grpc.core import canonical

EDGES = [0.0, -0.0, 1e-4, 1e-5, 9.999e-5, -1e-4, 5e-324, 2.0**53 - 1, 2.0**53, -(2.0**53), 1e15 + 0.3, 1e16, 1e21]


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_numbers_are_written_as_ecmascript_does(double: float) -> None:
    """Whoever writes them here."""
    assert canonical.number(double) == rfc8785.dumps(double).decode()


@pytest.mark.parametrize("double", [*EDGES, 1.7e308, 0.1, 1 / 3, 123456789.125])
def test_numbers_at_the_edges(double: float) -> None:
    """Where one way of writing ends and another begins."""
    assert canonical.number(double) == rfc8785.dumps(double).decode()


@given(st.text())
@example('\0\x1f\x7f\b\f\n\r\t"\\/\u2028\uffff\U0001f600')
def test_text_is_escaped_as_little_as_it_may(plain: str) -> None:
    """And nothing of it is lost."""
    assert canonical.text(plain) == rfc8785.dumps(normalize("NFC", plain)).decode()


def test_of_names_that_become_the_same_the_last_one_is_seen() -> None:
    """Whatever their order in the message."""
    one, other = Struct(), Struct()
    one.update({"e\u0301": 1, "\u00e9": 2})
    other.update({"\u00e9": 2, "e\u0301": 1})

    assert canonical.members(one.fields) == canonical.members(other.fields) == '{"\u00e9":2}'


def test_kinds_of_values() -> None:
    """Each as JSON says it; a value of no kind is null."""
    values = ListValue()
    values.extend([True, False, None, {}, []])
    values.values.append(Value())

    assert canonical.array(values.values) == "[true,false,null,{},[],null]"
