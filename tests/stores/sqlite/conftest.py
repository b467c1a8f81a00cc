"""A store file, opened by the test itself."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from ojs_grpc.core.rate_limit import QueueRules
from ojs_grpc.stores.sqlite.store import SqliteStore
from tests.clock import FakeClock
from tests.signals import RecordingSignals

OpenFile = Callable[[], Awaitable[SqliteStore]]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where the file is."""
    return tmp_path / "jobs.db"


@pytest.fixture
async def open_file(path: Path, clock: FakeClock) -> AsyncIterator[OpenFile]:
    """Opens the file; each call gives another store on it."""
    async with AsyncExitStack() as opened:

        async def open_one() -> SqliteStore:
            store = SqliteStore(str(path), clock=clock, silence_ms=30_000, rules=QueueRules(), log_events=True)
            await store.open(RecordingSignals())
            opened.push_async_callback(store.close)
            return store

        yield open_one


@pytest.fixture
async def file_store(open_file: OpenFile) -> SqliteStore:
    """A store on the file, open."""
    return await open_file()
