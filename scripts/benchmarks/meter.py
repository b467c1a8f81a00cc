"""Measured windows: what the load did, and what CPU the server and the store used meanwhile."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import median
from time import monotonic
from typing import TypeAlias, TypeVar

from benchmarks.calls import Load
from benchmarks.processes import Process, stolen_seconds
from benchmarks.stores import Store

Row: TypeAlias = dict[str, object]
"""One row of the result: names and figures; None where something cannot be observed."""


First = TypeVar("First")
Second = TypeVar("Second")
Number = TypeVar("Number", int, float)

# The part of one core that the host may take from a virtual machine during a pair of windows.
_MOST_STOLEN = 0.03
# As many pairs are measured for each that counts, before disturbed ones have to do.
_PATIENCE = 3


@dataclass(frozen=True)
class Window:
    """One stretch of load. CPU in seconds; what is the store's is None when it lives in the server."""

    load: Load
    server_cpu: float
    store_cpu: float | None
    store_calls: int | None

    @property
    def rate(self) -> float:
        """Jobs, calls or messages a second."""
        return self.load.count / self.load.seconds

    @property
    def server_us(self) -> float:
        """Microseconds of server CPU for each of them."""
        return self.server_cpu / self.load.count * 1e6

    @property
    def store_us(self) -> float | None:
        return None if self.store_cpu is None else self.store_cpu / self.load.count * 1e6

    @property
    def store_calls_each(self) -> float | None:
        return None if self.store_calls is None else self.store_calls / self.load.count

    @property
    def load_us(self) -> float:
        return self.load.cpu / self.load.count * 1e6

    def scaled(self, jobs_per_call: int) -> "Window":
        """The same window counted in jobs, for calls that carry several."""
        load = Load(
            self.load.count * jobs_per_call,
            self.load.seconds,
            self.load.cpu,
            self.load.message_bytes,
            self.load.count,
        )
        return Window(load, self.server_cpu, self.store_cpu, self.store_calls)


def measure(server: Process, store: Store | None, run: Callable[[], Load]) -> Window:
    """Runs a load and notes what server and store used meanwhile."""
    server_before = server.cpu_seconds()
    store_before = store.cpu_seconds() if store else None
    calls_before = store.script_calls() if store else None
    load = run()
    if load.count == 0:
        raise RuntimeError("the load got nothing done")
    server_cpu = server.cpu_seconds() - server_before
    return Window(
        load,
        server_cpu,
        _difference(store.cpu_seconds() if store else None, store_before),
        _difference(store.script_calls() if store else None, calls_before),
    )


def in_turns(rounds: int, first: Callable[[], First], second: Callable[[], Second]) -> tuple[list[First], list[Second]]:
    """A B A B ...: what disturbs the machine for a while disturbs both.

    Not so the host of a virtual machine, which takes the processor away in bursts shorter than a pair: a pair that it
    disturbed is measured again, unless it goes on like that.
    """
    quiet: list[tuple[First, Second]] = []
    disturbed: list[tuple[First, Second]] = []
    while len(quiet) < rounds and len(quiet) + len(disturbed) < _PATIENCE * rounds:
        start, stolen = monotonic(), stolen_seconds()
        pair = first(), second()
        is_quiet = stolen_seconds() - stolen <= _MOST_STOLEN * (monotonic() - start)
        (quiet if is_quiet else disturbed).append(pair)
    pairs = quiet if len(quiet) > rounds // 2 else [*quiet, *disturbed]
    return [pair[0] for pair in pairs], [pair[1] for pair in pairs]


def figures(windows: Sequence[Window]) -> Row:
    """The medians of several windows on the service."""
    return {
        "rate": middle([window.rate for window in windows]),
        "server_us": middle([window.server_us for window in windows]),
        "store_us": middle([window.store_us for window in windows]),
        "store_calls_each": middle([window.store_calls_each for window in windows]),
        "load_us": middle([window.load_us for window in windows]),
        "server_busy": middle([window.server_cpu / window.load.seconds for window in windows]),
        "store_busy": middle([_over(window.store_cpu, window.load.seconds) for window in windows]),
        "load_busy": middle([window.load.cpu / window.load.seconds for window in windows]),
        "message_bytes": middle([window.load.message_bytes for window in windows]),
    }


def compared(ours: Sequence[Window], bare: Sequence[Window]) -> Row:
    """The medians of windows taken in turns on the service and on the bare server, and of their ratios pair by pair."""
    pairs = list(zip(ours, bare, strict=True))
    ratios = [a.rate / b.rate for a, b in pairs]
    cpu_ratios = [b.server_us / a.server_us for a, b in pairs if a.server_us]
    return figures(ours) | {
        "bare_rate": middle([window.rate for window in bare]),
        "bare_us": middle([window.server_us for window in bare]),
        "ratio": middle(ratios),
        "ratio_lowest": min(ratios),
        "ratio_highest": max(ratios),
        "cpu_ratio": middle(cpu_ratios),
    }


def middle(values: Sequence[float | None]) -> float | None:
    """The median of what was observed; None if nothing was."""
    observed = [value for value in values if value is not None]
    return median(observed) if observed else None


def _difference(after: Number | None, before: Number | None) -> Number | None:
    return None if after is None or before is None else after - before


def _over(value: float | None, seconds: float) -> float | None:
    return None if value is None else value / seconds
