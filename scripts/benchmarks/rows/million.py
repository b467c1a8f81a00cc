"""A million jobs in one queue."""

import contextlib
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from statistics import median

from benchmarks import calls, payload
from benchmarks.meter import Row
from benchmarks.processes import GrpcServer
from benchmarks.session import Session
from benchmarks.stores import RedisStore, SlowCall

BATCH = 500
FETCH_COUNT = 50
SLOW_MS = 5.0
_TURNS, _CYCLES = 12, 4
_PATIENCE = 60.0


class Times:
    """Seconds of each enqueue of BATCH jobs, and of each claim of as many."""

    def __init__(self) -> None:
        self.enqueues: list[float] = []
        self.claims: list[float] = []

    def take_turn(self, session: Session, server: GrpcServer, queue: str) -> None:
        enqueues, claims = session.loads[0].run(
            calls.fill_and_claim,
            target=server.target,
            queue=queue,
            cycles=_CYCLES,
            batch=BATCH,
            fetch_count=FETCH_COUNT,
        )
        self.enqueues += enqueues
        self.claims += claims


def million(session: Session) -> Row:
    """A million jobs fall due at once; then enqueue and claim with those waiting, against the same with a thousand.

    The thousand wait in a store of their own, and both are measured in turns. Where the store was given, there is no
    other: then the thousand are measured before the million is there.
    """
    few, many = Times(), Times()
    thousand, queue = session.fresh_queue("thousand"), session.fresh_queue("million")
    with _second_service(session) as second:
        session.fill(thousand, 1000, target=second.target if second else None)
        if second is None:
            for _ in range(_TURNS):
                few.take_turn(session, session.service, thousand)

        row = _fall_due(session, queue)
        for _ in range(_TURNS):
            many.take_turn(session, session.service, queue)
            if second:
                few.take_turn(session, second, thousand)
    return row | _ratios(few, many) | {"in_turns": second is not None}


@contextlib.contextmanager
def _second_service(session: Session) -> Iterator[GrpcServer | None]:
    with session.another_store() as store:
        if store is None:
            yield None
            return
        with session.another_service(store) as server:
            yield server


def _ratios(few: Times, many: Times) -> Row:
    enqueue_few, enqueue_many = BATCH / median(few.enqueues), BATCH / median(many.enqueues)
    claim_few, claim_many = BATCH / median(few.claims), BATCH / median(many.claims)
    return {
        "enqueue_ratio": enqueue_many / enqueue_few,
        "claim_ratio": claim_many / claim_few,
        "enqueue_rate_thousand": enqueue_few,
        "enqueue_rate_million": enqueue_many,
        "claim_rate_thousand": claim_few,
        "claim_rate_million": claim_many,
    }


def _fall_due(session: Session, queue: str) -> Row:
    """Schedules a million jobs for one instant and watches their promotion.

    `slowest_call_ms` is the slowest Redis command meanwhile, `slow_calls` how many took over 5 ms; `slowest_enqueue_ms`
    is the longest that a producer had to wait.
    """
    jobs = session.scale.million
    load = session.fill(session.fresh_queue("pace"), 10_000)
    due = datetime.now(UTC) + timedelta(seconds=jobs / (load.count * BATCH / load.seconds) * 1.7 + 10)
    session.loads[0].run(
        calls.repeat,
        target=session.service.target,
        method=payload.ENQUEUE_BATCH,
        request=payload.enqueue_batch(queue, BATCH, due),
        in_flight=2,
        calls=jobs // BATCH,
        client="grpcio",
    )
    spare_seconds = (due - datetime.now(UTC)).total_seconds()
    time.sleep(max(0.0, spare_seconds - 1.0))

    with _slow_calls(session) as slow:
        promoted, waits = _watch_promotion(session, queue, jobs)
        seconds = (datetime.now(UTC) - due).total_seconds()
    slowest = max(slow, default=None)
    return {
        "slowest_call_ms": slowest.ms if slowest else None,
        "slowest_call": slowest.command if slowest else None,
        "slow_calls": sum(call.ms > SLOW_MS for call in slow) if slowest else None,
        "slowest_enqueue_ms": max(waits),
        "promoted": promoted,
        "promotion_seconds": seconds,
        "scheduled_in_time": spare_seconds > 0,
    }


def _watch_promotion(session: Session, queue: str, jobs: int) -> tuple[int, list[float]]:
    """Waits until all are available, or none has become so for a minute.

    Returns:
        how many are, and the milliseconds of each Enqueue call made meanwhile, to another queue.
    """
    request = payload.enqueue(session.fresh_queue("beside"))
    prober, waits, available, last_progress = session.loads[1], [0.0], 0, time.monotonic()
    while available < jobs and time.monotonic() < last_progress + _PATIENCE:
        waits += prober.run(
            calls.paced,
            target=session.service.target,
            method=payload.ENQUEUE,
            request=request,
            seconds=0.5,
            pause=0.002,
        )
        now_available = _available(session, queue)
        if now_available > available:
            available, last_progress = now_available, time.monotonic()
    return available, waits


def _available(session: Session, queue: str) -> int:
    cursor = ""
    while True:
        queues, cursor = payload.listed_queues(session.call(payload.LIST_QUEUES, payload.list_queues(cursor)))
        if queue in queues:
            return queues[queue]
        if not cursor:
            return 0


@contextlib.contextmanager
def _slow_calls(session: Session) -> Iterator[list[SlowCall]]:
    if not isinstance(session.store, RedisStore):
        yield []
        return
    with session.store.watch_slow_calls() as slow:
        yield slow
