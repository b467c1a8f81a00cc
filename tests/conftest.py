"""What every test may ask for: a clock, a store of each kind, a Redis of our own."""

import os
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
import structlog
from hypothesis import settings

from ojs_grpc.stores import open_store
from ojs_grpc.stores.ports import Store
from tests.clock import FakeClock
from tests.redis_server import PrivateRedis
from tests.signals import RecordingSignals

# Tracebacks in the log as Python writes them. With colours and local variables each takes a second, and a failure that
# Hypothesis makes shorter logs hundreds of them.
structlog.configure(
    processors=[
        *structlog.get_config()["processors"][:-1],
        structlog.dev.ConsoleRenderer(colors=False, exception_formatter=structlog.dev.plain_traceback),
    ]
)

# How long an example takes says more about the machine than about the program.
settings.register_profile("patient", deadline=None)
settings.load_profile("patient")

STORES = ("memory", "sqlite", "redis")
"""Every test that takes `store` runs on each of these."""


@pytest.fixture
def clock() -> FakeClock:
    """Time, standing still."""
    return FakeClock()


@pytest.fixture
def signals() -> RecordingSignals:
    """What `store` has told."""
    return RecordingSignals()


@pytest.fixture(scope="session")
def redis_server() -> Iterator[PrivateRedis]:
    """A Redis for the whole session; whoever uses it empties it first."""
    if not PrivateRedis.installed():
        if os.environ.get("CI"):
            pytest.fail("redis-server is not installed")
        pytest.skip("redis-server is not installed")
    # Not pytest's folder, whose path may be too long for a socket.
    with tempfile.TemporaryDirectory(prefix="ojs-") as folder, PrivateRedis(Path(folder)) as server:
        yield server


@pytest.fixture(params=STORES)
def scheme(request: pytest.FixtureRequest) -> str:
    """The kind of store that this run of the test is about."""
    return str(request.param)


@pytest.fixture
def url(scheme: str, request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Where an empty store is."""
    if scheme == "redis":
        server: PrivateRedis = request.getfixturevalue("redis_server")
        server.command("FLUSHALL")
        return server.url
    return {"memory": "memory:", "sqlite": f"sqlite:///{tmp_path / 'jobs.db'}"}[scheme]


@pytest.fixture
async def connect(url: str, clock: FakeClock) -> AsyncIterator[Callable[..., Awaitable[Store]]]:
    """Opens the store; each call gives another object on the same data. All are closed at the end."""
    async with AsyncExitStack() as opened:

        async def open_one(signals: RecordingSignals | None = None) -> Store:
            store = open_store(url, clock=clock)
            await store.open(signals or RecordingSignals())
            opened.push_async_callback(store.close)
            return store

        yield open_one


@pytest.fixture
async def store(connect: Callable[..., Awaitable[Store]], signals: RecordingSignals) -> Store:
    """An empty store, open, heard by `signals`."""
    return await connect(signals)


@pytest.fixture
async def other(scheme: str, store: Store, connect: Callable[..., Awaitable[Store]]) -> Store:
    """Another object on the data of `store`, as another server process has it."""
    if scheme == "memory":
        pytest.skip("a store in memory has one owner")
    return await connect()
