"""Nothing stays behind in Redis that nobody owns."""

from typing import Any

import pytest

from ojs_grpc.core import lifecycle, states
from ojs_grpc.core.events import Kind, NewEvent
from ojs_grpc.core.ids import PARTITIONS
from ojs_grpc.core.links import Links
from ojs_grpc.core.rate_limit import QueueRules, RateLimit
from ojs_grpc.core.unique import Unique
from ojs_grpc.stores.ports import Completion, IdempotencyKey, Retention, Unit, Write
from ojs_grpc.stores.redis.store import RedisStore
from tests.clock import FakeClock
from tests.redis_server import PrivateRedis
from tests.signals import RecordingSignals
from tests.store.building import (
    DEAD_LETTER,
    RUNNING,
    VISIBILITY_MS,
    WORKER,
    ack,
    bury,
    change,
    failed,
    job,
    job_id,
    new_job,
    put,
    reap,
    released,
    see,
    take,
    take_one,
)

FORGET_ALL = Retention(0, 0, 0, 0, 0, 0, 0)
OF_QUEUES = {"queues", "seq", "lease", "facts"}
OF_THE_LOG = {"events", "logged"}


async def keys_left(store: RedisStore) -> set[str]:
    """The names of all keys, without those that expire by themselves."""
    names: list[bytes] = await store._connections.call("KEYS", "*")
    lives = [await store._connections.call("PTTL", name) for name in names]
    return {name.decode().split(":")[2] for name, life in zip(names, lives, strict=True) if life < 0}


async def test_every_end_leaves_nothing(store: RedisStore, clock: FakeClock) -> None:
    """Jobs that went through every state and end and were forgotten leave their queues, and counters, and no more."""
    jobs = {
        name: job(f"queue-{name}", job_id_=job_id(number), expires_at=clock.now() + 86_400_000)
        for number, name in enumerate(["done", "late", "cancelled", "discarded", "dead", "released"])
    }
    await put(store, *jobs.values(), reserved=True)
    await put(store, waiting := job("queue-pending"), state=states.PENDING)
    await put(store, later := job("queue-scheduled", scheduled_at=clock.now() + 1))
    await put(store, mortal := job("queue-mortal", expires_at=clock.now() + 1))
    key = IdempotencyKey("key", b"fingerprint", b"reply", clock.now() + 1000)
    await store.insert([Unit([new_job(keyed := job("queue-keyed"))], key)], clock.now())
    held = {name: await take_one(store, f"queue-{name}") for name in jobs}
    await store.heartbeat(WORKER, RUNNING, held["done"].id, 0, 0, clock.now())

    await ack(store, held["done"].id, tail=b"")
    await change(store, released(held["released"], clock.now()))
    retried = await change(store, failed(held["discarded"], clock.now()))
    assert retried is not None
    clock.advance(VISIBILITY_MS * 3)
    await reap(store)
    await ack(store, held["late"].id, lease=held["late"].lease)
    await store.promote(clock.now(), 100)
    for message in (jobs["cancelled"], jobs["released"], jobs["dead"], jobs["discarded"], waiting, later, keyed):
        await change(store, lifecycle.cancel(await see(store, message)))
    for data in (await store.expired(clock.now(), 10)).jobs:
        assert await change(store, lifecycle.expire(type(mortal).FromString(data)))
    await bury(store, "queue-buried")
    await store.delete_dead((await bury(store, "queue-deleted")).id, clock.now())
    clock.advance(1)
    while await store.sweep(FORGET_ALL, clock.now(), 100):
        pass

    assert await keys_left(store) == OF_QUEUES | OF_THE_LOG


async def test_ids_of_every_partition_leave_nothing(store: RedisStore, clock: FakeClock) -> None:
    """A pointer to a job whose id names another partition goes with the job."""
    await put(store, *[job(job_id_=job_id(partition)) for partition in range(PARTITIONS)], reserved=True)
    for delivery in await take(store, PARTITIONS):
        await ack(store, delivery.job_id)
    clock.advance(1)

    assert await store.sweep(FORGET_ALL, clock.now(), 1000) == PARTITIONS

    assert await keys_left(store) == OF_QUEUES | OF_THE_LOG


async def test_ties_leave_nothing(store: RedisStore, clock: FakeClock) -> None:
    """Workflows, fingerprints and limits of forgotten jobs are forgotten, also of those that had to wait."""
    limits = (RateLimit("few", concurrency=1), RateLimit("rare", claims=1, period_ms=1_000))
    done, waiting, mortal, dead = (
        job(),
        job(),
        job(expires_at=clock.now() + 1),
        job("dead", retry=DEAD_LETTER, max_attempts=1),
    )
    for number, message in enumerate((done, waiting, mortal, dead)):
        unique = Unique(bytes([number]) * 32, frozenset({states.AVAILABLE}), 0, 1)
        await put(store, message, links=Links("workflow", unique, limits if message is not dead else ()))
    held = await take_one(store)
    assert await take(store, 3) == []
    clock.advance(1)
    await change(store, lifecycle.cancel(await see(store, waiting)))
    await change(store, lifecycle.expire(await see(store, mortal)))
    await ack(store, held.id)
    await change(store, failed(await take_one(store, "dead"), clock.now()))
    await store.delete_dead(dead.id, clock.now())
    clock.advance(1_000)
    await store.promote(clock.now(), 10)

    ended = (await store.endings(10)).endings
    assert await store.insert([Unit(endings=ended)], clock.now()) == [None]
    assert len(ended) == 4
    assert await store.sweep(FORGET_ALL, clock.now(), 100) == 3

    assert await keys_left(store) == OF_QUEUES | OF_THE_LOG


async def test_deleted_jobs_leave_nothing(
    store: RedisStore, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Jobs that an operator deleted leave their names in a list, which retention empties in short scripts."""
    deleted = 0
    for _ in range(25):
        await put(store, *[job() for _ in range(100)])
        held = [delivery.job_id for delivery in await take(store, 100)]
        await store.complete([Completion(job_id, 0, "", b"") for job_id in held], clock.now())
        deleted += sum(await store.delete_finished(held, clock.now()))
    for state in (states.CANCELLED, states.DISCARDED):
        await put(store, message := job(max_attempts=1))
        active = await take_one(store)
        end = lifecycle.cancel(active) if state == states.CANCELLED else failed(active, clock.now())
        await change(store, end)
        assert await store.delete_finished([message.id], clock.now()) == [True]
    run = store._run
    looks = []

    async def count(name: str, keys: list[str], arguments: list[str | bytes | int]) -> Any:  # noqa: ANN401 - as it is
        answer = await run(name, keys, arguments)
        if name == "sweep":
            looks.append(answer)
        return answer

    monkeypatch.setattr(store, "_run", count)
    assert await store.sweep(FORGET_ALL, clock.now(), 10) == 0

    assert deleted == 2_500
    assert looks == [[0, 1], [0, 1], [0, 0]]
    assert await keys_left(store) <= OF_QUEUES | OF_THE_LOG


async def test_deleted_documents_leave_nothing(store: RedisStore, clock: FakeClock) -> None:
    """Of a document only the counter of versions stays."""
    for data in (b"data", None):
        writes = [Write(kind, "name", None, data, clock.now()) for kind in ("cron", "workflow")]
        assert await store.insert([Unit(writes=writes)], clock.now()) == [None]

    assert await keys_left(store) == {"version"}


async def test_a_store_without_a_log_writes_none(server: PrivateRedis, clock: FakeClock) -> None:
    """Told not to log, a store leaves no trace of events in Redis."""
    store = RedisStore(server.url, clock=clock, silence_ms=30_000, rules=QueueRules(), log_events=False)
    await store.open(RecordingSignals())
    await put(store, job(), job(scheduled_at=clock.now() + 1))
    await ack(store, (await take_one(store)).id)
    await store.log([NewEvent(Kind.WORKER_STARTED, WORKER)], clock.now())
    await store.set_paused("queue", True, NewEvent(Kind.QUEUE_PAUSED, "queue"), clock.now())  # noqa: FBT003 - the contract

    left = await keys_left(store)
    await store.close()

    assert not left & OF_THE_LOG
    assert left >= OF_QUEUES
