"""Forgetting."""

from ojs_grpc.stores.ports import Retention
from ojs_grpc.stores.redis import keys
from ojs_grpc.stores.redis.queues import RedisQueues

# Queues that one script looks at; each costs it some microseconds even when there is nothing to forget.
_QUEUES_AT_ONCE = 200


class RedisRetention(RedisQueues):
    """Implements `RetentionStore`. Redis forgets idempotency keys by itself."""

    async def sweep(self, retention: Retention, now: int, limit: int) -> int:
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
                ],
            )
        return removed
