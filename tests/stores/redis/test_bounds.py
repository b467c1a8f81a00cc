"""No script is long, however much waits (design section 4)."""

import pytest
from redis.asyncio import Redis

from ojs_grpc.core import states
from ojs_grpc.core.envelope import NewJob
from ojs_grpc.core.events import EventId
from ojs_grpc.core.ids import new_id, partition_of_queue
from ojs_grpc.core.links import Links
from ojs_grpc.core.rate_limit import RateLimit
from ojs_grpc.core.transition import Transition
from ojs_grpc.stores.ports import Completion, Demand, JobFilter, Retention, Unit
from ojs_grpc.stores.redis import scripts
from ojs_grpc.stores.redis.store import RedisStore
from tests.clock import START, FakeClock
from tests.redis_server import PrivateRedis
from tests.store.building import MANY_BYTES, QUEUE

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

BACKLOG = 100_000
BOUND_MICROS = 5_000


def plain_jobs(count: int, state: int, expires_at: int = 0) -> list[NewJob]:
    """Jobs of one queue; scheduled ones are due at once, one after the other."""
    partition = partition_of_queue(QUEUE)
    return [
        NewJob(
            id=new_id(START, partition),
            queue=QUEUE,
            state=state,
            priority=number % 3,
            due_at=START + number if state == states.SCHEDULED else 0,
            expires_at=expires_at,
            visibility_ms=1,
            timeout_ms=60_000,
            reserved=False,
            envelope=b"e" * 180,
            subject_size=90,
        )
        for number in range(count)
    ]


async def fill(store: RedisStore, jobs: list[NewJob], now: int) -> None:
    """Stores many jobs."""
    for first in range(0, len(jobs), 5_000):
        await store.insert([Unit([job]) for job in jobs[first : first + 5_000]], now)


async def test_scripts_are_short(store: RedisStore, server: PrivateRedis, clock: FakeClock) -> None:
    """With a hundred thousand jobs waiting, due, expired, overdue and finished, each command stays under 5 ms."""
    now = clock.advance(BACKLOG)
    await fill(store, plain_jobs(BACKLOG, states.AVAILABLE), now)
    await fill(store, plain_jobs(BACKLOG, states.SCHEDULED), now)
    await fill(store, plain_jobs(BACKLOG, states.PENDING, expires_at=START), now)
    watch(server)

    await fill(store, plain_jobs(5_000, states.AVAILABLE), now)
    await store.insert([Unit(plain_jobs(500, states.AVAILABLE)) for _ in range(10)], now)
    for _ in range(10):
        assert (await store.promote(now, 500)).promoted == 500
        assert len((await store.expired(now, 500)).jobs) == 500
        (claimed,) = await store.claim([Demand((QUEUE,), ["worker"] * 256, MANY_BYTES)], now)
        leases = [(delivery.job_id, delivery.lease) for delivery in claimed.deliveries]
        assert len((await store.overdue(now + 10, 500)).jobs) == 256
        assert len((await store.events(await store.event_cursor(EventId(0, 0, 0, 0)), 1_000)).events) >= 1_000
        await store.heartbeat("worker", 1, "", 0, 0, now)
        retry = [
            Transition(job_id, states.ACTIVE, lease, states.RETRYABLE, 1, b"", due_at=now) for job_id, lease in leases
        ]
        assert None not in await store.apply(retry[:128], now)
        done = [Completion(job_id, lease, "", b"result") for job_id, lease in leases[128:]]
        assert await store.complete(done, now) == [None] * 128
        await look_around(store, now)
        assert all(await store.delete_finished([completion.job_id for completion in done[:28]], now))
        assert await store.sweep(Retention(finished_count=0, events_count=100_000), now, 500) == 100

    micros = await watched(server)
    assert len(micros) > 10
    assert too_slow(micros) == {}


async def look_around(store: RedisStore, now: int) -> None:
    """What an operator does: pages of each state, also of one that is rare where it is looked for; queues, workers."""
    for state in (0, *states.ALL):
        for queue in ("", QUEUE, "other"):
            page = await store.jobs(JobFilter(queue, state), "", 200, MANY_BYTES)
            if page.next_cursor:
                await store.jobs(JobFilter(queue, state), page.next_cursor, 200, MANY_BYTES)
    await store.queue_counts("", now)
    await store.workers("", 100)


async def test_limits_make_no_script_long(store: RedisStore, server: PrivateRedis, clock: FakeClock) -> None:
    """With a hundred thousand jobs behind a limit that is used up, in a thousand lanes, others pass at no cost."""
    now = clock.now()
    everybody = RateLimit("everybody", concurrency=10)
    own = [RateLimit(f"one-{number}", claims=1, period_ms=1_000) for number in range(1_000)]
    lanes = [Links(limits=(everybody, limit)) for limit in own]
    limited = [
        job._replace(links=lanes[number % len(lanes)])
        for number, job in enumerate(plain_jobs(BACKLOG, states.AVAILABLE))
    ]
    await fill(store, limited, now)
    await fill(store, [job._replace(priority=-100) for job in plain_jobs(5_000, states.AVAILABLE)], now)
    watch(server)

    for _ in range(20):
        (claimed,) = await store.claim([Demand((QUEUE,), ["worker"] * 100, MANY_BYTES)], now)
        assert len(claimed.deliveries) == 100
        done = [Completion(delivery.job_id, delivery.lease, "", b"") for delivery in claimed.deliveries]
        assert await store.complete(done, now) == [None] * 100
        now = clock.advance(100)
        await store.promote(now, 100)
        await look_around(store, now)

    micros = await watched(server)
    assert {"claim", "complete", "promote"} <= micros.keys()
    assert too_slow(micros) == {}


def watch(server: PrivateRedis) -> None:
    """From now on Redis notes how long each command takes."""
    server.command("CONFIG", "SET", "slowlog-log-slower-than", "0", "slowlog-max-len", "1000000")
    server.command("SLOWLOG", "RESET")


async def watched(server: PrivateRedis) -> dict[str, list[int]]:
    """How long each run of each script has taken since, in microseconds."""
    # Not by the store's connection: so long an answer may take longer than the store waits for one.
    async with Redis.from_url(server.url) as client:
        entries = await client.slowlog_get(-1)
    names = {scripts.load(path.stem).digest.encode(): path.stem for path in scripts.FOLDER.glob("*.lua")}
    micros: dict[str, list[int]] = {}
    for entry in entries:
        name, _, rest = entry["command"].partition(b" ")
        script = names.get(rest.partition(b" ")[0], "?") if name == b"EVALSHA" else "?"
        micros.setdefault(script, []).append(entry["duration"])
    return micros


def too_slow(micros: dict[str, list[int]]) -> dict[str, int]:
    """The scripts that usually take too long."""
    # Not the longest run, because a busy machine takes a process off its core whenever it likes.
    usual = {name: sorted(times)[len(times) // 4] for name, times in micros.items()}
    return {name: time for name, time in usual.items() if time > BOUND_MICROS}
