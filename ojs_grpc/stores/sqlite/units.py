"""Units: what one caller wants done at once, or not at all."""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import NamedTuple

from ojs_grpc.core.envelope import NewJob
from ojs_grpc.core.states import PENDING
from ojs_grpc.errors import DuplicateJob, InvalidRequest, OJSError, Violation
from ojs_grpc.stores.ports import Duplicates, IdempotencyKey, Outcome, Outdated, Unit
from ojs_grpc.stores.sqlite import documents, events, jobs, unique, workflows
from ojs_grpc.stores.sqlite.ledger import Ledger
from ojs_grpc.stores.sqlite.queues import overfull
from ojs_grpc.stores.sqlite.session import Session
from ojs_grpc.stores.sqlite.statements import load

_SQL = load("units")
_NONE: Mapping[int, str] = MappingProxyType({})


class _Alike(NamedTuple):
    """The ids of duplicates, by the positions of the new jobs."""

    ids: Mapping[int, str]


def insert(session: Session, units: Sequence[Unit], now: int) -> list[Outcome]:
    """As in the port."""
    batch = _Batch(session, now)
    outcomes = [batch.take(unit) for unit in units]
    batch.flush()
    return outcomes


class _Batch:
    """Units that hold nothing but jobs are stored together; the others one by one."""

    def __init__(self, session: Session, now: int) -> None:
        self._session = session
        self._now = now
        self._accepted: list[NewJob] = []
        self._ids: set[str] = set()
        self._fingerprints: set[bytes] = set()
        self._coming: defaultdict[str, int] = defaultdict(int)

    def take(self, unit: Unit) -> Outcome:
        """Accepts a unit or refuses it."""
        new, key, changes, writes, endings, told, alike = unit
        reply = None if key is None else self._earlier_reply(key)
        if reply is not None:
            return reply
        if changes or writes or endings or told or alike:
            self.flush()
            return self._do(unit)
        if self._session.bounded or any(map(_may_be_refused, new)):
            refusal = self._refusal(new)
            if refusal is not None:
                return self._standing(refusal) if isinstance(refusal, _Alike) else refusal
        self._accepted += new
        if key is not None:
            self._remember(key)
        return None

    def flush(self) -> None:
        """Stores what was accepted."""
        if self._accepted:
            ledger = Ledger(self._session, self._now)
            jobs.store(self._session, ledger, self._accepted, self._now)
            ledger.close()
            self._accepted = []
            self._ids = set()
            self._fingerprints = set()
            self._coming.clear()

    def _do(self, unit: Unit) -> Outcome:
        """Does a unit step by step, and takes the steps back if one is refused."""
        db = self._session.db
        db.execute("SAVEPOINT unit")
        ledger = Ledger(self._session, self._now)
        outcome = self._steps(unit, ledger)
        if outcome is None:
            ledger.close()
        else:
            db.execute("ROLLBACK TO unit")
            self._session.forget()
        db.execute("RELEASE unit")
        # Only now do the duplicates stand as they stood before.
        return self._standing(outcome) if isinstance(outcome, _Alike) else outcome

    def _steps(self, unit: Unit, ledger: Ledger) -> Outcome | _Alike:
        session, now = self._session, self._now
        twins = self._twins(unit)
        changed = jobs.change(session, ledger, unit.changes, now)
        if None in changed or not documents.write(session, unit.writes):
            return Outdated()
        refusal = self._taken(unit.jobs) or self._duplicates(unit.jobs, twins)
        if refusal is not None:
            return refusal
        jobs.store(session, ledger, unit.jobs, now)
        if session.bounded:
            growth = {session.queue_name(queue): more for queue, more in ledger.tally.deeper().items()}
            if (full := overfull(session, growth, {})) is not None:
                return full
        workflows.forget_endings(session.db, unit.endings)
        events.add_all(ledger.log, unit.events)
        if unit.key is not None:
            self._remember(unit.key)
        return None

    def _earlier_reply(self, key: IdempotencyKey) -> OJSError | bytes | None:
        row = self._session.db.execute(_SQL["idempotency_key"], {"key": key.key, "now": self._now}).fetchone()
        if row is None:
            return None
        fingerprint, reply = row
        if fingerprint != key.fingerprint:
            return InvalidRequest([Violation("x-ojs-idempotency-key", "was used before with another request")])
        return bytes(reply)

    def _remember(self, key: IdempotencyKey) -> None:
        self._session.db.execute(_SQL["remember_key"], key)

    def _refusal(self, jobs: Sequence[NewJob]) -> OJSError | _Alike | None:
        """Why jobs cannot be accepted. If they can, they are to be."""
        refusal = self._taken(jobs) or self._duplicates(jobs) or self._overfull(jobs)
        if refusal is None:
            linked = [job.links.unique for job in jobs if job.links is not None]
            self._fingerprints.update([each.fingerprint for each in linked if each is not None])
        return refusal

    def _taken(self, jobs: Sequence[NewJob]) -> OJSError | None:
        earlier: set[str] = set()
        for job_id in [job.id for job in jobs if job.reserved]:
            known = job_id in earlier or job_id in self._accepted_ids()
            if known or self._session.db.execute(_SQL["taken"], (job_id,)).fetchone():
                return DuplicateJob(job_id)
            earlier.add(job_id)
        return None

    def _accepted_ids(self) -> set[str]:
        """The ids of what was accepted, brought up to date only now: hardly anybody asks."""
        self._ids.update([job.id for job in self._accepted[len(self._ids) :]])
        return self._ids

    def _twins(self, unit: Unit) -> dict[int, str]:
        """The duplicates of `Unit.alike`. To be called before anything is changed: no job is its own duplicate."""
        alike = enumerate(unit.alike, len(unit.jobs))
        found = {position: unique.duplicate(self._session.db, each, self._now) for position, each in alike}
        return {position: twin for position, twin in found.items() if twin is not None}

    def _duplicates(self, jobs: Sequence[NewJob], twins: Mapping[int, str] = _NONE) -> _Alike | None:
        found = dict(twins)
        for position, job in enumerate(jobs):
            if job.links is None or job.links.unique is None:
                continue
            if job.links.unique.fingerprint in self._fingerprints:
                # The duplicate may be among those that are not stored yet.
                self.flush()
            duplicate = unique.duplicate(self._session.db, job.links.unique, self._now)
            if duplicate is not None:
                found[position] = duplicate
        return _Alike(found) if found else None

    def _standing(self, alike: _Alike) -> Duplicates:
        found = jobs.read(self._session.db, list(alike.ids.values()))
        return Duplicates({position: job for position, job in zip(alike.ids, found, strict=True) if job is not None})

    def _overfull(self, jobs: Sequence[NewJob]) -> OJSError | None:
        if not self._session.bounded:
            return None
        growth = Counter([job.queue for job in jobs if job.state != PENDING])
        if (full := overfull(self._session, growth, self._coming)) is not None:
            return full
        # The last reason there could have been: they are accepted.
        for queue, more in growth.items():
            self._coming[queue] += more
        return None


def _may_be_refused(job: NewJob) -> bool:
    """Whether a job needs more than room in its queue."""
    return job.reserved or job.links is not None
