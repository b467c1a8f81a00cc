"""What this process did, in figures that only grow.

Plain numbers, written where things happen and read when somebody asks. All writers are on the one event loop, so
there are no locks. Who writes chooses labels from what the code knows, never from what callers send.
"""

from bisect import bisect_left
from collections import Counter

BOUNDS = (0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0)
"""Upper bounds of the buckets that durations are counted in, in seconds. What takes longer has a bucket of its own."""

NEW = 0
"""In place of a state: there was no such job before."""
DUE = -1
"""In place of a state: scheduled or retryable, and its time had come."""


class Durations:
    """How often something was done, and how long it took."""

    __slots__ = ("buckets", "seconds")

    def __init__(self) -> None:
        self.buckets = [0] * (len(BOUNDS) + 1)
        """How many took no longer than each bound, and longer than the one before."""
        self.seconds = 0.0
        """All of them together."""

    def add(self, seconds: float) -> None:
        """It was done once more."""
        self.buckets[bisect_left(BOUNDS, seconds)] += 1
        self.seconds += seconds

    def copy(self) -> "Durations":
        """The figures as they are now."""
        twin = Durations()
        twin.buckets[:] = self.buckets
        twin.seconds = self.seconds
        return twin


class Recorder:
    """The figures of one process.

    Args:
        process: tells it from others that answer on the same port; empty if there are none.

    Attributes:
        calls: of callers, by binding, method and code.
        store_calls: calls of the store, by operation.
        store_errors: by operation and kind.
        jobs: changes of jobs, by the state before (or `NEW`, or `DUE`) and the state after.
    """

    def __init__(self, process: str = "") -> None:
        self.process = process
        self.calls: dict[tuple[str, str, str], Durations] = {}
        self.store_calls: dict[str, Durations] = {}
        self.store_errors: Counter[tuple[str, str]] = Counter()
        self.jobs: Counter[tuple[int, int]] = Counter()

    def call(self, binding: str, method: str, code: str, seconds: float) -> None:
        """A call was answered.

        Args:
            method: a name out of the code, such as a route's; not what the caller asked for.
            code: as the binding's protocol calls it.
        """
        key = (binding, method, code)
        durations = self.calls.get(key)
        if durations is None:
            durations = self.calls[key] = Durations()
        durations.add(seconds)

    def store_call(self, operation: str, seconds: float) -> None:
        """The store was called, well or not."""
        durations = self.store_calls.get(operation)
        if durations is None:
            durations = self.store_calls[operation] = Durations()
        durations.add(seconds)

    def store_error(self, operation: str, kind: str) -> None:
        """A call of the store failed."""
        self.store_errors[operation, kind] += 1

    def changed(self, before: int, after: int, count: int = 1) -> None:
        """So many jobs changed their state, or came into being."""
        self.jobs[before, after] += count

    def copy(self) -> "Recorder":
        """The figures as they are now."""
        twin = Recorder(self.process)
        twin.calls = {key: durations.copy() for key, durations in self.calls.items()}
        twin.store_calls = {key: durations.copy() for key, durations in self.store_calls.items()}
        twin.store_errors = self.store_errors.copy()
        twin.jobs = self.jobs.copy()
        return twin
