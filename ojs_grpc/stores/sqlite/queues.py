"""Queues: their listing, their pauses and their bounds."""

import sqlite3
from collections.abc import Mapping

from ojs_grpc.core.events import NewEvent
from ojs_grpc.errors import QueueFull
from ojs_grpc.stores.ports import Page, QueueRow
from ojs_grpc.stores.sqlite.events import add_all
from ojs_grpc.stores.sqlite.ledger import Ledger
from ojs_grpc.stores.sqlite.session import Session
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


def set_paused(session: Session, queue: str, paused: bool, event: NewEvent, now: int) -> bool:  # noqa: FBT001 - the port
    """As in the port."""
    key = session.queue_key(queue, now)
    if not session.db.execute(_SQL["pause"], {"key": key, "paused": paused}).rowcount:
        return False
    ledger = Ledger(session, now)
    add_all(ledger.log, [event])
    if not paused:
        ledger.ready.add(queue)
    ledger.close()
    return True


def overfull(session: Session, growth: Mapping[str, int], coming: Mapping[str, int]) -> QueueFull | None:
    """The refusal if a queue has no room for so many jobs more, beside those that are coming (behaviour section 16)."""
    for queue, jobs in growth.items():
        bound = session.rules.of(queue).max_depth
        if not bound or jobs <= 0:
            continue
        row = session.db.execute(_SQL["depth"], (queue,)).fetchone()
        depth = (0 if row is None else row[0]) + coming.get(queue, 0)
        if depth + jobs > bound:
            return QueueFull(queue, depth, bound)
    return None
