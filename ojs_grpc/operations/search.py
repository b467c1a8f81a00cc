"""How operators find jobs: by what the store knows, and by looking at each."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from ojs_grpc_pb.v1.job_pb2 import Job

from ojs_grpc.core import states
from ojs_grpc.core.duration import timestamp_ms
from ojs_grpc.core.limits import Limits
from ojs_grpc.core.validation import queue_rule
from ojs_grpc.errors import InvalidRequest, Violation
from ojs_grpc.stores.ports import JobFilter, Store

MOST_OFFSET: Final = 10_000
"""Rows before a page of jobs at most: they are read and dropped."""

# Jobs of one call of the store, and calls that look for the rows of one page.
_PAGE_JOBS = 200
_MOST_PAGES = 200


@dataclass(frozen=True, slots=True)
class Search:
    """Which jobs an operator wants; what is empty, 0 or None does not matter.

    Attributes:
        type: of the jobs; with `*` at its end, what types begin with.
        since, until: bounds of when a job was created, both included.
        error: the code or the type of a job's last error.
        dead: only dead letters; the state does not matter then.
    """

    queue: str = ""
    state: int = 0
    type: str = ""
    since: int | None = None
    until: int | None = None
    error: str = ""
    dead: bool = False

    @property
    def is_plain(self) -> bool:
        """Whether the store finds them, so that nobody has to look at others."""
        return self == Search(self.queue, self.state, dead=self.dead)

    def fits(self, job: Job) -> bool:
        """Whether this is one of them, given that the queue and the state are right, and that it is dead if need be."""
        created_at = timestamp_ms(job.created_at)
        last = job.errors[-1] if job.errors else None
        return (
            (job.type.startswith(self.type[:-1]) if self.type.endswith("*") else self.type in ("", job.type))
            and (self.since is None or created_at >= self.since)
            and (self.until is None or created_at <= self.until)
            and (not self.error or (last is not None and self.error in (last.code, last.type)))
        )


class Found(NamedTuple):
    """Some jobs. `total` counts all that were searched for, or, if that would take long, those known so far."""

    jobs: Sequence[Job]
    total: int
    more: bool


class Finder:
    """Finds jobs."""

    def __init__(self, store: Store, limits: Limits) -> None:
        self._store = store
        self._limits = limits

    async def page(self, search: Search, offset: int, limit: int) -> Found:
        """Jobs in the order of `OperatorStore.jobs`, from an offset on.

        Raises:
            InvalidRequest: a bad queue name, or an offset above `MOST_OFFSET`.
        """
        self.check_queue(search.queue)
        if offset > MOST_OFFSET:
            raise InvalidRequest([Violation("page", f"must begin within the first {MOST_OFFSET} jobs")])
        found: list[Job] = []
        seen = total = 0
        more = False
        async for job, count in self.walk(search, offset + limit + 1, _MOST_PAGES):
            total = count
            if job is None:
                # It was looked for long enough.
                more = True
            elif len(found) == limit:
                more, seen = True, seen + 1
            else:
                seen += 1
                if seen > offset:
                    found.append(job)
        if not search.is_plain:
            total = seen
        elif search.dead:
            total = (await self._store.dead_letters(search.queue, "", 1, self._limits.reply_bytes)).total
        return Found(found, total, more)

    async def walk(self, search: Search, most: int, pages: int) -> AsyncIterator[tuple[Job | None, int]]:
        """Up to so many jobs that are searched for, each with how many the store has of this queue and state.

        A last one that is None says that there may be more, behind the pages of the store that were looked at.
        """
        wanted = JobFilter(search.queue, states.DISCARDED if search.dead else search.state)
        cursor = ""
        given = total = 0
        for _ in range(pages):
            size = min(most - given, _PAGE_JOBS) if search.is_plain else _PAGE_JOBS
            page = await self._store.jobs(wanted, cursor, size, self._limits.reply_bytes)
            total = page.total
            for data in page.rows:
                job = Job.FromString(data)
                if search.dead and not job.dead_letter:
                    # Dead letters come before all others.
                    return
                if search.fits(job):
                    given += 1
                    yield job, total
                    if given == most:
                        return
            cursor = page.next_cursor
            if not cursor:
                return
            # Others have their turn.
            await asyncio.sleep(0)
        yield None, total

    def check_queue(self, name: str) -> None:
        """Refuses a name that no queue can have; none at all is fine.

        Raises:
            InvalidRequest: it is one.
        """
        if name and (rule := queue_rule(name, self._limits)):
            raise InvalidRequest([Violation("queue", rule)])
