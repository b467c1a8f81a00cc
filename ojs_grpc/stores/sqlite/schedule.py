"""Jobs that wait for a time: promotion, time to live."""

import json
import sqlite3

from ojs_grpc.core.events import Kind
from ojs_grpc.core.states import AVAILABLE
from ojs_grpc.stores.ports import ExpiredJobs, Promotion
from ojs_grpc.stores.sqlite.lanes import next_opening
from ojs_grpc.stores.sqlite.ledger import Ledger
from ojs_grpc.stores.sqlite.record import Record, job_bytes
from ojs_grpc.stores.sqlite.session import Session
from ojs_grpc.stores.sqlite.statements import load

_SQL = load("schedule")


def next_time(db: sqlite3.Connection) -> int | None:
    """When the next job becomes available, or the next limit by time ends that holds some back; None if none does."""
    times = [time for time in (_next_due(db), next_opening(db)) if time is not None]
    return min(times, default=None)


def _next_due(db: sqlite3.Connection) -> int | None:
    row = db.execute(_SQL["next_due"]).fetchone()
    return None if row is None else int(row[0])


def promote(session: Session, now: int, limit: int) -> Promotion:
    """As in the port."""
    ledger = Ledger(session, now)
    rows = session.db.execute(_SQL["due"], {"now": now, "limit": limit}).fetchall()
    if rows:
        first = session.numbers(len(rows)).start
        keys = json.dumps([key for key, *_ in rows])
        session.db.execute(_SQL["promote"], {"first": first, "now": now, "keys": keys})
    for _, queue, state, lane, attempt, subject in rows:
        ledger.tally.move(queue, state, AVAILABLE)
        ledger.log.add(Kind.JOB_ENQUEUED, attempt, 0, subject)
        ledger.ready.add(session.queue_name(queue))
        ledger.joined([lane])
    ledger.lanes.open_due(limit)
    ledger.close()
    return Promotion(len(rows), next_time(session.db))


def expired(db: sqlite3.Connection, now: int, limit: int) -> ExpiredJobs:
    """As in the port."""
    rows = db.execute(_SQL["expired"], {"now": now, "limit": limit}).fetchall()
    next_at = db.execute(_SQL["next_expired"], (len(rows),)).fetchone()
    return ExpiredJobs([job_bytes(Record(*row)) for row in rows], None if next_at is None else next_at[0])
