"""Jobs by id: insert, read, apply."""

import sqlite3
from collections import Counter
from collections.abc import Iterator, Sequence
from functools import cache
from itertools import chain, islice
from typing import Any, NamedTuple

from ojs_grpc.core.envelope import NewJob
from ojs_grpc.core.states import AVAILABLE, SCHEDULED, TERMINAL
from ojs_grpc.core.transition import Transition
from ojs_grpc.errors import DuplicateJob, InvalidRequest, OJSError, Violation
from ojs_grpc.stores.ports import IdempotencyKey, Unit
from ojs_grpc.stores.sqlite.record import Record, job_bytes
from ojs_grpc.stores.sqlite.session import Session, Tally
from ojs_grpc.stores.sqlite.statements import load, rows_by_id

_SQL = load("jobs")

# States whose jobs have an order: that of delivery, and that of their end.
_PLACED = TERMINAL | {AVAILABLE}

# One statement for so many rows costs 40% less than one for each.
_ROWS = 25


def insert(session: Session, units: Sequence[Unit], now: int) -> list[OJSError | bytes | None]:
    """As in the port."""
    outcomes: list[OJSError | bytes | None] = []
    accepted: list[NewJob] = []
    accepted_ids: set[str] = set()
    for unit in units:
        outcome = _refusal(session.db, unit, accepted_ids, now)
        outcomes.append(outcome)
        if outcome is None:
            accepted += unit.jobs
            accepted_ids.update([job.id for job in unit.jobs])
            if unit.key is not None:
                session.db.execute(_SQL["remember_key"], unit.key)
    if accepted:
        _store(session, accepted, now)
    return outcomes


def _refusal(db: sqlite3.Connection, unit: Unit, accepted_ids: set[str], now: int) -> OJSError | bytes | None:
    reply = None if unit.key is None else _earlier_reply(db, unit.key, now)
    if reply is not None:
        return reply
    earlier: set[str] = set()
    for job in unit.jobs:
        if job.reserved:
            if job.id in earlier or job.id in accepted_ids or db.execute(_SQL["taken"], (job.id,)).fetchone():
                return DuplicateJob(job.id)
            earlier.add(job.id)
    return None


def _earlier_reply(db: sqlite3.Connection, key: IdempotencyKey, now: int) -> OJSError | bytes | None:
    row = db.execute(_SQL["idempotency_key"], {"key": key.key, "now": now}).fetchone()
    if row is None:
        return None
    fingerprint, reply = row
    if fingerprint != key.fingerprint:
        return InvalidRequest([Violation("x-ojs-idempotency-key", "was used before with another request")])
    return bytes(reply)


def _store(session: Session, jobs: Sequence[NewJob], now: int) -> None:
    # A number serves as the job's key and, if it is available, as its place in line.
    numbers = session.numbers(len(jobs))
    keys = {name: session.queue_key(name, now) for name in {job.queue for job in jobs}}
    rows = [
        (
            number,
            job.id,
            keys[job.queue],
            job.state,
            job.priority,
            number if job.state == AVAILABLE else 0,
            now if job.state == AVAILABLE else 0,
            job.due_at if job.state == SCHEDULED else 0,
            job.due_at if job.state == SCHEDULED else 0,
            job.expires_at,
            job.visibility_ms,
            job.timeout_ms,
        )
        for number, job in zip(numbers, jobs, strict=True)
    ]
    _insert_rows(session.db, _SQL["insert_job"], rows)
    _insert_rows(session.db, _SQL["insert_envelope"], list(zip(numbers, [job.envelope for job in jobs], strict=True)))
    tally = Tally()
    available = Counter([job.queue for job in jobs if job.state == AVAILABLE])
    for queue, count in available.items():
        tally.enter(keys[queue], AVAILABLE, count)
    session.count(tally)
    session.ready.update(available)


def _insert_rows(db: sqlite3.Connection, statement: str, rows: Sequence[tuple[object, ...]]) -> None:
    remaining = iter(rows)
    for _ in range(len(rows) // _ROWS):
        db.execute(_for_many_rows(statement), list(chain.from_iterable(islice(remaining, _ROWS))))
    db.executemany(statement, remaining)


@cache
def _for_many_rows(statement: str) -> str:
    head, values = statement.split("VALUES")
    return f"{head}VALUES {', '.join([values] * _ROWS)}"


def read(db: sqlite3.Connection, job_ids: Sequence[str]) -> list[bytes | None]:
    """As in the port."""
    jobs = {job_id: job_bytes(Record(*row)) for job_id, row in rows_by_id(db, _SQL["read"], job_ids).items()}
    return [jobs.get(job_id) for job_id in job_ids]


class _Job(NamedTuple):
    key: int
    queue: int
    seq: int
    wake_at: int
    dead: bool
    record: Record


def _job(key: int, queue: int, seq: int, wake_at: int, dead: int, *record: Any) -> _Job:  # noqa: ANN401 - a row
    return _Job(key, queue, seq, wake_at, bool(dead), Record(*record))


def apply(session: Session, transitions: Sequence[Transition], now: int) -> list[bytes | None]:
    """As in the port."""
    rows = rows_by_id(session.db, _SQL["standing"], [change.job_id for change in transitions])
    jobs = {job_id: _job(*row) for job_id, row in rows.items()}
    needed = sum([(change.to in _PLACED) + change.fence for change in transitions if change.job_id in jobs])
    numbers = iter(session.numbers(needed))
    tally = Tally()
    updates = []
    outcomes: list[bytes | None] = []
    for change in transitions:
        before = jobs.get(change.job_id)
        if before is None or not _holds(change, before):
            outcomes.append(None)
            continue
        after = _changed(before, change, numbers, now)
        # The same call may change a job twice.
        jobs[change.job_id] = after
        updates.append(_update(after))
        outcomes.append(job_bytes(after.record))
        tally.leave(before.queue, change.state, dead=before.dead)
        tally.enter(before.queue, change.to, dead=change.dead)
        if change.to == AVAILABLE:
            session.ready.add(session.queue_name(before.queue))
    session.db.executemany(_SQL["apply"], updates)
    session.count(tally)
    return outcomes


def _holds(change: Transition, job: _Job) -> bool:
    return (
        job.record.state == change.state
        and job.record.lease == change.lease
        and (change.overdue_at is None or job.wake_at <= change.overdue_at)
    )


def _changed(job: _Job, change: Transition, numbers: Iterator[int], now: int) -> _Job:
    _, _, lease, enqueued_at, started_at, _, _, _, _, envelope = job.record
    record = Record(
        state=change.to,
        attempt=change.attempt,
        lease=next(numbers) if change.fence else lease,
        enqueued_at=now if change.to == AVAILABLE else enqueued_at,
        started_at=started_at,
        ended_at=now if change.to in TERMINAL else 0,
        due_at=change.due_at,
        worker="",
        tail=change.tail,
        envelope=envelope,
    )
    seq = next(numbers) if change.to in _PLACED else job.seq
    return _Job(job.key, job.queue, seq, change.due_at, change.dead, record)


def _update(job: _Job) -> tuple[object, ...]:
    state, attempt, lease, enqueued_at, _, ended_at, due_at, _, tail, _ = job.record
    return state, attempt, lease, job.seq, enqueued_at, ended_at, due_at, job.wake_at, job.dead, tail, job.key
