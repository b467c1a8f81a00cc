"""Queues."""

from heapq import nsmallest

from ojs_grpc.core import states
from ojs_grpc.core.events import NewEvent
from ojs_grpc.stores.ports import Minute, Page, QueueCounts, QueueFacts, QueueRow
from ojs_grpc.stores.redis import keys, packing
from ojs_grpc.stores.redis.base import RedisBase, portions

# Queues that one script counts.
_QUEUES_AT_ONCE = 200
# The states as queue_counts.lua lists their counts.
_COUNTED = (
    states.AVAILABLE,
    states.ACTIVE,
    states.SCHEDULED,
    states.RETRYABLE,
    states.PENDING,
    states.COMPLETED,
    states.CANCELLED,
    states.DISCARDED,
)


class RedisQueues(RedisBase):
    """Implements `QueueStore`."""

    async def queues(self, after: str, limit: int) -> Page[QueueRow]:
        created = await self._queues()
        names = nsmallest(limit + 1, (name for name in created if name > after))
        page = names[:limit]
        facts = await self._run("queue_rows", [keys.of_queue("ready", name) for name in page], []) if page else []
        rows = [
            QueueRow(name, bool(paused), available, created[name])
            for name, available, paused in zip(page, facts[::2], facts[1::2], strict=True)
        ]
        return Page(rows, page[-1] if len(names) > len(page) else "", len(created))

    async def set_paused(self, queue: str, paused: bool, event: NewEvent, now: int) -> bool:  # noqa: FBT001
        names = [keys.of_queue("ready", queue)]
        changed = await self._run(
            "set_paused", names, [*self._call(now), int(paused), *packing.describe_event(event)]
        )
        if changed and not paused:
            self._tell_ready((queue,))
        return bool(changed)

    async def queue_facts(self, queue: str, now: int) -> QueueFacts | None:
        found = await self._run("queue_facts", [keys.of_queue("ready", queue)], [now])
        if not found:
            return None
        paused, available, active, scheduled, retryable, discarded, completed, rows = found
        minutes = [Minute(*row) for row in rows]
        return QueueFacts(bool(paused), available, active, scheduled, retryable, discarded, completed, minutes)

    async def queue_counts(self, queue: str, now: int) -> list[QueueCounts]:
        """As in `OperatorStore`."""
        created = await self._queues()
        names = sorted(created) if not queue else [queue] * (queue in created)
        rows: list[QueueCounts] = []
        for portion in portions(names, _QUEUES_AT_ONCE):
            found = await self._run("queue_counts", [keys.of_queue("ready", name) for name in portion], [now])
            for name, (paused, *counts, completed, minutes) in zip(portion, found, strict=True):
                jobs = dict(zip(_COUNTED, counts, strict=True))
                recent = [Minute(*row) for row in minutes]
                rows.append(QueueCounts(name, bool(paused), created[name], jobs, completed, recent))
        return rows

    async def _queues(self) -> dict[str, int]:
        """All queues, and when they were created."""
        found = await self._run("queue_names", keys.QUEUES, [])
        return {name.decode(): int(created) for name, created in zip(found[::2], found[1::2], strict=True)}
