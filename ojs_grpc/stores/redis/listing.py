"""All jobs, for operators: pages through the indexes that deliver and forget them."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from ojs_grpc.core.ids import PARTITIONS, tag
from ojs_grpc.stores.listing import LOOK_MOST, STATE_OF, Place, Section, decode, sections
from ojs_grpc.stores.ports import JobFilter, Page, QueueCounts
from ojs_grpc.stores.redis import keys, record
from ojs_grpc.stores.redis.base import ANSWER_BYTES
from ojs_grpc.stores.redis.queues import RedisQueues

# What one script looks at and gives, and how many indexes it is told.
_LOOKS = 1000
_JOBS = 100
_INDEXES = 256


class _Route(NamedTuple):
    """How a section's indexes are read, as list_jobs.lua says, and what their keys are called."""

    how: str
    name: str


_ROUTES = {
    Section.ACTIVE: _Route("times", "active"),
    Section.IN_LINE: _Route("up", "ready"),
    Section.LIMITED: _Route("up", "limited"),
    Section.RETRYABLE: _Route("times", "due"),
    Section.SCHEDULED: _Route("times", "due"),
    Section.PENDING: _Route("down", "pending"),
    Section.DEAD: _Route("down", "dead"),
    Section.DISCARDED: _Route("down", "discarded"),
    Section.CANCELLED: _Route("down", "cancelled"),
    Section.COMPLETED: _Route("list", "done"),
}


@dataclass
class _PageToBe:
    """A page as it grows, and where it ends so far.

    Attributes:
        counts: of the queues, if they are known.
    """

    wanted: JobFilter
    after: Place
    limit: int
    room: int
    looks: int
    counts: Sequence[QueueCounts] | None = None
    rows: list[bytes] = field(default_factory=list)


class RedisListing(RedisQueues):
    """Implements `OperatorStore` together with `RedisOperators`."""

    async def jobs(self, wanted: JobFilter, cursor: str, limit: int, max_bytes: int) -> Page[bytes]:
        after, total = decode(cursor, wanted)
        page = _PageToBe(wanted, after, limit, max_bytes, LOOK_MOST)
        if total is None:
            page.counts = await self.queue_counts(wanted.queue, 0)
            counts = [item for queue in page.counts for item in queue.jobs.items()]
            total = sum(count for state, count in counts if wanted.state in (0, state))
        for section in sections(wanted):
            if section < page.after.section:
                continue
            if section > page.after.section:
                page.after = Place(section)
            if not await self._list(page, section, await self._indexes(section, page)):
                return Page(page.rows, page.after.encode(wanted, total), total)
        return Page(page.rows, "", total)

    async def _indexes(self, section: Section, page: _PageToBe) -> list[tuple[str, str]]:
        """Names and keys of a section's indexes, in order."""
        route, queue = _ROUTES[section], page.wanted.queue
        if route.how == "times":
            places = [keys.place_of(queue)] if queue else [tag(partition) for partition in range(PARTITIONS)]
            return [(place, keys.prefix_of(place) + route.name) for place in places]
        if page.counts is not None:
            names = [counts.name for counts in page.counts if counts.jobs[STATE_OF[section]]]
        else:
            names = [queue] if queue else sorted(await self._queues())
        return [(name, keys.of_queue(route.name, name)) for name in names]

    async def _list(self, page: _PageToBe, section: Section, indexes: Sequence[tuple[str, str]]) -> bool:
        """Adds what a section holds behind the page's end; whether that was all."""
        # Times are read together, so that all sets matter whatever the place.
        first = 0 if _ROUTES[section].how == "times" else sum(name < page.after.name for name, _ in indexes)
        while first < len(indexes):
            portion = indexes[first : first + _INDEXES]
            ended, looked_at = await self._look(page, section, portion)
            page.looks -= looked_at
            if ended:
                first += len(portion)
            elif page.looks <= 0 or len(page.rows) == page.limit or not looked_at:
                return False
        return True

    async def _look(self, page: _PageToBe, section: Section, indexes: Sequence[tuple[str, str]]) -> tuple[bool, int]:
        """One script: whether it reached the end of these indexes, and how many jobs it looked at."""
        names = [name for name, _ in indexes]
        after = page.after if page.after.name in names else Place(section)
        ended, looked_at, place, mark, last, *found = await self._run(
            "list_jobs",
            [key for _, key in indexes],
            [
                *(_ROUTES[section].how, STATE_OF[section], page.wanted.queue, min(_JOBS, page.limit - len(page.rows))),
                *(min(page.room, ANSWER_BYTES), int(not page.rows), min(_LOOKS, page.looks)),
                *(names.index(after.name) + 1 if after.name else 1, after.mark, after.last),
            ],
        )
        for data, worker in zip(found[::2], found[1::2], strict=True):
            page.rows.append(record.job_of(data, worker))
            page.room -= len(page.rows[-1])
        if looked_at:
            page.after = Place(section, names[place - 1], int(mark), last.decode())
        return bool(ended), looked_at
