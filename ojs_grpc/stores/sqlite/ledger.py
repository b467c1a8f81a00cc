"""What an operation writes beside the jobs themselves."""

from collections.abc import Iterable
from functools import cached_property

from ojs_grpc.core.states import ACTIVE, AVAILABLE, TERMINAL
from ojs_grpc.stores.ports import Ending
from ojs_grpc.stores.sqlite.events import Entries
from ojs_grpc.stores.sqlite.lanes import Lanes, lane_limits
from ojs_grpc.stores.sqlite.limits import Meter, free, limit_key
from ojs_grpc.stores.sqlite.session import Session
from ojs_grpc.stores.sqlite.statistics import Tally
from ojs_grpc.stores.sqlite.workflows import note_endings


class Ledger:
    """Collects figures, events, endings and what limits have to know, then written once for all jobs of the operation.

    Attributes:
        tally: the figures of queues.
        log: the events.
        ready: names of queues that got available jobs.
    """

    def __init__(self, session: Session, now: int) -> None:
        self._session = session
        self._now = now
        self._endings: list[Ending] = []
        self._freed: list[tuple[int, int, int]] = []
        self._stirred: set[int] = set()
        self.tally = Tally()
        self.log = Entries(enabled=session.log_events)
        self.ready: set[str] = set()

    @cached_property
    def meter(self) -> Meter:
        """What limits have used up."""
        return Meter(self._session, self._now)

    @cached_property
    def lanes(self) -> Lanes:
        """Where jobs with limits stand."""
        return Lanes(self._session, self.meter, self._now)

    def arrived(self, job_id: str, workflow: str | None, state: int) -> None:
        """A job came to this state; notes an ending if it is one, and of a workflow."""
        if workflow is not None and state in TERMINAL:
            self._endings.append(Ending(job_id, workflow, state))

    def joined(self, lanes: Iterable[int]) -> None:
        """Jobs became available in these lanes; 0 is none."""
        self._stirred.update(lanes)

    def left(self, job: int, queue: int, lane: int, state: int) -> None:
        """A job of this lane, 0 for none, left this state."""
        if state == AVAILABLE:
            self._stirred.add(lane)
        elif state == ACTIVE:
            self._freed.append((job, queue, lane))

    def close(self) -> None:
        """Writes it all."""
        session, now = self._session, self._now
        self.tally.write(session.db, now)
        if self._freed or self._stirred or "meter" in self.__dict__:
            self._settle()
        session.ready.update(self.ready)
        if self._endings:
            note_endings(session.db, self._endings)
            session.ended = True
        if self.log:
            self.log.write(session.db, now)
            session.logged = True

    def _settle(self) -> None:
        """Brings lanes and limits up to date. The figures are written by now, and the meter may read them."""
        session = self._session
        uses = [(used, job) for job, _, lane in self._freed if lane for used, _ in lane_limits(session, lane)]
        free(session, uses)
        self.meter.write()
        for lane in self._stirred - {0}:
            self.lanes.refresh(lane)
        rules = [session.queue_limit(session.queue_name(queue)) for queue in {queue for _, queue, _ in self._freed}]
        freed = {used for used, _ in uses} | {limit_key(session, rule) for rule in rules if rule is not None}
        for used in freed:
            self.lanes.freed(used)
        self.ready |= self.lanes.ready
