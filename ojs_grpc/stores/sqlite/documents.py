"""Documents by kind and name."""

import sqlite3
from collections.abc import Sequence

from ojs_grpc.stores.ports import Document, DueDocuments, Page, Write
from ojs_grpc.stores.sqlite.session import Session
from ojs_grpc.stores.sqlite.statements import load

_SQL = load("documents")


def write(session: Session, writes: Sequence[Write]) -> bool:
    """Does these writes. False if a precondition does not hold; then some of them are done and others not."""
    for change, version in zip(writes, session.numbers(len(writes)), strict=True):
        if change.version is not None and change.version != _version(session.db, change.kind, change.name):
            return False
        if change.data is None:
            session.db.execute(_SQL["delete"], (change.kind, change.name))
        else:
            session.db.execute(_SQL["write"], (change.kind, change.name, version, change.due_at, change.data))
    return True


def _version(db: sqlite3.Connection, kind: str, name: str) -> int:
    row = db.execute(_SQL["version"], (kind, name)).fetchone()
    return 0 if row is None else int(row[0])


def documents(db: sqlite3.Connection, kind: str, names: Sequence[str]) -> list[Document | None]:
    """As in the port."""
    rows = [db.execute(_SQL["read"], (kind, name)).fetchone() for name in names]
    return [None if row is None else Document(*row) for row in rows]


def list_documents(db: sqlite3.Connection, kind: str, after: str, limit: int) -> Page[Document]:
    """As in the port."""
    rows = db.execute(_SQL["page"], {"kind": kind, "after": after, "limit": limit + 1}).fetchall()
    page = [Document(*row) for row in rows[:limit]]
    (total,) = db.execute(_SQL["total"], (kind,)).fetchone()
    return Page(page, page[-1].name if len(rows) > limit else "", total)


def due_documents(db: sqlite3.Connection, kind: str, now: int, limit: int) -> DueDocuments:
    """As in the port."""
    rows = db.execute(_SQL["due"], {"kind": kind, "now": now, "limit": limit}).fetchall()
    next_at = db.execute(_SQL["next_due"], {"kind": kind, "offset": len(rows)}).fetchone()
    return DueDocuments([Document(*row) for row in rows], None if next_at is None else next_at[0])
