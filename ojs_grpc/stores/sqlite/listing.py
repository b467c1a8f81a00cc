"""All jobs, for operators: pages through the indexes that deliver and forget them."""

import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from ojs_grpc.stores.listing import LOOK_MOST, STATE_OF, Place, Section, decode, sections
from ojs_grpc.stores.ports import JobFilter, Page
from ojs_grpc.stores.sqlite.record import Record, job_bytes
from ojs_grpc.stores.sqlite.statements import load
from ojs_grpc.stores.sqlite.statistics import counts_by_state

_SQL = load("listing")
_END = 2**62


class _Route(NamedTuple):
    """How to walk through the index of a section: one statement after the other, from before its beginning."""

    statements: Sequence[str]
    mark: int = _END
    last: int = _END


_BY_TIME = frozenset({Section.ACTIVE, Section.RETRYABLE, Section.SCHEDULED})
_ROUTES: Mapping[Section, _Route] = {
    Section.ACTIVE: _Route(["active_equal", "active_after"], -1, 0),
    Section.RETRYABLE: _Route(["waiting_equal", "waiting_after"], -1, 0),
    Section.SCHEDULED: _Route(["waiting_equal", "waiting_after"], -1, 0),
    Section.IN_LINE: _Route(["line_equal", "line_below"]),
    Section.LIMITED: _Route(["limited_equal", "limited_below"]),
    Section.PENDING: _Route(["pending"], 0),
    Section.DEAD: _Route(["dead"]),
    Section.DISCARDED: _Route(["discarded"]),
    Section.CANCELLED: _Route(["cancelled"]),
    Section.COMPLETED: _Route(["completed"]),
}


class _Seen(NamedTuple):
    """A job that was looked at: where it stands, and its key; no key if it is not wanted."""

    place: Place
    key: int | None


def jobs(db: sqlite3.Connection, wanted: JobFilter, cursor: str, limit: int, max_bytes: int) -> Page[bytes]:
    """As in the port."""
    after, total = decode(cursor, wanted)
    if total is None:
        counts = counts_by_state(db.execute(_SQL["totals"], {"queue": wanted.queue}).fetchone())
        total = sum(count or 0 for state, count in counts.items() if wanted.state in (0, state))
    found: list[bytes] = []
    for looked_at, (place, key) in enumerate(_walk(db, wanted, after)):
        if looked_at == LOOK_MOST or (key is not None and len(found) == limit):
            return Page(found, after.encode(wanted, total), total)
        row = None if key is None else db.execute(_SQL["job"], (key,)).fetchone()
        # Another process may have deleted it just now.
        if row is not None:
            job = job_bytes(Record(*row))
            max_bytes -= len(job)
            if found and max_bytes < 0:
                return Page(found, after.encode(wanted, total), total)
            found.append(job)
        after = place
    return Page(found, "", total)


def _walk(db: sqlite3.Connection, wanted: JobFilter, after: Place) -> Iterator[_Seen]:
    """What stands behind a place, read as it is asked for."""
    for section in sections(wanted):
        if section < after.section:
            continue
        start = after if section == after.section else Place(section)
        if section in _BY_TIME:
            yield from _walk_time(db, section, wanted.queue, start)
        else:
            yield from _walk_queues(db, section, wanted.queue, start)


def _walk_time(db: sqlite3.Connection, section: Section, only: str, start: Place) -> Iterator[_Seen]:
    row = db.execute(_SQL["queue"], (only,)).fetchone() if only else (0,)
    if row is None:
        return
    for mark, key, state, queue in _follow(db, section, 0, start):
        is_wanted = state == STATE_OF[section] and row[0] in (0, queue)
        yield _Seen(Place(section, "", mark, str(key)), key if is_wanted else None)


def _walk_queues(db: sqlite3.Connection, section: Section, only: str, start: Place) -> Iterator[_Seen]:
    wanted = {"name": start.name, "queue": only, "state": STATE_OF[section]}
    for index, name in db.execute(_SQL["queues"], wanted):
        for mark, key, state, last in _follow(db, section, index, start if name == start.name else None):
            yield _Seen(Place(section, name, mark, str(last)), key if state == STATE_OF[section] else None)


def _follow(
    db: sqlite3.Connection, section: Section, index: int, start: Place | None
) -> Iterator[tuple[int, int, int, int]]:
    """Rows of an index behind a place in it: the mark, the job's key and state, and what orders equal marks."""
    route = _ROUTES[section]
    mark, last = (start.mark, _number(start.last)) if start is not None and start.last else route[1:]
    for statement in route.statements:
        rows = db.execute(_SQL[statement], {"index": index, "mark": mark, "last": last})
        try:
            yield from rows
        finally:
            rows.close()


def _number(text: str) -> int:
    return int(text) if text.isdecimal() and len(text) < 19 else 0
