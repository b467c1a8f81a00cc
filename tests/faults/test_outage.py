"""Redis gone for ten seconds under load: callers are told, nothing is made up, everything goes on by itself."""

import asyncio
from pathlib import Path
from tempfile import TemporaryDirectory

import grpc
import httpx
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


async def test_redis_gone_and_asked_over_http() -> None:
    """503 with the time after which to try again, not ready but alive; a stream stays open, and tells what follows."""
    job = {"type": "a", "args": [], "queue": "q"}
    options = ("--appendonly", "yes", "--appendfsync", "always")
    with (
        TemporaryDirectory(prefix="ojs-") as folder,
        PrivateRedis(Path(folder), *options) as redis,
        Serving("--store", redis.url) as server,
    ):
        address = f"http://{server.http_address}"
        async with (
            httpx.AsyncClient(base_url=address, trust_env=False, timeout=60) as client,
            client.stream("GET", "/ojs/v1/events/stream?queues=q") as stream,
        ):
            lines = stream.aiter_lines()
            await asyncio.to_thread(redis.stop)
            refused = await client.post("/ojs/v1/jobs", json=job)
            error = refused.json()["error"]
            assert (refused.status_code, error["code"], error["retryable"]) == (503, "backend_unavailable", True)
            assert int(refused.headers["retry-after"]) >= 1
            assert (await client.get("/ready")).status_code == 503
            health = (await client.get("/ojs/v1/health")).json()
            assert health["backend"]["status"] == "disconnected"
            assert (await client.get("/health")).status_code == 200
            assert "ojs_store_up 0.0" in (await client.get("/metrics")).text

            await asyncio.to_thread(redis.start)
            async with asyncio.timeout(30):
                while not (stored := await client.post("/ojs/v1/jobs", json=job)).is_success:
                    assert stored.status_code == 503
            assert (await client.get("/ready")).status_code == 200
            job_id = stored.json()["job"]["id"]
            async with asyncio.timeout(30):
                assert await anext(line async for line in lines if job_id in line)
