"""Workers, as operators see them, and the removal of everything."""

import sqlite3
from collections.abc import Iterator
from itertools import islice

from ojs_grpc.stores.ports import Page, WorkerRow
from ojs_grpc.stores.sqlite.events import empty_log
from ojs_grpc.stores.sqlite.session import Session
from ojs_grpc.stores.sqlite.statements import load

_SQL = load("operators")

# All tables but the counter and the log, whose numbers go on.
_TABLES = (
    "jobs", "envelopes", "queues", "minutes", "workers", "idempotency_keys", "documents", "endings", "limits", "uses",
    "claims", "lanes", "gates",
)  # fmt: skip


def workers(db: sqlite3.Connection, cursor: str, limit: int) -> Page[WorkerRow]:
    """As in the port."""
    known = {
        worker: (state, beat_at)
        for worker, state, beat_at in db.execute(_SQL["workers"], {"after": cursor, "limit": limit + 1})
    }
    silent = list(islice(_holders(db, cursor), limit + 1))
    names = sorted({*known, *silent})
    rows = [
        WorkerRow(name, *known.get(name, (0, 0)), db.execute(_SQL["held"], (name,)).fetchone()[0])
        for name in names[:limit]
    ]
    (total,) = db.execute(_SQL["count"]).fetchone()
    unknown = sum(db.execute(_SQL["worker"], (name,)).fetchone() is None for name in _holders(db, ""))
    return Page(rows, rows[-1].worker_id if len(names) > limit else "", total + unknown)


def _holders(db: sqlite3.Connection, after: str) -> Iterator[str]:
    """Workers that hold jobs, in order; one look into the index for each, however many jobs it holds."""
    while row := db.execute(_SQL["next_holder"], (after,)).fetchone():
        (after,) = row
        yield after


def clear(session: Session) -> None:
    """As in the port."""
    for table in _TABLES:
        # Names of ours, each of which SQLite empties without looking at the rows.
        session.db.execute(f"DELETE FROM {table}")  # noqa: S608
    empty_log(session.db)
    session.forget()
