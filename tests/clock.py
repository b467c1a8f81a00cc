"""Time that a test owns."""

START = 1_750_000_000_000
"""When every test begins: 15 June 2025, in ms since the epoch."""


class FakeClock:
    """A clock that stands still until the test moves it."""

    def __init__(self, now: int = START) -> None:
        self._now = now

    def now(self) -> int:
        """Milliseconds since the epoch."""
        return self._now

    def advance(self, ms: int) -> int:
        """Moves on by `ms`, and returns the new time."""
        assert ms >= 0, "time never goes back"
        self._now += ms
        return self._now
