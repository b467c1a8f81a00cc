"""Reads the event log for all subscribers of this process at once.

While there are subscribers, one task follows the end of the log, decodes each event once, finds in an index who may
want it, and offers it to those; nobody else costs anything. Without subscribers nothing is read.
"""

import asyncio
from collections.abc import Sequence

import structlog

from ojs_grpc.core.events import EventId, StoredEvent, name_of
from ojs_grpc.errors import StoreError
from ojs_grpc.operations.coalescing import Coalescer
from ojs_grpc.operations.event_filters import Key, event_keys
from ojs_grpc.operations.subscriber import Heard, Subscriber
from ojs_grpc.stores.ports import EventCursor, EventPage, Store

log = structlog.get_logger(__name__)

_PAGE = 500
# A page may be much larger, where much was written at once. After so many events, others have their turn.
SLICE = 500
# Under load, so long from one read to the next: what comes meanwhile is read at once.
_PACE_SECONDS = 0.02
_WAIT_MS = 1000
_RETRY_SECONDS = 0.25
_MAX_NEWCOMERS = 1000


class EventHub:
    """Follows the log and hands out what it says. Starts with its first subscriber, rests without any."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._index: dict[Key, dict[Subscriber, None]] = {}
        self._joining: list[Subscriber] = []
        """Subscribers that may still be offered what stands before the place where they joined."""
        self._lock = asyncio.Lock()
        """Held from a read to its end in the index: who attaches meanwhile would miss what is being read."""
        self._cursor: EventCursor
        self._task: asyncio.Task[None] | None = None
        self._stopped = False
        self._newcomers: Coalescer[Subscriber, None] = Coalescer(self._join, _MAX_NEWCOMERS)

    async def join(self, subscriber: Subscriber) -> None:
        """Offers the subscriber all events from now on.

        Raises:
            StoreError: the store failed.
        """
        await self._newcomers.submit(subscriber)

    async def after(self, event: EventId) -> EventCursor:
        """The place in the log from which `read_on` begins.

        Raises:
            StoreError: the store failed.
        """
        return await self._store.event_cursor(event)

    async def read_on(self, subscriber: Subscriber, cursor: EventCursor) -> EventPage:
        """The next events after a place, all of them, whatever the subscriber wants.

        If there are no more of them now, the subscriber is offered all events from there on.

        Raises:
            StoreError: the store failed; nothing is offered.
        """
        page = await self._store.events(cursor, _PAGE)
        if page.more:
            return page
        # Nearly there. The rest is read while nothing is handed out, so that nothing falls between.
        async with self._lock:
            # The place that a caller knows may be ahead of the log; that is no place for everybody to start from.
            end = await self._store.event_cursor(None)
            rest = await self._store.events(page.cursor, _PAGE)
            if not rest.more:
                self._attach(subscriber, rest.cursor, end)
        return EventPage((*page.events, *rest.events), rest.cursor, rest.more)

    def leave(self, subscriber: Subscriber) -> None:
        """Offers the subscriber nothing more."""
        subscriber.closed = True
        for key in subscriber.filters.index_keys():
            fellows = self._index.get(key, {})
            fellows.pop(subscriber, None)
            if not fellows:
                self._index.pop(key, None)

    async def stop(self) -> None:
        """Ends the reading, for good."""
        self._stopped = True
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _join(self, subscribers: Sequence[Subscriber]) -> list[None]:
        async with self._lock:
            cursor = await self._store.event_cursor(None)
            for subscriber in subscribers:
                self._attach(subscriber, cursor, cursor)
        return [None] * len(subscribers)

    def _attach(self, subscriber: Subscriber, cursor: EventCursor, end: EventCursor) -> None:
        """Offers the subscriber what comes behind the cursor; `end` is where the log ended, then or before."""
        if subscriber.closed or self._stopped:
            return
        # The hub itself may stand before this place still.
        subscriber.joined = cursor
        self._joining.append(subscriber)
        for key in subscriber.filters.index_keys():
            self._index.setdefault(key, {})[subscriber] = None
        if self._task is None:
            self._cursor = end
            self._task = asyncio.create_task(self._run(), name="events")

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        failing = False
        try:
            while self._index:
                started = loop.time()
                try:
                    if await self._read():
                        continue
                    failing = False
                    await self._store.await_events(self._cursor, _WAIT_MS)
                except StoreError as error:
                    if not failing:
                        log.warning("could not read events", error=error.message)
                    failing = True
                    await asyncio.sleep(_RETRY_SECONDS)
                except Exception:
                    log.exception("could not hand out events")
                    await asyncio.sleep(_RETRY_SECONDS)
                await asyncio.sleep(started + _PACE_SECONDS - loop.time())
        finally:
            self._task = None
            self._joining.clear()

    async def _read(self) -> bool:
        """Hands out the next events; whether there may be more now."""
        async with self._lock:
            page = await self._store.events(self._cursor, _PAGE)
            self._cursor = page.cursor
            for start in range(0, len(page.events), SLICE):
                for event in page.events[start : start + SLICE]:
                    if name_of(event.kind):
                        self._hand_out(event)
                await asyncio.sleep(0)
            if not page.more:
                # Whoever attached before this read has been past by now.
                for subscriber in self._joining:
                    subscriber.joined = None
                self._joining.clear()
        return page.more

    def _hand_out(self, event: StoredEvent) -> None:
        heard = Heard(event)
        kind, subject = event.kind, heard.subject
        for key in event_keys(kind, subject):
            for subscriber in self._index.get(key, ()):
                if subscriber.filters.pass_event(kind, subject) and subscriber.wants(event.id):
                    subscriber.offer(heard)
