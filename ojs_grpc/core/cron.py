"""When a cron entry runs: its expression, its zone, and the clock changes in between (behaviour 5.2 and 5.3).

croniter finds the next time of day on a calendar that knows no zones; what a zone makes of it is decided here:

- A local time that a change of the clocks leaves out does not come. It is reported, and not made up for.
- A local time that comes twice counts once, the first time. An expression whose hour begins with `*` goes by real time
  instead: it runs through both hours, as in Vixie's cron.
- Where both kinds of days are restricted (neither begins with `*`), either is enough, also as in Vixie's cron.
"""

import re
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import cache, lru_cache
from typing import NamedTuple
from zoneinfo import ZoneInfo, available_timezones

from croniter import CroniterBadDateError, croniter

from ojs_grpc.core.cron_fields import ANY, Fields, read_fields

_EXPRESSION_CHARS = 255
# 29 February falls on one certain day of the week once in 28 years, or in 40 if a century comes in between.
_HORIZON_YEARS = 40

_EVERY = "@every"
_EVERY_RULE = "@every needs a duration such as 90s or 1h30m, of at least 1s and at most a century"
_DURATION = re.compile(r"(?:([0-9]+(?:\.[0-9]*)?|\.[0-9]+)(h|ms|m|s))")
_UNIT_MS = {"h": 3_600_000, "m": 60_000, "s": 1000, "ms": 1}
_MIN_PERIOD_MS = 1000
_MAX_PERIOD_MS = 100 * 365 * 86_400_000

_OFFSET_ZONE = re.compile(r"Etc/(GMT|UTC)[+-]?[0-9]+")

_EPOCH = datetime(1970, 1, 1)  # noqa: DTZ001 - local times carry no zone here
_SECOND = timedelta(seconds=1)


class NextRun(NamedTuple):
    """When an entry runs next, ms since the epoch.

    Attributes:
        skipped_at: the last millisecond before a change of the clocks that, on the way there, leaves out a time at
            which the entry would have run (the first such change); 0 if there is none.
    """

    at: int
    skipped_at: int = 0


class Schedule:
    """A valid expression in a zone.

    Raises:
        ValueError: the expression breaks a rule, which is the message.
    """

    def __init__(self, expression: str, zone: ZoneInfo) -> None:
        self._zone = zone
        self._period_ms = 0
        text = expression.strip(" \t").lower()
        if len(expression) > _EXPRESSION_CHARS:
            raise ValueError(f"must be at most {_EXPRESSION_CHARS} characters")
        if text.startswith(_EVERY):
            self._period_ms = _period_ms(text.removeprefix(_EVERY))
        else:
            self._calendar = _calendar(text)

    def next_run(self, after: int, anchor: int | None = None) -> NextRun | None:
        """The first run after this time; None if it never runs again.

        Args:
            anchor: what `@every` counts from: when its last run was due, or when it was registered. Default: `after`.
        """
        if self._period_ms:
            anchor = after if anchor is None else min(anchor, after)
            return NextRun(after + self._period_ms - (after - anchor) % self._period_ms)
        return _next_on(self._calendar, self._zone, after)


# Entries come from callers: the bound keeps a client that registers many from filling memory.
@lru_cache(maxsize=4096)
def schedule(expression: str, timezone: str) -> Schedule:
    """The schedule of an entry that was found valid.

    Raises:
        ValueError: as `Schedule` and `read_zone`.
    """
    return Schedule(expression, read_zone(timezone))


def read_zone(name: str) -> ZoneInfo:
    """The zone of this name: one of IANA's, with an area and a place, or UTC.

    Raises:
        ValueError: there is none. Abbreviations and offsets are no zones; the message is the bare rule.
    """
    if name == "UTC" or ("/" in name and not _OFFSET_ZONE.fullmatch(name) and name in _zone_names()):
        return ZoneInfo(name)
    raise ValueError("must be the name of an IANA time zone such as Europe/Berlin, or UTC")


class _Calendar(NamedTuple):
    """An expression on a calendar without zones.

    Attributes:
        rules: it runs when one of them says so.
        real_time: in an hour that comes twice, it runs twice.
    """

    rules: Sequence[croniter]
    real_time: bool

    def next(self, start: datetime, last_year: int) -> datetime | None:
        """The first time after `start`; None if there is none until the end of that year."""
        found = [time for rule in self.rules if (time := _next_of(rule, start))]
        first = min(found, default=None)
        return first if first is not None and first.year <= last_year else None


# The same for all zones.
@lru_cache(maxsize=4096)
def _calendar(text: str) -> _Calendar:
    fields = read_fields(text)
    either = not (fields.day.starred or fields.weekday.starred)
    rules = [fields._replace(weekday=ANY), fields._replace(day=ANY)] if either else [fields]
    return _Calendar([_rule(rule) for rule in rules], fields.hour.starred)


def _rule(fields: Fields) -> croniter:
    text = " ".join(field.text for field in fields)
    return croniter(text, 0, day_or=False, max_years_between_matches=_HORIZON_YEARS, second_at_beginning=True)


def _next_of(rule: croniter, start: datetime) -> datetime | None:
    try:
        return rule.get_next(datetime, start)
    except CroniterBadDateError:
        return None


def _next_on(calendar: _Calendar, zone: ZoneInfo, after: int) -> NextRun | None:
    """Goes from one time on the calendar to the next, until one exists in the zone."""
    aware = datetime.fromtimestamp(after // 1000, zone)
    start = aware.replace(tzinfo=None, fold=0)
    second_pass = aware.fold == 1
    if second_pass and not calendar.real_time:
        # What this hour had to run has run when it came for the first time.
        start = _end_of_overlap(start, zone) - _SECOND
    repeated = None if second_pass or not calendar.real_time else _repeated(calendar, zone, start)
    last_year = start.year + _HORIZON_YEARS
    skipped_at = 0
    while (local := calendar.next(start, last_year)) is not None:
        first, second = _instant(local, zone, 0), _instant(local, zone, 1)
        if first <= second:
            at = second if first <= after else first
            return NextRun(at if repeated is None else min(at, repeated), skipped_at)
        change = _change_between(second, first, zone)
        skipped_at = skipped_at or change - 1
        start = _local(change, zone) - _SECOND
    return None


def _repeated(calendar: _Calendar, zone: ZoneInfo, start: datetime) -> int | None:
    """In an hour that will come again: when in the repetition it runs first."""
    first, second = _instant(start, zone, 0), _instant(start, zone, 1)
    if first >= second:
        return None
    change = _change_between(first, second, zone)
    local = calendar.next(_local(change, zone) - _SECOND, start.year + 1)
    # Up to the present time of day it is the repetition; beyond it, the first time is yet to come.
    return _instant(local, zone, 1) if local is not None and local <= start else None


def _end_of_overlap(local: datetime, zone: ZoneInfo) -> datetime:
    """The first time of day that comes only once, after one that comes twice."""
    first, second = _instant(local, zone, 0), _instant(local, zone, 1)
    change = _change_between(first, second, zone)
    return local + timedelta(milliseconds=change - first)


def _instant(local: datetime, zone: ZoneInfo, fold: int) -> int:
    """The local time as ms since the epoch, when it comes for the first (0) or the second time (1).

    A time that does not exist gives a later instant for 0 than for 1, and the change of the clocks lies in between.
    """
    offset = local.replace(tzinfo=zone, fold=fold).utcoffset() or timedelta()
    return (local - _EPOCH - offset) // timedelta(milliseconds=1)


def _local(at: int, zone: ZoneInfo) -> datetime:
    return datetime.fromtimestamp(at // 1000, zone).replace(tzinfo=None, fold=0)


def _change_between(early: int, late: int, zone: ZoneInfo) -> int:
    """The first instant after the change of the clocks between these two, in full seconds."""
    low, high = early // 1000, late // 1000
    before = datetime.fromtimestamp(low, UTC).astimezone(zone).utcoffset()
    while high - low > 1:
        middle = (low + high) // 2
        if datetime.fromtimestamp(middle, UTC).astimezone(zone).utcoffset() == before:
            low = middle
        else:
            high = middle
    return high * 1000


def _period_ms(text: str) -> int:
    duration = text.strip(" \t")
    parts = _DURATION.findall(duration)
    if text[:1] not in (" ", "\t") or not parts or "".join(number + unit for number, unit in parts) != duration:
        raise ValueError(_EVERY_RULE)
    period = sum(Decimal(number) * _UNIT_MS[unit] for number, unit in parts)
    if not _MIN_PERIOD_MS <= period <= _MAX_PERIOD_MS:
        raise ValueError(_EVERY_RULE)
    return int(period)


@cache
def _zone_names() -> frozenset[str]:
    return frozenset(available_timezones())
