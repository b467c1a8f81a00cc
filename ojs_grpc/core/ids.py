"""Job ids, and the partition that a queue or an id belongs to (design section 4).

Every queue belongs to one of 256 partitions, and a job id made here ends with its partition in hex, so that a job is
found from its id alone. The numbers are part of what is stored: they never change.
"""

import os
import re
from binascii import crc_hqx
from functools import lru_cache

PARTITIONS = 256

_TAGS = tuple(f"{partition:02x}" for partition in range(PARTITIONS))
_PARTITION_OF_TAG = {text: partition for partition, text in enumerate(_TAGS)}

_ID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")


# Queue names come from callers: the bound keeps a client that invents them from filling memory.
@lru_cache(maxsize=16_384)
def partition_of_queue(queue: str) -> int:
    """The partition that holds a queue and its jobs: CRC16 as in Redis Cluster, modulo 256."""
    return crc_hqx(queue.encode(), 0) % PARTITIONS


def partition_of_id(job_id: str) -> int:
    """The partition that an id names in its last two hex digits.

    A client may choose an id that names another partition than its queue's; the store keeps a pointer there.

    Raises:
        KeyError: the text does not end in two lower-case hex digits; `is_id` has to hold.
    """
    return _PARTITION_OF_TAG[job_id[-2:]]


def tag(partition: int) -> str:
    """A partition as two lower-case hex digits: the hash tag in key names, and the end of ids."""
    return _TAGS[partition]


def is_id(text: str) -> bool:
    """Whether the text is a UUIDv7 in lower case, the only form of a job id (wire section 2.1)."""
    return _ID.fullmatch(text) is not None


# New ids: tables and spare parts instead of formatting, since every enqueue pays for one.

_COUNTS = tuple(f"{count:03x}" for count in range(4096))
_WITH_VARIANT = bytes(byte & 0x3F | 0x80 for byte in range(256))

_ms = -1  # of the last id; ahead of the clock when a millisecond was full or the clock went back
_count = 0  # of the next id within _ms
_head = ""  # the text of _ms

# Random parts not yet used, such as `9abc` and `0123456789`.
_variants: list[str] = []
_tails: list[str] = []
# A forked child would use those that its parent uses too.
os.register_at_fork(after_in_child=_tails.clear)


def new_id(now_ms: int, partition: int) -> str:
    """Makes a UUIDv7 (RFC 9562) that ends with the partition and sorts after every id this process made before.

    The 12 bits after the time count within a millisecond. A full millisecond borrows the next one, and a clock that
    goes back is not followed: ids keep counting from the last millisecond used. 54 random bits keep processes apart.
    Not thread-safe: one event loop.

    Args:
        now_ms: milliseconds since the epoch, below 2**48.
        partition: 0 to 255.
    """
    global _ms, _count, _head  # noqa: PLW0603 - one sequence per process, which an object would only hide
    if now_ms > _ms or _count == 4096:
        _ms = max(now_ms, _ms + 1)
        _count = 0
        _head = f"{_ms >> 16:08x}-{_ms & 0xFFFF:04x}-7"
    if not _tails:
        _draw()
    count = _COUNTS[_count]
    _count += 1
    return f"{_head}{count}-{_variants.pop()}-{_tails.pop()}{_TAGS[partition]}"


def _draw() -> None:
    # For 256 ids at once, since each draw is a system call.
    drawn = bytearray(os.urandom(256 * 7))
    heads, tails = drawn[: 256 * 2], drawn[256 * 2 :]
    heads[::2] = heads[::2].translate(_WITH_VARIANT)
    _variants[:] = heads.hex("-", 2).split("-")
    _tails[:] = tails.hex("-", 5).split("-")
