"""The embedded store, as the port describes it."""

import asyncio
import sqlite3
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from time import monotonic
from typing import TypeVar

from ojs_grpc.core.clock import Clock
from ojs_grpc.core.events import EventId, NewEvent
from ojs_grpc.core.rate_limit import QueueRules
from ojs_grpc.core.transition import Transition
from ojs_grpc.errors import StoreUnavailable
from ojs_grpc.stores.ports import (
    Claimed,
    Completion,
    Demand,
    Document,
    DueDocuments,
    EndedJobs,
    EventCursor,
    EventPage,
    ExpiredJobs,
    Extension,
    JobFilter,
    Outcome,
    OverdueJobs,
    Page,
    Promotion,
    QueueCounts,
    QueueFacts,
    QueueRow,
    Refusal,
    Retention,
    Signals,
    Unit,
    WorkerRow,
)
from ojs_grpc.stores.sqlite import (
    dead_letter,
    delivery,
    documents,
    jobs,
    leases,
    listing,
    operators,
    queues,
    schedule,
    statistics,
    workflows,
)
from ojs_grpc.stores.sqlite import events as event_log
from ojs_grpc.stores.sqlite import retention as forgetting
from ojs_grpc.stores.sqlite import units as inserting
from ojs_grpc.stores.sqlite.connection import SYNCHRONOUS, connect_reader, connect_writer, user_version
from ojs_grpc.stores.sqlite.direct_commit import DirectCommit
from ojs_grpc.stores.sqlite.failure import translate
from ojs_grpc.stores.sqlite.group_commit import GroupCommit
from ojs_grpc.stores.sqlite.ledger import Ledger
from ojs_grpc.stores.sqlite.listeners import Listeners
from ojs_grpc.stores.sqlite.session import News, Session

T = TypeVar("T")

_POLL_S = 0.1


class SqliteStore:
    """Jobs in an SQLite file, or in memory.

    Several server processes on one host may share a file. What another process makes ready is found by polling.

    Args:
        path: the file; None for a database in memory, of up to 1 GiB, that ends with the store.
        synchronous: SQLite's setting: FULL means that what was reported as stored survives a power failure.
    """

    def __init__(
        self,
        path: str | None,
        *,
        clock: Clock,
        silence_ms: int,
        rules: QueueRules,
        log_events: bool,
        synchronous: str = "FULL",
    ) -> None:
        if synchronous not in SYNCHRONOUS:
            raise ValueError(f"synchronous must be one of {', '.join(sorted(SYNCHRONOUS))}, not {synchronous!r}")
        self.clock = clock
        self.name = "memory" if path is None else "sqlite"
        self.shared = path is not None
        self.silence_ms = silence_ms
        self.log_events = log_events
        self._rules = rules
        self._path = path
        self._synchronous = synchronous
        self._db: sqlite3.Connection | None = None
        self._reader: sqlite3.Connection | None = None
        self._writer: GroupCommit | DirectCommit | None = None
        self._signals: Signals | None = None
        self._listeners = Listeners()

    # System

    async def open(self, signals: Signals) -> None:
        self._db = await asyncio.to_thread(connect_writer, self._path, self._synchronous)
        try:
            # In memory there is no second connection, and none is needed: no transaction outlives a turn of the loop.
            self._reader = self._db if self._path is None else connect_reader(self._path)
        except BaseException:
            self._db.close()
            raise
        self._signals = signals
        session = Session(self._db, self._rules, log_events=self.log_events)
        writer = DirectCommit if self._path is None else GroupCommit
        self._writer = writer(session, self._announce)

    def _announce(self, news: News) -> None:
        if self._signals is not None and news.ready:
            self._signals.ready(news.ready)
        if self._signals is not None and news.ended:
            self._signals.ended()
        if news.logged:
            self._listeners.wake()

    async def ping(self) -> None:
        self._read(user_version)
        self._check_file()
        if self._writer is not None and not self._writer.healthy:
            await self._write(_probe)

    def _check_file(self) -> None:
        # SQLite writes on without complaint into a file that was deleted.
        if self._path is not None and not Path(self._path).exists():
            raise StoreUnavailable(f"sqlite: {self._path} was removed")

    async def close(self) -> None:
        if self._writer is None or self._db is None or self._reader is None:
            return
        await self._writer.close()
        self._reader.close()
        # Copies the write-ahead log into the file if no other process uses it.
        await asyncio.to_thread(self._db.close)
        self._writer = self._db = self._reader = None
        self._listeners.wake()

    # Jobs

    async def insert(self, units: Sequence[Unit], now: int) -> list[Outcome]:
        return await self._write(partial(inserting.insert, units=units, now=now))

    async def read(self, job_ids: Sequence[str]) -> list[bytes | None]:
        return self._read(partial(jobs.read, job_ids=job_ids))

    async def apply(self, transitions: Sequence[Transition], now: int) -> list[bytes | None]:
        return await self._write(partial(jobs.apply, transitions=transitions, now=now))

    # Delivery

    async def claim(self, demands: Sequence[Demand], now: int) -> list[Claimed]:
        return await self._write(partial(delivery.claim, demands=demands, now=now, silence_ms=self.silence_ms))

    async def complete(self, completions: Sequence[Completion], now: int) -> list[Refusal | None]:
        return await self._write(partial(delivery.complete, completions=completions, now=now))

    async def heartbeat(
        self, worker_id: str, worker_state: int, job_id: str, lease: int, extend_ms: int, now: int
    ) -> Extension:
        return await self._write(
            partial(
                leases.heartbeat,
                worker_id=worker_id,
                worker_state=worker_state,
                job_id=job_id,
                lease=lease,
                extend_ms=extend_ms,
                now=now,
                silence_ms=self.silence_ms,
            )
        )

    async def leases(self, job_ids: Sequence[str]) -> list[int]:
        return self._read(partial(leases.leases, job_ids=job_ids))

    async def unanswered(self, now: int) -> list[bytes]:  # noqa: ARG002
        # There is no connection on which an answer could be lost: a claim that failed was rolled back.
        return []

    async def overdue(self, now: int, limit: int) -> OverdueJobs:
        return self._read(partial(leases.overdue, now=now, limit=limit))

    # Schedule

    async def promote(self, now: int, limit: int) -> Promotion:
        # Looking first keeps an idle service from opening transactions.
        next_at = self._read(schedule.next_time)
        if next_at is None or next_at > now:
            return Promotion(0, next_at)
        return await self._write(partial(schedule.promote, now=now, limit=limit))

    async def expired(self, now: int, limit: int) -> ExpiredJobs:
        return self._read(partial(schedule.expired, now=now, limit=limit))

    # Queues

    async def queues(self, after: str, limit: int) -> Page[QueueRow]:
        return self._read(partial(queues.queues, after=after, limit=limit))

    async def set_paused(self, queue: str, paused: bool, event: NewEvent, now: int) -> bool:  # noqa: FBT001 - the port
        return await self._write(partial(queues.set_paused, queue=queue, paused=paused, event=event, now=now))

    async def queue_facts(self, queue: str, now: int) -> QueueFacts | None:
        return self._read(partial(statistics.queue_facts, queue=queue, now=now))

    # Documents, workflows

    async def documents(self, kind: str, names: Sequence[str]) -> list[Document | None]:
        return self._read(partial(documents.documents, kind=kind, names=names))

    async def list_documents(self, kind: str, after: str, limit: int) -> Page[Document]:
        return self._read(partial(documents.list_documents, kind=kind, after=after, limit=limit))

    async def due_documents(self, kind: str, now: int, limit: int) -> DueDocuments:
        return self._read(partial(documents.due_documents, kind=kind, now=now, limit=limit))

    async def endings(self, limit: int) -> EndedJobs:
        return self._read(partial(workflows.endings, limit=limit))

    # Events

    async def log(self, events: Sequence[NewEvent], now: int) -> None:
        if self.log_events and events:
            await self._write(partial(_log, events=events, now=now))

    async def event_cursor(self, after: EventId | None) -> EventCursor:
        return self._read(partial(event_log.event_cursor, after=after))

    async def events(self, cursor: EventCursor, limit: int) -> EventPage:
        return self._read(partial(event_log.events, cursor=cursor, limit=limit))

    async def await_events(self, cursor: EventCursor, wait_ms: int) -> None:
        deadline = monotonic() + wait_ms / 1000
        with self._listeners.joined() as heard:
            while not self._read(partial(event_log.any_after, cursor=cursor)):
                remaining = deadline - monotonic()
                if remaining <= 0:
                    return
                heard.clear()
                # Of what other processes write into the file, nobody tells.
                with suppress(TimeoutError):
                    await asyncio.wait_for(heard.wait(), min(remaining, _POLL_S) if self.shared else remaining)

    # Dead letters, retention

    async def dead_letters(self, queue: str, cursor: str, limit: int, max_bytes: int) -> Page[bytes]:
        return self._read(
            partial(dead_letter.dead_letters, queue=queue, cursor=cursor, limit=limit, max_bytes=max_bytes)
        )

    async def delete_dead(self, job_id: str, now: int) -> bool:
        return await self._write(partial(dead_letter.delete_dead, job_id=job_id, now=now))

    async def sweep(self, retention: Retention, now: int, limit: int) -> int:
        return await self._write(partial(forgetting.sweep, retention=retention, now=now, limit=limit))

    # Operators

    async def jobs(self, wanted: JobFilter, cursor: str, limit: int, max_bytes: int) -> Page[bytes]:
        return self._read(partial(listing.jobs, wanted=wanted, cursor=cursor, limit=limit, max_bytes=max_bytes))

    async def queue_counts(self, queue: str, now: int) -> Sequence[QueueCounts]:
        return self._read(partial(statistics.queue_counts, queue=queue, now=now))

    async def workers(self, cursor: str, limit: int) -> Page[WorkerRow]:
        return self._read(partial(operators.workers, cursor=cursor, limit=limit))

    async def delete_finished(self, job_ids: Sequence[str], now: int) -> list[bool]:
        return await self._write(partial(dead_letter.delete_finished, job_ids=job_ids, now=now))

    async def clear(self) -> None:
        await self._write(operators.clear)

    async def _write(self, operation: Callable[[Session], T]) -> T:
        if self._writer is None:
            raise _closed()
        return await self._writer.run(operation)

    def _read(self, query: Callable[[sqlite3.Connection], T]) -> T:
        """Runs a query in place: looking up a job is quicker than asking a thread to."""
        if self._reader is None:
            raise _closed()
        try:
            return query(self._reader)
        except sqlite3.Error as error:
            raise translate(error) from error


def _log(session: Session, events: Sequence[NewEvent], now: int) -> None:
    ledger = Ledger(session, now)
    event_log.add_all(ledger.log, events)
    ledger.close()


def _probe(session: Session) -> None:
    """Writes something that means nothing: the last write failed, and this tells whether the cause is gone."""
    session.numbers(1)


def _closed() -> StoreUnavailable:
    return StoreUnavailable("sqlite: the store is closed")
