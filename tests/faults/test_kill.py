"""Kill -9 of the server, at any moment: nothing acknowledged is lost, nothing runs under two leases."""

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from tests.cli.running import Serving
from tests.faults.load import Load, check
from tests.redis_server import PrivateRedis

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]

_KILLS = 5


async def test_a_killed_server_on_sqlite_loses_nothing(address: str, tmp_path: Path) -> None:
    """With synchronous=FULL, all acknowledged jobs survive and complete once."""
    await _kill_again_and_again(address, f"sqlite:///{tmp_path / 'jobs.db'}")


async def test_a_killed_server_on_redis_loses_nothing(address: str, durable_redis: PrivateRedis) -> None:
    """The same with jobs in Redis."""
    await _kill_again_and_again(address, durable_redis.url)


async def test_a_killed_redis_loses_nothing(address: str, durable_redis: PrivateRedis) -> None:
    """With appendfsync always, all acknowledged jobs survive Redis itself being killed; the server goes on."""
    load = Load(address)
    async with _server(address, durable_redis.url), load.running():
        for _ in range(_KILLS):
            await load.progress(random.randint(20, 200))
            await asyncio.to_thread(durable_redis.kill)
            await asyncio.to_thread(durable_redis.start)
        await load.finish()
    check(load)


async def _kill_again_and_again(address: str, store: str) -> None:
    load = Load(address)
    async with load.running():
        for _ in range(_KILLS):
            async with _server(address, store):
                await load.progress(random.randint(20, 200))
        async with _server(address, store):
            await load.finish()
    check(load)


@asynccontextmanager
async def _server(address: str, store: str) -> AsyncIterator[None]:
    """A server that ends by SIGKILL. The load goes on while it starts and stops."""
    serving = Serving("--store", store, "--grpc", address)
    try:
        await asyncio.to_thread(serving.__enter__)
        yield
    finally:
        await asyncio.to_thread(serving.__exit__)
