"""Forgetting."""

from ojs_grpc.stores.ports import Retention
from ojs_grpc.stores.redis import keys
from ojs_grpc.stores.redis.queues import RedisQueues

# Queues that one script looks at; each costs it some microseconds even when there is nothing to forget.
_QUEUES_AT_ONCE = 200
# Entries of the log that one script drops, and how many scripts drop some in one call.
_ENTRIES_AT_ONCE = 300
_SCRIPTS_AT_ONCE = 100


class RedisRetention(RedisQueues):
    """Implements `RetentionStore`. Redis forgets idempotency keys and statistics by itself."""

    async def sweep(self, retention: Retention, now: int, limit: int) -> int:
        await self._sweep_events(retention, now)
        names = sorted(await self._queues())
        removed = 0
        for first in range(0, len(names), _QUEUES_AT_ONCE):
            if removed == limit:
                break
            lists = [
                keys.of_queue(name, queue)
                for queue in names[first : first + _QUEUES_AT_ONCE]
                for name in ("done", "discarded", "dead")
            ]
            removed += await self._run(
                "sweep",
                lists,
                [
                    now - retention.finished_ms,
                    now - retention.discarded_ms,
                    now - retention.dead_ms,
                    retention.finished_count,
                    retention.dead_count,
                    limit - removed,
                    now,
                ],
            )
        return removed

    async def _sweep_events(self, retention: Retention, now: int) -> None:
        arguments: list[str | bytes | int] = [now - retention.events_ms, retention.events_count, _ENTRIES_AT_ONCE]
        for _ in range(_SCRIPTS_AT_ONCE):
            if not await self._run("sweep_events", keys.EVENTS, arguments):
                return
