"""No script is long, however much waits (design section 4)."""

import pytest

from ojs_grpc.core import states
from ojs_grpc.core.envelope import NewJob
from ojs_grpc.core.ids import new_id, partition_of_queue
from ojs_grpc.core.transition import Transition
from ojs_grpc.stores.ports import Completion, Demand, Retention, Unit
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
    server.command("CONFIG", "SET", "slowlog-log-slower-than", "0", "slowlog-max-len", "1000000")
    server.command("SLOWLOG", "RESET")

    await fill(store, plain_jobs(5_000, states.AVAILABLE), now)
    await store.insert([Unit(plain_jobs(500, states.AVAILABLE)) for _ in range(10)], now)
    for _ in range(10):
        assert (await store.promote(now, 500)).promoted == 500
        assert len((await store.expired(now, 500)).jobs) == 500
        (claimed,) = await store.claim([Demand((QUEUE,), ["worker"] * 256, MANY_BYTES)], now)
        leases = [(delivery.job_id, delivery.lease) for delivery in claimed.deliveries]
        assert len((await store.overdue(now + 10, 500)).jobs) == 256
        await store.heartbeat("worker", 1, "", 0, 0, now)
        retry = [
            Transition(job_id, states.ACTIVE, lease, states.RETRYABLE, 1, b"", due_at=now) for job_id, lease in leases
        ]
        assert None not in await store.apply(retry[:128], now)
        done = [Completion(job_id, lease, "", b"result") for job_id, lease in leases[128:]]
        assert await store.complete(done, now) == [None] * 128
        assert await store.sweep(Retention(finished_count=0), now, 500) == 128

    entries: list[list[object]] = await store._connections.call("SLOWLOG", "GET", "-1")
    names = {scripts.load(path.stem).digest.encode(): path.stem for path in scripts.FOLDER.glob("*.lua")}
    micros: dict[str, list[int]] = {}
    for _, _, duration, command, *_ in entries:
        assert isinstance(command, list)
        assert isinstance(duration, int)
        micros.setdefault(names.get(command[1], "?") if command[0] == b"EVALSHA" else "?", []).append(duration)
    # Not the longest, because a busy machine takes a process off its core whenever it likes.
    usual = {name: sorted(times)[len(times) // 4] for name, times in micros.items()}
    slow = {name: time for name, time in usual.items() if time > BOUND_MICROS}
    assert len(micros) > 9
    assert slow == {}
