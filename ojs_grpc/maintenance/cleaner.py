"""Forgets finished jobs that are too old or too many (design section 4, "Finished jobs")."""

from ojs_grpc.operations.alarm import Alarm
from ojs_grpc.stores.ports import Retention, Store

# Redis does nothing else meanwhile, so a chunk takes it about a millisecond.
_CHUNK = 200


class Cleaner:
    """The duty of retention."""

    name = "cleaner"
    idle_ms = 60_000

    def __init__(self, store: Store, retention: Retention) -> None:
        self._store = store
        self._retention = retention
        self.alarm = Alarm()

    async def run_once(self) -> int | None:
        """Removes a chunk."""
        now = self._store.clock.now()
        removed = await self._store.sweep(self._retention, now, _CHUNK)
        return now if removed >= _CHUNK else None
