"""The jobs of a queue that may be given now, in order."""

from collections.abc import Generator, Iterator, Sequence
from typing import NamedTuple

from ojs_grpc.stores.sqlite.lanes import Lane, lane_limits
from ojs_grpc.stores.sqlite.ledger import Ledger
from ojs_grpc.stores.sqlite.limits import limit_key
from ojs_grpc.stores.sqlite.session import Held, Session
from ojs_grpc.stores.sqlite.statements import load

_SQL = load("line")


class Row(NamedTuple):
    """An available job."""

    key: int
    id: str
    attempt: int
    enqueued_at: int
    visibility_ms: int
    timeout_ms: int
    priority: int
    seq: int
    tail: bytes
    subject: bytes
    data: bytes


Jobs = Generator[Row, None, None]


def plain_line(session: Session, queue: int, slots: int, now: int) -> Jobs:
    """Gives the jobs without limits of a queue, for so many slots."""
    yield from map(Row._make, session.db.execute(_SQL["next_in_line"], {"queue": queue, "now": now, "slots": slots}))


class LimitedLine:
    """The line of a queue merged with its open lanes, or held to what the operator set for the queue."""

    def __init__(self, session: Session, ledger: Ledger, queue: int, name: str, now: int) -> None:
        self._session = session
        self._queue = queue
        self._now = now
        self._lanes, self._meter = ledger.lanes, ledger.meter
        rule = session.queue_limit(name)
        self._rule = None if rule is None else Held(limit_key(session, rule), rule)
        self._first: Row | None = None

    def jobs(self, slots: int) -> Jobs:
        """Gives jobs for so many slots; each counts as claimed when the next one is asked for."""
        self._lanes.open_due_of(self._queue)
        plain = plain_line(self._session, self._queue, slots, self._now)
        self._first = next(plain, None)
        for _ in range(slots):
            found = next(self._candidates(), None)
            if found is None or self._used_up():
                break
            row, lane, held = found
            yield row
            self._meter.use(held, self._rule, row.key, self._queue)
            if lane is None:
                self._first = next(plain, None)
            else:
                self._lanes.advance(lane)

    def _used_up(self) -> bool:
        """Whether the queue's own limit allows no more; then somebody will tell when it does."""
        opens_at = None if self._rule is None else self._meter.blocked(self._rule)
        if self._rule is None or opens_at is None:
            return False
        self._lanes.hold_queue(self._queue, self._rule, opens_at)
        return True

    def _candidates(self) -> Iterator[tuple[Row, Lane | None, Sequence[Held]]]:
        """The first job that may be given, its lane and its limits; lanes that may not are put aside on the way."""
        while (lane := self._lanes.best(self._queue)) is not None:
            if self._first is not None and (-self._first.priority, self._first.seq) < (-lane.priority, lane.seq):
                break
            held = lane_limits(self._session, lane.key)
            if self._may_go_on(lane, held) and (row := self._first_of(lane)) is not None:
                yield row, lane, held
        if self._first is not None:
            yield self._first, None, []

    def _may_go_on(self, lane: Lane, held: Sequence[Held]) -> bool:
        for each in held:
            opens_at = self._meter.blocked(each)
            if opens_at is not None:
                self._lanes.hold(lane, each, opens_at)
                return False
        return True

    def _first_of(self, lane: Lane) -> Row | None:
        """The lane's first job; None if the one that was known to be is not to be given any more."""
        place = {"lane": lane.key, "now": self._now, "priority": lane.priority, "seq": lane.seq}
        row = self._session.db.execute(_SQL["at_place"], place).fetchone()
        if row is None:
            self._lanes.pass_over(lane)
            return None
        return Row._make(row)
