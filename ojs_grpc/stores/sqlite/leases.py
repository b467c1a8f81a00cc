"""Watching over leases: heartbeats, what is held, what is overdue."""

import sqlite3
from collections.abc import Sequence

from ojs_grpc.core.events import Kind
from ojs_grpc.core.states import ACTIVE
from ojs_grpc.stores.ports import Extension, Overdue, OverdueJobs, Refusal
from ojs_grpc.stores.sqlite.ledger import Ledger
from ojs_grpc.stores.sqlite.record import Record, job_bytes
from ojs_grpc.stores.sqlite.session import Session
from ojs_grpc.stores.sqlite.statements import FOREVER, load, rows_by_id

_SQL = load("leases")


def heartbeat(
    session: Session,
    worker_id: str,
    worker_state: int,
    job_id: str,
    lease: int,
    extend_ms: int,
    now: int,
    silence_ms: int,
) -> Extension:
    """As in the port."""
    extended: dict[str, int] = {}
    if worker_id:
        session.db.execute(_SQL["beat"], {"worker": worker_id, "state": worker_state, "now": now})
        length = {"extend_ms": None if job_id else extend_ms or None, "now": now, "silent_at": now + silence_ms}
        extended.update(session.db.execute(_SQL["extend_held"], {**length, "worker": worker_id}).fetchall())
    if not job_id:
        return Extension(list(extended.items()))
    row = session.db.execute(_SQL["holder"], (job_id,)).fetchone()
    if row is None:
        return Extension(list(extended.items()), Refusal(0))
    key, state, held_under, holder, attempt, subject = row
    # A job claimed without a name is anybody's, as in core.lifecycle.check_holder.
    if state != ACTIVE or lease not in (0, held_under) or (worker_id and holder not in ("", worker_id)):
        return Extension(list(extended.items()), Refusal(state, held_under, holder))
    length = {"extend_ms": extend_ms or None, "now": now, "silent_at": _silent_at(session.db, holder, now, silence_ms)}
    ((_, ends_at),) = session.db.execute(_SQL["extend_one"], {**length, "key": key}).fetchall()
    extended[job_id] = ends_at
    ledger = Ledger(session, now)
    ledger.log.add(Kind.JOB_HEARTBEAT, attempt, ends_at, subject, (holder or worker_id).encode())
    ledger.close()
    return Extension(list(extended.items()))


def _silent_at(db: sqlite3.Connection, worker: str, now: int, silence_ms: int) -> int:
    """When the worker's silence will have lasted too long; never, for one that never spoke or that fell silent."""
    row = db.execute(_SQL["last_beat"], (worker,)).fetchone()
    if row is None or row[0] + silence_ms <= now:
        return FOREVER
    return int(row[0]) + silence_ms


def leases(db: sqlite3.Connection, job_ids: Sequence[str]) -> list[int]:
    """As in the port."""
    held = rows_by_id(db, _SQL["lease"], job_ids)
    return [held[job_id][0] if job_id in held else 0 for job_id in job_ids]


def overdue(db: sqlite3.Connection, now: int, limit: int) -> OverdueJobs:
    """As in the port."""
    rows = db.execute(_SQL["overdue"], {"now": now, "limit": limit}).fetchall()
    next_at = db.execute(_SQL["next_overdue"], (len(rows),)).fetchone()
    jobs = [Overdue(job_bytes(Record(*record)), ends_at, times_out_at) for ends_at, times_out_at, *record in rows]
    return OverdueJobs(jobs, None if next_at is None else next_at[0])
