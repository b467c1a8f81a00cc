"""Times and durations: exact in both directions, rounded up where a millisecond cannot say them."""

from fractions import Fraction

import pytest
from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp
from hypothesis import given
from hypothesis import strategies as st

from ojs_grpc.core.duration import EARLIEST_MS, LATEST_MS, clamp, duration_ms, timestamp_ms, to_duration, to_timestamp

MAX_S = 315_576_000_000
FIRST_S, LAST_S = -62_135_596_800, 253_402_300_799
NANOS = st.integers(0, 999_999_999)


def exact_ms(value: Duration | Timestamp) -> Fraction:
    """What the message says, to the nanosecond."""
    return Fraction(value.seconds * 1000) + Fraction(value.nanos, 1_000_000)


def signed(seconds: int, nanos: int) -> Duration:
    """A duration whose parts have the same sign."""
    return Duration(seconds=seconds, nanos=-nanos if seconds < 0 else nanos)


# Durations


@given(st.integers(-MAX_S * 1000, MAX_S * 1000))
def test_a_duration_survives_the_way_there_and_back(ms: int) -> None:
    """Every full millisecond is kept, and written as protobuf itself writes it."""
    by_protobuf = Duration()
    by_protobuf.FromMilliseconds(ms)

    assert to_duration(ms) == by_protobuf
    assert duration_ms(to_duration(ms)) == ms


@given(st.builds(signed, st.integers(-MAX_S, MAX_S), NANOS))
def test_a_duration_is_rounded_up_to_a_full_millisecond(value: Duration) -> None:
    """The result is never shorter, and by less than a millisecond longer."""
    assert 0 <= duration_ms(value) - exact_ms(value) < 1


@pytest.mark.parametrize(
    ("seconds", "nanos", "ms"),
    [(0, 0, 0), (0, 1, 1), (0, 1_000_000, 1), (0, 1_000_001, 2), (1, 999_999_999, 2000), (0, -1, 0), (-1, -1, -1000)],
)
def test_duration_examples(seconds: int, nanos: int, ms: int) -> None:
    """A nanosecond too many costs a millisecond; below zero, too, up is towards the later."""
    assert duration_ms(Duration(seconds=seconds, nanos=nanos)) == ms


@pytest.mark.parametrize(
    ("seconds", "nanos", "rule"),
    [
        (MAX_S + 1, 0, "must be from -315576000000 to 315576000000 seconds"),
        (-MAX_S - 1, 0, "must be from -315576000000 to 315576000000 seconds"),
        (0, 1_000_000_000, "nanos must be from -999999999 to 999999999"),
        (0, -1_000_000_000, "nanos must be from -999999999 to 999999999"),
        (1, -1, "seconds and nanos must have the same sign"),
        (-1, 1, "seconds and nanos must have the same sign"),
    ],
)
def test_a_duration_that_protobuf_forbids_is_refused(seconds: int, nanos: int, rule: str) -> None:
    """The error says the rule, ready to be put behind a field's name."""
    with pytest.raises(ValueError, match=f"^{rule}$"):
        duration_ms(Duration(seconds=seconds, nanos=nanos))


@pytest.mark.parametrize("sign", [1, -1])
def test_the_longest_durations_are_accepted(sign: int) -> None:
    """The bounds themselves belong to the range, with any fraction, as in protobuf."""
    assert duration_ms(Duration(seconds=sign * MAX_S)) == sign * MAX_S * 1000
    assert abs(duration_ms(Duration(seconds=sign * MAX_S, nanos=sign * 999_000_000))) == MAX_S * 1000 + 999


# Points in time


@given(st.integers(EARLIEST_MS, LATEST_MS))
def test_a_timestamp_survives_the_way_there_and_back(ms: int) -> None:
    """Every full millisecond of the years 1 to 9999 is kept, and written as protobuf itself writes it."""
    by_protobuf = Timestamp()
    by_protobuf.FromMilliseconds(ms)

    assert to_timestamp(ms) == by_protobuf
    assert timestamp_ms(to_timestamp(ms)) == ms


@given(st.integers(FIRST_S, LAST_S - 1), NANOS)
def test_a_timestamp_is_rounded_up_to_a_full_millisecond(seconds: int, nanos: int) -> None:
    """The result is never earlier, and by less than a millisecond later, before 1970 too."""
    value = Timestamp(seconds=seconds, nanos=nanos)

    assert 0 <= timestamp_ms(value) - exact_ms(value) < 1


@pytest.mark.parametrize("seconds", [FIRST_S - 1, LAST_S + 1, 2**63 - 1, -(2**63)])
def test_a_timestamp_outside_the_years_1_to_9999_is_refused(seconds: int) -> None:
    """The error says the rule, ready to be put behind a field's name."""
    with pytest.raises(ValueError, match=r"^must be from 0001-01-01T00:00:00Z to 9999-12-31T23:59:59\.999999999Z$"):
        timestamp_ms(Timestamp(seconds=seconds))


@pytest.mark.parametrize("nanos", [-1, 1_000_000_000])
def test_a_timestamp_with_nanos_outside_a_second_is_refused(nanos: int) -> None:
    """Nanos count forwards from the second, also before 1970."""
    with pytest.raises(ValueError, match=r"^nanos must be from 0 to 999999999$"):
        timestamp_ms(Timestamp(seconds=-5, nanos=nanos))


def test_the_bounds_are_those_of_the_years_1_and_9999() -> None:
    """Protobuf prints the first and the last millisecond as such."""
    assert to_timestamp(EARLIEST_MS).ToJsonString() == "0001-01-01T00:00:00Z"
    assert to_timestamp(LATEST_MS).ToJsonString() == "9999-12-31T23:59:59.999Z"
    assert timestamp_ms(Timestamp(seconds=FIRST_S)) == EARLIEST_MS


def test_the_last_instant_is_not_rounded_into_the_year_10000() -> None:
    """What came in as a valid time goes out as one."""
    assert timestamp_ms(Timestamp(seconds=LAST_S, nanos=999_999_999)) == LATEST_MS


@pytest.mark.parametrize(
    ("ms", "text"), [(LATEST_MS + 1, "9999-12-31T23:59:59.999Z"), (EARLIEST_MS - 1, "0001-01-01T00:00:00Z")]
)
def test_a_sum_beyond_the_range_becomes_its_end(ms: int, text: str) -> None:
    """Now plus ten thousand years is still a time that every reader can print."""
    assert to_timestamp(ms).ToJsonString() == text


@given(st.integers())
def test_clamp_changes_nothing_within_the_range(ms: int) -> None:
    """Only what a Timestamp cannot say is moved, and no further than to the end of the range."""
    clamped = clamp(ms)

    assert EARLIEST_MS <= clamped <= LATEST_MS
    assert clamped == ms or not EARLIEST_MS <= ms <= LATEST_MS
