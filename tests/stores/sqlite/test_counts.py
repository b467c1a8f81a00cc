"""What is kept beside the jobs stays true, whatever happens to the jobs."""

from random import Random

from ojs_grpc_pb.v1.job_pb2 import Job

from ojs_grpc.core import lifecycle, states
from ojs_grpc.core.rate_limit import RateLimit
from ojs_grpc.stores.ports import Retention
from ojs_grpc.stores.sqlite.store import SqliteStore
from tests.clock import FakeClock
from tests.store.building import DEAD_LETTER, ack, change, failed, job, limited, put, reap, released, see, take

RESULT = Job(retry_delay_ms=1).SerializeToString()

_COUNTED = f"""
    SELECT queues.key,
        coalesce(sum(jobs.state = {states.AVAILABLE}), 0),
        coalesce(sum(jobs.state = {states.ACTIVE}), 0),
        coalesce(sum(jobs.state = {states.SCHEDULED}), 0),
        coalesce(sum(jobs.state = {states.RETRYABLE}), 0),
        coalesce(sum(jobs.state = {states.PENDING}), 0),
        coalesce(sum(jobs.state IN ({states.COMPLETED}, {states.CANCELLED})), 0),
        coalesce(sum(jobs.state = {states.CANCELLED}), 0),
        coalesce(sum(jobs.state = {states.DISCARDED}), 0),
        coalesce(sum(jobs.dead), 0)
    FROM queues LEFT JOIN jobs ON jobs.queue = queues.key GROUP BY queues.key ORDER BY queues.key
"""  # noqa: S608
_KEPT = """
    SELECT key, available, active, scheduled, retryable, pending, finished, cancelled, discarded, dead
    FROM queues ORDER BY key
"""

_USES = "SELECT job FROM uses ORDER BY job"
_ACTIVE = f"SELECT key FROM jobs WHERE state = {states.ACTIVE} AND lane > 0 ORDER BY key"  # noqa: S608
_HEADS = "SELECT key, priority, seq FROM lanes WHERE seq > 0 ORDER BY key"
_FIRST = f"""
    SELECT lane, max(priority), min(seq) FROM jobs WHERE state = {states.AVAILABLE} AND lane > 0
    GROUP BY lane ORDER BY lane
"""  # noqa: S608


async def test_counts_stay_true(file_store: SqliteStore, clock: FakeClock) -> None:
    """After any mixture of operations a count equals the number of jobs, and limits and lanes know theirs."""
    random = Random(1)
    store, database = file_store, file_store._db
    assert database is not None
    retention = Retention(finished_ms=4_000, finished_count=20, discarded_ms=3_000, dead_ms=5_000, dead_count=5)
    for _ in range(60):
        clock.advance(random.randrange(300))
        links = random.choice((None, limited(RateLimit("key", concurrency=3)), limited(RateLimit("rate", 9, 4, 500))))
        queue = random.choice(("a", "b", "c"))
        later = random.choice((0, 0, clock.now() + 500))
        await put(
            store,
            *[job(queue, scheduled_at=later, retry=random.choice((None, DEAD_LETTER))) for _ in range(5)],
            links=links,
        )
        for delivery in await take(store, 6, "a", "b", "c", visibility_ms=random.choice((1, 60_000))):
            held = await see(store, job(job_id_=delivery.job_id))
            match random.randrange(6):
                case 0:
                    await change(store, failed(held, clock.now()))
                case 1:
                    await change(store, released(held, clock.now()))
                case 2:
                    await change(store, lifecycle.cancel(held))
                case 3:
                    pass
                case _:
                    await ack(store, held.id, tail=random.choice((b"", RESULT)))
        await reap(store)
        await store.promote(clock.now(), 3)
        dead = await store.dead_letters("", "", 2, 1_000_000)
        for data in dead.rows:
            letter = Job.FromString(data)
            if random.random() < 0.5:
                await change(store, lifecycle.retry_dead(letter))
            else:
                await store.delete_dead(letter.id, clock.now())
        await store.sweep(retention, clock.now(), 10)

        assert database.execute(_KEPT).fetchall() == database.execute(_COUNTED).fetchall()
        assert database.execute(_USES).fetchall() == database.execute(_ACTIVE).fetchall()
        assert database.execute(_HEADS).fetchall() == database.execute(_FIRST).fetchall()
    assert (
        database.execute("SELECT count(*) FROM envelopes").fetchone()
        == database.execute("SELECT count(*) FROM jobs").fetchone()
    )


async def test_minutes_of_many_queues(file_store: SqliteStore, clock: FakeClock) -> None:
    """One sweep a minute forgets the figures of however many queues."""
    for number in range(30):
        await put(file_store, job(f"q{number}"))
        await take(file_store, 1, f"q{number}")
    clock.advance(62 * 60_000)

    await file_store.sweep(Retention(), clock.now(), 10)

    database = file_store._db
    assert database is not None
    assert database.execute("SELECT count(*) FROM minutes").fetchone() == (0,)
