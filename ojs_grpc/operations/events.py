"""Events as they happen, or from a place in the log on: as a stream or page by page (behaviour section 18)."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Sequence
from typing import NamedTuple

from ojs_grpc.core import event_rendering
from ojs_grpc.core.events import EventId, StoredEvent, id_text, name_of, parse_id
from ojs_grpc.core.limits import Limits
from ojs_grpc.core.validation import queue_rule
from ojs_grpc.errors import (
    InvalidRequest,
    NotFound,
    OJSError,
    ServerStopping,
    StoreError,
    Unsupported,
    Violation,
)
from ojs_grpc.operations.bookmark import Bookmark
from ojs_grpc.operations.event_filters import Filters
from ojs_grpc.operations.event_hub import SLICE, EventHub
from ojs_grpc.operations.subscriber import Gap, Heard, Subscriber
from ojs_grpc.stores.ports import EventCursor, Store

AFTER = "x-ojs-after"
"""The name by which a caller says after which event it goes on."""

# The spec wants one every 30 s at least.
_KEEPALIVE_SECONDS = 25.0
_BUFFER = 1000
_RETRY_SECONDS = 0.25

# Of one poll: events read from the log, wanted or not, and bytes of its answer. What is over either waits for the next.
_MOST_READ = 20_000
_MOST_BYTES = 4 << 20
_POLL_PAGE = 1000


class Polled(NamedTuple):
    """What a poll found.

    Attributes:
        events: serialised `ojs.v1.Event`s, in the order of the log.
        cursor: the next poll goes on behind it; empty if there is nothing in the log.
        more: whether the log goes on behind the cursor now. Whether something wanted is there, only the next poll says.
    """

    events: Sequence[bytes]
    cursor: str
    more: bool


class EventStream(AsyncIterator[bytes]):
    """One open stream of serialised `ojs.v1.Event`s. Close it."""

    def __init__(
        self, events: "Events", hub: EventHub, subscriber: Subscriber, after: EventId | None, keepalive_seconds: float
    ) -> None:
        self._events = events
        self._hub = hub
        self._subscriber = subscriber
        self._keepalive_seconds = keepalive_seconds
        self._sent = after
        """The last event sent, or the one that the caller knows."""
        self._live = False
        """The hub offers what comes; else the stream reads by itself what came before."""
        self._place: EventCursor | None = None
        self._found: deque[Heard] = deque()

    async def begin(self) -> None:
        """Finds its place in the log: from here on, nothing that happens is missed. The first `__anext__` does it else.

        Raises:
            StoreError: the store failed.
        """
        if self._place is None and not self._live:
            await self._approach()

    async def __anext__(self) -> bytes:
        """The next event, or a sign that there is none.

        Raises:
            OJSError: the server ends the stream, or the store failed before the stream had begun.
        """
        loop = asyncio.get_running_loop()
        until = loop.time() + self._keepalive_seconds
        while True:
            if self._subscriber.error is not None:
                raise self._subscriber.error
            if (message := self._take()) is not None:
                return message
            left = until - loop.time()
            if left <= 0:
                return event_rendering.keepalive(self._events.now())
            if self._live:
                await self._subscriber.wait(left)
            else:
                await self._approach()

    def close(self) -> None:
        """Ends the stream. May be called twice."""
        self._hub.leave(self._subscriber)
        self._events.forget(self._subscriber)

    def _take(self) -> bytes | None:
        item = self._found.popleft() if self._found else self._subscriber.take()
        if item is None:
            return None
        if isinstance(item, Gap):
            after = id_text(self._sent) if self._sent is not None else ""
            return event_rendering.gap(item.missed, after, self._events.now())
        self._sent = item.event.id
        return item.message()

    async def _approach(self) -> None:
        """One step towards the present end of the log."""
        if self._place is not None:
            await self._read_on(self._place)
        elif self._sent is not None:
            self._place = await self._hub.after(self._sent)
        else:
            await self._hub.join(self._subscriber)
            self._live = True

    async def _read_on(self, place: EventCursor) -> None:
        try:
            page = await self._hub.read_on(self._subscriber, place)
        except StoreError:
            await self._subscriber.wait(_RETRY_SECONDS)
            return
        for start in range(0, len(page.events), SLICE):
            self._find(page.events[start : start + SLICE])
            await asyncio.sleep(0)
        self._place = page.cursor
        self._live = not page.more

    def _find(self, events: Sequence[StoredEvent]) -> None:
        for event in events:
            if name_of(event.kind):
                heard = Heard(event)
                if self._subscriber.filters.pass_event(event.kind, heard.subject):
                    self._found.append(heard)


class Events:
    """Opens streams of events.

    Args:
        keepalive_seconds: a stream with nothing to say says so that often.
        buffer: how many events wait for a subscriber at most.
    """

    def __init__(
        self, store: Store, *, keepalive_seconds: float = _KEEPALIVE_SECONDS, buffer: int = _BUFFER
    ) -> None:
        self._store = store
        self._hub = EventHub(store)
        self._keepalive_seconds = keepalive_seconds
        self._buffer = buffer
        self._subscribers: set[Subscriber] = set()
        self._stopping: OJSError | None = None

    @property
    def open_streams(self) -> int:
        """How many streams are open."""
        return len(self._subscribers)

    def subscribe(self, filters: Filters, after: str = "", keepalive_seconds: float = 0.0) -> EventStream:
        """Starts a stream of the events that pass the filters.

        A subscriber that takes them too slowly loses some, and is told so in their place. Streams outlast outages of
        the store, and go on from where they were.

        Args:
            after: the id of an event; what came after it comes first. Empty: events from now on.
            keepalive_seconds: as for the class, if this stream needs another one.

        Raises:
            InvalidRequest: that is no id.
            Unsupported: events are not logged.
            OJSError: the server is stopping.
        """
        if self._stopping is not None:
            raise self._stopping
        self._check_logged()
        try:
            known = parse_id(after) if after else None
        except ValueError as error:
            raise InvalidRequest([Violation(AFTER, str(error))]) from None
        subscriber = Subscriber(filters, self._buffer)
        self._subscribers.add(subscriber)
        return EventStream(self, self._hub, subscriber, known, keepalive_seconds or self._keepalive_seconds)

    async def poll(self, filters: Filters, after: str, limit: int) -> Polled:
        """Up to `limit` events that pass the filters, oldest first.

        A poll reads a bounded part of the log: it may find few or none, and there may be more.

        Args:
            after: a cursor, or the id of an event; of what is gone, the log's beginning takes the place. Empty: the
                beginning of the log.

        Raises:
            InvalidRequest: that is no cursor.
            Unsupported: events are not logged.
            StoreError: the store failed.
        """
        self._check_logged()
        try:
            poll = _Poll(filters, Bookmark.parse(after), limit)
        except ValueError as error:
            raise InvalidRequest([Violation("after", str(error))]) from None
        cursor = await self._store.event_cursor(poll.bookmark.event)
        more = True
        while more and not poll.is_full():
            page = await self._store.events(cursor, _POLL_PAGE)
            rest = poll.read(page.events)
            cursor, more = page.cursor, page.more or rest
            await asyncio.sleep(0)
        return Polled(poll.found, poll.bookmark.text(), more)

    async def check_queue(self, queue: str, limits: Limits) -> None:
        """Returns if there is such a queue.

        Raises:
            InvalidRequest: no queue can have this name.
            NotFound: there is none.
        """
        if rule := queue_rule(queue, limits):
            raise InvalidRequest([Violation("queue", rule)])
        if await self._store.queue_facts(queue, self.now()) is None:
            raise NotFound("queue", queue)

    def refuse(self, error: OJSError) -> None:
        """Ends all streams with this error, and opens none from now on."""
        self._stopping = error
        for subscriber in self._subscribers:
            subscriber.end(error)

    async def stop(self) -> None:
        """Ends all streams and the reading of the log."""
        self.refuse(self._stopping or ServerStopping())
        await self._hub.stop()

    def now(self) -> int:
        """The store's present time."""
        return self._store.clock.now()

    def forget(self, subscriber: Subscriber) -> None:
        """A stream was closed."""
        self._subscribers.discard(subscriber)

    def _check_logged(self) -> None:
        if not self._store.log_events:
            raise Unsupported("this server keeps no event log: events_count is 0", {"setting": "events_count"})


class _Poll:
    """What one poll has found so far, and where it stands."""

    def __init__(self, filters: Filters, bookmark: Bookmark, limit: int) -> None:
        self.bookmark = bookmark
        self.found: list[bytes] = []
        self._filters = filters
        self._limit = limit
        self._left = _MOST_READ
        self._bytes = 0

    def is_full(self) -> bool:
        """Whether it is done, be there more in the log or not."""
        return len(self.found) >= self._limit or self._left <= 0 or self._bytes >= _MOST_BYTES

    def read(self, events: Sequence[StoredEvent]) -> bool:
        """Takes what is wanted of the next events; whether some of them are left."""
        for event in events:
            if self.bookmark.covers(event.id):
                continue
            if self.is_full():
                return True
            self._left -= 1
            self.bookmark.move(event.id)
            if self._filters.pass_kind(event.kind) and name_of(event.kind):
                self._look_at(Heard(event))
        return False

    def _look_at(self, heard: Heard) -> None:
        if self._filters.pass_event(heard.event.kind, heard.subject):
            message = heard.message()
            self._bytes += len(message)
            self.found.append(message)
