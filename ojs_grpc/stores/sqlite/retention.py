"""Forgetting what is over."""

import sqlite3
from collections.abc import Sequence
from functools import partial
from time import monotonic
from typing import NamedTuple

from ojs_grpc.core.states import CANCELLED, COMPLETED, DISCARDED
from ojs_grpc.stores.ports import Retention
from ojs_grpc.stores.sqlite.events import forget_events
from ojs_grpc.stores.sqlite.lanes import forget_lanes
from ojs_grpc.stores.sqlite.limits import forget_limits
from ojs_grpc.stores.sqlite.session import Session
from ojs_grpc.stores.sqlite.statements import load
from ojs_grpc.stores.sqlite.statistics import NOWHERE, Tally, forget_minutes, place

_SQL = load("retention")
_DAY_MS = 86_400_000

# The next sweep may be a minute away, and the loop serves nobody else meanwhile.
_LOT = 500
_LOT_SECONDS = 0.05


class _Shelf(NamedTuple):
    """Jobs that are kept by one rule.

    Attributes:
        kinds: their states, and whether they are dead.
        crowded, oldest: the statements that find queues with too many of them, and those to remove there.
    """

    kinds: Sequence[tuple[int, bool]]
    keep_ms: int
    keep_count: int = 0
    crowded: str = ""
    oldest: str = ""


def _shelves(retention: Retention) -> Sequence[_Shelf]:
    finished, dead = (retention.finished_ms, retention.finished_count), (retention.dead_ms, retention.dead_count)
    return (
        _Shelf([(COMPLETED, False), (CANCELLED, False)], *finished, "crowded_by_finished", "oldest_finished"),
        _Shelf([(DISCARDED, False)], retention.discarded_ms),
        _Shelf([(DISCARDED, True)], *dead, "crowded_by_dead", "oldest_dead"),
    )


def sweep(session: Session, retention: Retention, now: int, limit: int) -> int:
    """As in the port."""
    _forget_uncounted(session, retention, now)
    removed = session.db.execute(_SQL["delete_keys"], {"now": now, "limit": limit}).rowcount
    for shelf in _shelves(retention):
        removed += _remove_old(session, shelf, now, limit - removed)
        removed += _remove_excess(session, shelf, now, limit - removed)
    return removed


def _forget_uncounted(session: Session, retention: Retention, now: int) -> None:
    """Forgets in lots what does not count as removed: for some time, at least one lot of each kind."""
    stop = monotonic() + _LOT_SECONDS
    for forget in (
        partial(_forget_workers, session.db),
        partial(forget_limits, session),
        partial(forget_minutes, session.db),
        partial(forget_events, session.db, retention),
    ):
        while forget(now=now, limit=_LOT) and monotonic() < stop:
            pass


def _forget_workers(db: sqlite3.Connection, now: int, limit: int) -> bool:
    # A worker that withdrew a day ago and says nothing since may be another one by now.
    return db.execute(_SQL["forget_workers"], {"before": now - _DAY_MS, "limit": limit}).rowcount == limit


def _remove_old(session: Session, shelf: _Shelf, now: int, limit: int) -> int:
    removed = 0
    for state, dead in shelf.kinds:
        wanted = {"state": state, "dead": dead, "before": now - shelf.keep_ms, "limit": limit - removed}
        removed += _remove(session, session.db.execute(_SQL["old"], wanted).fetchall(), now)
    return removed


def _remove_excess(session: Session, shelf: _Shelf, now: int, limit: int) -> int:
    if not shelf.crowded:
        return 0
    removed = 0
    for queue, excess in session.db.execute(_SQL[shelf.crowded], {"count": shelf.keep_count}).fetchall():
        bound = min(excess, limit - removed)
        rows = session.db.execute(_SQL[shelf.oldest], {"queue": queue, "limit": bound}).fetchall()
        removed += _remove(session, rows, now)
    return removed


def _remove(session: Session, rows: Sequence[tuple[int, int, int, int, int]], now: int) -> int:
    """Deletes jobs; each comes as its key, its queue, its state, whether it is dead, and its lane."""
    keys = [(key,) for key, *_ in rows]
    session.db.executemany(_SQL["delete_job"], keys)
    session.db.executemany(_SQL["delete_envelope"], keys)
    tally = Tally()
    for _, queue, state, dead, _ in rows:
        tally.move(queue, place(state, dead), NOWHERE)
    tally.write(session.db, now)
    forget_lanes(session, {lane for *_, lane in rows if lane})
    return len(rows)
