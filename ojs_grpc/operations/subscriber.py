"""Whoever waits for events: the hub offers, the stream takes."""

import asyncio
from collections import deque

from ojs_grpc_pb.v1.job_pb2 import Job

from ojs_grpc.core.event_rendering import render, subject_of
from ojs_grpc.core.events import EventId, StoredEvent
from ojs_grpc.errors import OJSError
from ojs_grpc.operations.event_filters import Filters
from ojs_grpc.stores.ports import EventCursor

# Beside the number of events: they bring the results of jobs, which may be large.
_MAX_BYTES = 8 << 20


class Heard:
    """An event of the log, decoded once and rendered at most once, whoever wants it."""

    __slots__ = ("_message", "event", "subject")

    def __init__(self, event: StoredEvent) -> None:
        self.event = event
        self.subject: Job = subject_of(event)
        self._message = b""

    @property
    def size(self) -> int:
        """About how many bytes it takes."""
        return len(self.event.subject) + len(self.event.detail)

    def message(self) -> bytes:
        """The event as a serialised `ojs.v1.Event`."""
        if not self._message:
            self._message = render(self.event, self.subject)
        return self._message


class Gap:
    """So many events are missing here."""

    __slots__ = ("missed",)

    def __init__(self) -> None:
        self.missed = 1


class Subscriber:
    """A bounded buffer of the events that somebody wants.

    Args:
        capacity: how many events wait at most, fewer if they are large. Who takes them too slowly loses what comes
            next.

    Attributes:
        joined: the place in the log from which on it wants events; None if everything offered stands after it.
        closed: it wants nothing more.
        error: why it gets nothing more.
    """

    def __init__(self, filters: Filters, capacity: int) -> None:
        self.filters = filters
        self.joined: EventCursor | None = None
        self.closed = False
        self.error: OJSError | None = None
        self._capacity = capacity
        self._waiting: deque[Heard | Gap] = deque()
        self._bytes = 0
        self._gap: Gap | None = None
        """The end of what waits, as long as it grows."""
        self._arrival: asyncio.Future[None] | None = None

    def wants(self, event: EventId) -> bool:
        """Whether the event stands in the part of the log that it has not seen."""
        return self.joined is None or not self.joined.covers(event)

    def offer(self, heard: Heard) -> None:
        """Puts an event into the buffer, or counts it as missed."""
        if self._gap is not None:
            # Half of the buffer must be free again, so that there are few gaps, not one for every other event.
            if len(self._waiting) > self._capacity // 2 or self._bytes > _MAX_BYTES // 2:
                self._gap.missed += 1
                return
            self._gap = None
        elif len(self._waiting) >= self._capacity or self._bytes >= _MAX_BYTES:
            self._gap = Gap()
            self._waiting.append(self._gap)
            return
        self._waiting.append(heard)
        self._bytes += heard.size
        self._notify()

    def take(self) -> Heard | Gap | None:
        """Takes the oldest of what waits; None if nothing does."""
        if not self._waiting:
            return None
        item = self._waiting.popleft()
        if isinstance(item, Heard):
            self._bytes -= item.size
        return item

    async def wait(self, seconds: float) -> None:
        """Returns when something waits or the subscription has ended, after so many seconds at the latest."""
        if self._waiting or self.error is not None:
            return
        loop = asyncio.get_running_loop()
        self._arrival = loop.create_future()
        timer = loop.call_later(seconds, self._notify)
        try:
            await self._arrival
        finally:
            timer.cancel()

    def end(self, error: OJSError) -> None:
        """Ends the subscription from the other side."""
        self.error = error
        self._notify()

    def _notify(self) -> None:
        if self._arrival is not None and not self._arrival.done():
            self._arrival.set_result(None)
