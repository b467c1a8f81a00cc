"""Protobuf fields as bytes, for answers that are put together without building messages.

Serialised messages concatenate into their merge (design section 2, idea 1): a stored envelope followed by the fields
written here is the job as it is now. A later field overrides an earlier one only if it is written, so unlike protobuf's
own serialisers these functions write zeros too.
"""

from functools import cache, lru_cache

from ojs_grpc.core.duration import EARLIEST_MS, LATEST_MS, clamp

_VARINT = 0
_BYTES = 2

_SHORT = tuple(bytes((value,)) for value in range(128))
_CONTINUED = tuple(bytes((value | 128,)) for value in range(128))


def varint(value: int) -> bytes:
    """A base-128 varint.

    Raises:
        ValueError: the value is negative or does not fit into 64 bits.
    """
    if 0 <= value < 128:
        return _SHORT[value]
    if not 0 <= value < 1 << 64:
        raise ValueError(f"a varint is from 0 to 2**64 - 1, not {value}")
    data = b""
    while value > 127:
        data += _CONTINUED[value & 127]
        value >>= 7
    return data + _SHORT[value]


def varint_field(number: int, value: int) -> bytes:
    """An integer, enum or bool field, written even when zero.

    Raises:
        ValueError: as `varint`.
    """
    return _tag(number, _VARINT) + varint(value)


def bytes_field(number: int, data: bytes) -> bytes:
    """A string (as UTF-8), bytes or message field, written even when empty.

    A message field merges into an earlier one of the same number; strings and bytes replace it.
    """
    return _tag(number, _BYTES) + varint(len(data)) + data


def timestamp_field(number: int, ms: int) -> bytes:
    """A Timestamp field from milliseconds since the epoch.

    Writes seconds and nanos both: message fields merge, so an unwritten zero would leave the earlier value in place. A
    time beyond what a Timestamp can say becomes the first or last one it can.
    """
    if not EARLIEST_MS <= ms <= LATEST_MS:
        ms = clamp(ms)
    body = _seconds_field(ms // 1000) + _NANOS_FIELDS[ms % 1000]
    return _tag(number, _BYTES) + _SHORT[len(body)] + body


# Numbers come from our code, never from a caller: the cache is bounded by what the protos define.
@cache
def _tag(number: int, wire_type: int) -> bytes:
    return varint(number << 3 | wire_type)


# Most calls are about now or a lease from now: the same few seconds.
@lru_cache(maxsize=4096)
def _seconds_field(seconds: int) -> bytes:
    # Negative int64s are written as their two's complement.
    return _tag(1, _VARINT) + varint(seconds & (1 << 64) - 1)


_NANOS_FIELDS = tuple(varint_field(2, millis * 1_000_000) for millis in range(1000))
