"""Workers, as operators see them, and the removal of everything."""

from collections.abc import AsyncIterator, Sequence

from ojs_grpc.stores.ports import Page, WorkerRow
from ojs_grpc.stores.redis import keys
from ojs_grpc.stores.redis.base import portions
from ojs_grpc.stores.redis.workers import RedisWorkers

# Workers that one script looks at; each may claim in every partition.
_WORKERS_AT_ONCE = 20
_ITEMS_AT_ONCE = 1000
# Numbers go on, so that no lease, version or place in the log comes back; and other processes know that their workers
# are noted.
_KEPT = ("seq", "lease", "version", "logged", "events", "places")


class RedisOperators(RedisWorkers):
    """Implements `OperatorStore` together with `RedisListing`."""

    async def workers(self, cursor: str, limit: int) -> Page[WorkerRow]:
        found = [step async for step in self._scan("ZSCAN", keys.WORKERS)]
        # Scores stand between the names.
        names = sorted({name.decode() for step in found for name in step[::2]})
        coming = [name for name in names if name > cursor]
        rows: list[WorkerRow] = []
        for portion in portions(coming, _WORKERS_AT_ONCE):
            # Who only claimed, and holds nothing any more, is nobody to speak of.
            rows += [row for row in await self._see(portion) if row.last_beat_at or row.active]
            if len(rows) > limit:
                return Page(rows[:limit], rows[limit - 1].worker_id, len(names))
        return Page(rows, "", len(names))

    async def _see(self, names: Sequence[str]) -> list[WorkerRow]:
        places = [key for name in names for key in (keys.beat(keys.home_of(name), name), keys.places(name))]
        facts = await self._run("workers", places, [])
        return [
            WorkerRow(name, state, beat_at, active)
            for name, beat_at, state, active in zip(names, facts[::3], facts[1::3], facts[2::3], strict=True)
        ]

    async def clear(self) -> None:
        # Small steps while there is much. Jobs go last, so that no index names one that is gone.
        found = [step async for step in self._scan("SCAN", matching=keys.PATTERN)]
        names = {name for step in found for name in step if name.split(b":", 3)[2].decode() not in _KEPT}
        for some in ([name for name in names if not _is_job(name)], [name for name in names if _is_job(name)]):
            for portion in portions(some, _ITEMS_AT_ONCE):
                await self._connections.call("UNLINK", *portion)
        # And at once what others did between the steps, of which indexes and counts know but a part.
        await self._run("clear", [], [keys.PATTERN, *_KEPT])
        self._registered.clear()

    async def _scan(self, *command: str, matching: str = "*") -> AsyncIterator[Sequence[bytes]]:
        """What goes through a collection in steps, step by step; it may give something twice."""
        cursor = b"0"
        while True:
            step = await self._connections.call(*command, cursor, "MATCH", matching, "COUNT", _ITEMS_AT_ONCE)
            cursor, found = step
            yield found
            if cursor == b"0":
                return


def _is_job(name: bytes) -> bool:
    return name[9:11] == b"j:"
