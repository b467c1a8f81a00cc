"""What the jobs of workflows leave behind for them."""

import sqlite3
from collections.abc import Sequence

from ojs_grpc.stores.ports import EndedJobs, Ending
from ojs_grpc.stores.sqlite.statements import load

_SQL = load("workflows")


def endings(db: sqlite3.Connection, limit: int) -> EndedJobs:
    """As in the port."""
    rows = db.execute(_SQL["noted"], (limit + 1,)).fetchall()
    return EndedJobs([Ending(*row) for row in rows[:limit]], more=len(rows) > limit)


def note_endings(db: sqlite3.Connection, ended: Sequence[Ending]) -> None:
    """Keeps them until they are forgotten."""
    db.executemany(_SQL["note"], ended)


def forget_endings(db: sqlite3.Connection, ended: Sequence[Ending]) -> None:
    """The workflows know of these."""
    db.executemany(_SQL["forget"], ended)
