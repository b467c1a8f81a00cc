"""Times and durations, as JSON says them (wire section 2.3)."""

import re
from datetime import date
from decimal import ROUND_CEILING, Decimal
from functools import lru_cache
from typing import Any, Final

from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp

from ojs_grpc.codec.members import Members
from ojs_grpc.core.duration import EARLIEST_MS, LATEST_MS, clamp, duration_ms, to_timestamp
from ojs_grpc.core.iso_duration import parse_nanos

_NANOS_IN_S: Final = 1_000_000_000
_NANOS_IN_MS: Final = 1_000_000
_MAX_DURATION_S: Final = 315_576_000_000
_MAX_CHARS: Final = 64
_EPOCH: Final = date(1970, 1, 1).toordinal()

_TIMESTAMP = re.compile(
    r"(?P<date>\d{4}-\d\d-\d\d)[Tt](?P<hour>[01]\d|2[0-3]):(?P<minute>[0-5]\d):(?P<second>[0-5]\d|60)"
    r"(?:\.(?P<fraction>\d+))?(?:[Zz]|(?P<sign>[+-])(?P<off_hour>[01]\d|2[0-3]):(?P<off_minute>[0-5]\d))",
    re.ASCII,
)
_GO_PART = r"(\d+(?:\.\d+)?|\.\d+)(h|ms|m|s|us|µs|μs|ns)"
_GO = re.compile(f"(?:{_GO_PART})+", re.ASCII)
_GO_PARTS = re.compile(_GO_PART, re.ASCII)
_GO_NANOS = {
    "h": 3600 * _NANOS_IN_S,
    "m": 60 * _NANOS_IN_S,
    "s": _NANOS_IN_S,
    "ms": _NANOS_IN_MS,
    "us": 1000,
    "µs": 1000,
    "μs": 1000,  # the Greek letter is another character
    "ns": 1,
}

_NO_DURATION = "must be a duration, such as PT1S or 1s, or a number"
_NO_YEAR = "must be a day of the years 1 to 9999"
_TOO_LONG = "must be at most 10,000 years"


def read_timestamp(text: str) -> Timestamp:
    """A point in time, RFC 3339 with any offset; what is finer than a nanosecond is rounded up.

    Raises:
        ValueError: it is none, or not within the years 1 to 9999; the message is the bare rule.
    """
    match = _TIMESTAMP.fullmatch(text) if len(text) <= _MAX_CHARS else None
    if match is None:
        raise ValueError("must be a time as in RFC 3339, with its zone, such as 2030-01-01T00:00:00Z")
    try:
        days = date.fromisoformat(match["date"]).toordinal() - _EPOCH
    except ValueError:
        raise ValueError(_NO_YEAR) from None
    seconds = days * 86_400 + int(match["hour"]) * 3600 + int(match["minute"]) * 60 + int(match["second"])
    if match["sign"]:
        offset = int(match["off_hour"]) * 3600 + int(match["off_minute"]) * 60
        seconds += offset if match["sign"] == "-" else -offset
    nanos = _fraction_nanos(match["fraction"]) if match["fraction"] else 0
    seconds, nanos = seconds + nanos // _NANOS_IN_S, nanos % _NANOS_IN_S
    if not EARLIEST_MS // 1000 <= seconds <= LATEST_MS // 1000:
        raise ValueError(_NO_YEAR)
    return Timestamp(seconds=seconds, nanos=nanos)


def read_delay(text: str) -> Duration | None:
    """A time that counts from now: `+PT2S`, `PT2S`, `5m`; None if the text is no such time.

    Raises:
        ValueError: it is one, but beyond protobuf's range, or begins like one; the message is the bare rule.
    """
    if not text.startswith(("+", "P")) and _go_nanos(text) is None:
        return None
    return read_duration(text.removeprefix("+"))


def time_after(now: int, delay: Duration) -> Timestamp:
    """The time that comes so long after now.

    Raises:
        ValueError: it is beyond the year 9999; the message is the bare rule.
    """
    ms = now + duration_ms(delay)
    if ms > LATEST_MS:
        raise ValueError(_NO_YEAR)
    return to_timestamp(ms)


def read_duration(value: Any, *, ms: bool = False) -> Duration:  # noqa: ANN401
    """A duration, never negative: ISO 8601, `1h30m`, or a number, of seconds or of milliseconds.

    What is finer than a nanosecond is rounded up.

    Args:
        ms: only a whole number of milliseconds will do.

    Raises:
        ValueError: it is none, or beyond protobuf's range; the message is the bare rule.
    """
    if ms:
        nanos = _whole_ms(value) * _NANOS_IN_MS
    elif type(value) is str:
        nanos = _text_nanos(value)
    else:
        nanos = _seconds_nanos(value)
    if nanos < 0:
        raise ValueError("must not be negative")
    if nanos // _NANOS_IN_S > _MAX_DURATION_S:
        raise ValueError(_TOO_LONG)
    return Duration(seconds=nanos // _NANOS_IN_S, nanos=nanos % _NANOS_IN_S)


def read_member(members: Members, *names: str) -> Duration | None:
    """A duration among the members, as `Members` reads them; a name that ends in `_ms` has milliseconds."""
    name = members.name_of(*names)
    if not name:
        return None
    try:
        return read_duration(members.members[name], ms=name.endswith("_ms"))
    except ValueError as error:
        members.refuse(name, str(error))
        return None


def timestamp_text(value: Timestamp) -> str:
    """RFC 3339 in UTC with milliseconds, or with nanoseconds where they are needed."""
    nanos = value.nanos
    if nanos % _NANOS_IN_MS:
        return f"{_second_text(value.seconds)}.{nanos:09d}Z"
    return f"{_second_text(value.seconds)}.{nanos // _NANOS_IN_MS:03d}Z"


# Jobs that are enqueued together share their times.
@lru_cache(maxsize=4096)
def time_text(ms: int) -> str:
    """The same of milliseconds since the epoch."""
    seconds, millis = divmod(clamp(ms), 1000)
    return f"{_second_text(seconds)}.{millis:03d}Z"


def duration_text(value: Duration) -> str:
    """ISO 8601 in hours, minutes and seconds: PT1S, PT1H30M, PT24H, PT0.5S, PT0S."""
    return _duration_text(value.seconds, value.nanos)


# Most times are about now, or the same few moments ahead.
@lru_cache(maxsize=4096)
def _second_text(seconds: int) -> str:
    return to_timestamp(seconds * 1000).ToJsonString().removesuffix("Z")


@lru_cache(maxsize=1024)
def _duration_text(seconds: int, nanos: int) -> str:
    hours, rest = divmod(seconds, 3600)
    minutes, seconds = divmod(rest, 60)
    fraction = f".{nanos:09d}".rstrip("0") if nanos else ""
    parts = [f"{hours}H" if hours else "", f"{minutes}M" if minutes else ""]
    if seconds or fraction or not any(parts):
        parts.append(f"{seconds}{fraction}S")
    return f"PT{''.join(parts)}"


def _fraction_nanos(digits: str) -> int:
    return int(digits[:9].ljust(9, "0")) + (1 if digits[9:].strip("0") else 0)


def _whole_ms(value: Any) -> int:  # noqa: ANN401
    if type(value) is int:
        return value
    if type(value) is float and value.is_integer():
        return int(value)
    raise ValueError("must be a whole number of milliseconds")


def _seconds_nanos(value: Any) -> int:  # noqa: ANN401
    if type(value) is int:
        return value * _NANOS_IN_S
    if type(value) is not float:
        raise ValueError(_NO_DURATION)
    # A double has at most 17 digits, which a decimal multiplies without loss.
    return int((Decimal(repr(value)) * _NANOS_IN_S).to_integral_value(ROUND_CEILING))


def _text_nanos(text: str) -> int:
    if text.startswith("P"):
        return parse_nanos(text)
    nanos = _go_nanos(text)
    if nanos is None:
        raise ValueError(_NO_DURATION)
    return nanos


def _go_nanos(text: str) -> int | None:
    """A duration as Go writes it, and the JSON of protobuf; None if it is none."""
    if len(text) > _MAX_CHARS or _GO.fullmatch(text) is None:
        return None
    total = sum(
        (Decimal(number[:28]) * _GO_NANOS[unit] for number, unit in _GO_PARTS.findall(text)),
        Decimal(0),
    )
    return int(total.to_integral_value(ROUND_CEILING))
