"""What only the tests of stores ask for."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from typing import Any

import pytest

from ojs_grpc.stores import open_store
from ojs_grpc.stores.ports import Store
from tests.clock import FakeClock
from tests.signals import RecordingSignals


@pytest.fixture
async def open_with(url: str, clock: FakeClock) -> AsyncIterator[Callable[..., Awaitable[Store]]]:
    """Opens the store with settings of the test's own: `rules`, `log_events`. All are closed at the end."""
    async with AsyncExitStack() as opened:

        async def open_one(signals: RecordingSignals | None = None, **settings: Any) -> Store:  # noqa: ANN401 - as open_store takes them
            store = open_store(url, clock=clock, **settings)
            await store.open(signals or RecordingSignals())
            opened.push_async_callback(store.close)
            return store

        yield open_one
