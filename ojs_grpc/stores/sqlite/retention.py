"""Forgetting what is over."""

from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

from ojs_grpc.core.states import COMPLETED, DISCARDED
from ojs_grpc.stores.ports import Retention
from ojs_grpc.stores.sqlite.session import Session, Tally
from ojs_grpc.stores.sqlite.statements import load

_SQL = load("retention")
_DAY_MS = 86_400_000


class _Shelf(NamedTuple):
    """Jobs that are kept by one rule; the last three name the statements that find those to remove."""

    state: int
    dead: bool
    keep_ms: int
    keep_count: int
    old: str
    crowded: str = ""
    oldest: str = ""


def _shelves(retention: Retention) -> Sequence[_Shelf]:
    finished, dead = (retention.finished_ms, retention.finished_count), (retention.dead_ms, retention.dead_count)
    return (
        _Shelf(COMPLETED, False, *finished, "old_finished", "crowded_by_finished", "oldest_finished"),  # noqa: FBT003
        _Shelf(DISCARDED, False, retention.discarded_ms, 0, "old_discarded"),  # noqa: FBT003
        _Shelf(DISCARDED, True, *dead, "old_dead", "crowded_by_dead", "oldest_dead"),  # noqa: FBT003
    )


def sweep(session: Session, retention: Retention, now: int, limit: int) -> int:
    """As in the port."""
    # A worker that withdrew a day ago and says nothing since may be another one by now. Not part of what is counted.
    session.db.execute(_SQL["forget_workers"], {"before": now - _DAY_MS, "limit": limit})
    removed = session.db.execute(_SQL["delete_keys"], {"now": now, "limit": limit}).rowcount
    for shelf in _shelves(retention):
        removed += _remove_old(session, shelf, now, limit - removed)
        removed += _remove_excess(session, shelf, limit - removed)
    return removed


def _remove_old(session: Session, shelf: _Shelf, now: int, limit: int) -> int:
    rows = session.db.execute(_SQL[shelf.old], {"before": now - shelf.keep_ms, "limit": limit}).fetchall()
    return _remove(session, shelf, rows)


def _remove_excess(session: Session, shelf: _Shelf, limit: int) -> int:
    if not shelf.crowded:
        return 0
    removed = 0
    for queue, excess in session.db.execute(_SQL[shelf.crowded], {"count": shelf.keep_count}).fetchall():
        bound = min(excess, limit - removed)
        rows = session.db.execute(_SQL[shelf.oldest], {"queue": queue, "limit": bound}).fetchall()
        removed += _remove(session, shelf, rows)
    return removed


def _remove(session: Session, shelf: _Shelf, rows: Sequence[tuple[int, int]]) -> int:
    """Deletes jobs by their keys; each comes with its queue's."""
    keys = [(key,) for key, _ in rows]
    session.db.executemany(_SQL["delete_job"], keys)
    session.db.executemany(_SQL["delete_envelope"], keys)
    tally = Tally()
    for queue, jobs in Counter([queue for _, queue in rows]).items():
        tally.leave(queue, shelf.state, jobs, dead=shelf.dead)
    session.count(tally)
    return len(rows)
