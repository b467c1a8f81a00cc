"""An event log that does what a test tells it, for what the hub asks of one."""

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any, NamedTuple

from ojs_grpc_pb.v1.job_pb2 import Job

from ojs_grpc.core.events import EventId, Kind, NewEvent, StoredEvent, id_text
from ojs_grpc.stores.ports import EventPage
from tests.clock import START, FakeClock


class Place(NamedTuple):
    """So many events stand before it."""

    number: int

    def covers(self, event: EventId) -> bool:
        """As the port says."""
        return event.number <= self.number


class EventLog:
    """Events in one list.

    Attributes:
        reads: how many pages were read.
        failures: errors to raise, one a call.
        before_read, after_read: called around each read, with what the log is then.
        held: by number of the read, what its answer waits for.
        logged: what was logged that belongs to no change.
    """

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.log_events = True
        self.reads = 0
        self.failures: deque[Exception] = deque()
        self.before_read: Callable[[], None] = lambda: None
        self.after_read: Callable[[], None] = lambda: None
        self.held: dict[int, asyncio.Event] = {}
        self.logged: list[NewEvent] = []
        self._events: list[StoredEvent] = []
        self._grown = asyncio.Event()

    def write(self, kind: int = Kind.JOB_ENQUEUED, **subject: Any) -> str:  # noqa: ANN401
        """Something happened; the id of the event."""
        id = EventId(START, len(self._events) + 1, 0, 0)  # noqa: A001
        self._events.append(StoredEvent(id, kind, START, 0, 0, Job(**subject).SerializeToString(), b""))
        self._grown.set()
        return id_text(id)

    def write_many(self, count: int, **subject: Any) -> list[str]:  # noqa: ANN401
        """It happened often."""
        return [self.write(**subject) for _ in range(count)]

    async def log(self, events: Sequence[NewEvent], _: int) -> None:
        """As the port says."""
        self._fail()
        self.logged.extend(events)

    async def event_cursor(self, after: EventId | None) -> Place:
        """As the port says."""
        await asyncio.sleep(0)
        self._fail()
        return Place(len(self._events) if after is None else after.number)

    async def events(self, cursor: Place, limit: int) -> EventPage:
        """As the port says."""
        self.reads += 1
        held = self.held.get(self.reads)
        await asyncio.sleep(0)
        self._fail()
        self.before_read()
        end = cursor.number + limit
        page = EventPage(self._events[cursor.number : end], Place(min(end, len(self._events))), end < len(self._events))
        self.after_read()
        if held is not None:
            await held.wait()
        return page

    async def await_events(self, cursor: Place, wait_ms: int) -> None:
        """As the port says."""
        self._grown.clear()
        if len(self._events) <= cursor.number:
            with suppress(TimeoutError):
                async with asyncio.timeout(wait_ms / 1000):
                    await self._grown.wait()

    def _fail(self) -> None:
        if self.failures:
            raise self.failures.popleft()
