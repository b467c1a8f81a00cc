"""Protobuf's Duration and Timestamp, to and from int milliseconds, the only unit of time inside the server.

What comes in is rounded up to a full millisecond, so that nothing fires early.
"""

from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp

# What a Timestamp can say: from 0001-01-01T00:00:00.000Z to 9999-12-31T23:59:59.999Z.
EARLIEST_MS = -62_135_596_800_000
LATEST_MS = 253_402_300_799_999

_MAX_DURATION_S = 315_576_000_000
_MAX_NANOS = 999_999_999
_NANOS_IN_MS = 1_000_000


def duration_ms(value: Duration) -> int:
    """Milliseconds of a duration, rounded up.

    Raises:
        ValueError: outside protobuf's range, or seconds and nanos of opposite sign; the message is the bare rule.
    """
    seconds, nanos = value.seconds, value.nanos
    if not -_MAX_DURATION_S <= seconds <= _MAX_DURATION_S:
        raise ValueError(f"must be from -{_MAX_DURATION_S} to {_MAX_DURATION_S} seconds")
    if not -_MAX_NANOS <= nanos <= _MAX_NANOS:
        raise ValueError(f"nanos must be from -{_MAX_NANOS} to {_MAX_NANOS}")
    if (seconds > 0 > nanos) or (seconds < 0 < nanos):
        raise ValueError("seconds and nanos must have the same sign")
    return seconds * 1000 + _ceil_ms(nanos)


def timestamp_ms(value: Timestamp) -> int:
    """Milliseconds since the epoch, rounded up, but never beyond the year 9999.

    Raises:
        ValueError: outside the years 1 to 9999, or nanos out of range; the message is the bare rule.
    """
    seconds, nanos = value.seconds, value.nanos
    if not EARLIEST_MS // 1000 <= seconds <= LATEST_MS // 1000:
        raise ValueError("must be from 0001-01-01T00:00:00Z to 9999-12-31T23:59:59.999999999Z")
    if not 0 <= nanos <= _MAX_NANOS:
        raise ValueError(f"nanos must be from 0 to {_MAX_NANOS}")
    return min(seconds * 1000 + _ceil_ms(nanos), LATEST_MS)


def to_timestamp(ms: int) -> Timestamp:
    """The point in time as a message; a time beyond what a Timestamp can say becomes the first or last one it can."""
    seconds, millis = divmod(clamp(ms), 1000)
    return Timestamp(seconds=seconds, nanos=millis * _NANOS_IN_MS)


def to_duration(ms: int) -> Duration:
    """The duration as a message, seconds and nanos of the same sign as protobuf wants them."""
    seconds, millis = divmod(abs(ms), 1000)
    sign = -1 if ms < 0 else 1
    return Duration(seconds=sign * seconds, nanos=sign * millis * _NANOS_IN_MS)


def clamp(ms: int) -> int:
    """The nearest time that a Timestamp can say.

    Sums can leave the range (now, plus a delay of ten thousand years), and readers of such a message fail.
    """
    return min(max(ms, EARLIEST_MS), LATEST_MS)


def _ceil_ms(nanos: int) -> int:
    return -(-nanos // _NANOS_IN_MS)
