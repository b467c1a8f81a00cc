"""Makes scheduled and retryable jobs available when their time has come (behaviour section 5.6)."""

from ojs_grpc.operations.alarm import Alarm
from ojs_grpc.stores.ports import Store

# Redis does nothing else meanwhile, so a chunk takes it about a millisecond.
_CHUNK = 200


class Promoter:
    """The duty of promoting due jobs."""

    name = "promoter"
    idle_ms = 1000

    def __init__(self, store: Store, alarm: Alarm) -> None:
        self._store = store
        self.alarm = alarm

    async def run_once(self) -> int | None:
        """Promotes a chunk."""
        promotion = await self._store.promote(self._store.clock.now(), _CHUNK)
        return promotion.next_at
