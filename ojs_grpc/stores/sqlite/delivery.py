"""Giving out jobs and taking them back: claim, complete."""

import json
import sqlite3
from collections import defaultdict, deque
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from ojs_grpc_pb.v1 import worker_pb2

from ojs_grpc.core.events import MOST_DETAIL_BYTES, Kind
from ojs_grpc.core.overlay import overlay
from ojs_grpc.core.states import ACTIVE, AVAILABLE, COMPLETED
from ojs_grpc.stores.ports import Claimed, Completion, Delivery, Demand, Refusal
from ojs_grpc.stores.sqlite.ledger import Ledger
from ojs_grpc.stores.sqlite.line import Jobs, LimitedLine, Row, plain_line
from ojs_grpc.stores.sqlite.session import Session
from ojs_grpc.stores.sqlite.statements import FOREVER, blob, execute_rows, load, rows_by_id

_SQL = load("delivery")
_WITHDRAWN = (worker_pb2.WORKER_STATE_QUIET, worker_pb2.WORKER_STATE_TERMINATE)

# What the changing fields weigh at most, beside the worker's name.
_OVERHEAD_BYTES = 80


def claim(session: Session, demands: Sequence[Demand], now: int, silence_ms: int) -> list[Claimed]:
    """As in the port."""
    workers = _workers(session.db, {worker for demand in demands for worker in demand.workers if worker})
    silent_at = {worker: beat_at + silence_ms for worker, (_, beat_at) in workers.items() if beat_at + silence_ms > now}
    ledger = Ledger(session, now)
    given = []
    for demand in demands:
        slots = deque([worker for worker in demand.workers if worker not in workers or not workers[worker].withdrawn])
        given.append(_serve(session, demand, slots, silent_at, now, ledger))
    ledger.close()
    return given


class _Worker(NamedTuple):
    withdrawn: bool
    beat_at: int


def _workers(db: sqlite3.Connection, names: Iterable[str]) -> Mapping[str, _Worker]:
    """Those of the named workers that have ever sent a heartbeat."""
    rows = rows_by_id(db, _SQL["workers"], list(names))
    return {name: _Worker(state in _WITHDRAWN, beat_at) for name, (state, beat_at) in rows.items()}


def _serve(
    session: Session, demand: Demand, slots: deque[str], silent_at: Mapping[str, int], now: int, ledger: Ledger
) -> Claimed:
    """Fills one demand's slots, queue by queue."""
    deliveries: list[Delivery] = []
    room = demand.max_bytes
    for name in demand.queues:
        if not slots or room < 0:
            break
        found = _line(session, ledger, name, len(slots), now)
        if found is None:
            continue
        queue, line = found
        rows, room = _take(line, slots, room, first=not deliveries)
        if rows:
            deliveries += _lease(session, rows, name, demand.visibility_ms, slots, silent_at, now, ledger)
            ledger.tally.move(queue, AVAILABLE, ACTIVE, len(rows))
            ledger.tally.claimed(queue, len(rows), sum([now - row.enqueued_at for row in rows]))
    return Claimed(deliveries, drained=bool(slots) and room >= 0)


def _line(session: Session, ledger: Ledger, name: str, slots: int, now: int) -> tuple[int, Jobs] | None:
    """The key of a queue, and what may be claimed from it; None if it is paused or not there."""
    row = session.db.execute(_SQL["open_queue"], {"name": name, "now": now}).fetchone()
    if row is None:
        return None
    queue, has_lanes = row
    if has_lanes or (session.limited and session.rules.of(name).limit is not None):
        return queue, LimitedLine(session, ledger, queue, name, now).jobs(slots)
    return queue, plain_line(session, queue, slots, now)


def _take(line: Jobs, slots: deque[str], room: int, *, first: bool) -> tuple[list[Row], int]:
    """Takes the jobs at the head of the line that fit into `room` bytes, at least the `first` one.

    Returns:
        The jobs, and the room left; negative if a job did not fit.
    """
    rows: list[Row] = []
    # Row by row, since a job may weigh a megabyte and most of them may not fit.
    for row, worker in zip(line, slots, strict=False):
        room -= len(row.subject) + len(row.data) + len(row.tail) + _OVERHEAD_BYTES + len(worker.encode())
        if room < 0 and (rows or not first):
            break
        rows.append(row)
    line.close()
    return rows, room


def _lease(
    session: Session,
    rows: Sequence[Row],
    queue: str,
    visibility_ms: int,
    slots: deque[str],
    silent_at: Mapping[str, int],
    now: int,
    ledger: Ledger,
) -> list[Delivery]:
    """Leases these jobs to the workers in the first slots."""
    deliveries = []
    changes = []
    for row, lease in zip(rows, session.numbers(len(rows)), strict=True):
        worker = slots.popleft()
        ends_at = now + (visibility_ms or row.visibility_ms)
        wake_at = min(ends_at, now + row.timeout_ms, silent_at.get(worker, FOREVER))
        attempt = row.attempt + 1
        changes.append((row.key, attempt, lease, now, ends_at, wake_at, worker))
        changed = overlay(ACTIVE, attempt, lease, row.enqueued_at, now, 0, ends_at, worker)
        deliveries.append(Delivery(row.id, lease, worker, queue, b"".join((row.subject, row.data, changed, row.tail))))
        if session.log_events:
            ledger.log.add(Kind.JOB_STARTED, attempt, 0, row.subject, worker.encode())
    execute_rows(session.db, _SQL["claim"], changes)
    return deliveries


class _Holder(NamedTuple):
    key: int
    queue: int
    state: int
    lease: int
    worker: str
    attempt: int
    started_at: int
    lane: int
    workflow: str | None
    tail: bytes
    subject: bytes


def complete(session: Session, completions: Sequence[Completion], now: int) -> list[Refusal | None]:
    """As in the port."""
    rows = rows_by_id(session.db, _SQL["holders"], [completion.job_id for completion in completions])
    jobs = {job_id: _Holder(*row) for job_id, row in rows.items()}
    ledger = Ledger(session, now)
    done: list[int] = []
    tails: list[tuple[bytearray, int]] = []
    durations: defaultdict[tuple[int, int], list[int]] = defaultdict(list)
    outcomes: list[Refusal | None] = []
    for completion in completions:
        job = jobs.get(completion.job_id)
        if job is None:
            outcomes.append(Refusal(0))
        elif not _holds(completion, job):
            outcomes.append(Refusal(job.state, job.lease, job.worker))
        else:
            outcomes.append(None)
            done.append(job.key)
            if completion.tail:
                tails.append((blob(job.tail + completion.tail), job.key))
            duration = now - job.started_at
            durations[job.queue, job.state].append(duration)
            ledger.log.add(Kind.JOB_COMPLETED, job.attempt, duration, job.subject, _told(completion.tail))
            if job.workflow is not None:
                ledger.arrived(completion.job_id, job.workflow, COMPLETED)
            if job.lane or session.limited:
                ledger.left(job.key, job.queue, job.lane, job.state)
            # The same call may acknowledge a job twice.
            jobs[completion.job_id] = job._replace(state=COMPLETED, worker="")
    if done:
        # One statement for all costs half of one for each; most jobs have no result to store.
        session.db.execute(_SQL["complete"], {"keys": json.dumps(done), "now": now})
        if tails:
            session.db.executemany(_SQL["set_tail"], tails)
    for (queue, state), each in durations.items():
        ledger.tally.move(queue, state, COMPLETED, len(each))
        ledger.tally.completed(queue, len(each), sum(each))
    ledger.close()
    return outcomes


def _told(tail: bytes) -> bytes:
    """What the log keeps of a completion."""
    return tail if len(tail) <= MOST_DETAIL_BYTES else b""


def _holds(completion: Completion, job: _Holder) -> bool:
    if job.state == AVAILABLE:
        return 0 < completion.lease == job.lease
    if job.state != ACTIVE:
        return False
    if completion.lease:
        return completion.lease == job.lease
    # A job claimed without a name is anybody's, as in core.lifecycle.check_holder.
    return not completion.worker_id or job.worker in ("", completion.worker_id)
