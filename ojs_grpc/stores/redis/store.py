"""The store that keeps everything in Redis (design section 4)."""

import time

import structlog

from ojs_grpc.core.clock import Clock, SystemClock
from ojs_grpc.core.rate_limit import QueueRules
from ojs_grpc.stores.ports import Signals
from ojs_grpc.stores.redis import keys
from ojs_grpc.stores.redis.connection import Connections
from ojs_grpc.stores.redis.dead_letter import RedisDeadLetters
from ojs_grpc.stores.redis.delivery import RedisDelivery
from ojs_grpc.stores.redis.documents import RedisDocuments
from ojs_grpc.stores.redis.events import RedisEvents
from ojs_grpc.stores.redis.jobs import RedisJobs
from ojs_grpc.stores.redis.listing import RedisListing
from ojs_grpc.stores.redis.operators import RedisOperators
from ojs_grpc.stores.redis.retention import RedisRetention
from ojs_grpc.stores.redis.schedule import RedisSchedule
from ojs_grpc.stores.redis.subscription import Subscription
from ojs_grpc.stores.redis.workflows import RedisWorkflows

_OLDEST = (6, 2)
# A slower reading of Redis's clock says too little about when it was taken.
_QUICK_NS = 50_000_000

log = structlog.get_logger(__name__)


class RedisStore(
    RedisJobs,
    RedisDelivery,
    RedisSchedule,
    RedisDocuments,
    RedisWorkflows,
    RedisEvents,
    RedisDeadLetters,
    RedisListing,
    RedisOperators,
    RedisRetention,
):
    """Implements `Store`.

    Args:
        url: redis://, rediss:// or unix://, as redis-py reads it.
        clock: a `SystemClock` is corrected to agree with Redis's; any other is left alone.
        allow_eviction: accept a Redis that throws data away when its memory is full.
    """

    name = "redis"
    shared = True

    def __init__(
        self, url: str, *, clock: SystemClock | Clock | None, silence_ms: int, rules: QueueRules, log_events: bool,
        allow_eviction: bool = False,
    ) -> None:
        connections = Connections(url)
        super().__init__(connections, silence_ms, rules, log_events=log_events)
        self.clock: Clock = clock or SystemClock()
        self._allow_eviction = allow_eviction
        self._subscription = Subscription(
            connections,
            {keys.READY_CHANNEL: self._hear_ready, keys.released_channel(self._process): self._hear_released},
            missed=self._hear_anything,
        )

    async def open(self, signals: Signals) -> None:
        self._connections.open()
        await self.ping()
        await self._check()
        self._signals = signals
        await self._subscription.start()

    async def ping(self) -> None:
        before = time.monotonic_ns()
        seconds, micros = await self._connections.call("TIME")
        trip = time.monotonic_ns() - before
        if trip <= _QUICK_NS and isinstance(self.clock, SystemClock):
            epoch_ns = (int(seconds) * 1_000_000 + int(micros)) * 1000
            self.clock.correct(epoch_ns, before + trip // 2)

    async def close(self) -> None:
        self._signals = None
        await self._subscription.stop()
        await self._connections.close()

    async def _check(self) -> None:
        """Refuses a Redis that is too old or that forgets, and warns about one that a crash empties."""
        info = _parse(await self._connections.call("INFO"))
        version = info["redis_version"]
        if tuple(int(part) for part in version.split(".")[:2]) < _OLDEST:
            raise ValueError(f"Redis {version} is too old, 6.2 or newer is needed")
        policy = info.get("maxmemory_policy", "noeviction")
        if policy != "noeviction" and info.get("maxmemory", "0") != "0" and not self._allow_eviction:
            raise ValueError(
                f"this Redis throws data away when its memory is full (maxmemory-policy {policy}): "
                "set maxmemory-policy to noeviction, or allow eviction"
            )
        if info.get("aof_enabled") == "0":
            log.warning("Redis runs with appendonly no: jobs are lost when it crashes")

    def _hear_ready(self, message: bytes) -> None:
        process, _, queue = message.decode().partition(" ")
        if process != self._process:
            self._tell_ready((queue,))

    def _hear_released(self, message: bytes) -> None:
        if self._signals is not None:
            self._signals.released((message.decode(),))

    def _hear_anything(self) -> None:
        if self._signals is not None:
            self._signals.ready(())


def _parse(info: bytes) -> dict[str, str]:
    """The reply to INFO as names and values."""
    lines = (line.partition(":") for line in info.decode().splitlines())
    return {name: value for name, colon, value in lines if colon}
