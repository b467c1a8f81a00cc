"""Where jobs with limits stand: in lanes, which wait at gates while a limit holds them back (see schema.sql)."""

import json
import sqlite3
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from ojs_grpc.core.rate_limit import RateLimit
from ojs_grpc.stores.sqlite.limits import UNTIL_FREED, Meter, limit_key
from ojs_grpc.stores.sqlite.session import Held, Session
from ojs_grpc.stores.sqlite.statements import load

_SQL = load("lanes")
_NO_JOB = (0, 0)


class Lane(NamedTuple):
    """A lane as it stands; priority and seq are its first job's, 0 for none."""

    key: int
    queue: int
    open: int
    gate: int
    priority: int
    seq: int


class _Gate(NamedTuple):
    key: int
    queue: int
    used: int
    name: str
    concurrency: int
    claims: int
    period_ms: int
    whole: int


def lane_key(session: Session, queue: int, limits: Sequence[RateLimit]) -> int:
    """The key of the lane for a queue's jobs with these limits, which exists from now on; 0 for no limits."""
    if not limits:
        return 0
    packed = json.dumps(sorted(limits), separators=(",", ":"))
    row = session.db.execute(_SQL["find"], (queue, packed)).fetchone()
    if row is not None:
        return int(row[0])
    (key,) = session.numbers(1)
    session.db.execute(_SQL["create"], (key, queue, packed))
    session.db.executemany(_SQL["count_lanes"], [(1, limit_key(session, limit)) for limit in limits])
    return key


def lane_limits(session: Session, lane: int) -> Sequence[Held]:
    """The limits of a lane's jobs."""
    return session.lane_limits(lane, _look_up)


def _look_up(session: Session, lane: int) -> Sequence[Held]:
    (packed,) = session.db.execute(_SQL["limits"], (lane,)).fetchone()
    limits = [RateLimit(*limit) for limit in json.loads(packed)]
    return [Held(limit_key(session, limit), limit) for limit in limits]


def next_opening(db: sqlite3.Connection) -> int | None:
    """When the next gate opens that waits for a time; None if none does."""
    row = db.execute(_SQL["next_gate"]).fetchone()
    return None if row is None else row[0]


def forget_lanes(session: Session, lanes: Iterable[int]) -> None:
    """Deletes those of these lanes that no stored job belongs to."""
    for lane in lanes:
        if session.db.execute(_SQL["any_job"], (lane,)).fetchone() is None:
            session.db.executemany(_SQL["count_lanes"], [(-1, used) for used, _ in lane_limits(session, lane)])
            session.db.execute(_SQL["delete"], (lane,))


class Lanes:
    """The lanes as an operation goes on.

    Attributes:
        ready: names of queues with lanes, or as a whole, that were let go on.
    """

    def __init__(self, session: Session, meter: Meter, now: int) -> None:
        self._session = session
        self._db = session.db
        self._meter = meter
        self._now = now
        self.ready: set[str] = set()

    def best(self, queue: int) -> Lane | None:
        """The open lane of a queue whose first job is first in order."""
        row = self._db.execute(_SQL["best"], (queue,)).fetchone()
        return None if row is None else Lane._make(row)

    def refresh(self, key: int) -> None:
        """Jobs came to this lane or left it, from any place in it."""
        lane = Lane._make(self._db.execute(_SQL["standing"], (key,)).fetchone())
        row = self._db.execute(_SQL["head"], {"lane": key, "now": self._now}).fetchone()
        head = row or _NO_JOB
        if head == lane[4:]:
            return
        if row is None:
            self.empty(lane)
        elif not lane.open and not lane.gate:
            self._place(lane, 1, 0, head)
        elif lane.open:
            self.skip(lane, head)
        else:
            self._place(lane, 0, lane.gate, head)
            # It may be the first of its gate by now, and the gate may have room.
            self._let_go_on(lane._replace(priority=head[0], seq=head[1]))

    def advance(self, lane: Lane) -> None:
        """The first job of the lane was given."""
        head = self._behind(lane)
        if head is None:
            self.empty(lane)
            return
        self._place(lane, 1, 0, head)
        if lane.gate:
            self.open_gate(lane.gate)

    def pass_over(self, lane: Lane) -> None:
        """The first job of an open lane is not to be given any more."""
        head = self._behind(lane)
        if head is None:
            self.empty(lane)
        else:
            self.skip(lane, head)

    def skip(self, lane: Lane, head: tuple[int, int]) -> None:
        """The first job of an open lane is another one than was known."""
        self._place(lane, 1, lane.gate, head)
        if lane.gate:
            # Another lane of its gate may come before it now.
            self.open_gate(lane.gate)

    def empty(self, lane: Lane) -> None:
        """The lane has no job any more."""
        self._place(lane, 0, 0, _NO_JOB)
        if lane.open and lane.gate:
            self.open_gate(lane.gate)

    def hold(self, lane: Lane, held: Held, opens_at: int) -> None:
        """The lane waits for this limit."""
        gate = self._gate(lane.queue, held, opens_at, whole=False)
        self._place(lane, 0, gate, lane[4:])
        if lane.gate not in (0, gate):
            self.open_gate(lane.gate)

    def hold_queue(self, queue: int, held: Held, opens_at: int) -> None:
        """The whole queue waits for this limit."""
        self._gate(queue, held, opens_at, whole=True)

    def freed(self, used: int) -> None:
        """A limit may have room."""
        for (gate,) in self._db.execute(_SQL["gates_of_limit"], (used,)).fetchall():
            self.open_gate(gate)

    def open_due(self, limit: int) -> None:
        """Opens gates whose time has come."""
        for (gate,) in self._db.execute(_SQL["gates_due"], {"now": self._now, "limit": limit}).fetchall():
            self.open_gate(gate)

    def open_due_of(self, queue: int) -> None:
        """As `open_due`, of one queue."""
        for (gate,) in self._db.execute(_SQL["gates_due_of_queue"], {"queue": queue, "now": self._now}).fetchall():
            self.open_gate(gate)

    def open_gate(self, key: int) -> None:
        """Lets out what waits at a gate first, if the limit has room."""
        gate = _Gate._make(self._db.execute(_SQL["gate_by_key"], (key,)).fetchone())
        row = None if gate.whole else self._db.execute(_SQL["first_waiting"], (key,)).fetchone()
        if row is None and not gate.whole:
            self._leave_gate(key)
            return
        opens_at = self._blocked(gate)
        if opens_at is not None:
            self._set_time(key, opens_at)
            return
        self.ready.add(self._session.queue_name(gate.queue))
        if row is not None:
            lane = Lane._make(row)
            self._place(lane, 1, key, lane[4:])
        self._leave_gate(key)

    def _behind(self, lane: Lane) -> tuple[int, int] | None:
        """The place of the job behind the lane's first one."""
        first = {"lane": lane.key, "now": self._now, "priority": lane.priority, "seq": lane.seq}
        head: tuple[int, int] | None = self._db.execute(_SQL["head_behind"], first).fetchone()
        return head

    def _leave_gate(self, key: int) -> None:
        """Nothing waits for the gate's time; without a lane it is no more."""
        if self._db.execute(_SQL["any_lane"], (key,)).fetchone() is None:
            self._db.execute(_SQL["delete_gate"], (key,))
        else:
            self._set_time(key, UNTIL_FREED)

    def _let_go_on(self, lane: Lane) -> None:
        gate = _Gate._make(self._db.execute(_SQL["gate_by_key"], (lane.gate,)).fetchone())
        if self._blocked(gate) is None:
            self._place(lane, 1, lane.gate, lane[4:])

    def _blocked(self, gate: _Gate) -> int | None:
        return self._meter.blocked(Held(gate.used, RateLimit(gate.name, gate.concurrency, gate.claims, gate.period_ms)))

    def _gate(self, queue: int, held: Held, opens_at: int, *, whole: bool) -> int:
        """The key of a gate, which exists and has this time from now on."""
        _, concurrency, claims, period_ms = held.limit
        identity = (held.used, queue, concurrency, claims, period_ms, whole)
        row = self._db.execute(_SQL["gate"], identity).fetchone()
        if row is None:
            row = (self._session.numbers(1).start,)
            self._db.execute(_SQL["create_gate"], (*row, *identity))
        self._set_time(row[0], opens_at)
        return int(row[0])

    def _set_time(self, gate: int, opens_at: int) -> None:
        # Writes nothing if nothing changes: a claim that finds nothing must not wait for the disk.
        self._db.execute(_SQL["set_time"], {"gate": gate, "opens_at": opens_at})

    def _place(self, lane: Lane, open_: int, gate: int, head: Sequence[int]) -> None:
        self._db.execute(_SQL["place"], (open_, gate, *head, lane.key))
