"""Jobs that wait for a time: promotion, time to live."""

import json
import sqlite3
from collections import Counter

from ojs_grpc.core.states import AVAILABLE
from ojs_grpc.stores.ports import ExpiredJobs, Promotion
from ojs_grpc.stores.sqlite.record import Record, job_bytes
from ojs_grpc.stores.sqlite.session import Session, Tally
from ojs_grpc.stores.sqlite.statements import load

_SQL = load("schedule")


def next_due(db: sqlite3.Connection) -> int | None:
    """When the next waiting job becomes available; None if none waits."""
    row = db.execute(_SQL["next_due"]).fetchone()
    return None if row is None else row[0]


def promote(session: Session, now: int, limit: int) -> Promotion:
    """As in the port."""
    rows = session.db.execute(_SQL["due"], {"now": now, "limit": limit}).fetchall()
    if rows:
        first = session.numbers(len(rows)).start
        keys = json.dumps([key for key, _ in rows])
        session.db.execute(_SQL["promote"], {"first": first, "now": now, "keys": keys})
        tally = Tally()
        for queue, jobs in Counter([queue for _, queue in rows]).items():
            tally.enter(queue, AVAILABLE, jobs)
            session.ready.add(session.queue_name(queue))
        session.count(tally)
    return Promotion(len(rows), next_due(session.db))


def expired(db: sqlite3.Connection, now: int, limit: int) -> ExpiredJobs:
    """As in the port."""
    rows = db.execute(_SQL["expired"], {"now": now, "limit": limit}).fetchall()
    next_at = db.execute(_SQL["next_expired"], (len(rows),)).fetchone()
    return ExpiredJobs([job_bytes(Record(*row)) for row in rows], None if next_at is None else next_at[0])
