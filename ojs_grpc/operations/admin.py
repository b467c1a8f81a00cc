"""What operators see: counts, workers, dead letters in figures (behaviour section 20)."""

import asyncio
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import NamedTuple

from ojs_grpc_pb.v1.job_pb2 import Job
from ojs_grpc_pb.v1.worker_pb2 import WORKER_STATE_QUIET, WORKER_STATE_TERMINATE

from ojs_grpc.core import states, statistics
from ojs_grpc.core.duration import timestamp_ms
from ojs_grpc.core.limits import Limits
from ojs_grpc.core.statistics import Rate
from ojs_grpc.errors import NotFound
from ojs_grpc.operations.bulk import BulkChanges
from ojs_grpc.operations.dead_letter import DeadLetters
from ojs_grpc.operations.jobs import Jobs
from ojs_grpc.operations.search import Finder, Search
from ojs_grpc.stores.ports import JobFilter, Minute, QueueCounts, Store, WorkerRow

_MOST_QUEUES = 1000
# Workers of one call of the store, and of all.
_PAGE_WORKERS = 1000
_MOST_WORKERS = 10_000
# Dead letters of which types and errors are counted: of more, each look would be long.
_MOST_SORTED = 1000

_WORKER_STATES: Mapping[int, str] = MappingProxyType({WORKER_STATE_QUIET: "quiet", WORKER_STATE_TERMINATE: "terminate"})


class Worker(NamedTuple):
    """A worker, and what it is up to: running, quiet, terminate, or stale after too long a silence."""

    row: WorkerRow
    state: str


class Overview(NamedTuple):
    """All queues together, or one."""

    queues: Sequence[QueueCounts]
    jobs: Mapping[int, int]
    rate: Rate
    workers: Mapping[str, int]
    uptime_seconds: float


class DeadLetterStats(NamedTuple):
    """Dead letters in figures.

    Attributes:
        oldest_at, newest_at: when they became dead letters; 0 if there are none.
        by_type, by_error: by type of job, and by code of their last error; None if there are too many to look at.
    """

    total: int
    by_queue: Mapping[str, int]
    oldest_at: int
    newest_at: int
    by_type: Mapping[str, int] | None
    by_error: Mapping[str, int] | None


class Admin:
    """Operations of operators.

    Attributes:
        finder: how they find jobs.
        bulk: how they change many.
    """

    def __init__(self, store: Store, jobs: Jobs, dead_letters: DeadLetters, limits: Limits) -> None:
        self.finder = Finder(store, limits)
        self.bulk = BulkChanges(store, self.finder, jobs, dead_letters)
        self._store = store
        self._limits = limits
        self._started = time.monotonic()

    async def queues(self) -> Sequence[QueueCounts]:
        """All queues by name."""
        return await self._store.queue_counts("", self._store.clock.now())

    async def queue(self, name: str) -> QueueCounts:
        """One queue.

        Raises:
            InvalidRequest: no queue can have this name.
            NotFound: there is none of this name.
        """
        self.finder.check_queue(name)
        found = await self._store.queue_counts(name, self._store.clock.now()) if name else ()
        if not found:
            raise NotFound("queue", name)
        return found[0]

    async def overview(self, queue: str = "") -> Overview:
        """All together, or one queue; all zero for one that does not exist.

        Raises:
            InvalidRequest: no queue can have this name.
        """
        self.finder.check_queue(queue)
        now = self._store.clock.now()
        queues = await self._store.queue_counts(queue, now)
        total = Counter[int]()
        for counts in queues:
            total.update(counts.jobs)
        return Overview(
            queues,
            {state: total[state] for state in states.ALL},
            statistics.rate([minute for counts in queues for minute in counts.minutes], now),
            Counter(worker.state for worker in await self.workers()),
            time.monotonic() - self._started,
        )

    async def history(self, queue: str = "") -> list[Minute]:
        """What happened in all queues, or in one, minute by minute: this one and the 60 before it, oldest first.

        Of very many queues, only the first by name count.

        Raises:
            InvalidRequest: no queue can have this name.
        """
        self.finder.check_queue(queue)
        now = self._store.clock.now()
        names = [queue] if queue else [counts.name for counts in await self._store.queue_counts("", now)]
        sums = {minute: Minute(minute, 0, 0, 0, 0, 0) for minute in range(now // 60_000 - 60, now // 60_000 + 1)}
        for name in names[:_MOST_QUEUES]:
            facts = await self._store.queue_facts(name, now)
            for minute in facts.minutes if facts is not None else ():
                pairs = zip(minute[1:], sums[minute.minute][1:], strict=True)
                sums[minute.minute] = Minute(minute.minute, *[one + other for one, other in pairs])
            # Others have their turn: an embedded store answers at once.
            await asyncio.sleep(0)
        return list(sums.values())

    async def workers(self) -> list[Worker]:
        """All workers by id, the first of them if there are very many."""
        now = self._store.clock.now()
        workers: list[Worker] = []
        cursor = ""
        while len(workers) < _MOST_WORKERS:
            page = await self._store.workers(cursor, _PAGE_WORKERS)
            workers += [Worker(row, self._state_of(row, now)) for row in page.rows]
            cursor = page.next_cursor
            if not cursor:
                break
            await asyncio.sleep(0)
        return workers

    async def worker(self, worker_id: str) -> Worker:
        """One worker.

        Raises:
            NotFound: nobody knows it.
        """
        for worker in await self.workers():
            if worker.row.worker_id == worker_id:
                return worker
        raise NotFound("worker", worker_id)

    async def dead_letter_stats(self) -> DeadLetterStats:
        """Dead letters in figures."""
        by_queue: dict[str, int] = {}
        oldest: list[int] = []
        newest: list[int] = []
        for counts in await self.queues():
            if not counts.jobs[states.DISCARDED]:
                continue
            first = await self._store.dead_letters(counts.name, "", 1, self._limits.reply_bytes)
            if not first.rows:
                continue
            by_queue[counts.name] = first.total
            last = await self._store.jobs(JobFilter(counts.name, states.DISCARDED), "", 1, self._limits.reply_bytes)
            oldest += map(_died_at, first.rows)
            newest += map(_died_at, last.rows)
            await asyncio.sleep(0)
        types, errors = await self._sort_dead(sum(by_queue.values()))
        return DeadLetterStats(
            sum(by_queue.values()), by_queue, min(oldest, default=0), max(newest, default=0), types, errors
        )

    async def _sort_dead(self, total: int) -> tuple[Mapping[str, int] | None, Mapping[str, int] | None]:
        """How many dead letters there are of each type, and with each error."""
        if total > _MOST_SORTED:
            return None, None
        types, errors = Counter[str](), Counter[str]()
        async for job, _ in self.finder.walk(Search(dead=True), _MOST_SORTED, _MOST_SORTED):
            if job is not None:
                types[job.type] += 1
                errors[job.errors[-1].code if job.errors else ""] += 1
        return types, errors

    def _state_of(self, row: WorkerRow, now: int) -> str:
        if row.last_beat_at and row.last_beat_at + self._store.silence_ms <= now:
            return "stale"
        return _WORKER_STATES.get(row.state, "running")


def _died_at(data: bytes) -> int:
    return timestamp_ms(Job.FromString(data).discarded_at)
