"""The one source of time: integer milliseconds since the epoch."""

import time
from typing import Protocol


class Clock(Protocol):
    """Gives the present. Everything that needs the time takes a clock, so that tests can own it."""

    def now(self) -> int:
        """Milliseconds since the epoch; never goes back."""
        ...


class SystemClock:
    """Wall time read once, carried on by the monotonic clock, so that a step of the wall clock moves no deadline.

    A store that servers share corrects it (`correct`), so that all of them agree on the time.
    """

    def __init__(self) -> None:
        self._offset_ns = time.time_ns() - time.monotonic_ns()
        self._latest = 0

    def now(self) -> int:
        """Milliseconds since the epoch; a correction backwards holds the time still until it is caught up with."""
        now = (time.monotonic_ns() + self._offset_ns) // 1_000_000
        if now > self._latest:  # noqa: PLR1730 - every call asks, and `max` takes twice as long
            self._latest = now
        return self._latest

    def correct(self, epoch_ns: int, at_monotonic_ns: int) -> None:
        """Sets the clock so that it showed `epoch_ns` at the monotonic reading `at_monotonic_ns`."""
        self._offset_ns = epoch_ns - at_monotonic_ns
