"""Durations as ISO 8601 writes them."""

import pytest

from ojs_grpc.core.iso_duration import parse_duration, parse_nanos


@pytest.mark.parametrize(
    ("text", "ms"),
    [
        ("PT1S", 1000),
        ("PT0.5S", 500),
        ("PT0,5S", 500),
        ("PT0S", 0),
        ("PT1.0000001S", 1001),
        ("PT90M", 5_400_000),
        ("PT1H30M", 5_400_000),
        ("P1D", 86_400_000),
        ("P1DT1S", 86_401_000),
        ("P2W", 1_209_600_000),
        ("P1Y", 365 * 86_400_000),
        ("P1M", 30 * 86_400_000),
        ("P1Y2M3W4DT5H6M7.008S", ((365 + 60 + 21 + 4) * 86_400 + 5 * 3600 + 6 * 60 + 7) * 1000 + 8),
    ],
)
def test_durations(text: str, ms: int) -> None:
    """In ms, rounded up so that nothing comes early."""
    assert parse_duration(text) == ms


@pytest.mark.parametrize(
    "text",
    [
        *("", "P", "PT", "P1DT", "T1S", "1S", "PT1", "PT-1S", "-PT1S", "PT.5S", "PT1.5M", "PT1S1M", "P1D1Y", "P1W1M"),
        *("pt1s", "PT1S ", "PT1S\n", "PT٣S", "1s", "PTNaNS", "PT" + "9" * 100 + "S"),
    ],
)
def test_what_is_no_duration(text: str) -> None:
    """Each part once at most, from the largest to the smallest."""
    with pytest.raises(ValueError, match="ISO 8601"):
        parse_duration(text)


def test_nanoseconds() -> None:
    """Rounded up as well."""
    assert parse_nanos("PT1.0000000001S") == 1_000_000_001
    assert parse_nanos("PT0.000000001S") == 1
