"""Durations as ISO 8601 writes them (wire section 2.3): PT1S, PT0.5S, PT1H30M, P1D, P2W, P1Y6M."""

import re
from decimal import ROUND_CEILING, Decimal

# A designator T needs a part after it.
_PATTERN = re.compile(
    r"P(?=.)(?:(?P<years>\d+)Y)?(?:(?P<months>\d+)M)?(?:(?P<weeks>\d+)W)?(?:(?P<days>\d+)D)?"
    r"(?:T(?=.)(?:(?P<hours>\d+)H)?(?:(?P<minutes>\d+)M)?(?:(?P<seconds>\d+(?:[.,]\d+)?)S)?)?",
    re.ASCII,
)
_DAY_S = 86_400
# A year or a month has no fixed length. These are the usual ones: whoever keeps a job for a year counts no leap days.
_SECONDS = {
    "years": 365 * _DAY_S,
    "months": 30 * _DAY_S,
    "weeks": 7 * _DAY_S,
    "days": _DAY_S,
    "hours": 3600,
    "minutes": 60,
    "seconds": 1,
}
_MAX_CHARS = 64
_NANOS_IN_S = 1_000_000_000
_NANOS_IN_MS = 1_000_000


def parse_duration(text: str) -> int:
    """Milliseconds of a duration, rounded up; a year has 365 days, a month 30.

    Raises:
        ValueError: it is none; the message is the bare rule.
    """
    return -(-parse_nanos(text) // _NANOS_IN_MS)


def parse_nanos(text: str) -> int:
    """Nanoseconds of a duration, otherwise as `parse_duration`."""
    match = _PATTERN.fullmatch(text) if len(text) <= _MAX_CHARS else None
    if match is None:
        raise ValueError("must be an ISO 8601 duration, such as PT1S")
    parts = [(unit, number) for unit, number in match.groupdict().items() if number is not None]
    return sum(_nanos(number, _SECONDS[unit]) for unit, number in parts)


def _nanos(number: str, seconds: int) -> int:
    if number.isdigit():
        return int(number) * seconds * _NANOS_IN_S
    # As many digits as a decimal calculates with; what is cut off is finer than any clock.
    exact = Decimal(number.replace(",", ".")[:28]) * seconds * _NANOS_IN_S
    return int(exact.to_integral_value(ROUND_CEILING))
