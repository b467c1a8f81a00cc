"""Makes the jobs of cron entries whose time has come (behaviour section 5).

Any number of servers may do it: a job, the entry's next run and what is told of it are written at once, on condition
that the entry is as it was read. So each run happens once, whoever is faster and whatever crashes in between.
"""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import structlog
from ojs_grpc_pb.v1.job_pb2 import Job
from ojs_grpc_pb.v1.service_pb2 import CronEntry

from ojs_grpc.core import states
from ojs_grpc.core.cron_tick import Reason, Tick, Turn, jobs_to_read
from ojs_grpc.core.envelope import Defaults, EnvelopeReader
from ojs_grpc.core.unique import REPLACE, REPLACE_EXCEPT_SCHEDULE
from ojs_grpc.errors import OJSError, QueueFull
from ojs_grpc.operations.alarm import Alarm
from ojs_grpc.operations.changes import Changes
from ojs_grpc.operations.cron import KIND
from ojs_grpc.stores.ports import Document, Duplicates, Outcome, Outdated, Store, Unit, Write

log = structlog.get_logger(__name__)

# To decide about so many takes some 10 ms, in which nobody else gets a turn.
_CHUNK = 50
# Duplicates show one by one. A run that would have to replace more of them is skipped, or it might never come.
_MOST_REPLACED = 40
# A turn that the store refuses is followed by another one; what is refused so often waits for the next look.
_ROUNDS = _MOST_REPLACED + 5
_AGAIN_MS = 10
_BROKEN_MS = 3_600_000
_MANY_WAITING = 2


class _Due(NamedTuple):
    """A due entry, what is to be done about it, and the duplicates that its job takes the place of."""

    document: Document
    tick: Tick
    turn: Turn
    replaced: tuple[Job, ...] = ()


class CronFirer:
    """The duty of cron entries."""

    name = "cron_firer"
    # Who registers an entry moves the alarm of its own server, which fires it; others are needed if that one stops.
    idle_ms = 5000

    def __init__(self, store: Store, changes: Changes, alarm: Alarm, defaults: Defaults) -> None:
        self._store = store
        self._changes = changes
        # Not the one that serves callers: no two jobs of an entry have the same options, so it keeps what nobody needs.
        self._reader = EnvelopeReader(defaults)
        self.alarm = alarm

    async def run_once(self) -> int | None:
        """Does a chunk of entries."""
        now = self._store.clock.now()
        found = await self._store.due_documents(KIND, now, _CHUNK)
        times = [] if found.next_at is None else [found.next_at]
        if found.documents:
            times += await self._take_turns(found.documents, now)
        return min(times, default=None)

    async def _take_turns(self, documents: Sequence[Document], now: int) -> list[int]:
        """Does what is due; when each of the entries is due again."""
        entries = [CronEntry.FromString(document.data) for document in documents]
        recent = await self._recent(entries)
        ticks = [
            Tick(entry, document.due_at, [recent[id_] for id_ in jobs_to_read(entry) if id_ in recent], now)
            for entry, document in zip(entries, documents, strict=True)
        ]
        pending = [
            _Due(document, tick, self._decide(document.name, tick))
            for document, tick in zip(documents, ticks, strict=True)
        ]
        times: list[int] = []
        for _ in range(_ROUNDS):
            outcomes = await self._changes.commit([_unit(due) for due in pending], now)
            refused: list[_Due] = []
            for due, outcome in zip(pending, outcomes, strict=True):
                if outcome is None:
                    _tell(due)
                    times += [due.turn.due_at] if due.turn.due_at else []
                elif isinstance(outcome, Outdated):
                    # Another server was faster, or one of the jobs changed: the next look tells.
                    times.append(now + _AGAIN_MS)
                else:
                    refused.append(self._instead(due, outcome))
            pending = refused
            if not pending:
                return times
        return [*times, now + _AGAIN_MS]

    async def _recent(self, entries: Iterable[CronEntry]) -> dict[str, Job]:
        """The jobs that matter, as far as they are stored."""
        ids = [id_ for entry in entries for id_ in jobs_to_read(entry)]
        found = await self._store.read(ids) if ids else []
        return {id_: Job.FromString(data) for id_, data in zip(ids, found, strict=True) if data is not None}

    def _decide(self, name: str, tick: Tick) -> Turn:
        """What to do about an entry; one that is broken stops no other."""
        try:
            try:
                return tick.decide(self._reader)
            except OJSError as error:
                log.warning("cron entry makes no valid job", cron=name, error=error.message)
                return tick.skip(Reason.INVALID)
        except ValueError as error:
            # Registered by a server with other time zones.
            log.warning("cron entry has no valid schedule", cron=name, error=str(error))
            return tick.postpone(_BROKEN_MS)

    def _instead(self, due: _Due, outcome: Outcome) -> _Due:
        """What to do after the store refused the job."""
        if isinstance(outcome, Duplicates):
            return self._settle(due, Job.FromString(outcome.jobs[0]))
        if isinstance(outcome, QueueFull):
            log.warning("cron job has no room in its queue", cron=due.document.name, error=outcome.message)
            return due._replace(turn=due.tick.skip(Reason.QUEUE_FULL))
        log.error("cron job refused", cron=due.document.name, error=str(outcome))
        return due._replace(turn=due.tick.skip(Reason.INVALID))

    def _settle(self, due: _Due, duplicate: Job) -> _Due:
        """What the job's unique policy says of a duplicate."""
        links = due.turn.jobs[0].links
        action = links.unique.on_conflict if links is not None and links.unique is not None else 0
        replaces = action in (REPLACE, REPLACE_EXCEPT_SCHEDULE) and len(due.replaced) < _MOST_REPLACED
        if not replaces or duplicate.state in states.TERMINAL:
            return due._replace(turn=due.tick.skip(Reason.DUPLICATE, duplicate.id))
        replaced = (*due.replaced, duplicate)
        return due._replace(turn=due.tick.run(self._reader, replaced), replaced=replaced)


def _unit(due: _Due) -> Unit:
    document, turn = due.document, due.turn
    write = Write(KIND, document.name, document.version, turn.entry.SerializeToString(), turn.due_at)
    return Unit(jobs=turn.jobs, changes=turn.changes, writes=[write], events=turn.events)


def _tell(due: _Due) -> None:
    """Logs what an operator should know of."""
    name = due.document.name
    if not due.turn.due_at:
        log.warning("cron entry never runs again", cron=name)
    if due.turn.jobs and due.tick.waiting > _MANY_WAITING:
        log.warning("cron jobs pile up", cron=name, waiting=due.tick.waiting)
