"""The model of what is counted beside the jobs themselves."""

from collections import Counter

from ojs_grpc.stores.ports import Minute

_MINUTE_MS = 60_000


class Figures:
    """What happened in each queue, minute by minute and in all."""

    def __init__(self) -> None:
        self.completed: Counter[str] = Counter()
        self._minutes: dict[tuple[str, int], Minute] = {}

    def claim(self, queue: str, waited_ms: int, now: int) -> None:
        """A job was claimed."""
        self._add(queue, now, claimed=1, wait_ms=waited_ms)

    def complete(self, queue: str, took_ms: int, now: int) -> None:
        """A job was completed."""
        self.completed[queue] += 1
        self._add(queue, now, completed=1, duration_ms=took_ms)

    def fail(self, queue: str, now: int) -> None:
        """An attempt failed."""
        self._add(queue, now, failed=1)

    def minutes(self, queue: str, now: int) -> list[Minute]:
        """The last hour, oldest first."""
        first = now // _MINUTE_MS - 60
        return sorted(each for (name, minute), each in self._minutes.items() if name == queue and minute >= first)

    def _add(self, queue: str, now: int, **more: int) -> None:
        minute = now // _MINUTE_MS
        old = self._minutes.get((queue, minute), Minute(minute, 0, 0, 0, 0, 0))
        self._minutes[queue, minute] = old._replace(**{name: getattr(old, name) + n for name, n in more.items()})
