"""A server with both bindings, and a client of each."""

from collections.abc import AsyncIterator

import pytest

from tests.bindings.pair import Pair, run_pair
from tests.clock import FakeClock


@pytest.fixture
async def pair(clock: FakeClock, url: str) -> AsyncIterator[Pair]:
    """On each kind of store in turn."""
    async with run_pair(clock, url) as pair:
        yield pair
