"""Durations as ISO 8601 writes them."""

import pytest

from ojs_grpc.core.iso_duration import parse_duration


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
    ],
)
def test_durations(text: str, ms: int) -> None:
    """In ms, rounded up so that nothing comes early."""
    assert parse_duration(text) == ms


@pytest.mark.parametrize(
    "text",
    [
        *("", "P", "PT", "P1DT", "T1S", "1S", "PT1", "PT-1S", "-PT1S", "PT.5S", "PT1.5M", "PT1S1M", "P1Y", "P1M"),
        *("pt1s", "PT1S ", "PT1S\n", "PT٣S", "1s", "PTNaNS", "PT" + "9" * 100 + "S"),
    ],
)
def test_what_is_no_duration(text: str) -> None:
    """Years and months among it, which have no fixed length."""
    with pytest.raises(ValueError, match="ISO 8601"):
        parse_duration(text)
