"""Connections on which nothing happens."""

import asyncio
from collections.abc import AsyncIterator
from unittest import mock

import pytest

from ojs_grpc.bindings.http import server
from tests.clock import FakeClock
from tests.http.raw import Raw
from tests.http.service import Web, run_web

IDLE_SECONDS = 0.4


@pytest.fixture(name="web")
async def _web(clock: FakeClock) -> AsyncIterator[Web]:
    with mock.patch.object(server, "_IDLE_SECONDS", IDLE_SECONDS):
        async with run_web(clock) as web:
            yield web


async def test_an_idle_connection_is_closed(web: Web) -> None:
    """So long after its last answer; what came before does not count."""
    elapsed = asyncio.get_running_loop().time
    async with Raw(web.address) as raw:
        for _ in range(4):
            await raw.post("/ojs/v1/jobs", {"type": "a", "args": []})
            assert (await raw.read_answer()).status == 201
            answered = elapsed()
            # Real time: it is the loop's timer that is tested.
            await asyncio.sleep(IDLE_SECONDS / 2)

        assert await raw.read_rest() == b""

    assert elapsed() - answered >= IDLE_SECONDS * 0.95


async def test_a_connection_is_not_idle_while_it_waits_for_an_answer(web: Web) -> None:
    """However long that takes."""
    async with Raw(web.address) as raw:
        await raw.post("/ojs/v1/jobs", {"type": "a", "args": []})
        await raw.read_answer()
        await raw.post("/ojs/v1/workers/fetch", {"queues": ["none"], "wait_ms": round(2500 * IDLE_SECONDS)})

        assert (await raw.read_answer()).document == {"jobs": []}


async def test_a_connection_is_not_idle_while_a_request_comes(web: Web) -> None:
    """A slow sender has the time of a body."""
    async with Raw(web.address) as raw:
        await raw.post("/ojs/v1/jobs", {"type": "a", "args": []})
        await raw.read_answer()
        await raw.write(b"POST /ojs/v1/jobs HTTP/1.1\r\nhost: x\r\ncontent-length: 22\r\n\r\n")
        await asyncio.sleep(IDLE_SECONDS * 1.5)
        await raw.write(b'{"type":"a","args":[]}')

        assert (await raw.read_answer()).status == 201


async def test_a_connection_is_idle_if_its_request_was_answered_before_it_came(web: Web) -> None:
    """What is left of that request may never come."""
    async with Raw(web.address) as raw:
        await raw.write(b"GET /ojs/v1/health HTTP/1.1\r\nhost: x\r\ncontent-length: 10\r\n\r\n")
        assert (await raw.read_answer()).status == 200

        assert await raw.read_rest() == b""
