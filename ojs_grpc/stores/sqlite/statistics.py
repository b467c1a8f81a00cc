"""Figures of queues: how many jobs are in which state, and what happened in which minute."""

import sqlite3
from collections import defaultdict
from collections.abc import Mapping, Sequence
from functools import cache

from ojs_grpc.core.states import ACTIVE, AVAILABLE, CANCELLED, COMPLETED, DISCARDED, PENDING, RETRYABLE, SCHEDULED
from ojs_grpc.stores.ports import Minute, QueueCounts, QueueFacts
from ojs_grpc.stores.sqlite.statements import load

_SQL = load("statistics")
_MINUTE_MS = 60_000
_MINUTES = 60

NOWHERE = 0
"""Where a job comes from that is inserted, and goes to that is deleted."""
DEAD = 100
"""Where a dead letter is; every other job is where its state says."""

# The columns that count the jobs at a place.
_COLUMNS: Mapping[int, tuple[str, ...]] = {
    AVAILABLE: ("available",),
    ACTIVE: ("active",),
    SCHEDULED: ("scheduled",),
    RETRYABLE: ("retryable",),
    PENDING: ("pending",),
    COMPLETED: ("finished",),
    CANCELLED: ("finished", "cancelled"),
    DISCARDED: ("discarded",),
    DEAD: ("discarded", "dead"),
}
# The states as statements list their counts.
_COUNTED = (AVAILABLE, ACTIVE, SCHEDULED, RETRYABLE, PENDING, COMPLETED, CANCELLED, DISCARDED)
_DEPTH = frozenset({AVAILABLE, SCHEDULED, RETRYABLE})


def place(state: int, dead: int) -> int:
    """Where a job is."""
    return DEAD if dead else state


class Tally:
    """How an operation changes the figures of queues. Queues are keys here, as in the tables."""

    def __init__(self) -> None:
        self._moves: defaultdict[tuple[int, int, int], int] = defaultdict(int)
        self._minutes: defaultdict[int, list[int]] = defaultdict(lambda: [0, 0, 0, 0, 0])

    def move(self, queue: int, before: int, after: int, jobs: int = 1) -> None:
        """So many jobs went from one place to another."""
        self._moves[queue, before, after] += jobs

    def completed(self, queue: int, jobs: int, duration_ms: int) -> None:
        """So many jobs were completed, which had taken so long together."""
        minute = self._minutes[queue]
        minute[0] += jobs
        minute[3] += duration_ms

    def failed(self, queue: int) -> None:
        """An attempt failed."""
        self._minutes[queue][1] += 1

    def claimed(self, queue: int, jobs: int, wait_ms: int) -> None:
        """So many jobs were claimed, which had waited so long together."""
        minute = self._minutes[queue]
        minute[2] += jobs
        minute[4] += wait_ms

    def deeper(self) -> dict[int, int]:
        """How many jobs more each queue holds that count for its bound (behaviour section 16)."""
        depths: defaultdict[int, int] = defaultdict(int)
        for (queue, before, after), jobs in self._moves.items():
            depths[queue] += jobs * ((after in _DEPTH) - (before in _DEPTH))
        return depths

    def write(self, db: sqlite3.Connection, now: int) -> None:
        """Adds it to what is stored."""
        for (queue, before, after), jobs in self._moves.items():
            db.execute(_move_statement(before, after), (jobs, queue))
        for queue, figures in self._minutes.items():
            db.execute(_SQL["record"], (queue, now // _MINUTE_MS, *figures))


@cache
def _move_statement(before: int, after: int) -> str:
    """Counts jobs at another place."""
    changes = [f"{column} = {column} - ?1" for column in _COLUMNS.get(before, ())]
    changes += [f"{column} = {column} + ?1" for column in _COLUMNS.get(after, ())]
    if after == COMPLETED:
        changes.append("completed = completed + ?1")
    return _SQL["count"].replace("[changes]", ", ".join(changes) or "key = key")


def queue_facts(db: sqlite3.Connection, queue: str, now: int) -> QueueFacts | None:
    """As in the port."""
    row = db.execute(_SQL["figures"], (queue,)).fetchone()
    if row is None:
        return None
    key, paused, available, active, scheduled, retryable, discarded, completed = row
    minute = now // _MINUTE_MS
    minutes = db.execute(_SQL["minutes"], (key, minute - _MINUTES, minute)).fetchall()
    return QueueFacts(
        paused=bool(paused),
        available=available,
        active=active,
        scheduled=scheduled,
        retryable=retryable,
        discarded=discarded,
        completed=completed,
        minutes=[Minute(*figures) for figures in minutes],
    )


def queue_counts(db: sqlite3.Connection, queue: str, now: int) -> list[QueueCounts]:
    """As in the port."""
    found = (db.execute(_SQL["counts_of"], (queue,)) if queue else db.execute(_SQL["counts"])).fetchall()
    span = now // _MINUTE_MS - 1, now // _MINUTE_MS
    minutes = defaultdict[int, list[Minute]](list)
    if not queue:
        for key, *figures in db.execute(_SQL["minutes_of_all"], span):
            minutes[key].append(Minute(*figures))
    for key, *_ in found if queue else ():
        minutes[key] = [Minute(*figures) for figures in db.execute(_SQL["minutes"], (key, *span))]
    return [
        QueueCounts(name, bool(paused), created_at, counts_by_state(counts), completed, minutes[key])
        for key, name, paused, created_at, completed, *counts in found
    ]


def counts_by_state(counts: Sequence[int]) -> dict[int, int]:
    """The counts of a queue as statements list them, by state."""
    return dict(zip(_COUNTED, counts, strict=True))


def forget_minutes(db: sqlite3.Connection, now: int, limit: int) -> bool:
    """Deletes up to `limit` rows of figures that nobody will be told any more; whether there may be more of them."""
    deleted = db.execute(_SQL["forget"], {"before": now // _MINUTE_MS - _MINUTES, "limit": limit}).rowcount
    return deleted == limit
