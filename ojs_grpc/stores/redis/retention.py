"""Forgetting."""

from collections.abc import Sequence

from ojs_grpc.stores.ports import Retention
from ojs_grpc.stores.redis import keys
from ojs_grpc.stores.redis.base import portions
from ojs_grpc.stores.redis.queues import RedisQueues
from ojs_grpc.stores.redis.workers import MEMORY_MS

# Queues that one script looks at; each costs it some microseconds even when there is nothing to forget.
_QUEUES_AT_ONCE = 200
# Entries of the log that one script drops, and how many scripts drop some in one call.
_ENTRIES_AT_ONCE = 300
_SCRIPTS_AT_ONCE = 100


class RedisRetention(RedisQueues):
    """Implements `RetentionStore`. Redis forgets idempotency keys and statistics by itself."""

    async def sweep(self, retention: Retention, now: int, limit: int) -> int:
        await self._sweep_events(retention, now)
        await self._connections.call("ZREMRANGEBYSCORE", keys.WORKERS, "-inf", now - MEMORY_MS)
        names = sorted(await self._queues())
        removed = 0
        for portion in portions(names, _QUEUES_AT_ONCE):
            removed += await self._sweep(portion, retention, now, limit - removed)
        return removed

    async def _sweep(self, queues: Sequence[str], retention: Retention, now: int, limit: int) -> int:
        """Removes up to `limit` jobs of some queues; how many."""
        lists = [keys.of_queue(name, queue) for queue in queues for name in ("done", "discarded", "dead")]
        times = now - retention.finished_ms, now - retention.discarded_ms, now - retention.dead_ms
        counts = retention.finished_count, retention.dead_count
        removed, more = 0, 1
        while more and removed < limit:
            count, more = await self._run("sweep", lists, [*times, *counts, limit - removed, now])
            removed += count
        return removed

    async def _sweep_events(self, retention: Retention, now: int) -> None:
        arguments: list[str | bytes | int] = [now - retention.events_ms, retention.events_count, _ENTRIES_AT_ONCE]
        for _ in range(_SCRIPTS_AT_ONCE):
            if not await self._run("sweep_events", keys.EVENTS, arguments):
                return
