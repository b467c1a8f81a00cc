"""Nothing stays behind in Redis that nobody owns."""

from ojs_grpc.core import lifecycle, states
from ojs_grpc.core.ids import PARTITIONS
from ojs_grpc.stores.ports import IdempotencyKey, Retention, Unit
from ojs_grpc.stores.redis.store import RedisStore
from tests.clock import FakeClock
from tests.store.building import (
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

FORGET_ALL = Retention(0, 0, 0, 0, 0)


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
    await store.delete_dead((await bury(store, "queue-deleted")).id)
    clock.advance(1)
    while await store.sweep(FORGET_ALL, clock.now(), 100):
        pass

    assert await keys_left(store) == {"queues", "seq", "lease"}


async def test_ids_of_every_partition_leave_nothing(store: RedisStore, clock: FakeClock) -> None:
    """A pointer to a job whose id names another partition goes with the job."""
    await put(store, *[job(job_id_=job_id(partition)) for partition in range(PARTITIONS)], reserved=True)
    for delivery in await take(store, PARTITIONS):
        await ack(store, delivery.job_id)
    clock.advance(1)

    assert await store.sweep(FORGET_ALL, clock.now(), 1000) == PARTITIONS

    assert await keys_left(store) == {"queues", "seq", "lease"}
