"""JSON values and `google.protobuf.Value`s: `args`, `meta`, `result`, `details`, `ext`.

Values are written as bytes: message objects in between would cost more than everything else that an enqueue does here.
"""

import struct
from collections.abc import Callable
from typing import Any, Final, TypeVar

from google.protobuf.struct_pb2 import Struct, Value

from ojs_grpc.codec.exact import escape
from ojs_grpc.codec.json_text import dump_text
from ojs_grpc.core.limits import Limits
from ojs_grpc.core.values import refusal
from ojs_grpc.core.wire import varint
from ojs_grpc.errors import InvalidRequest, Violation

Written = TypeVar("Written", bytes, list[bytes])

NESTING: Final = Limits().nesting

MOST: Final = 1 << 19
"""So many values stand in each other and beside each other at most: more than fit into the largest job."""

# So much of a name is told in an error.
_NAME_CHARS: Final = 200

# Up to here every integer is a double, and from 1e21 on a double is no longer written as an integer.
_EXACT = 2**53
_INTEGRAL = 1e21

# An array of so many is read in the hope that it holds nothing but short texts and numbers.
_FEW = 16

# What is rendered as it was read, if a double says it.
_LASTING = frozenset({str, int, bool, type(None)})

# Tags and values of the fields of `Value`.
_CONSTANTS = {None: b"\x08\x00", False: b"\x20\x00", True: b"\x20\x01"}
_pack_number = struct.Struct("<cd").pack
_pack_item = struct.Struct("<2sd").pack
# Length and tag of a value that is a number.
_NUMBER_HEAD = b"\x09\x11"
_LENGTHS = [varint(length) for length in range(1024)]
# What stands before the text of a value with so few bytes: the length of the value, its tag, the length of the text.
_TEXT_HEADS = [b"".join((varint(length + 2), b"\x1a", varint(length))) for length in range(126)]


def read_value(value: Any, field: str, pointer: str, exact: dict[str, str]) -> Value:  # noqa: ANN401
    """The value as a message.

    Args:
        field: where the value stands in the request, for errors.
        pointer: where it stands in what `exact` belongs to, such as `/result`.
        exact: gets the texts of integers that a double changes.

    Raises:
        PayloadTooLarge: it nests deeper than `Limits.nesting`, or holds more than `MOST` values.
        InvalidRequest: it holds a number beyond a double.
    """
    return Value.FromString(value_bytes(value, field, pointer, exact))


def read_struct(members: dict[str, Any], field: str, pointer: str, exact: dict[str, str]) -> Struct:
    """An object as a message; otherwise as `read_value`."""
    return Struct.FromString(struct_bytes(members, field, pointer, exact))


def value_bytes(value: Any, field: str, pointer: str, exact: dict[str, str]) -> bytes:  # noqa: ANN401
    """As `read_value`, serialised."""
    return _write(_value, value, field, pointer, exact)


def struct_bytes(members: dict[str, Any], field: str, pointer: str, exact: dict[str, str]) -> bytes:
    """As `read_struct`, serialised."""
    return _write(_members, members, field, pointer, exact)


def list_items(items: list[Any], field: str, pointer: str, exact: dict[str, str]) -> list[bytes]:
    """The items of an array as serialised values, each behind its length; otherwise as `read_value`."""
    if len(items) > _FEW:
        return _write(_items, items, field, pointer, exact)
    parts: list[bytes] = []
    # Most arguments are short texts and numbers, and need none of what the others may need.
    for item in items:
        kind = type(item)
        if kind is str and len(data := item.encode()) < len(_TEXT_HEADS):
            parts.append(_TEXT_HEADS[len(data)] + data)
        elif kind is int and -_EXACT <= item <= _EXACT:
            parts.append(_pack_item(_NUMBER_HEAD, item))
        else:
            break
    return parts if len(parts) == len(items) else _write(_items, items, field, pointer, exact)


def unknown_bytes(members: dict[str, Any], field: str, exact: dict[str, str]) -> bytes:
    """The members of the object at `field` that nobody knows, as `struct_bytes`; in errors each has its own field."""
    try:
        return struct_bytes(members, field, "", exact)
    except InvalidRequest:
        for name, member in members.items():
            struct_bytes({name: member}, f"{field}.{name[:_NAME_CHARS]}".removeprefix("."), "", {})
        raise


def render_value(value: Value) -> Any:  # noqa: ANN401
    """The message as a JSON value; integral numbers below 1e21 are ints."""
    kind = value.WhichOneof("kind")
    if kind == "string_value":
        return value.string_value
    if kind == "number_value":
        return render_number(value.number_value)
    if kind == "struct_value":
        return render_struct(value.struct_value)
    if kind == "list_value":
        return [render_value(item) for item in value.list_value.values]
    if kind == "bool_value":
        return value.bool_value
    return None


def render_struct(struct: Struct) -> dict[str, Any]:
    """The message as an object."""
    return {name: render_value(value) for name, value in struct.fields.items()}


def render_read(items: list[Any]) -> list[Any]:
    """The items of an array as `render_value` gives them after it was read without a word in `exact`."""
    # Whole doubles become ints; most arrays hold none, and nothing that could.
    for item in items:
        if type(item) not in _LASTING:
            return [_render_read(item) for item in items]
    return items


def render_number(number: float) -> int | float:
    """An int if the number is integral and below 1e21, but for -0.0."""
    if number.is_integer() and -_INTEGRAL < number < _INTEGRAL and (number or str(number) == "0.0"):
        return int(number)
    return number


class _BrokenRuleError(Exception):
    """A value breaks the rule that is the message."""


class _Tally:
    """What is noted while a value is written.

    Attributes:
        left: how many values it may still hold.
        is_exact: whether doubles say all of its integers.
    """

    __slots__ = ("is_exact", "left")

    def __init__(self) -> None:
        self.left = MOST
        self.is_exact = True


def _write(
    write: Callable[[Any, int, _Tally], Written],
    value: Any,  # noqa: ANN401 - any JSON value
    field: str,
    pointer: str,
    exact: dict[str, str],
) -> Written:
    tally = _Tally()
    try:
        data = write(value, NESTING, tally)
    except _BrokenRuleError as error:
        raise refusal(field, str(error)) from None
    except OverflowError:
        raise InvalidRequest([Violation(field, "must not hold a number beyond what a double can say")]) from None
    if not tally.is_exact:
        _note(value, pointer, exact)
    return data


def _value(value: Any, room: int, tally: _Tally) -> bytes:  # noqa: ANN401
    """A serialised `Value`.

    Args:
        room: how many levels it may nest.
    """
    kind = type(value)
    if kind is str:
        data = value.encode()
        return b"".join((b"\x1a", _length(data), data))
    if kind is int or kind is float:
        if kind is int and not -_EXACT <= value <= _EXACT:
            if _is_changed(value):
                tally.is_exact = False
            value = float(value)
        return _pack_number(b"\x11", value)
    if kind is bool or value is None:
        return _CONSTANTS[value]
    if not room:
        raise _BrokenRuleError(f"must not nest deeper than {NESTING} levels")
    if kind is dict:
        data = _members(value, room - 1, tally)
        return b"".join((b"\x2a", _length(data), data))
    data = b"\x0a".join((b"", *_items(value, room - 1, tally)))
    return b"".join((b"\x32", _length(data), data))


def _members(members: dict[str, Any], room: int, tally: _Tally) -> bytes:
    _count(len(members), tally)
    parts: list[bytes] = []
    for name, value in members.items():
        key, data = name.encode(), _value(value, room, tally)
        entry = b"".join((b"\x0a", _length(key), key, b"\x12", _length(data), data))
        parts += b"\x0a", _length(entry), entry
    return b"".join(parts)


def _items(items: list[Any], room: int, tally: _Tally) -> list[bytes]:
    _count(len(items), tally)
    parts: list[bytes] = []
    for item in items:
        if type(item) is str and len(data := item.encode()) < len(_TEXT_HEADS):
            parts.append(_TEXT_HEADS[len(data)] + data)
        else:
            data = _value(item, room, tally)
            parts.append(_length(data) + data)
    return parts


def _count(more: int, tally: _Tally) -> None:
    """Stops before a value that fits nowhere takes long to write."""
    tally.left -= more
    if tally.left < 0:
        raise _BrokenRuleError(f"must not hold more than {MOST} values")


def _length(data: bytes) -> bytes:
    size = len(data)
    return _LENGTHS[size] if size < 1024 else varint(size)


def _render_read(value: Any) -> Any:  # noqa: ANN401
    kind = type(value)
    if kind is float:
        return render_number(value)
    if kind is dict:
        return {name: _render_read(member) for name, member in value.items()}
    return render_read(value) if kind is list else value


def _note(value: Any, pointer: str, exact: dict[str, str]) -> None:  # noqa: ANN401
    """Notes every integer within the value that a double changes."""
    if type(value) is dict:
        for name, member in value.items():
            _note(member, f"{pointer}/{escape(name)}", exact)
    elif type(value) is list:
        for index, item in enumerate(value):
            _note(item, f"{pointer}/{index}", exact)
    elif type(value) is int and _is_changed(value):
        exact[pointer] = dump_text(value)


def _is_changed(value: int) -> bool:
    """Whether an integer, as a double, is another one, or is not written as one."""
    return not -_INTEGRAL < value < _INTEGRAL or int(float(value)) != value
