"""What a Redis must be to be used, and whose time it is."""

import time

import pytest

from ojs_grpc.core.clock import SystemClock
from ojs_grpc.core.rate_limit import QueueRules
from ojs_grpc.errors import StoreUnavailable
from ojs_grpc.stores.redis.store import RedisStore
from tests.clock import START, FakeClock
from tests.redis_server import PrivateRedis
from tests.signals import RecordingSignals


async def opened(server: PrivateRedis, *, allow_eviction: bool = False) -> None:
    """Opens and closes a store."""
    store = RedisStore(
        server.url,
        clock=FakeClock(),
        silence_ms=30_000,
        rules=QueueRules(),
        log_events=True,
        allow_eviction=allow_eviction,
    )
    try:
        await store.open(RecordingSignals())
    finally:
        await store.close()


async def test_a_redis_that_forgets_is_refused(server: PrivateRedis) -> None:
    """Eviction would throw jobs away; it has to be allowed, or impossible because memory has no limit."""
    server.command("CONFIG", "SET", "maxmemory-policy", "allkeys-lru")
    await opened(server)
    server.command("CONFIG", "SET", "maxmemory", "100mb")

    with pytest.raises(ValueError, match="allkeys-lru"):
        await opened(server)

    await opened(server, allow_eviction=True)
    server.command("CONFIG", "SET", "maxmemory-policy", "noeviction")
    await opened(server)


async def test_an_old_redis_is_refused(server: PrivateRedis, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before 6.2 commands are missing that the scripts use."""
    monkeypatch.setattr("ojs_grpc.stores.redis.store._OLDEST", (99, 0))

    with pytest.raises(ValueError, match="too old"):
        await opened(server)


async def test_a_redis_that_is_not_there(server: PrivateRedis) -> None:
    """Opening without Redis fails as any call does."""
    server.stop()

    with pytest.raises(StoreUnavailable):
        await opened(server)


async def test_redis_sets_the_clock(server: PrivateRedis) -> None:
    """A system clock agrees with Redis after opening, and again after each ping; a clock of the tests is left alone."""
    clock, fake = SystemClock(), FakeClock()
    clock.correct(0, time.monotonic_ns())
    for own in (clock, fake):
        store = RedisStore(server.url, clock=own, silence_ms=30_000, rules=QueueRules(), log_events=True)
        await store.open(RecordingSignals())
        await store.close()

    assert abs(clock.now() - time.time() * 1000) < 1000
    assert fake.now() == START
