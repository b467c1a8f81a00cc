"""A server for every test."""

from collections.abc import AsyncIterator

import pytest

from tests.clock import FakeClock
from tests.grpc.service import Service, run_service


@pytest.fixture
def quick_ticks(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the server does once a second, it does all the time. Ask for it by mark, so that it comes first."""
    monkeypatch.setattr("ojs_grpc.operations.dispatcher._TICK_SECONDS", 0.02)
    monkeypatch.setattr("ojs_grpc.operations.system._PROBE_SECONDS", 0.02)


@pytest.fixture
async def service(clock: FakeClock) -> AsyncIterator[Service]:
    """A server on a store in memory, and a channel to it."""
    async with run_service(clock) as service:
        yield service


@pytest.fixture
async def everywhere(clock: FakeClock, url: str) -> AsyncIterator[Service]:
    """The same on each kind of store in turn."""
    async with run_service(clock, url) as service:
        yield service
