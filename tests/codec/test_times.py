"""Times and durations."""

import pytest
from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp
from hypothesis import given
from hypothesis import strategies as st

from ojs_grpc.codec.members import Members
from ojs_grpc.codec.times import (
    duration_text,
    read_delay,
    read_duration,
    read_member,
    read_timestamp,
    time_after,
    time_text,
    timestamp_text,
)
from ojs_grpc.core.duration import LATEST_MS


@pytest.mark.parametrize(
    ("text", "seconds", "nanos"),
    [
        ("1970-01-01T00:00:00Z", 0, 0),
        ("1970-01-01t00:00:00.5z", 0, 500_000_000),
        ("1970-01-01T02:00:00+02:00", 0, 0),
        ("1969-12-31T18:30:00.000000001-05:30", 0, 1),
        ("1970-01-01T00:00:00.0000000001Z", 0, 1),
        ("1970-01-01T00:00:00.9999999999Z", 1, 0),
        ("1969-12-31T23:59:60Z", 0, 0),
        ("0001-01-01T00:00:00Z", -62_135_596_800, 0),
        ("9999-12-31T23:59:59.999999999Z", 253_402_300_799, 999_999_999),
        ("2024-02-29T00:00:00Z", 1_709_164_800, 0),
    ],
)
def test_timestamps(text: str, seconds: int, nanos: int) -> None:
    """Any offset, any number of digits; rounded up, so that nothing comes early."""
    assert read_timestamp(text) == Timestamp(seconds=seconds, nanos=nanos)


@pytest.mark.parametrize(
    "text",
    [
        *("", "now", "2030-01-01", "2030-01-01T00:00:00", "2030-01-01 00:00:00Z", "2030-01-01T00:00:00.Z"),
        *("2030-13-01T00:00:00Z", "2030-02-29T00:00:00Z", "2030-01-01T24:00:00Z", "2030-01-01T00:60:00Z"),
        *("2030-01-01T00:00:61Z", "2030-01-01T00:00:00+24:00", "2030-01-01T00:00:00+0200", "2030-01-01T00:00:00Z "),
        *("0000-01-01T00:00:00Z", "10000-01-01T00:00:00Z", "0001-01-01T00:00:00+00:01", "9999-12-31T23:59:59-00:01"),
        *("9999-12-31T23:59:59.9999999999Z", "2030-01-01T00:00:00." + "1" * 50 + "Z", "٢٠٣٠-01-01T00:00:00Z"),
    ],
)
def test_what_is_no_timestamp(text: str) -> None:
    """Without its zone, a time is none."""
    with pytest.raises(ValueError, match=r"^must be a (time as in RFC 3339|day of the years 1 to 9999)"):
        read_timestamp(text)


@pytest.mark.parametrize(
    ("seconds", "nanos", "text"),
    [
        (0, 0, "1970-01-01T00:00:00.000Z"),
        (1_900_000_000, 5_000_000, "2030-03-17T17:46:40.005Z"),
        (0, 1, "1970-01-01T00:00:00.000000001Z"),
        (-1, 999_999_999, "1969-12-31T23:59:59.999999999Z"),
        (-62_135_596_800, 0, "0001-01-01T00:00:00.000Z"),
    ],
)
def test_how_timestamps_are_written(seconds: int, nanos: int, text: str) -> None:
    """With milliseconds, and with more only where there is more."""
    assert timestamp_text(Timestamp(seconds=seconds, nanos=nanos)) == text


def test_how_milliseconds_are_written() -> None:
    """As timestamps are; what no timestamp can say becomes the last one that it can."""
    assert time_text(1_900_000_000_123) == "2030-03-17T17:46:40.123Z"
    assert time_text(-1) == "1969-12-31T23:59:59.999Z"
    assert time_text(10**18) == "9999-12-31T23:59:59.999Z"


@given(st.integers(-62_135_596_800, 253_402_300_799), st.integers(0, 999_999_999))
def test_timestamps_there_and_back(seconds: int, nanos: int) -> None:
    """What is written is read as the same."""
    time = Timestamp(seconds=seconds, nanos=nanos)

    assert read_timestamp(timestamp_text(time)) == time


@pytest.mark.parametrize(
    ("value", "seconds", "nanos"),
    [
        ("PT1S", 1, 0),
        ("P1Y", 365 * 86_400, 0),
        ("PT0.0000000001S", 0, 1),
        ("1h30m", 5400, 0),
        ("500ms", 0, 500_000_000),
        ("1.5s", 1, 500_000_000),
        (".5s", 0, 500_000_000),
        ("300s", 300, 0),
        ("1us2ns", 0, 1002),
        ("1µs", 0, 1000),
        ("0.1ns", 0, 1),
        (2, 2, 0),
        (0, 0, 0),
        (1.5, 1, 500_000_000),
        (0.1, 0, 100_000_000),
        ("P9999Y", 9999 * 365 * 86_400, 0),
    ],
)
def test_durations(value: object, seconds: int, nanos: int) -> None:
    """ISO 8601, as Go writes them, or seconds."""
    assert read_duration(value) == Duration(seconds=seconds, nanos=nanos)


@pytest.mark.parametrize(
    "value",
    ["", "1", "s", "1d", "1 s", "-1s", "1s ", "1s1", "P", "PT", True, None, [], {}, "9" * 65 + "s", "1,5s"],
)
def test_what_is_no_duration(value: object) -> None:
    """Neither truth nor a bare number in a string."""
    with pytest.raises(ValueError, match=r"^must be a duration|^must be an ISO 8601 duration"):
        read_duration(value)


@pytest.mark.parametrize("value", ["P99999Y", "PT" + "9" * 60 + "S", "9" * 60 + "h", 10**400, 1e300, "P10007Y"])
def test_durations_beyond_what_protobuf_can_say(value: object) -> None:
    """They are refused by their own rule."""
    with pytest.raises(ValueError, match="at most 10,000 years"):
        read_duration(value)


@pytest.mark.parametrize(("value", "seconds"), [(1000, 1), (2000.0, 2), (0, 0)])
def test_milliseconds(value: object, seconds: int) -> None:
    """A name that ends in `_ms` has whole milliseconds."""
    assert read_duration(value, ms=True) == Duration(seconds=seconds)


@pytest.mark.parametrize("value", ["1000", "PT1S", 1.5, True, None])
def test_what_are_no_milliseconds(value: object) -> None:
    """No text, and no fraction."""
    with pytest.raises(ValueError, match="must be a whole number of milliseconds"):
        read_duration(value, ms=True)


def test_no_duration_is_negative() -> None:
    """In either unit."""
    for ms in (False, True):
        with pytest.raises(ValueError, match="must not be negative"):
            read_duration(-1, ms=ms)


@pytest.mark.parametrize(
    ("seconds", "nanos", "text"),
    [
        (0, 0, "PT0S"),
        (1, 0, "PT1S"),
        (300, 0, "PT5M"),
        (5400, 0, "PT1H30M"),
        (86_400, 0, "PT24H"),
        (3601, 500_000_000, "PT1H1.5S"),
        (60, 1, "PT1M0.000000001S"),
    ],
)
def test_how_durations_are_written(seconds: int, nanos: int, text: str) -> None:
    """In one form: days are hours."""
    assert duration_text(Duration(seconds=seconds, nanos=nanos)) == text


@given(st.integers(0, 315_575_999_999), st.integers(0, 999_999_999))
def test_durations_there_and_back(seconds: int, nanos: int) -> None:
    """What is written is read as the same."""
    duration = Duration(seconds=seconds, nanos=nanos)

    assert read_duration(duration_text(duration)) == duration


@pytest.mark.parametrize(("text", "seconds"), [("+PT2S", 2), ("PT2S", 2), ("5m", 300), ("+5m", 300), ("+P1D", 86_400)])
def test_times_that_count_from_now(text: str, seconds: int) -> None:
    """With a plus, or as nothing but a duration."""
    assert read_delay(text) == Duration(seconds=seconds)


@pytest.mark.parametrize("text", ["2030-01-01T00:00:00Z", "", "-PT2S", "soon"])
def test_times_that_do_not(text: str) -> None:
    """These are left to be read as points in time."""
    assert read_delay(text) is None


@pytest.mark.parametrize("text", ["+", "+1", "+soon", "P", "++PT1S", "+P99999Y"])
def test_what_only_begins_like_one(text: str) -> None:
    """A sign says what was meant."""
    with pytest.raises(ValueError, match="must be"):
        read_delay(text)


def test_a_time_after_now() -> None:
    """Up to the year 9999."""
    assert time_after(1000, Duration(seconds=2)) == Timestamp(seconds=3)
    with pytest.raises(ValueError, match="9999"):
        time_after(LATEST_MS, Duration(nanos=1))


def test_a_duration_among_members() -> None:
    """The name says the unit, and which name it was that broke a rule."""
    members = Members({"a": "PT1S", "b_ms": 5, "c_ms": "x", "d": None}, "options")

    assert read_member(members, "a", "b_ms") == Duration(seconds=1)
    assert read_member(members, "x", "b_ms") == Duration(nanos=5_000_000)
    assert read_member(members, "d") is None
    assert read_member(members, "d", "c_ms") is None
    assert members.broken == [("options.c_ms", "must be a whole number of milliseconds")]
