"""The log of events: a stream for each partition, whose entries hold what one script did."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from struct import Struct
from typing import Final

from ojs_grpc.core.events import EventId, NewEvent, StoredEvent
from ojs_grpc.core.ids import PARTITIONS
from ojs_grpc.stores.ports import EventCursor, EventPage
from ojs_grpc.stores.redis import keys, packing
from ojs_grpc.stores.redis.base import ANSWER_BYTES, RedisBase, portions

# An entry: when it was written, how many events it has, and how many were logged before; of each its kind, attempt,
# value, and the sizes of subject and detail, which follow.
_ENTRY = Struct("<qIq")
_EVENT = Struct("<BIqII")
_MOST_LOGGED = 500
# Behind every event of an entry.
_WHOLE: Final = 2**20

# Time, number, and place of the last event that was read.
_Place = tuple[int, int, int]


@dataclass(frozen=True, slots=True)
class _Cursor:
    """A place in each partition; in those that are not named, before the first event of a time."""

    since: int
    places: Mapping[int, _Place] = field(default_factory=dict)

    def covers(self, event: EventId) -> bool:
        """Implements `EventCursor`."""
        place = self.places.get(event.partition)
        if place is None:
            return event.time < self.since
        return (event.time, event.number, event.place) <= place

    def starts(self) -> Iterator[str]:
        """For each partition after which entry to read; the rest of a half-read entry is not after it."""
        start = f"{self.since - 1}-{2**64 - 1}" if self.since else "0-0"
        for partition in range(PARTITIONS):
            time, number, _ = self.places.get(partition, (0, 0, 0))
            yield f"{time}-{number}" if partition in self.places else start

    def is_whole(self) -> bool:
        """Whether it is between entries everywhere."""
        return all(place == _WHOLE for _, _, place in self.places.values())


class RedisEvents(RedisBase):
    """Implements `EventStore`."""

    async def log(self, events: Sequence[NewEvent], now: int) -> None:
        if not self.log_events:
            return
        for portion in portions(events, _MOST_LOGGED):
            words = chain.from_iterable(packing.describe_event(event) for event in portion)
            await self._run("log", [], [now, *words])

    async def event_cursor(self, after: EventId | None) -> EventCursor:
        if after is not None:
            return _Cursor(after.time, {after.partition: (after.time, after.number, after.place)})
        found = await self._run("event_ends", keys.EVENTS, [])
        ends = zip(found[::2], found[1::2], strict=True)
        return _Cursor(0, {place - 1: (*_numbers(entry), _WHOLE) for place, entry in ends})

    async def events(self, cursor: EventCursor, limit: int) -> EventPage:
        start = _own(cursor)
        arguments: list[str | bytes | int] = [limit, ANSWER_BYTES, f"{start.since}-0"]
        for partition, (time, number, place) in start.places.items():
            arguments += (partition + 1, f"{'(' if place == _WHOLE else ''}{time}-{number}")
        more, *found = await self._run("events", keys.EVENTS, arguments)
        events: list[StoredEvent] = []
        places = dict(start.places)
        for place, entry, data in zip(found[::3], found[1::3], found[2::3], strict=True):
            time, number = _numbers(entry)
            partition = place - 1
            seen = places.get(partition, (0, 0, 0))
            events += _read(EventId(time, number, seen[2] + 1 if seen[:2] == (time, number) else 0, partition), data)
            places[partition] = (time, number, _WHOLE)
        return EventPage(events, _Cursor(start.since, places), bool(more))

    async def await_events(self, cursor: EventCursor, wait_ms: int) -> None:
        start = _own(cursor)
        if not start.is_whole():
            page = await self.events(start, 1)
            if page.events:
                return
            start = _own(page.cursor)
        if wait_ms > 0:
            block = ("XREAD", "COUNT", "1", "BLOCK", str(wait_ms), "STREAMS")
            await self._connections.wait(wait_ms / 1000, *block, *keys.EVENTS, *start.starts())


def _own(cursor: EventCursor) -> _Cursor:
    if not isinstance(cursor, _Cursor):
        raise TypeError("a cursor of another store")
    return cursor


def _numbers(entry: bytes) -> tuple[int, int]:
    """Time and number of a stream's entry."""
    time, number = entry.split(b"-")
    return int(time), int(number)


def _read(first: EventId, data: bytes) -> Iterator[StoredEvent]:
    """The events of an entry from one place on."""
    at, count, _ = _ENTRY.unpack_from(data)
    offset = _ENTRY.size
    for place in range(count):
        kind, attempt, value, subject_size, detail_size = _EVENT.unpack_from(data, offset)
        start = offset + _EVENT.size
        middle = start + subject_size
        offset = middle + detail_size
        if place >= first.place:
            event = first._replace(place=place)
            yield StoredEvent(event, kind, at, attempt, value, data[start:middle], data[middle:offset])
