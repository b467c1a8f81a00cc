"""A Redis of a test's own, to be stopped and looked into, and stores on it."""

import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from ojs_grpc.core.rate_limit import QueueRules
from ojs_grpc.stores.redis.store import RedisStore
from tests.clock import FakeClock
from tests.redis_server import PrivateRedis
from tests.signals import RecordingSignals


@pytest.fixture
def server() -> Iterator[PrivateRedis]:
    """An empty Redis that nobody else uses."""
    if not PrivateRedis.installed():
        pytest.skip("redis-server is not installed")
    with tempfile.TemporaryDirectory(prefix="ojs-") as folder, PrivateRedis(Path(folder)) as redis:
        yield redis


@pytest.fixture
async def open_store(server: PrivateRedis, clock: FakeClock) -> AsyncIterator[Callable[..., Awaitable[RedisStore]]]:
    """Opens a store on it, each time another; all are closed at the end."""
    async with AsyncExitStack() as opened:

        async def open_one(signals: RecordingSignals | None = None) -> RedisStore:
            store = RedisStore(server.url, clock=clock, silence_ms=30_000, rules=QueueRules(), log_events=True)
            await store.open(signals or RecordingSignals())
            opened.push_async_callback(store.close)
            return store

        yield open_one


@pytest.fixture
async def store(open_store: Callable[..., Awaitable[RedisStore]], signals: RecordingSignals) -> RedisStore:
    """A store on it, heard by `signals`."""
    return await open_store(signals)
