"""What limits cost and leave behind (behaviour section 24, traps 15 and 56)."""

from pathlib import Path

import pytest

from ojs_grpc.core import lifecycle
from ojs_grpc.core.links import Links
from ojs_grpc.core.rate_limit import QueueRule, QueueRules, RateLimit
from ojs_grpc.stores.ports import Retention
from ojs_grpc.stores.sqlite.store import SqliteStore
from tests.clock import FakeClock
from tests.signals import RecordingSignals
from tests.store.building import ack, change, ids_of, job, limited, put, put_limited, see, take
from tests.stores.sqlite.conftest import OpenFile

SHARED = RateLimit("shared", concurrency=2)
OFTEN = RateLimit("often", claims=3, period_ms=1_000)


async def steps(store: SqliteStore, lanes: int, jobs: int) -> int:
    """The statements it takes to end a lease and claim the next job, with so many lanes of so many jobs waiting."""
    for number in range(lanes):
        own = RateLimit(f"own-{number}", concurrency=5)
        await put(store, *[job() for _ in range(jobs)], links=limited(SHARED, own))
    held = await take(store, 10)
    assert len(held) == 2
    database = store._db
    assert database is not None
    seen: list[str] = []
    database.set_trace_callback(seen.append)
    await ack(store, held[0].job_id)
    assert len(await take(store, 10)) == 1
    database.set_trace_callback(None)
    return len(seen)


@pytest.mark.parametrize(("lanes", "jobs"), [(5, 100), (200, 1)])
async def test_what_waits_costs_nothing(open_file: OpenFile, lanes: int, jobs: int) -> None:
    """A freed place costs the same however many jobs, and however many kinds of them, wait for it."""
    assert await steps(await open_file(), lanes, jobs) <= 80


async def work(store: SqliteStore, jobs: int) -> int:
    """How much SQLite does, in steps of its own, while one call claims so many jobs of one limit."""
    await put_limited(store, RateLimit(f"of-{jobs}", claims=100_000, period_ms=60_000), queue=f"of-{jobs}", count=jobs)
    database = store._db
    assert database is not None
    done = 0

    def count() -> int:
        nonlocal done
        done += 1
        return 0

    database.set_progress_handler(count, 10)
    assert len(await take(store, jobs, f"of-{jobs}")) == jobs
    database.set_progress_handler(None, 0)
    return done


async def test_a_large_claim(file_store: SqliteStore) -> None:
    """A job costs the same at the end of a large claim as at its beginning."""
    assert await work(file_store, 800) < 10 * await work(file_store, 100)


def lane(name: str) -> Links:
    """Limits of a lane of its own, which waits with other such lanes for one place."""
    return limited(RateLimit("one", concurrency=1), RateLimit(name, concurrency=9))


@pytest.mark.parametrize("how", ["cancelled", "expired"])
async def test_the_first_that_went_away(file_store: SqliteStore, clock: FakeClock, how: str) -> None:
    """When a place is free, and the first of those that wait for it goes away, the second is next, in any lane."""
    await put(file_store, running := job(), links=lane("a"))
    await put(file_store, first := job(expires_at=clock.now() + 10), links=lane("a"))
    await put(file_store, second := job(), links=lane("b"))
    await put(file_store, third := job(), links=lane("a"))
    assert ids_of(await take(file_store, 10)) == [running.id]
    await ack(file_store, running.id)

    if how == "cancelled":
        await change(file_store, lifecycle.cancel(await see(file_store, first)))
    else:
        clock.advance(10)

    assert ids_of(await take(file_store, 10)) == [second.id]
    await ack(file_store, second.id)
    assert ids_of(await take(file_store, 10)) == [third.id]


async def test_an_urgent_job_for_a_free_place(file_store: SqliteStore) -> None:
    """When a place is free, a job of higher priority that comes now is next, whatever its lane."""
    await put(file_store, running := job(), links=lane("a"))
    await put(file_store, first := job(), links=lane("a"))
    await put(file_store, job(), links=lane("b"))
    assert ids_of(await take(file_store, 10)) == [running.id]
    await ack(file_store, running.id)

    await put(file_store, urgent := job(priority=1), links=lane("b"))

    assert ids_of(await take(file_store, 10)) == [urgent.id]
    await ack(file_store, urgent.id)
    assert ids_of(await take(file_store, 10)) == [first.id]


async def test_a_limit_leaves_nothing_behind(file_store: SqliteStore, clock: FakeClock) -> None:
    """When the last job of a limit is forgotten, and its claims count no more, so is the limit."""
    await put(file_store, *[job() for _ in range(5)], links=limited(OFTEN))
    await put(file_store, *[job() for _ in range(3)], links=limited(SHARED, OFTEN))
    for _ in range(4):
        for delivery in await take(file_store, 10):
            await ack(file_store, delivery.job_id)
        clock.advance(1_000)
    await put(file_store, dropped := job(), links=limited(SHARED))
    await change(file_store, lifecycle.cancel(await see(file_store, dropped)))
    clock.advance(1_000_000)
    await file_store.promote(clock.now(), 10)

    for _ in range(2):
        await file_store.sweep(Retention(finished_ms=0), clock.now(), 100)

    database = file_store._db
    assert database is not None
    for table in ("jobs", "lanes", "gates", "uses", "claims", "limits"):
        assert database.execute(f"SELECT count(*) FROM {table}").fetchone() == (0,), table  # noqa: S608


async def test_limits_without_number(file_store: SqliteStore, clock: FakeClock) -> None:
    """However many limits come and go with each job, one sweep a minute forgets them."""
    for number in range(10):
        await put_limited(file_store, *[RateLimit(f"{number}-{n}", concurrency=1) for n in range(4)])
    for delivery in await take(file_store, 10):
        await ack(file_store, delivery.job_id)
    clock.advance(100_000)

    await file_store.sweep(Retention(finished_ms=0), clock.now(), 20)
    await file_store.sweep(Retention(finished_ms=0), clock.now(), 20)

    database = file_store._db
    assert database is not None
    assert database.execute("SELECT count(*) FROM limits").fetchone() == (0,)


async def test_claims_of_long_ago(file_store: SqliteStore, clock: FakeClock, monkeypatch: pytest.MonkeyPatch) -> None:
    """What claims leave behind is dropped a little at a time, and does not grow with a limit's period."""
    monkeypatch.setattr("ojs_grpc.stores.sqlite.limits._MOST_CLAIMS", 100)
    year = RateLimit("year", claims=50, period_ms=365 * 86_400_000)
    await put_limited(file_store, year)
    await put_limited(file_store, year._replace(concurrency=1_000, claims=0, period_ms=0), count=300)
    database = file_store._db
    assert database is not None
    for _ in range(300):
        clock.advance(1)
        assert len(await take(file_store)) == 1
    ((kept,),) = database.execute("SELECT count(*) FROM claims").fetchall()
    assert 50 < kept <= 102

    await put_limited(file_store, year)

    assert len(await take(file_store, 10)) == 1
    clock.advance(year.period_ms)
    assert len(await take(file_store, 10)) == 1


async def test_a_limit_that_says_a_queue(path: Path, clock: FakeClock) -> None:
    """A job's own limit may have the key of a queue that does not exist; that makes none."""
    rules = QueueRules(QueueRule(limit=RateLimit("", concurrency=5)))
    store = SqliteStore(str(path), clock=clock, silence_ms=30_000, rules=rules, log_events=True)
    await store.open(RecordingSignals())
    await put_limited(store, RateLimit("queue:nowhere", concurrency=1), count=2)

    assert len(await take(store, 10)) == 1
    assert [row.name for row in (await store.queues("", 10)).rows] == ["default"]
    await store.close()
