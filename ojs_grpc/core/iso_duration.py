"""Durations as ISO 8601 writes them (wire section 2.3): PT1S, PT0.5S, PT1H30M, P1D, P2W."""

import re
from decimal import ROUND_CEILING, Decimal

# A year or a month has no fixed length, so neither is taken. A designator T needs a part after it.
_PATTERN = re.compile(
    r"P(?=.)(?:(?P<weeks>\d+)W)?(?:(?P<days>\d+)D)?"
    r"(?:T(?=.)(?:(?P<hours>\d+)H)?(?:(?P<minutes>\d+)M)?(?:(?P<seconds>\d+(?:[.,]\d+)?)S)?)?",
    re.ASCII,
)
_MS = {"weeks": 604_800_000, "days": 86_400_000, "hours": 3_600_000, "minutes": 60_000, "seconds": 1000}
_MAX_CHARS = 64


def parse_duration(text: str) -> int:
    """Milliseconds of a duration, rounded up.

    Raises:
        ValueError: it is none; the message is the bare rule.
    """
    match = _PATTERN.fullmatch(text) if len(text) <= _MAX_CHARS else None
    if match is None:
        raise ValueError("must be an ISO 8601 duration without years and months, such as PT1S")
    parts = [(unit, number) for unit, number in match.groupdict().items() if number is not None]
    total = sum((Decimal(number.replace(",", ".")) * _MS[unit] for unit, number in parts), Decimal(0))
    return int(total.to_integral_value(ROUND_CEILING))
