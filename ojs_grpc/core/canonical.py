"""Values as canonical JSON (RFC 8785), all text in NFC: the same text for the same value (behaviour section 3.2).

Arguments may be a megabyte, and the loop waits meanwhile. So the text is written in one walk over the messages, with
C code for all text and nearly all numbers.
"""

import json
from collections.abc import Iterable, Mapping
from unicodedata import normalize

import rfc8785
from google.protobuf.struct_pb2 import Value

# Up to here, integers are exact, and their digits are the canonical ones.
_EXACT = 2**53
# From here on, Python writes the digits of a fraction as ECMAScript does: as few as possible, without an exponent.
_PLAIN = 1e-4

_quote = json.JSONEncoder(ensure_ascii=False).encode


def text(plain: str) -> str:
    """A string."""
    return _quote(normalize("NFC", plain))


def array(values: Iterable[Value]) -> str:
    """A list."""
    return f"[{','.join(map(_value, values))}]"


def members(named: Mapping[str, Value]) -> str:
    """An object. Of names that become the same text, the last one in their order is seen."""
    found = {normalize("NFC", name): named[name] for name in sorted(named)}
    return f"{{{','.join([f'{_quote(name)}:{_value(found[name])}' for name in sorted(found, key=_utf_16)])}}}"


def number(double: float) -> str:
    """A finite number."""
    if -_EXACT < double < _EXACT:
        if double.is_integer():
            return str(int(double))
        if abs(double) >= _PLAIN:
            return repr(double)
    return rfc8785.dumps(double).decode()


def _value(value: Value) -> str:
    kind = value.WhichOneof("kind")
    if kind == "string_value":
        return text(value.string_value)
    if kind == "number_value":
        return number(value.number_value)
    if kind == "struct_value":
        return members(value.struct_value.fields)
    if kind == "list_value":
        return array(value.list_value.values)
    if kind == "bool_value":
        return "true" if value.bool_value else "false"
    return "null"


def _utf_16(name: str) -> bytes:
    return name.encode("utf-16-be")
