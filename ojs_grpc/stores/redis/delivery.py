"""Leases: how they are given, and how jobs are completed under them."""

import asyncio
from collections.abc import Sequence
from typing import Any

from ojs_grpc.core.rate_limit import QueueRules
from ojs_grpc.errors import StoreError
from ojs_grpc.stores.ports import Claimed, Completion, Delivery, Demand, Overdue, OverdueJobs, Refusal
from ojs_grpc.stores.redis import keys, limits, record
from ojs_grpc.stores.redis.base import ANSWER_BYTES, MOST_CLAIMED, MOST_COMPLETED, portions
from ojs_grpc.stores.redis.connection import Connections
from ojs_grpc.stores.redis.workers import RedisWorkers

# How long Redis remembers what the last claim of a process leased: longer than an outage that anybody sits out.
_MEMORY_MS = 3_600_000
# What claim.lua says of a demand.
_MORE, _DRAINED, _UNFINISHED = range(3)


class RedisDelivery(RedisWorkers):
    """Implements `DeliveryStore`, with the part about workers that it builds on."""

    def __init__(self, connections: Connections, silence_ms: int, rules: QueueRules, *, log_events: bool) -> None:
        super().__init__(connections, silence_ms, rules, log_events=log_events)
        # Claims are numbered, and one that arrives behind a later one is refused; so they leave one by one.
        self._claiming = asyncio.Lock()
        self._nonce = 0
        self._unanswered: set[int] = set()
        """The numbers of claims that failed, until `unanswered` was asked about them."""

    async def claim(self, demands: Sequence[Demand], now: int) -> list[Claimed]:
        if not demands:
            return []
        async with self._claiming:
            await self._register(demands, now)
            open_demands = [_OpenDemand(demand, self._process) for demand in demands]
            nonces: list[int] = []
            try:
                while left := [demand for demand in open_demands if demand.status == _UNFINISHED]:
                    for demand, reply in zip(left, await self._claim(left, now, nonces), strict=True):
                        demand.take(reply)
            except BaseException:
                self._unanswered.update(nonces)
                raise
        return [Claimed(demand.deliveries, demand.status == _DRAINED) for demand in open_demands]

    async def _claim(self, demands: "list[_OpenDemand]", now: int, nonces: list[int]) -> list[list[Any]]:
        """One script; `nonces` are those that this claim needed so far."""
        self._nonce += 1
        keep = int(bool(self._unanswered or nonces))
        nonces.append(self._nonce)
        names = [keys.claimed(self._process)]
        arguments: list[str | bytes | int] = [now, self.silence_ms, self._nonce, keep, _MEMORY_MS, MOST_CLAIMED]
        arguments += (int(self.log_events), self._limits_of(demands))
        for demand in demands:
            demand.describe(names, arguments)
        reply: list[list[Any]] = await self._run("claim", names, arguments)
        if not reply:
            raise StoreError("a claim came too late")
        *given, queues = reply
        self._tell(0, queues)
        return given

    def _limits_of(self, demands: "list[_OpenDemand]") -> str:
        """The limits of the queues that are asked, as text."""
        if not self._rules.by_name and self._rules.default.limit is None:
            return ""
        queues = {queue for demand in demands for queue in demand.queues}
        return limits.pack([limit for queue in queues if (limit := self._rules.of(queue).limit)])

    async def unanswered(self, now: int) -> list[bytes]:  # noqa: ARG002 - Redis forgets in its own time
        async with self._claiming:
            if not self._unanswered:
                return []
            self._nonce += 1
            arguments: list[str | bytes | int] = [self._nonce, _MEMORY_MS, *self._unanswered]
            result = await self._run("unanswered", [keys.claimed(self._process)], arguments)
            self._unanswered.clear()
        return [record.job_of(data, worker) for data, worker in zip(result[::2], result[1::2], strict=True)]

    async def complete(self, completions: Sequence[Completion], now: int) -> list[Refusal | None]:
        answers: list[Refusal | None] = []
        for portion in portions(completions, MOST_COMPLETED):
            answers += await self._complete(portion, now)
        return answers

    async def _complete(self, completions: Sequence[Completion], now: int) -> list[Refusal | None]:
        names: list[str] = []
        arguments = self._call(now)
        for job_id, lease, worker_id, tail in completions:
            names.append(keys.job(job_id))
            arguments += (lease, worker_id, tail)
        ended, queues, *result = await self._run("complete", names, arguments)
        self._tell(ended, queues)
        return [None if refusal is None else Refusal(refusal[0], refusal[1], refusal[2].decode()) for refusal in result]

    async def leases(self, job_ids: Sequence[str]) -> list[int]:
        if not job_ids:
            return []
        result: list[int] = await self._run("leases", [keys.job(job_id) for job_id in job_ids], [])
        return result

    async def overdue(self, now: int, limit: int) -> OverdueJobs:
        next_at, *found = await self._run("overdue", keys.ACTIVE, [now, limit, ANSWER_BYTES])
        jobs = []
        for data, worker in zip(found[::2], found[1::2], strict=True):
            header = record.header_of(data)
            job = record.show(header, data, worker.decode())
            jobs.append(Overdue(job, header.due_at, header.started_at + header.timeout_ms))
        return OverdueJobs(jobs, next_at)


class _OpenDemand:
    """A demand while it is served, which takes several scripts if it is large or many expired jobs are in its way."""

    def __init__(self, demand: Demand, process: str) -> None:
        self.deliveries: list[Delivery] = []
        self.status = _UNFINISHED
        self._demand = demand
        self._process = process if demand.streaming else ""
        self.queues = list(dict.fromkeys(demand.queues))
        self._bytes = 0
        self._slot = 0
        """Slots up to this one are filled or passed over."""

    def describe(self, names: list[str], arguments: list[str | bytes | int]) -> None:
        """Adds what claim.lua wants to know."""
        demand = self._demand
        workers = demand.workers[self._slot :]
        names += [keys.of_queue("ready", queue) for queue in self.queues]
        arguments += (demand.visibility_ms, demand.max_bytes, self._bytes, self._process, len(self.queues))
        arguments += (len(workers), *workers)

    def take(self, reply: list[Any]) -> None:
        """Takes what claim.lua gave."""
        offset = self._slot
        self.status = reply[0]
        for slot, job_id, data, changed in zip(reply[1::4], reply[2::4], reply[3::4], reply[4::4], strict=True):
            header = record.header_of(data, changed)
            worker_id = self._demand.workers[offset + slot - 1]
            job = record.show(header, data, worker_id)
            self._bytes += len(job)
            self._slot = offset + slot
            self.deliveries.append(Delivery(job_id.decode(), header.lease, worker_id, record.queue_of(data), job))
