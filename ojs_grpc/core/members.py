"""Members of a JSON object as the bytes of a `google.protobuf.Struct`, for what is written often and read rarely.

Serialised, a Struct is nothing but its members one after another. So an object is put together by joining members, and
grows by appending more of them; a later member replaces an earlier one of the same name.
"""

import struct
from collections.abc import Iterable
from functools import cache, lru_cache

from google.protobuf.struct_pb2 import ListValue, Struct, Value

from ojs_grpc.core.duration import clamp, to_timestamp
from ojs_grpc.core.wire import bytes_field, varint, varint_field

# Tags: a field's number and the wire type. In the entries of a map, the name is field 1 and the value field 2.
_ENTRY_TAG = bytes((Struct.FIELDS_FIELD_NUMBER << 3 | 2,))
_VALUE_TAG = bytes((2 << 3 | 2,))
_DOUBLE_TAG = bytes((Value.NUMBER_VALUE_FIELD_NUMBER << 3 | 1,))
_pack_double = struct.Struct("<d").pack
_BOOL = (varint_field(Value.BOOL_VALUE_FIELD_NUMBER, 0), varint_field(Value.BOOL_VALUE_FIELD_NUMBER, 1))


def member(name: str, value: bytes) -> bytes:
    """A member with a serialised `Value`."""
    entry = _name(name) + varint(len(value)) + value
    return _ENTRY_TAG + varint(len(entry)) + entry


def text_member(name: str, text: str) -> bytes:
    """A string."""
    return member(name, _text(text))


def number_member(name: str, number: float) -> bytes:
    """A number; it must be finite."""
    return member(name, _DOUBLE_TAG + _pack_double(number))


def flag_member(name: str, flag: bool) -> bytes:  # noqa: FBT001 - it is the value
    """True or false."""
    return member(name, _BOOL[flag])


def object_member(name: str, members: bytes) -> bytes:
    """An object of such members."""
    return member(name, bytes_field(Value.STRUCT_VALUE_FIELD_NUMBER, members))


def texts_member(name: str, texts: Iterable[str]) -> bytes:
    """A list of strings."""
    values = b"".join([bytes_field(ListValue.VALUES_FIELD_NUMBER, _text(text)) for text in texts])
    return member(name, bytes_field(Value.LIST_VALUE_FIELD_NUMBER, values))


def time_member(name: str, ms: int) -> bytes:
    """A time, ms since the epoch, as `time_text` writes it."""
    return text_member(name, time_text(ms))


def time_text(ms: int) -> str:
    """The time in UTC as RFC 3339 wants it, with milliseconds unless they are zero.

    A time beyond what a Timestamp can say becomes the first or last one it can.
    """
    seconds, millis = divmod(clamp(ms), 1000)
    return f"{_second(seconds)}.{millis:03d}Z" if millis else f"{_second(seconds)}Z"


def _text(text: str) -> bytes:
    return bytes_field(Value.STRING_VALUE_FIELD_NUMBER, text.encode())


# Names come from our code, never from a caller.
@cache
def _name(name: str) -> bytes:
    return bytes_field(1, name.encode()) + _VALUE_TAG


# Most times are about now, or the same few moments ahead.
@lru_cache(maxsize=1024)
def _second(seconds: int) -> str:
    return to_timestamp(seconds * 1000).ToJsonString().removesuffix("Z")
