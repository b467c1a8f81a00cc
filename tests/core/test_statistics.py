"""A queue's figures over sliding windows, out of counts by the minute."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ojs_grpc.core.statistics import Rate, Recent, rate, recent
from ojs_grpc.stores.ports import Minute

MINUTE = 60_000
NOW = 29_000_000 * MINUTE + 15_000
"""A quarter into a minute."""
THIS = NOW // MINUTE


def minute(ago: int, **counts: int) -> Minute:
    """What happened so many minutes ago."""
    nothing: dict[str, Any] = {"completed": 0, "failed": 0, "claimed": 0, "duration_ms": 0, "wait_ms": 0}
    return Minute(THIS - ago, **{**nothing, **counts})


def test_nothing_happened() -> None:
    """All figures are zero; nothing is divided by it."""
    assert recent([], NOW) == recent([minute(3)], NOW) == Recent(0, 0, 0.0, 0.0, 0.0)


def test_the_last_hour_adds_up() -> None:
    """Counts are summed, averages weighted by what they are averages of."""
    minutes = [
        minute(59, completed=1, duration_ms=100, claimed=4, wait_ms=40, failed=2),
        minute(0, completed=3, duration_ms=900, claimed=1, wait_ms=10, failed=3),
    ]

    found = recent(minutes, NOW)

    assert found[:4] == (4, 5, 250.0, 10.0)


@pytest.mark.parametrize(("into_minute_ms", "completed"), [(0, 600), (15_000, 450), (45_000, 150), (59_999, 0)])
def test_the_oldest_minute_counts_as_far_as_it_is_inside(into_minute_ms: int, completed: int) -> None:
    """It slides out of the hour evenly, so no figure jumps at the turn of a minute."""
    now = THIS * MINUTE + into_minute_ms

    found = recent([minute(61, completed=10_000), minute(60, completed=600)], now)

    assert found.completed == completed


def test_averages_do_not_depend_on_how_much_of_a_minute_counts() -> None:
    """Both sides of the division slide out together."""
    found = recent([minute(60, completed=8, duration_ms=800, claimed=4, wait_ms=20)], NOW)

    assert (found.avg_duration_ms, found.avg_wait_ms) == (100.0, 5.0)


def test_throughput_is_that_of_the_last_minute() -> None:
    """This minute so far, and the rest of sixty seconds from the one before."""
    found = recent([minute(2, completed=1000), minute(1, completed=80), minute(0, completed=30)], NOW)

    assert found.throughput_per_second == (30 + 80 * 0.75) / 60


def test_a_clock_that_is_ahead_harms_nothing() -> None:
    """What another server counted under the next minute counts once."""
    assert recent([minute(-1, completed=6)], NOW)[::4] == (6, 0.1)


@given(st.integers(0, MINUTE - 1), st.integers(1, 5))
def test_an_even_stream_gives_even_figures(into_minute_ms: int, per_second: int) -> None:
    """Wherever in a minute one asks."""
    now = THIS * MINUTE + into_minute_ms
    full = [minute(ago, completed=60 * per_second) for ago in range(60, 0, -1)]
    begun = minute(0, completed=per_second * into_minute_ms // 1000)

    found = recent([*full, begun], now)

    assert abs(found.completed - 3600 * per_second) <= 1 + per_second
    assert abs(found.throughput_per_second - per_second) <= per_second / 60 + 0.01


def test_the_last_minute() -> None:
    """Of the minute before this one the part counts that is still inside; figures of several queues add up."""
    minutes = [
        minute(1, completed=4, failed=8, duration_ms=400),
        minute(0, completed=1, failed=2, duration_ms=700),
        minute(0, completed=1, duration_ms=300),
        minute(2, completed=100, failed=100, duration_ms=100),
    ]

    assert rate(minutes, NOW) == Rate(5, 8, 260.0)
    assert rate([], NOW) == Rate(0, 0, 0.0)
