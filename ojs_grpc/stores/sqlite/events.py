"""The log of events: a row for all that one call tells, packed one behind the other."""

import sqlite3
from collections.abc import Iterator, Sequence
from itertools import chain
from struct import Struct
from typing import NamedTuple

from ojs_grpc.core.events import EventId, NewEvent, StoredEvent
from ojs_grpc.stores.ports import EventCursor, EventPage, Retention
from ojs_grpc.stores.sqlite.statements import blob, load

_SQL = load("events")

# Kind, attempt, value, and how many bytes of subject and of detail follow.
_HEADER = Struct("<BIQII")
_pack = _HEADER.pack

# A row with more is followed by another one, so that reading stays in small steps.
_ROW_BYTES = 1024 * 1024

# Behind the last event of any row.
_END = 2**20

# Rows are dropped in lots of about this weight at most: SQLite visits every page that becomes free.
_LOT_BYTES = 4 * 1024 * 1024


class Entries:
    """The events of one operation, in order; nothing if the log is off."""

    __slots__ = ("_enabled", "_events")

    def __init__(self, *, enabled: bool) -> None:
        self._enabled = enabled
        self._events: list[tuple[bytes, bytes, bytes]] = []

    def __bool__(self) -> bool:
        return bool(self._events)

    def add(self, kind: int, attempt: int, value: int, subject: bytes, detail: bytes = b"") -> None:
        """An event; the arguments as in `StoredEvent`."""
        if self._enabled:
            self._events.append((_pack(kind, attempt, value, len(subject), len(detail)), subject, detail))

    def add_new(self, jobs: Sequence[tuple[int, bytes]]) -> None:
        """For each new job what kind of event tells of it, and its subject."""
        if self._enabled:
            self._events += [(_pack(kind, 0, 0, len(subject), 0), subject, b"") for kind, subject in jobs]

    def write(self, db: sqlite3.Connection, now: int) -> None:
        """Logs them."""
        packed = b"".join(chain.from_iterable(self._events))
        if len(packed) <= _ROW_BYTES:
            db.execute(_SQL["write"], (now, len(self._events), blob(packed)))
            return
        start, size = 0, 0
        for end, (_, subject, detail) in enumerate(self._events, 1):
            size += len(subject) + len(detail)
            if size > _ROW_BYTES or end == len(self._events):
                packed = b"".join(chain.from_iterable(self._events[start:end]))
                db.execute(_SQL["write"], (now, end - start, blob(packed)))
                start, size = end, 0


def add_all(entries: Entries, events: Sequence[NewEvent]) -> None:
    """Adds events that are about no stored job."""
    for event in events:
        entries.add(event.kind, 0, 0, event.subject, event.detail)


class Cursor(NamedTuple):
    """Behind an event, or at its place if it is gone."""

    seq: int
    place: int

    def covers(self, event: EventId) -> bool:
        """As in the port."""
        return (event.number, event.place) <= self


def event_cursor(db: sqlite3.Connection, after: EventId | None) -> Cursor:
    """As in the port."""
    row = db.execute(_SQL["last"]).fetchone()
    last = 0 if row is None else int(row[0])
    if after is None:
        return Cursor(last, _END)
    if after.number > last:
        # An event of another log, as after a restart of a store in memory: all of this one is new.
        return Cursor(0, _END)
    return Cursor(after.number, after.place)


def events(db: sqlite3.Connection, cursor: EventCursor, limit: int) -> EventPage:
    """As in the port."""
    position = _known(cursor)
    found: list[StoredEvent] = []
    # A row that was read to its end is not read again.
    rows = db.execute(_SQL["rows_from"], (position.seq + (position.place >= _END),))
    for seq, at, data in rows:
        found += [event for event in _unpack(seq, at, data) if not position.covers(event.id)]
        position = Cursor(seq, _END)
        if len(found) >= limit:
            break
    rows.close()
    return EventPage(found, position, more=len(found) >= limit and _newer_rows(db, position))


def any_after(db: sqlite3.Connection, cursor: EventCursor) -> bool:
    """Whether there is something after the cursor."""
    position = _known(cursor)
    # Within the cursor's own row there may be more, which only a look into it tells.
    return _newer_rows(db, position) or (position.place < _END and bool(events(db, position, 1).events))


def _newer_rows(db: sqlite3.Connection, position: Cursor) -> bool:
    return db.execute(_SQL["rows_after"], (position.seq,)).fetchone() is not None


def _known(cursor: EventCursor) -> Cursor:
    if not isinstance(cursor, Cursor):
        raise TypeError(f"a cursor of another store: {cursor!r}")
    return cursor


def _unpack(seq: int, at: int, data: bytes) -> Iterator[StoredEvent]:
    start, place = 0, 0
    while start < len(data):
        kind, attempt, value, subject_size, detail_size = _HEADER.unpack_from(data, start)
        middle = start + _HEADER.size + subject_size
        end = middle + detail_size
        subject, detail = data[start + _HEADER.size : middle], data[middle:end]
        yield StoredEvent(EventId(at, seq, place, 0), kind, at, attempt, value, subject, detail)
        start, place = end, place + 1


def forget_events(db: sqlite3.Connection, retention: Retention, now: int, limit: int) -> bool:
    """Drops up to `limit` rows all of whose events are too old or too many; whether there may be more of them."""
    newest = db.execute(_SQL["newest"]).fetchone()
    if newest is None:
        return False
    last, total, size = newest
    before, many = now - retention.events_ms, total - retention.events_count
    outdated, room = [], _LOT_BYTES
    # The newest row has to stay, for its number.
    for seq, at, behind, weight in db.execute(_SQL["oldest"], (last, limit)).fetchall():
        if room <= 0 or (at > before and behind > many):
            break
        outdated.append(seq)
        room -= weight
    if outdated:
        db.execute(_SQL["delete_to"], (outdated[-1],))
    if size:
        db.execute(_SQL["empty"], {"seq": last, "before": before, "many": many})
    return room <= 0 or len(outdated) == limit


def empty_log(db: sqlite3.Connection) -> None:
    """Drops all events; the newest row stays, empty, for its number."""
    newest = db.execute(_SQL["newest"]).fetchone()
    if newest is not None:
        db.execute(_SQL["delete_to"], (newest[0] - 1,))
        db.execute(_SQL["empty"], {"seq": newest[0], "before": 0, "many": newest[1]})
