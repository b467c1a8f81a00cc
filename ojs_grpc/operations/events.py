"""StreamEvents: what happens, as it happens or from a place in the log on (behaviour section 18)."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Sequence

from ojs_grpc.core import event_rendering
from ojs_grpc.core.events import EventId, StoredEvent, id_text, name_of, parse_id
from ojs_grpc.errors import InvalidRequest, OJSError, ServerStopping, StoreError, Unsupported, Violation
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

    def subscribe(self, filters: Filters, after: str = "") -> EventStream:
        """Starts a stream of the events that pass the filters.

        A subscriber that takes them too slowly loses some, and is told so in their place. Streams outlast outages of
        the store, and go on from where they were.

        Args:
            after: the id of an event; what came after it comes first. Empty: events from now on.

        Raises:
            InvalidRequest: that is no id.
            Unsupported: events are not logged.
            OJSError: the server is stopping.
        """
        if self._stopping is not None:
            raise self._stopping
        if not self._store.log_events:
            raise Unsupported("this server keeps no event log: events_count is 0", {"setting": "events_count"})
        try:
            known = parse_id(after) if after else None
        except ValueError as error:
            raise InvalidRequest([Violation(AFTER, str(error))]) from None
        subscriber = Subscriber(filters, self._buffer)
        self._subscribers.add(subscriber)
        return EventStream(self, self._hub, subscriber, known, self._keepalive_seconds)

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
