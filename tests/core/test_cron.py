"""Cron expressions: the grammar, the zones, and when an entry runs next."""

import calendar
import time
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, timedelta
from typing import NamedTuple
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ojs_grpc.core.cron import NextRun, Schedule, read_zone
from ojs_grpc.core.cron_fields import read_fields

BERLIN = "Europe/Berlin"
# Its clocks change by half an hour.
LORD_HOWE = "Australia/Lord_Howe"
# Its clocks never change.
KOLKATA = "Asia/Kolkata"
MINUTE = 60_000
HOUR = 60 * MINUTE


def ms(text: str) -> int:
    """A time in UTC, or with its offset, as ms since the epoch."""
    moment = datetime.fromisoformat(text)
    return int((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() * 1000)


def runs(expression: str, zone: str, after: str, count: int) -> list[str]:
    """The next runs in UTC, up to the minute."""
    schedule, at, seen = Schedule(expression, read_zone(zone)), ms(after), []
    for _ in range(count):
        found = schedule.next_run(at)
        assert found is not None
        at = found.at
        seen.append(datetime.fromtimestamp(at / 1000, UTC).strftime("%Y-%m-%d %H:%M"))
    return seen


def next_run(expression: str, after: str, zone: str = "UTC") -> NextRun | None:
    """The next run."""
    return Schedule(expression, read_zone(zone)).next_run(ms(after))


# Grammar


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("* * * * *", "0 * * * * *"),
        ("*/20 0-23 1,15 JAN-mar Mon-FRI", "0 0,20,40 * 1,15 1,2,3 1,2,3,4,5"),
        ("5 1 2 3 4 5", "5 1 2 3 4 5"),
        ("10/25 8-17/4 ? * ?", "0 10,35 8,12,16 * * *"),
        ("5-5 23/4 * * *", "0 5 23 * * *"),
        ("0 0 * * 7", "0 0 0 * * 0"),
        ("0 0 * * 0-7", "0 0 0 * * *"),
        ("0 0 * * sat-sun", "0 0 0 * * 0,6"),
        ("0 0 * * 5-7", "0 0 0 * * 0,5,6"),
        ("0 0 L * *", "0 0 0 l * *"),
        ("0 0 1,L * *", "0 0 0 1,l * *"),
        ("0 0 15W * *", "0 0 0 15w * *"),
        ("0 0 * * FRI#2", "0 0 0 * * 5#2"),
        ("0 0 * * 7#1,L5", "0 0 0 * * 0#1,l5"),
        (" \t0   0 * * 5L ", "0 0 0 * * l5"),
        ("@hourly", "0 0 * * * *"),
        ("@weekly", "0 0 0 * * 0"),
        ("@yearly", "0 0 0 1 1 *"),
    ],
)
def test_grammar(expression: str, expected: str) -> None:
    """What is written in many ways has one plain form."""
    assert " ".join(field.text for field in read_fields(expression.lower())) == expected


@pytest.mark.parametrize(
    "expression",
    [
        "", " ", "*", "* * * *", "* * * * * * *", "@reboot", "@noon", "x" * 1000,
        "60 * * * *", "* 24 * * *", "* * 0 * *", "* * 32 * *", "* * * 0 *", "* * * 13 *", "* * * * 8", "60 0 0 * * *",
        "*/0 * * * *", "1/0 * * * *", "1,,2 * * * *", "1, * * * *", "1- * * * *", "-1 * * * *", "1/ * * * *",
        "5-3 * * * *", "* 22-2 * * *", "1-2-3 * * * *", "*-3 * * * *", "1.5 * * * *", "+1 * * * *",
        "h * * * *", "H(0-5) * * * *", "r * * * *", "? * * * *", "* * * foo *", "* * * * jan", "mon * * * *",
        "* * lw * *", "* * 15w,3 * *", "* * 32w * *", "* * 0w * *", "* * w * *", "* * * * 1#6", "* * * * 1#0",
        "* * * * 1#2,3", "* * * * *#2", "* * 3#2 * *", "l * * * *",
        "TZ=UTC 0 0 * * *", "CRON_TZ=UTC 0 0 * * *", "0 0 * * *\n", "0\n0 * * *", "0\u00a00 * * *", "\uff11 * * * *",
        "@every", "@every5s", "@every 5", "@every s", "@every 0s", "@every 999ms", "@every -5s", "@every 1d",
        "@every 1h 5m", "@every 1us", "@every five", "@every 1e3s", "@every 9999999h", "@hourly 5", "@every . s",
    ],
)  # fmt: skip
def test_what_breaks_the_grammar(expression: str) -> None:
    """Is refused with the rule in words."""
    with pytest.raises(ValueError, match=r"must|no value|not from|backwards|needs"):
        Schedule(expression, read_zone("UTC"))


# Zones


@pytest.mark.parametrize("name", ["UTC", BERLIN, "America/Argentina/Buenos_Aires", "Etc/UTC", "US/Pacific"])
def test_zones(name: str) -> None:
    """Those of IANA."""
    assert read_zone(name).key == name


@pytest.mark.parametrize(
    "name",
    [
        "", "EST", "CET", "GMT", "EST5EDT", "Zulu", "Japan", "utc", "Z", "+01:00", "UTC+1", "GMT+5", "Etc/GMT+5",
        "Etc/GMT-0", "Etc/GMT0", "Europe/Atlantis", "europe/berlin", "America/Argentina", "Europe/", "/Europe/Berlin",
        "../etc/passwd", "/etc/passwd", "Europe/../Europe/Berlin", "posix/Europe/Berlin", "right/Europe/Berlin",
        "Europe/Berlin\0", "x/" * 10_000,
    ],
)  # fmt: skip
def test_what_is_no_zone(name: str) -> None:
    """Abbreviations, offsets, paths."""
    with pytest.raises(ValueError, match="IANA"):
        read_zone(name)


# The next run


@pytest.mark.parametrize(
    ("expression", "after", "expected"),
    [
        ("* * * * *", "2026-03-01T00:00:00", "2026-03-01T00:01"),
        ("* * * * *", "2026-03-01T00:00:59.999", "2026-03-01T00:01"),
        ("*/10 * * * * *", "2026-03-01T00:00:09.999", "2026-03-01T00:00:10"),
        ("*/10 * * * * *", "2026-03-01T00:00:10", "2026-03-01T00:00:20"),
        ("0 0 29 2 *", "2026-03-01T00:00", "2028-02-29T00:00"),
        ("0 0 29 2 *", "2096-03-01T00:00", "2104-02-29T00:00"),
        ("0 0 31 * *", "2026-02-01T00:00", "2026-03-31T00:00"),
        ("0 0 L 2 *", "2026-03-01T00:00", "2027-02-28T00:00"),
        ("0 0 15W * *", "2026-08-01T00:00", "2026-08-14T00:00"),
        ("0 0 1W * *", "2026-08-01T00:00", "2026-08-03T00:00"),
        ("0 0 * * 5#5", "2026-03-01T00:00", "2026-05-29T00:00"),
        ("0 0 * * L5", "2026-03-01T00:00", "2026-03-27T00:00"),
        ("@annually", "2026-03-01T00:00", "2027-01-01T00:00"),
    ],
)
def test_next_run(expression: str, after: str, expected: str) -> None:
    """Strictly after the given time."""
    assert next_run(expression, after) == NextRun(ms(expected))


def test_either_kind_of_day_is_enough() -> None:
    """When both are restricted."""
    assert runs("0 0 13 * 5", "UTC", "2026-03-01T00:00", 3) == [
        "2026-03-06 00:00", "2026-03-13 00:00", "2026-03-20 00:00",
    ]  # fmt: skip
    assert runs("0 0 20 * 1#1", "UTC", "2026-03-03T00:00", 2) == ["2026-03-20 00:00", "2026-04-06 00:00"]
    assert runs("0 0 30 2 1", "UTC", "2026-02-24T00:00", 1) == ["2027-02-01 00:00"]


def test_a_field_that_begins_with_a_star_restricts_nothing() -> None:
    """As in Vixie's cron: then both must match."""
    assert runs("0 0 */10 * 1", "UTC", "2026-03-01T00:00", 2) == ["2026-05-11 00:00", "2026-06-01 00:00"]


@pytest.mark.parametrize(
    ("expression", "zone"),
    [
        ("0 0 30 2 *", "UTC"),
        ("0 0 31 4,6,9,11 *", "UTC"),
        ("* * * 30 2 *", KOLKATA),
        ("0 0 30,31 2 *", BERLIN),
        # Always in the hour that is left out.
        ("30 2 * 3 L0", BERLIN),
    ],
)
def test_what_never_runs(expression: str, zone: str) -> None:
    """Is found out, and soon."""
    schedule = Schedule(expression, read_zone(zone))
    start = time.process_time()

    assert schedule.next_run(ms("2026-03-01T00:00")) is None
    assert time.process_time() - start < 0.05


def test_every() -> None:
    """Goes on in steps from where it began; what was missed is passed over."""
    schedule = Schedule("@every 1m30.5s", read_zone("UTC"))
    start = ms("2026-03-01T00:00:00.123")

    assert schedule.next_run(start) == NextRun(start + 90_500)
    assert schedule.next_run(start + 90_500 + 80, anchor=start + 90_500) == NextRun(start + 2 * 90_500)
    assert schedule.next_run(start + 10 * 90_500 + 1, anchor=start) == NextRun(start + 11 * 90_500)
    assert Schedule("@EVERY 2h.5m500ms", read_zone("UTC")).next_run(0) == NextRun(2 * HOUR + MINUTE // 2 + 500)


# When clocks change


@pytest.mark.parametrize(
    ("expression", "after", "expected", "change"),
    [
        ("30 2 * * *", "2026-03-28T12:00", "2026-03-30T02:30+02:00", "2026-03-29T01:00"),
        ("0 2,3 * * *", "2026-03-28T12:00", "2026-03-29T03:00+02:00", "2026-03-29T01:00"),
        ("0 */2 * * *", "2026-03-29T00:59", "2026-03-29T04:00+02:00", "2026-03-29T01:00"),
        ("0 3 * * *", "2026-03-28T12:00", "2026-03-29T03:00+02:00", None),
        ("59 1 * * *", "2026-03-28T12:00", "2026-03-29T01:59+01:00", None),
    ],
)
def test_an_hour_that_is_left_out(expression: str, after: str, expected: str, change: str | None) -> None:
    """Is not made up for, but reported."""
    assert next_run(expression, after, BERLIN) == NextRun(ms(expected), ms(change) - 1 if change else 0)


def test_every_minute_through_an_hour_that_is_left_out() -> None:
    """By real time nothing stops."""
    assert runs("*/20 * * * *", BERLIN, "2026-03-29T00:30", 3) == [
        "2026-03-29 00:40", "2026-03-29 01:00", "2026-03-29 01:20",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("30 2 * * *", ["2026-10-24 00:30", "2026-10-25 00:30", "2026-10-26 01:30"]),
        ("*/30 2 * * *", ["2026-10-24 00:30", "2026-10-25 00:00", "2026-10-25 00:30", "2026-10-26 01:00"]),
        ("0 3 * * *", ["2026-10-24 01:00", "2026-10-25 02:00"]),
    ],
)
def test_an_hour_that_comes_twice(expression: str, expected: list[str]) -> None:
    """Counts once, the first time, for an expression that names its hours."""
    assert runs(expression, BERLIN, "2026-10-24T00:00", len(expected)) == expected


def test_every_half_hour_through_an_hour_that_comes_twice() -> None:
    """By real time it runs through both."""
    assert runs("*/30 * * * *", BERLIN, "2026-10-24T23:45", 5) == [
        "2026-10-25 00:00", "2026-10-25 00:30", "2026-10-25 01:00", "2026-10-25 01:30", "2026-10-25 02:00",
    ]  # fmt: skip


def test_from_within_the_second_pass() -> None:
    """A server that starts just then knows that the first one was before."""
    assert runs("45 2 * * *", BERLIN, "2026-10-25T01:30", 1) == ["2026-10-26 01:45"]
    assert runs("45 2,3 * * *", BERLIN, "2026-10-25T01:30", 1) == ["2026-10-25 02:45"]
    assert runs("0 3 * * *", BERLIN, "2026-10-25T01:30", 1) == ["2026-10-25 02:00"]


def test_half_an_hour() -> None:
    """Lord Howe's clocks change by that: 02:00 to 02:30 in October, and 02:00 to 01:30 in April."""
    assert runs("15 2 * * *", LORD_HOWE, "2026-10-02T20:00", 1) == ["2026-10-04 15:15"]
    assert next_run("15 2 * * *", "2026-10-03T10:00", LORD_HOWE) == NextRun(
        ms("2026-10-05T02:15+11:00"), ms("2026-10-03T15:30") - 1
    )
    assert runs("45 1 * * *", LORD_HOWE, "2026-04-04T00:00", 2) == ["2026-04-04 14:45", "2026-04-05 15:15"]
    assert runs("*/15 * * * *", LORD_HOWE, "2026-04-04T14:40", 5) == [
        "2026-04-04 14:45", "2026-04-04 15:00", "2026-04-04 15:15", "2026-04-04 15:30", "2026-04-04 15:45",
    ]  # fmt: skip


# Against brute force


class Written(NamedTuple):
    """A field as written, and the values that it should have."""

    text: str
    values: frozenset[int]


def numbers(first: int, last: int) -> st.SearchStrategy[Written]:
    """Fields of plain numbers."""
    value = st.integers(first, last)
    step = st.integers(1, last)

    def ranged(low: int, high: int, by: int) -> Written:
        low, high = sorted((low, high))
        return Written(f"{low}-{high}/{by}", frozenset(range(low, high + 1, by)))

    part = st.one_of(
        value.map(lambda at: Written(str(at), frozenset({at}))),
        st.builds(ranged, value, value, step),
        st.builds(lambda at, by: Written(f"{at}/{by}", frozenset(range(at, last + 1, by))), value, step),
    )
    listed = st.lists(part, min_size=1, max_size=3).map(
        lambda parts: Written(",".join(part.text for part in parts), frozenset().union(*(p.values for p in parts)))
    )
    stars = st.one_of(
        st.just(Written("*", frozenset(range(first, last + 1)))),
        step.map(lambda by: Written(f"*/{by}", frozenset(range(first, last + 1, by)))),
    )
    return stars | listed


def weekday_of(day: date) -> int:
    """From Sunday, 0."""
    return day.isoweekday() % 7


def last_day(day: date) -> int:
    """Of its month."""
    return calendar.monthrange(day.year, day.month)[1]


def nearest_weekday(day: date, wanted: int) -> int:
    """The day of the month that `15W` means."""
    target = date(day.year, day.month, min(wanted, last_day(day)))
    choices = [target + timedelta(days=by) for by in (0, -1, 1, -2, 2)]
    return next(choice.day for choice in choices if choice.month == day.month and choice.isoweekday() < 6)


class Days(NamedTuple):
    """Both fields of days as written, and which days they mean."""

    day: str
    weekday: str
    matches: Callable[[date], bool]


def days() -> st.SearchStrategy[Days]:
    """Fields of days, the special ones included."""
    plain = numbers(1, 31).map(lambda field: (field.text, lambda day: day.day in field.values))
    last = st.just(("L", lambda day: day.day == last_day(day)))
    nearest = st.integers(1, 31).map(lambda at: (f"{at}W", lambda day: day.day == nearest_weekday(day, at)))
    weekdays = numbers(0, 6).map(lambda field: (field.text, lambda day: weekday_of(day) in field.values))
    nth = st.tuples(st.integers(0, 6), st.integers(1, 5)).map(
        lambda at: (f"{at[0]}#{at[1]}", lambda day: weekday_of(day) == at[0] and (day.day + 6) // 7 == at[1])
    )
    final = st.integers(0, 6).map(
        lambda at: (f"L{at}", lambda day: weekday_of(day) == at and day.day + 7 > last_day(day))
    )

    def join(of_month: tuple[str, Callable[[date], bool]], of_week: tuple[str, Callable[[date], bool]]) -> Days:
        combine = all if of_month[0].startswith("*") or of_week[0].startswith("*") else any
        return Days(of_month[0], of_week[0], lambda day: combine((of_month[1](day), of_week[1](day))))

    return st.builds(join, st.one_of(plain, plain, last, nearest), st.one_of(weekdays, weekdays, nth, final))


@given(days(), numbers(1, 12), st.dates(date(2024, 1, 1), date(2030, 1, 1)))
def test_days_against_brute_force(days: Days, month: Written, start: date) -> None:
    """Day after day, for two years."""
    expected = next(
        (
            day
            for day in (start + timedelta(days=after) for after in range(1, 750))
            if day.month in month.values and days.matches(day)
        ),
        None,
    )

    found = next_run(f"0 0 {days.day} {month.text} {days.weekday}", start.isoformat())

    if expected is None:
        assert found is None or found.at >= ms((start + timedelta(days=750)).isoformat())
    else:
        assert found == NextRun(ms(expected.isoformat()))


CHANGES = [
    (BERLIN, "2026-03-29T01:00"),
    (BERLIN, "2026-10-25T01:00"),
    (LORD_HOWE, "2026-04-04T15:00"),
    (LORD_HOWE, "2026-10-03T15:30"),
    (KOLKATA, "2026-10-03T15:30"),
    # A whole day was left out.
    ("Pacific/Apia", "2011-12-30T10:00"),
    ("America/St_Johns", "2026-11-01T04:30"),
]


@given(st.sampled_from(CHANGES), numbers(0, 59), numbers(0, 23), st.integers(-450, 60), st.integers(0, 59_999))
@settings(max_examples=40)
def test_times_against_brute_force(
    change: tuple[str, str], minute: Written, hour: Written, start: int, rest: int
) -> None:
    """Minute after minute around a change of the clocks."""
    zone = ZoneInfo(change[0])
    first_minute = ms(change[1]) + start * MINUTE

    def matching() -> Iterator[int]:
        for at in range(first_minute + MINUTE, first_minute + 600 * MINUTE, MINUTE):
            local = datetime.fromtimestamp(at / 1000, zone)
            counts = hour.text.startswith("*") or not local.fold
            if counts and local.minute in minute.values and local.hour in hour.values:
                yield at

    schedule = Schedule(f"{minute.text} {hour.text} * * *", zone)
    at = first_minute + rest
    for expected in matching():
        found = schedule.next_run(at)
        assert found is not None
        assert found.at == expected
        at = expected
    found = schedule.next_run(at)
    assert found is None or found.at >= first_minute + 600 * MINUTE
