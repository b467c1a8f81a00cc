"""A queue's figures over the last hour and the last minute, out of counts kept minute by minute (behaviour section 11).

Of the oldest minute only a part is still inside the window; it counts as if its jobs had been spread over it evenly.
"""

from collections.abc import Iterable
from typing import NamedTuple, Protocol

_MINUTE_MS = 60_000
_HOUR_MS = 60 * _MINUTE_MS


class MinuteCounts(Protocol):
    """What happened within one minute, see `stores.ports.Minute`."""

    @property
    def minute(self) -> int: ...
    @property
    def completed(self) -> int: ...
    @property
    def failed(self) -> int: ...
    @property
    def claimed(self) -> int: ...
    @property
    def duration_ms(self) -> int: ...
    @property
    def wait_ms(self) -> int: ...


class Recent(NamedTuple):
    """What a queue did of late.

    Attributes:
        completed, failed: jobs and attempts of the last hour.
        avg_duration_ms: from claim to completion, of the jobs completed in the last hour; 0 if there are none.
        avg_wait_ms: from available to claim, of the claims of the last hour; 0 if there are none.
        throughput_per_second: jobs completed, over the last minute.
    """

    completed: int
    failed: int
    avg_duration_ms: float
    avg_wait_ms: float
    throughput_per_second: float


def recent(minutes: Iterable[MinuteCounts], now: int) -> Recent:
    """The figures at `now`, of the minutes of at least the last hour in which something happened."""
    completed = failed = claimed = duration_ms = wait_ms = last_minute = 0.0
    for counts in minutes:
        part = _part_since(now - _HOUR_MS, counts.minute)
        completed += part * counts.completed
        failed += part * counts.failed
        claimed += part * counts.claimed
        duration_ms += part * counts.duration_ms
        wait_ms += part * counts.wait_ms
        last_minute += _part_since(now - _MINUTE_MS, counts.minute) * counts.completed
    return Recent(
        completed=round(completed),
        failed=round(failed),
        avg_duration_ms=duration_ms / completed if completed else 0.0,
        avg_wait_ms=wait_ms / claimed if claimed else 0.0,
        throughput_per_second=last_minute * 1000 / _MINUTE_MS,
    )


class Rate(NamedTuple):
    """What happened within the last minute: jobs completed, attempts failed, and how long a completed job took."""

    completed: int
    failed: int
    avg_duration_ms: float


def rate(minutes: Iterable[MinuteCounts], now: int) -> Rate:
    """The figures at `now`, of this minute and the one before it; of several queues, if theirs are given together."""
    completed = failed = duration_ms = 0.0
    for counts in minutes:
        part = _part_since(now - _MINUTE_MS, counts.minute)
        completed += part * counts.completed
        failed += part * counts.failed
        duration_ms += part * counts.duration_ms
    return Rate(round(completed), round(failed), duration_ms / completed if completed else 0.0)


def _part_since(start: int, minute: int) -> float:
    """How much of a minute lies after `start`, from 0 to 1."""
    return min(max(((minute + 1) * _MINUTE_MS - start) / _MINUTE_MS, 0.0), 1.0)
