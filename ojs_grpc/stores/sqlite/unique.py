"""Uniqueness: which stored job is the duplicate of a new one."""

import sqlite3

from ojs_grpc.core.unique import Unique
from ojs_grpc.stores.sqlite.statements import load

_SQL = load("unique")


def duplicate(db: sqlite3.Connection, unique: Unique, now: int) -> str | None:
    """The id of the newest duplicate (behaviour section 3.3)."""
    if db.execute(_SQL["any"], (unique.fingerprint,)).fetchone() is None:
        return None
    newest: tuple[int, str] | None = None
    for state in unique.states:
        row = db.execute(_SQL["newest"], (unique.fingerprint, state)).fetchone()
        if row is None:
            continue
        key, job_id, created_at = row
        if unique.period_ms and now >= created_at + unique.period_ms:
            continue
        if newest is None or key > newest[0]:
            newest = key, job_id
    return None if newest is None else newest[1]
