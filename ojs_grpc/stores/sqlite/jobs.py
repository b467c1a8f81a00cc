"""Jobs by id: store, read, apply."""

import sqlite3
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from ojs_grpc.core.envelope import NewJob
from ojs_grpc.core.events import Kind
from ojs_grpc.core.links import Links
from ojs_grpc.core.states import AVAILABLE, SCHEDULED, TERMINAL
from ojs_grpc.core.transition import Transition
from ojs_grpc.stores.sqlite.lanes import lane_key
from ojs_grpc.stores.sqlite.ledger import Ledger
from ojs_grpc.stores.sqlite.record import Record, job_bytes
from ojs_grpc.stores.sqlite.session import Session
from ojs_grpc.stores.sqlite.statements import blob, execute_rows, load, rows_by_id
from ojs_grpc.stores.sqlite.statistics import NOWHERE, place

_SQL = load("jobs")

# States whose jobs have an order: that of delivery, and that of their end.
_PLACED = TERMINAL | {AVAILABLE}

# What the log says of a new job; of a pending one, nothing yet.
_NEWS = {AVAILABLE: Kind.JOB_ENQUEUED, SCHEDULED: Kind.JOB_SCHEDULED}

# Envelopes from here on are inserted one by one: a statement for many rows keeps a copy of what it inserted.
_LARGE_BYTES = 16 * 1024

# So many jobs of a kind are worth a statement of their own.
_FEW_ROWS = 8

_Row = tuple[object, ...]
_Kind = tuple[str, int, int, int, int]


def store(session: Session, ledger: Ledger, jobs: Sequence[NewJob], now: int) -> None:
    """Stores new jobs, whatever there is already."""
    plain: defaultdict[_Kind, list[_Row]] = defaultdict(list)
    others: list[_Row] = []
    envelopes: list[_Row] = []
    large: list[_Row] = []
    news: list[tuple[int, bytes]] = []
    counts: Counter[tuple[str, int]] = Counter()
    # A number serves as the job's key and, if it is available, as its place in line.
    for number, job in zip(session.numbers(len(jobs)), jobs, strict=True):
        row = (number, job.id, job.due_at, job.expires_at)
        if job.links is None:
            plain[job.kind].append(row)
        else:
            others.append(_all_columns(session, row, job.kind, now, _columns_of(session, ledger, job, job.links, now)))
            counts[job.queue, job.state] += 1
        envelope, subject_size = job.envelope, job.subject_size
        subject = envelope[:subject_size]
        pile = envelopes if len(envelope) < _LARGE_BYTES else large
        pile.append((number, blob(subject), blob(envelope[subject_size:])))
        news.append((job.state, subject))
    for kind, rows in plain.items():
        queue, state, *_ = kind
        counts[queue, state] += len(rows)
        if len(rows) < _FEW_ROWS and len(plain) > 1:
            # Jobs for many queues share statements too.
            others += [_all_columns(session, row, kind, now) for row in rows]
        else:
            execute_rows(session.db, _SQL["insert_jobs"], rows, (session.queue_key(queue, now), *kind[1:], now))
    execute_rows(session.db, _SQL["insert_any_jobs"], others)
    execute_rows(session.db, _SQL["insert_envelope"], envelopes)
    if large:
        session.db.executemany(_SQL["insert_envelope"], large)
    for (queue, state), count in counts.items():
        ledger.tally.move(session.queue_key(queue, now), NOWHERE, state, count)
        if state == AVAILABLE:
            ledger.ready.add(queue)
    ledger.log.add_new([(_NEWS[state], subject) for state, subject in news if state in _NEWS])


def _columns_of(session: Session, ledger: Ledger, job: NewJob, links: Links, now: int) -> _Row:
    """The columns of a job that has links: lane, fingerprint, workflow, and when it was created if it is unique."""
    lane = lane_key(session, session.queue_key(job.queue, now), links.limits)
    if job.state == AVAILABLE:
        ledger.joined([lane])
    if links.unique is None:
        return lane, None, links.workflow_id or None, 0
    return lane, links.unique.fingerprint, links.workflow_id or None, now


def _all_columns(session: Session, row: _Row, kind: _Kind, now: int, linked: _Row = (0, None, None, 0)) -> _Row:
    """A row with what `insert_jobs` takes as common to many, and the columns of links."""
    number, job_id, due_at, expires_at = row
    queue, state, *others = kind
    wake_at = due_at if state == SCHEDULED else 0
    line = (number, now) if state == AVAILABLE else (0, 0)
    return number, job_id, wake_at, wake_at, expires_at, session.queue_key(queue, now), state, *others, *line, *linked


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
