"""Redis stops, freezes, comes back: errors meanwhile, then everything works, and no lease is lost."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from ojs_grpc_pb.v1.job_pb2 import Job

from ojs_grpc.core import states
from ojs_grpc.core.rate_limit import RateLimit
from ojs_grpc.errors import StoreError, StoreTimeout, StoreUnavailable
from ojs_grpc.stores.ports import Demand
from ojs_grpc.stores.redis import connection
from ojs_grpc.stores.redis.base import MOST_CLAIMED
from ojs_grpc.stores.redis.store import RedisStore
from tests.clock import FakeClock
from tests.redis_server import PrivateRedis
from tests.signals import RecordingSignals
from tests.store.building import (
    MANY_BYTES,
    QUEUE,
    ack,
    change,
    demand,
    ids_of,
    job,
    limited,
    put,
    released,
    see,
    take,
)


@contextmanager
def frozen(server: PrivateRedis) -> Iterator[None]:
    """Redis hangs inside the block, where calls give up soon; behind it Redis has worked off what came meanwhile."""
    server.pause()
    try:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(connection, "CALL_SECONDS", 0.2)
            yield
    finally:
        server.resume()
    # A new connection is served behind those that have waited.
    assert server.command("PING") == b"+PONG\r\n"


async def claim_that_times_out(store: RedisStore, slots: int) -> None:
    """A claim that a frozen Redis will carry out when it goes on."""
    with pytest.raises(StoreTimeout):
        await store.claim([demand(slots)], store.clock.now())


async def test_a_stopped_redis_is_unavailable(store: RedisStore, server: PrivateRedis, clock: FakeClock) -> None:
    """Every call says so while Redis is gone, and the first call after its return works."""
    await put(store, job())
    await asyncio.gather(*[store.ping() for _ in range(10)])
    server.stop()

    for call in (store.ping, lambda: put(store, job()), lambda: take(store), lambda: store.queues("", 1)):
        with pytest.raises(StoreUnavailable) as caught:
            await call()
        assert caught.value.retry_after == 1

    server.start()
    await put(store, message := job())
    assert ids_of(await take(store)) == [message.id]


async def test_no_call_meets_a_dead_connection(store: RedisStore, server: PrivateRedis, clock: FakeClock) -> None:
    """After a restart that nobody noticed all pooled connections are broken, and no call fails for it."""
    await asyncio.gather(*[store.ping() for _ in range(16)])
    server.stop()
    server.start()
    await asyncio.sleep(0)

    await asyncio.gather(*[put(store, job()) for _ in range(16)])


async def test_a_frozen_redis_times_out(store: RedisStore, server: PrivateRedis) -> None:
    """Calls end in time while Redis hangs, and work once it goes on."""
    with frozen(server):
        answers = await asyncio.gather(*[store.ping() for _ in range(40)], return_exceptions=True)

    assert {type(answer) for answer in answers} == {StoreTimeout}
    await store.ping()


async def test_what_a_lost_claim_leased_is_found(store: RedisStore, server: PrivateRedis, clock: FakeClock) -> None:
    """A claim whose answer was lost leases jobs; `unanswered` names them, once, and no others."""
    answered, lost, left = job(priority=2), job(priority=1), job()
    await put(store, answered, lost, left)
    await take(store)
    with frozen(server):
        await claim_that_times_out(store, 1)

    found = [Job.FromString(data) for data in await store.unanswered(clock.now())]

    assert found == [await see(store, lost)]
    assert (found[0].state, found[0].worker_id) == (states.ACTIVE, "worker-1")
    assert await store.unanswered(clock.now()) == []
    assert ids_of(await take(store)) == [left.id]


async def test_a_lost_claim_that_is_taken_back_uses_no_limit(
    store: RedisStore, server: PrivateRedis, clock: FakeClock
) -> None:
    """What a lost claim leased gives its place under a limit back when it is released."""
    await take(store)
    await put(store, job(), job(), links=limited(RateLimit("key", concurrency=1)))
    with frozen(server):
        await claim_that_times_out(store, 2)
    (lost,) = await store.unanswered(clock.now())
    assert await take(store) == []

    await change(store, released(Job.FromString(lost), clock.now()))

    assert len(await take(store, 2)) == 1


async def test_several_lost_claims(store: RedisStore, server: PrivateRedis, clock: FakeClock) -> None:
    """Claims that were lost one after another, with an answered one behind them, are all found, and only they."""
    messages = [job() for _ in range(7)]
    await put(store, *messages)
    messages = messages[len(await take(store)) :]
    for slots in (2, 1):
        with frozen(server):
            await claim_that_times_out(store, slots)
        await store.ping()
    await take(store, 2)
    await ack(store, messages[0].id)

    found = [Job.FromString(data).id for data in await store.unanswered(clock.now())]

    assert found == [message.id for message in messages[1:3]]


async def test_a_large_claim_that_breaks_off(
    store: RedisStore, server: PrivateRedis, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a claim that takes several scripts, what was leased before one failed is found too."""
    await put(store, *[job() for _ in range(2 * MOST_CLAIMED)])
    run, scripts_run = store._run, []

    async def break_off(name: str, *rest: Any) -> Any:  # noqa: ANN401 - as the original
        scripts_run.append(name)
        if scripts_run.count("claim") == 2:
            raise StoreTimeout("no answer")
        return await run(name, *rest)

    monkeypatch.setattr(store, "_run", break_off)
    with pytest.raises(StoreTimeout):
        await take(store, 2 * MOST_CLAIMED)
    monkeypatch.undo()

    assert len(await store.unanswered(clock.now())) == MOST_CLAIMED
    assert len(await take(store, 2 * MOST_CLAIMED)) == MOST_CLAIMED


async def test_a_claim_on_its_way_leases_nothing_any_more(
    store: RedisStore, open_store: Callable[..., Awaitable[RedisStore]], server: PrivateRedis, clock: FakeClock
) -> None:
    """A lost claim that arrives after `unanswered` was asked comes too late."""
    await put(store, job(), message := job())
    await take(store)
    with frozen(server):
        await claim_that_times_out(store, 1)
    # As if the network had kept the claim: what Redis did about it is gone with the process.
    server.kill()
    server.start()
    await put(store, message)
    assert await store.unanswered(clock.now()) == []

    late = await open_store()
    late._process, late._nonce = store._process, 0
    with pytest.raises(StoreError, match="too late"):
        await late.claim([Demand((QUEUE,), ["worker"], MANY_BYTES)], clock.now())

    assert (await see(store, message)).state == states.AVAILABLE
    assert ids_of(await take(store)) == [message.id]


async def test_a_lost_subscription_comes_back(
    store: RedisStore,
    signals: RecordingSignals,
    server: PrivateRedis,
    open_store: Callable[..., Awaitable[RedisStore]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """After a restart the store says that anything may be ready, and hears other processes again."""
    heard = asyncio.Event()
    monkeypatch.setattr(signals, "ready", lambda queues: heard.set() if not queues else signals.queues.extend(queues))
    server.stop()
    server.start()

    async with asyncio.timeout(5):
        await heard.wait()
    monkeypatch.undo()
    await put(await open_store(), job("elsewhere"))

    await signals.until_ready("elsewhere")


async def test_scripts_are_loaded_again(store: RedisStore, server: PrivateRedis) -> None:
    """A Redis that has forgotten the scripts is told them again."""
    server.command("SCRIPT", "FLUSH")

    await put(store, message := job())

    assert ids_of(await take(store)) == [message.id]


@pytest.mark.parametrize(
    "setting",
    [
        ("maxmemory", "1"),
        ("min-replicas-to-write", "1"),
    ],
)
async def test_a_redis_that_cannot_write_now(store: RedisStore, server: PrivateRedis, setting: tuple[str, str]) -> None:
    """A Redis that is full, or has too few replicas, is unavailable for writes, and recovers by itself."""
    server.command("CONFIG", "SET", *setting)

    with pytest.raises(StoreUnavailable):
        await put(store, job())

    server.command("CONFIG", "SET", setting[0], "0")
    await put(store, job())


async def test_a_replica_is_no_store(store: RedisStore, server: PrivateRedis) -> None:
    """A Redis that was made a replica is unavailable for writes."""
    server.command("REPLICAOF", "127.0.0.1", "1")

    with pytest.raises(StoreUnavailable):
        await put(store, job())

    server.command("REPLICAOF", "NO", "ONE")
    await put(store, job())


async def test_a_cancelled_call_spoils_nothing(store: RedisStore, clock: FakeClock) -> None:
    """Whoever gives up waiting leaves no connection behind on which the next answer would be another's."""
    await put(store, message := job())
    calls = [asyncio.create_task(store.read([message.id])) for _ in range(20)]
    await asyncio.sleep(0)
    for call in calls:
        call.cancel()
    await asyncio.gather(*calls, return_exceptions=True)

    for _ in range(20):
        assert await store.leases([message.id]) == [0]
        assert (await see(store, message)).state == states.AVAILABLE
