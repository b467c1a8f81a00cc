"""How Redis keeps the log of events: streams that are read as one, and waited for on a connection of their own."""

import asyncio

import pytest

from ojs_grpc.core.ids import partition_of_queue
from ojs_grpc.errors import StoreUnavailable
from ojs_grpc.stores.redis import keys
from ojs_grpc.stores.redis.store import RedisStore
from tests.redis_server import PrivateRedis
from tests.store.building import job, put, take

WAIT_MS = 60_000
"""Longer than any test."""


async def clients(store: RedisStore) -> int:
    """How many connections Redis has."""
    return len((await store._connections.call("CLIENT", "LIST")).splitlines())


async def until_waiting(store: RedisStore, count: int) -> None:
    """Returns when so many clients are blocked."""
    for _ in range(500):
        if f"blocked_clients:{count}\r\n".encode() in await store._connections.call("INFO", "clients"):
            return
        await asyncio.sleep(0.01)
    pytest.fail(f"there never were {count} blocked clients")


async def test_what_one_script_does_is_one_entry(store: RedisStore) -> None:
    """Jobs that go together through a script cost one entry of a stream, however many they are."""
    start = await store.event_cursor(None)
    await put(store, *[job("queue") for _ in range(100)])
    await take(store, 100, "queue")

    assert await store._connections.call("XLEN", keys.EVENTS[partition_of_queue("queue")]) == 2
    assert len((await store.events(start, 1_000)).events) == 200


async def test_all_partitions_are_one_line(store: RedisStore) -> None:
    """Events come back in the order in which scripts logged them, though each queue has another stream."""
    start = await store.event_cursor(None)
    messages = [job(f"queue-{number % 30}") for number in range(90)]
    for message in messages:
        await put(store, message)

    page = await store.events(start, 1_000)

    for message, event in zip(messages, page.events, strict=True):
        assert message.id.encode() in event.subject


async def test_a_wait_that_is_given_up_leaves_nothing(store: RedisStore) -> None:
    """A cancelled wait closes its connection; one that ends leaves its connection to be used again."""
    cursor = await store.event_cursor(None)
    await store.ping()
    before = await clients(store)
    waiting = asyncio.create_task(store.await_events(cursor, WAIT_MS))
    await until_waiting(store, 1)

    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    await until_waiting(store, 0)
    assert await clients(store) <= before

    for _ in range(5):
        waiting = asyncio.create_task(store.await_events(cursor, WAIT_MS))
        await until_waiting(store, 1)
        await put(store, job())
        await waiting
        cursor = await store.event_cursor(None)
    assert await clients(store) <= before + 1


async def test_many_that_wait_hold_up_no_call(store: RedisStore) -> None:
    """More waits than the store has connections for calls leave these alone, and all hear of what happens."""
    cursor = await store.event_cursor(None)
    waiting = [asyncio.create_task(store.await_events(cursor, WAIT_MS)) for _ in range(30)]
    await until_waiting(store, 30)

    await put(store, job("a-new-queue"))

    async with asyncio.timeout(5):
        await asyncio.gather(*waiting)


async def test_waiting_ends_when_redis_does(store: RedisStore, server: PrivateRedis) -> None:
    """A wait fails as any call does when Redis goes away."""
    waiting = asyncio.create_task(store.await_events(await store.event_cursor(None), WAIT_MS))
    await until_waiting(store, 1)

    server.stop()

    with pytest.raises(StoreUnavailable):
        await waiting


async def test_a_wait_that_redis_breaks_off(store: RedisStore, server: PrivateRedis) -> None:
    """Redis ends waits with an error when it becomes a replica: it is unavailable then, not broken."""
    waiting = asyncio.create_task(store.await_events(await store.event_cursor(None), WAIT_MS))
    await until_waiting(store, 1)

    for line in (await store._connections.call("CLIENT", "LIST")).decode().splitlines():
        if "cmd=xread" in line:
            server.command("CLIENT", "UNBLOCK", line.split()[0].removeprefix("id="), "ERROR")

    with pytest.raises(StoreUnavailable):
        await waiting
