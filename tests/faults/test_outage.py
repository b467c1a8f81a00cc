"""Redis gone for ten seconds under load: callers are told, nothing is made up, everything goes on by itself."""

import asyncio
from pathlib import Path
from tempfile import TemporaryDirectory

import grpc
import pytest

from tests.cli.running import Serving
from tests.faults.load import Load, check
from tests.redis_server import PrivateRedis

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]

_OUTAGE_S = 10


@pytest.mark.parametrize("how", ["stopped", "frozen"])
async def test_redis_gone_for_ten_seconds(how: str) -> None:
    """UNAVAILABLE for callers meanwhile, no OK for what was not stored, and streams deliver again afterwards."""
    options = ("--appendonly", "yes", "--appendfsync", "always")
    with (
        TemporaryDirectory(prefix="ojs-") as folder,
        PrivateRedis(Path(folder), *options) as redis,
        Serving("--store", redis.url) as server,
    ):
        load = Load(server.address)
        async with load.running():
            await load.progress(200)
            await asyncio.to_thread(redis.stop if how == "stopped" else redis.pause)
            gone = asyncio.get_running_loop().time()
            await asyncio.sleep(_OUTAGE_S)
            told = {rpc: codes[grpc.StatusCode.UNAVAILABLE] for rpc, codes in load.refusals.items()}
            latest = dict(load.latest)
            await asyncio.to_thread(redis.start if how == "stopped" else redis.resume)
            await load.progress(200)
            await load.finish()

        check(load)
        for rpc in ("Enqueue", "EnqueueBatch", "Fetch"):
            assert told.get(rpc), f"{rpc}: nobody was told of the outage"
            assert latest[rpc] < gone + 1, f"{rpc} answered OK while Redis was gone"
            assert load.latest[rpc] > gone + _OUTAGE_S
        assert load.latest["StreamJobs"] > gone + _OUTAGE_S, "streams deliver nothing any more"
