"""Jobs by id: store, read, apply."""

import sqlite3
from collections.abc import Iterator, Sequence
from functools import cache
from itertools import chain, islice
from typing import Any, NamedTuple

from ojs_grpc.core.envelope import NewJob
from ojs_grpc.core.events import Kind
from ojs_grpc.core.states import AVAILABLE, SCHEDULED, TERMINAL
from ojs_grpc.core.transition import Transition
from ojs_grpc.stores.sqlite.lanes import lane_key
from ojs_grpc.stores.sqlite.ledger import Ledger
from ojs_grpc.stores.sqlite.record import Record, job_bytes
from ojs_grpc.stores.sqlite.session import Session
from ojs_grpc.stores.sqlite.statements import load, rows_by_id
from ojs_grpc.stores.sqlite.statistics import NOWHERE, place

_SQL = load("jobs")

# States whose jobs have an order: that of delivery, and that of their end.
_PLACED = TERMINAL | {AVAILABLE}

# What the log says of a new job; of a pending one, nothing yet.
_NEWS = {AVAILABLE: Kind.JOB_ENQUEUED, SCHEDULED: Kind.JOB_SCHEDULED}

# One statement for so many rows costs 40% less than one for each.
_ROWS = 25


def store(session: Session, ledger: Ledger, jobs: Sequence[NewJob], now: int) -> None:
    """Stores new jobs, whatever there is already."""
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
    subjects = [job.envelope[: job.subject_size] for job in jobs]
    linked = [job for job in jobs if job.links is not None]
    if linked:
        _insert_linked(session, ledger, jobs, rows, now)
        rows = [row for row, job in zip(rows, jobs, strict=True) if job.links is None]
    _insert_rows(session.db, _SQL["insert_job"], rows)
    data = [job.envelope[job.subject_size :] for job in jobs]
    _insert_rows(session.db, _SQL["insert_envelope"], list(zip(numbers, subjects, data, strict=True)))
    states = [job.state for job in jobs]
    if session.log_events:
        told = zip(states, subjects, strict=True)
        ledger.log.add_new([(_NEWS[state], subject) for state, subject in told if state in _NEWS])
    for job in jobs:
        ledger.tally.move(keys[job.queue], NOWHERE, job.state)
        if job.state == AVAILABLE:
            ledger.ready.add(job.queue)


def _insert_linked(
    session: Session, ledger: Ledger, jobs: Sequence[NewJob], rows: Sequence[tuple[object, ...]], now: int
) -> None:
    """Inserts those of the jobs that have links."""
    linked = []
    for job, row in zip(jobs, rows, strict=True):
        if job.links is None:
            continue
        lane = lane_key(session, session.queue_key(job.queue, now), job.links.limits)
        fingerprint = None if job.links.unique is None else job.links.unique.fingerprint
        created_at = 0 if fingerprint is None else now
        linked.append((*row, lane, created_at, fingerprint, job.links.workflow_id or None))
        if job.state == AVAILABLE:
            ledger.joined([lane])
    _insert_rows(session.db, _SQL["insert_linked_job"], linked)


def _insert_rows(db: sqlite3.Connection, statement: str, rows: Sequence[tuple[object, ...]]) -> None:
    remaining = iter(rows)
    for _ in range(len(rows) // _ROWS):
        db.execute(_for_many_rows(statement), list(chain.from_iterable(islice(remaining, _ROWS))))
    for row in remaining:
        db.execute(statement, row)


@cache
def _for_many_rows(statement: str) -> str:
    head, values = statement.split("VALUES")
    return f"{head}VALUES {', '.join([values] * _ROWS)}"


def read(db: sqlite3.Connection, job_ids: Sequence[str]) -> list[bytes | None]:
    """As in the port."""
    jobs = {job_id: job_bytes(Record(*row)) for job_id, row in rows_by_id(db, _SQL["read"], job_ids).items()}
    return [jobs.get(job_id) for job_id in job_ids]


# The columns of `standing` that are not the record's.
_OWN = 7


class _Job(NamedTuple):
    key: int
    queue: int
    seq: int
    wake_at: int
    dead: int
    lane: int
    workflow: str | None
    record: Record


def _job(*row: Any) -> _Job:  # noqa: ANN401 - a row
    return _Job._make([*row[:_OWN], Record(*row[_OWN:])])


def apply(session: Session, transitions: Sequence[Transition], now: int) -> list[bytes | None]:
    """As in the port."""
    ledger = Ledger(session, now)
    outcomes = change(session, ledger, transitions, now)
    ledger.close()
    return outcomes


def change(session: Session, ledger: Ledger, transitions: Sequence[Transition], now: int) -> list[bytes | None]:
    """As `apply`; what is not about the jobs themselves goes to the ledger."""
    rows = rows_by_id(session.db, _SQL["standing"], [transition.job_id for transition in transitions])
    jobs = {job_id: _job(*row) for job_id, row in rows.items()}
    needed = sum([(step.to in _PLACED) + step.fence for step in transitions if step.job_id in jobs])
    numbers = iter(session.numbers(needed))
    updates = []
    outcomes: list[bytes | None] = []
    for step in transitions:
        before = jobs.get(step.job_id)
        if before is None or not _holds(step, before):
            outcomes.append(None)
            continue
        after = _changed(before, step, numbers, now)
        # The same call may change a job twice.
        jobs[step.job_id] = after
        updates.append(_update(after))
        outcomes.append(job_bytes(after.record))
        _tell(session, ledger, step, before, after)
    session.db.executemany(_SQL["apply"], updates)
    return outcomes


def _tell(session: Session, ledger: Ledger, step: Transition, before: _Job, after: _Job) -> None:
    """Takes down what a change means for others."""
    ledger.tally.move(before.queue, place(step.state, before.dead), place(step.to, after.dead))
    ledger.arrived(step.job_id, before.workflow, step.to)
    if before.lane or session.limited:
        ledger.left(before.key, before.queue, before.lane, step.state)
    subject = before.record.subject
    for event in step.events:
        ledger.log.add(event.kind, step.attempt, 0, subject, event.detail)
        if event.kind == Kind.JOB_FAILED:
            ledger.tally.failed(before.queue)
    if step.to == AVAILABLE:
        ledger.log.add(Kind.JOB_ENQUEUED, step.attempt, 0, subject)
        ledger.ready.add(session.queue_name(before.queue))
        ledger.joined([before.lane])


def _holds(step: Transition, job: _Job) -> bool:
    return (
        job.record.state == step.state
        and job.record.lease == step.lease
        and (step.overdue_at is None or job.wake_at <= step.overdue_at)
    )


def _changed(job: _Job, step: Transition, numbers: Iterator[int], now: int) -> _Job:
    record = job.record._replace(
        state=step.to,
        attempt=step.attempt,
        lease=next(numbers) if step.fence else job.record.lease,
        enqueued_at=now if step.to == AVAILABLE else job.record.enqueued_at,
        ended_at=now if step.to in TERMINAL else 0,
        due_at=step.due_at,
        worker="",
        tail=step.tail,
    )
    seq = next(numbers) if step.to in _PLACED else job.seq
    return job._replace(seq=seq, wake_at=step.due_at, dead=int(step.dead), record=record)


def _update(job: _Job) -> tuple[object, ...]:
    state, attempt, lease, enqueued_at, _, ended_at, due_at, _, tail, _, _ = job.record
    return state, attempt, lease, job.seq, enqueued_at, ended_at, due_at, job.wake_at, job.dead, tail, job.key
