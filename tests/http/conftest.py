"""A server for every test."""

from collections.abc import AsyncIterator

import pytest

from tests.clock import FakeClock
from tests.http.service import Web, run_web


@pytest.fixture
async def web(clock: FakeClock) -> AsyncIterator[Web]:
    """A server on a store in memory, and its clients."""
    async with run_web(clock) as web:
        yield web


@pytest.fixture
async def everywhere(clock: FakeClock, url: str) -> AsyncIterator[Web]:
    """The same on each kind of store in turn."""
    async with run_web(clock, url) as web:
        yield web
