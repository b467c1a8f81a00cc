"""Queues as listed."""

import sqlite3

from ojs_grpc.stores.ports import Page, QueueRow
from ojs_grpc.stores.sqlite.statements import load

_SQL = load("queues")


def queues(db: sqlite3.Connection, after: str, limit: int) -> Page[QueueRow]:
    """As in the port."""
    rows = [
        QueueRow(name, bool(paused), available, created_at)
        for name, paused, available, created_at in db.execute(_SQL["page"], {"after": after, "limit": limit + 1})
    ]
    page = rows[:limit]
    (total,) = db.execute(_SQL["total"]).fetchone()
    return Page(page, page[-1].name if len(rows) > limit else "", total)
