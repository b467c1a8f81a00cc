"""Workers: where they claim, and their signs of life."""

import time
from collections.abc import Sequence

from ojs_grpc.core.rate_limit import QueueRules
from ojs_grpc.stores.ports import Demand, Extension, Refusal
from ojs_grpc.stores.redis import keys
from ojs_grpc.stores.redis.base import RedisBase
from ojs_grpc.stores.redis.connection import Connections

# How long Redis remembers a worker that is not heard of, and how often it is told of one that claims.
MEMORY_MS = 86_400_000
_REGISTER_SECONDS = 3600.0
# Worker names come from callers: the bound keeps one that invents them from filling memory.
_MOST_PLACES = 100_000


class RedisWorkers(RedisBase):
    """Remembers for each worker in which partitions it claims, so that its heartbeats find what it holds."""

    def __init__(self, connections: Connections, silence_ms: int, rules: QueueRules, *, log_events: bool) -> None:
        super().__init__(connections, silence_ms, rules, log_events=log_events)
        self._registered: dict[tuple[str, str], float] = {}
        """When Redis was told that a worker claims in a partition."""

    async def _register(self, demands: Sequence[Demand], now: int) -> None:
        """Makes sure that the places where these workers claim are known."""
        outdated = time.monotonic() - _REGISTER_SECONDS
        pairs = {
            pair
            for demand in demands
            for place in {keys.place_of(queue) for queue in demand.queues}
            for worker in set(demand.workers)
            if worker and self._registered.get(pair := (worker, place), outdated) <= outdated
        }
        if not pairs:
            return
        names = []
        for worker, place in pairs:
            names += [keys.places(worker), keys.beat(keys.home_of(worker), worker), keys.beat(place, worker)]
        await self._run("register", names, [now, MEMORY_MS])
        if len(self._registered) + len(pairs) > _MOST_PLACES:
            self._registered.clear()
        self._registered.update(dict.fromkeys(pairs, time.monotonic()))

    async def heartbeat(
        self, worker_id: str, worker_state: int, job_id: str, lease: int, extend_ms: int, now: int
    ) -> Extension:
        names: list[str] = []
        if worker_id:
            found: list[bytes] = await self._connections.call("SMEMBERS", keys.places(worker_id))
            places = {keys.home_of(worker_id), *(place.decode() for place in found)}
            names = [*(keys.beat(place, worker_id) for place in sorted(places)), keys.places(worker_id)]
        if job_id:
            names.append(keys.job(job_id))
        refusal, *extended = await self._run(
            "heartbeat",
            names,
            [
                *(now, self.silence_ms, worker_id, worker_state, MEMORY_MS, extend_ms),
                *(int(bool(job_id)), lease, int(self.log_events)),
            ],
        )
        jobs = [(name.decode(), deadline) for name, deadline in zip(extended[::2], extended[1::2], strict=True)]
        return Extension(jobs, refusal and Refusal(refusal[0], refusal[1], refusal[2].decode()))
