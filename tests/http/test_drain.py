"""How the server starts to listen, and what a stopping one does (behaviour section 19)."""

import asyncio
import socket
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from ojs_grpc.bindings.http.server import HttpServer
from tests.clock import FakeClock
from tests.http.raw import Raw
from tests.http.service import Web, eventually, hold, patience, run_web

HEALTH = b"GET /%b HTTP/1.1\r\nhost: x\r\n\r\n"
FETCH = "/ojs/v1/workers/fetch"


@asynccontextmanager
async def call_under_way(web: Web) -> AsyncIterator[tuple[Raw, asyncio.Event]]:
    """An enqueue that the store is working on until the event is set."""
    begun, go_on = hold(web.grpc, "insert")
    async with Raw(web.address) as raw:
        await raw.post("/ojs/v1/jobs", {"type": "test.job", "args": []})
        async with patience():
            await begun.wait()
        yield raw, go_on


async def test_calls_under_way_are_answered(web: Web) -> None:
    """And then their connection is closed."""
    async with call_under_way(web) as (raw, go_on):
        stopping = asyncio.create_task(web.grpc.server.stop(10))
        await web.until_draining()
        assert not stopping.done()
        go_on.set()
        answer = await raw.read_answer()
        rest = await raw.read_rest()
    async with patience():
        await stopping

    assert answer.status == 201
    assert answer.headers["connection"] == "close"
    assert rest == b""


async def test_no_new_connections(web: Web) -> None:
    """While calls under way still are."""
    async with call_under_way(web) as (raw, go_on):
        stopping = asyncio.create_task(web.grpc.server.stop(10))
        await web.until_draining()

        with pytest.raises(ConnectionRefusedError):
            await Raw(web.address).__aenter__()
        go_on.set()
        await raw.read_answer()
    await stopping


async def test_a_stopping_server_is_not_ready(web: Web) -> None:
    """Whoever still asks on an open connection hears so; alive it is."""
    async with call_under_way(web) as (raw, go_on):
        web.grpc.server._http._draining = True  # type: ignore[union-attr]
        ready = await web.client.get("/ready")
        alive = await web.client.get("/health")
        health = await web.get("/health")
        go_on.set()
        await raw.read_answer()

    assert (ready.status_code, ready.json()["ready"]) == (503, False)
    assert alive.status_code == 200
    assert health["status"] == "degraded"


async def test_idle_connections_do_not_hold_the_server(web: Web) -> None:
    """They are closed at once."""
    async with Raw(web.address) as raw, Raw(web.address):
        await raw.write(HEALTH % b"health")
        await raw.read_answer()
        start = time.monotonic()

        await web.grpc.server.stop(30)

        assert time.monotonic() - start < 2
        assert await raw.read_rest() == b""


async def test_a_waiting_fetch_ends_at_once(web: Web) -> None:
    """503: another server may have what it waits for."""
    async with Raw(web.address) as raw:
        await raw.post(FETCH, {"queues": ["default"], "wait_ms": 60_000})
        await web.grpc.until_a_poll_waits()
        start = time.monotonic()
        stopping = asyncio.create_task(web.grpc.server.stop(30))
        answer = await raw.read_answer()
        await stopping

    assert time.monotonic() - start < 2
    assert (answer.status, answer.error["code"], answer.headers["retry-after"]) == (503, "backend_unavailable", "1")


async def test_an_event_stream_does_not_hold_the_server(web: Web) -> None:
    """It is ended, not cut."""
    async with Raw(web.address) as raw:
        await raw.write(HEALTH % b"ojs/v1/events/stream")
        head = await raw.read_head()
        start = time.monotonic()
        await web.grpc.server.stop(30)
        rest = await raw.read_rest()

    assert time.monotonic() - start < 2
    assert head.startswith(b"HTTP/1.1 200")
    assert rest.endswith(b"0\r\n\r\n")


async def test_a_call_that_outlasts_the_grace(web: Web, capfd: pytest.CaptureFixture[str]) -> None:
    """It is cut, without noise."""
    async with call_under_way(web) as (raw, _):
        async with patience():
            await web.grpc.server.stop(0.1)
        await raw.read_rest()

    assert "Traceback" not in capfd.readouterr().err


async def test_who_reads_too_slowly_is_cut(clock: FakeClock) -> None:
    """The rest of an answer holds the server no longer than the grace."""
    async with run_web(clock) as web:
        for _ in range(30):
            await web.enqueue(args=["x" * 500_000])
        async with Raw(web.address, receive_bytes=4096) as raw:
            await raw.post(FETCH, {"queues": ["default"], "count": 30})
            await eventually(lambda: web.connections[raw.client].flow.write_paused)
            start = time.monotonic()
            await web.grpc.server.stop(1)

    assert time.monotonic() - start < 4


async def test_an_address_that_is_taken(clock: FakeClock, web: Web) -> None:
    """It says which, and why."""
    engine = web.grpc.server.engine
    another = HttpServer(engine, max_calls=1, share_port=False)

    with pytest.raises(OSError, match=f"cannot listen on {web.address}: Address already in use"):
        await another.start(web.address)
    await another.stop(0)


async def test_an_address_that_is_none(web: Web) -> None:
    """The same."""
    another = HttpServer(web.grpc.server.engine, max_calls=1, share_port=False)

    with pytest.raises(OSError, match=r"cannot listen on nowhere\.invalid:0: "):
        await another.start("nowhere.invalid:0")


async def test_ports_can_be_shared(web: Web) -> None:
    """Several servers listen on one port, if both want that."""
    engine = web.grpc.server.engine
    servers = [HttpServer(engine, max_calls=1, share_port=True) for _ in range(2)]
    port = await servers[0].start("127.0.0.1:0")

    assert await servers[1].start(f"127.0.0.1:{port}") == port
    for server in servers:
        await server.stop(0)


@pytest.mark.skipif(not socket.has_ipv6, reason="no IPv6 here")
async def test_an_address_of_ipv6(web: Web) -> None:
    """In brackets."""
    server = HttpServer(web.grpc.server.engine, max_calls=1, share_port=False)

    port = await server.start("[::1]:0")

    with socket.create_connection(("::1", port)):
        pass
    await server.stop(0)
