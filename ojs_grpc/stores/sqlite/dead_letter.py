"""Dead letters: pages; and the deletion of jobs."""

import binascii
import json
import sqlite3
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from ojs_grpc.core.events import Kind
from ojs_grpc.errors import InvalidRequest, Violation
from ojs_grpc.stores.ports import Page
from ojs_grpc.stores.sqlite.lanes import forget_lanes
from ojs_grpc.stores.sqlite.ledger import Ledger
from ojs_grpc.stores.sqlite.record import Record, job_bytes
from ojs_grpc.stores.sqlite.session import Session
from ojs_grpc.stores.sqlite.statements import load
from ojs_grpc.stores.sqlite.statistics import NOWHERE, place

_SQL = load("dead_letter")
_MAX_NUMBER = 2**63


class _Position(NamedTuple):
    """Where a dead letter stands in the listing; also where one stood that is gone."""

    queue: str
    ended_at: int
    seq: int


def dead_letters(db: sqlite3.Connection, queue: str, cursor: str, limit: int, max_bytes: int) -> Page[bytes]:
    """As in the port."""
    after = _decode(cursor, queue) if cursor else _Position(queue, -1, 0)
    (total,) = db.execute(_SQL["total"], {"queue": queue}).fetchone()
    jobs: list[bytes] = []
    for position, job in _following(db, queue, after):
        max_bytes -= len(job)
        if jobs and (len(jobs) == limit or max_bytes < 0):
            return Page(jobs, _encode(after), total)
        jobs.append(job)
        after = position
    return Page(jobs, "", total)


def _following(db: sqlite3.Connection, only: str, after: _Position) -> Iterator[tuple[_Position, bytes]]:
    """Dead letters behind a position, read as they are asked for."""
    names = [
        (key, name)
        for key, name in db.execute(_SQL["queues_from"], {"queue": after.queue}).fetchall()
        if only in ("", name)
    ]
    for key, name in names:
        start = after if name == after.queue else _Position(name, -1, 0)
        cursor = db.execute(_SQL["page"], {"queue": key, "ended_at": start.ended_at, "seq": start.seq})
        try:
            for ended_at, seq, *record in cursor:
                yield _Position(name, ended_at, seq), job_bytes(Record(*record))
        finally:
            cursor.close()


def _encode(position: _Position) -> str:
    return urlsafe_b64encode(json.dumps(position, separators=(",", ":")).encode()).decode()


def _decode(cursor: str, queue: str) -> _Position:
    try:
        name, ended_at, seq = json.loads(urlsafe_b64decode(cursor.encode()))
    except (ValueError, TypeError, RecursionError, binascii.Error):
        raise _malformed() from None
    numbers = (ended_at, seq)
    if type(name) is not str or any(type(n) is not int or not 0 <= n < _MAX_NUMBER for n in numbers):
        raise _malformed()
    if not name.isprintable() or queue not in ("", name):
        raise _malformed()
    return _Position(name, ended_at, seq)


def _malformed() -> InvalidRequest:
    return InvalidRequest([Violation("cursor", "must be a next_cursor of the same listing")])


def delete_dead(session: Session, job_id: str, now: int) -> bool:
    """As in the port."""
    return _delete(session, "delete", [job_id], now)[0]


def delete_finished(session: Session, job_ids: Sequence[str], now: int) -> list[bool]:
    """As in the port."""
    return _delete(session, "delete_finished", job_ids, now)


def _delete(session: Session, statement: str, job_ids: Sequence[str], now: int) -> list[bool]:
    ledger = Ledger(session, now)
    deleted = []
    for job_id in job_ids:
        rows = session.db.execute(_SQL[statement], (job_id,)).fetchall()
        for key, queue, attempt, lane, state, dead in rows:
            ((subject,),) = session.db.execute(_SQL["delete_envelope"], (key,)).fetchall()
            if lane:
                forget_lanes(session, [lane])
            ledger.tally.move(queue, place(state, dead), NOWHERE)
            if dead:
                ledger.log.add(Kind.DEAD_LETTER_DELETED, attempt, 0, subject)
        deleted.append(bool(rows))
    ledger.close()
    return deleted
