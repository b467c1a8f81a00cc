"""What JSON said and protobuf cannot: texts by JSON pointer (RFC 6901), as the fields `exact` keep them."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final, Protocol

from ojs_grpc.codec import json_text
from ojs_grpc.core.limits import Limits
from ojs_grpc.errors import InvalidRequest, PayloadTooLarge, Violation

# Nothing that is larger is ever stored, whatever the server's own limits.
_MOST_BYTES: Final = 2 * Limits().envelope_bytes
# No value is found below more.
_MOST_PARTS: Final = 200


class Message(Protocol):
    """A message that has such texts."""

    @property
    def exact(self) -> Mapping[str, str]: ...

    def ByteSize(self) -> int: ...  # noqa: N802


def escape(name: str) -> str:
    """A member's name as a part of a pointer."""
    return name.replace("~", "~0").replace("/", "~1")


def apply(document: dict[str, Any], exact: Iterable[tuple[str, str]]) -> None:
    """Replaces the values that the pointers point to.

    A pointer that leads nowhere is ignored; and so are the digits of another number than the one that is there, or of
    something that is no number any more: the server may have put something else in its place.
    """
    for pointer, text in exact:
        place = _find(document, pointer)
        if place is not None:
            holder, key = place
            try:
                said = json_text.parse_value(text)
            except ValueError:
                continue
            if _may_say(holder[key], said):
                holder[key] = said


def verify(
    message: Message,
    render: Callable[[], dict[str, Any]],
    read: Callable[[dict[str, Any]], tuple[bytes, Mapping[str, str]]],
) -> None:
    """Checks what a client says in `exact`: it changes how its values are written, not what they are.

    Args:
        message: what the client sent.
        render: its JSON form, without `exact`; a new one with each call.
        read: reads such a form: the message without `exact`, in a form to compare, and what `exact` must be.

    Raises:
        InvalidRequest: a text is no JSON, a pointer leads nowhere, or reading gives something else.
        PayloadTooLarge: the message is larger than any that is kept.
    """
    if not message.exact:
        return
    if message.ByteSize() > _MOST_BYTES:
        raise PayloadTooLarge([Violation("exact", f"must be part of at most {_MOST_BYTES} bytes")])
    exact = message.exact
    try:
        plain, patched = render(), render()
    except ValueError as error:
        raise InvalidRequest([Violation("exact", f"is of a request that breaks another rule: {error}")]) from None
    _patch(patched, exact)
    try:
        wanted_message, implied = read(plain)
        same, wanted = read(patched)
    except InvalidRequest as error:
        raise InvalidRequest([Violation("exact", f"is no such request: {error.message}")]) from None
    except ValueError:
        # Of its numbers one is not finite.
        raise InvalidRequest([Violation("exact", "is of a request that JSON cannot say")]) from None
    if same != wanted_message:
        raise InvalidRequest([Violation("exact", "must say what the other fields say")])
    if wanted != {**implied, **exact}:
        strange = sorted(dict(wanted).items() ^ {**implied, **exact}.items())
        raise _refusal(strange[0][0], "must be kept only where it is needed, and as this server would write it")


def _patch(document: dict[str, Any], exact: Mapping[str, str]) -> None:
    for pointer, text in exact.items():
        place = _find(document, pointer)
        if place is None:
            raise _refusal(pointer, "leads nowhere")
        try:
            place[0][place[1]] = json_text.parse_value(text)
        except ValueError as error:
            raise _refusal(pointer, f"must be the text of a JSON value: {error}") from None


def _refusal(pointer: str, rule: str) -> InvalidRequest:
    return InvalidRequest([Violation(f'exact["{pointer[:100]}"]', rule)])


def _may_say(value: Any, said: Any) -> bool:  # noqa: ANN401 - any JSON value
    """Whether what was said may stand for a value: digits do for the double that they are, or for one attempt if 0."""
    if type(said) is not int or not said:
        return True
    try:
        return type(value) in {int, float} and float(said) == value
    except OverflowError:
        return False


def _find(document: dict[str, Any], pointer: str) -> tuple[Any, Any] | None:
    """The object or array that holds the value, and its key there."""
    parts = pointer.split("/", _MOST_PARTS)
    if not 2 <= len(parts) <= _MOST_PARTS or parts[0]:
        return None
    holder: Any = document
    key = _key(holder, parts[1])
    for part in parts[2:]:
        if key is None:
            return None
        holder = holder[key]
        key = _key(holder, part)
    return None if key is None else (holder, key)


def _key(holder: Any, part: str) -> str | int | None:  # noqa: ANN401 - any JSON value
    """The key by which a part of a pointer is found in an object or array; None if it is not there."""
    if type(holder) is dict:
        name = part.replace("~1", "/").replace("~0", "~")
        return name if name in holder else None
    if type(holder) is list and part.isascii() and part.isdigit() and len(part) < 10 and int(part) < len(holder):
        return int(part)
    return None
