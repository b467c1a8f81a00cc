"""JSON as text: what comes over a wire, and what goes out (wire section 2.7).

orjson does the work, but for documents with integers of more than 64 bits, which it does not carry on.
"""

import json
import re
from math import isinf
from typing import Any, Final, NoReturn

import orjson

from ojs_grpc.errors import InvalidPayload, Violation

# Integers of so many digits may have more than 64 bits. An expression would take longer to find them than all the rest.
_AS_DIGITS: Final = bytes(ord("0") if byte in b"0123456789" else ord(" ") for byte in range(256))
_LONG_NUMBER: Final = b"0" * 19
_MAY_BE_SURROGATE: Final = re.compile(r"\\u[dD][89a-fA-F]")


def parse(body: bytes) -> dict[str, Any]:
    """The object that a body is.

    Raises:
        InvalidPayload: it is empty, not UTF-8, no JSON, nests without end, no object; or it holds what cannot be
            carried on: a fraction beyond a double, an integer of thousands of digits, half a surrogate pair.
    """
    try:
        document = _parse(body)
    except ValueError as error:
        raise _refusal(f"must be JSON: {error}" if body else "must not be empty") from None
    if type(document) is not dict:
        raise _refusal("must be a JSON object")
    return document


def parse_value(text: str) -> Any:  # noqa: ANN401 - any JSON value
    """The value that a text is.

    Raises:
        ValueError: it is no JSON that can be carried on, see `parse`.
    """
    return _parse(text.encode())


def dump(document: Any) -> bytes:  # noqa: ANN401 - any JSON value
    """The document as compact UTF-8."""
    try:
        return orjson.dumps(document)
    except TypeError:
        return _encode(document).encode()


def dump_text(value: Any) -> str:  # noqa: ANN401 - any JSON value
    """The same as a string."""
    return dump(value).decode()


def _parse(text: bytes) -> Any:  # noqa: ANN401
    return _parse_exactly(text.decode()) if _LONG_NUMBER in text.translate(_AS_DIGITS) else orjson.loads(text)


def _parse_exactly(text: str) -> Any:  # noqa: ANN401
    try:
        value = _decode(text)
        if _MAY_BE_SURROGATE.search(text):
            _encode(value).encode()
    except RecursionError:
        raise ValueError("nests too deep") from None
    except UnicodeEncodeError:
        raise ValueError("holds half of a surrogate pair") from None
    return value


def _refusal(rule: str) -> InvalidPayload:
    return InvalidPayload([Violation("body", rule)])


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON")


def _finite(digits: str) -> float:
    number = float(digits)
    if isinf(number):
        raise ValueError("holds a number beyond what a double can say")
    return number


_decode: Final = json.JSONDecoder(parse_constant=_refuse_constant, parse_float=_finite).decode
_encode: Final = json.JSONEncoder(
    ensure_ascii=False, separators=(",", ":"), check_circular=False, allow_nan=False
).encode
