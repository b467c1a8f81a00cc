"""Signals: what a store tells without being asked, so that nobody has to ask again and again."""

from collections.abc import Awaitable, Callable

import pytest

from ojs_grpc.core import lifecycle, states
from ojs_grpc.core.rate_limit import RateLimit
from ojs_grpc.stores.ports import Store, Unit
from tests.clock import START, FakeClock
from tests.signals import RecordingSignals
from tests.store.building import (
    VISIBILITY_MS,
    ack,
    bury,
    change,
    do,
    failed,
    job,
    limited,
    new_job,
    put,
    reap,
    released,
    see,
    take,
    take_one,
)

Connect = Callable[..., Awaitable[Store]]


@pytest.fixture
async def neighbour(scheme: str, store: Store, connect: Connect) -> Store:
    """Another server on the data of `store`, which it can talk to."""
    if scheme != "redis":
        pytest.skip("SQLite carries no messages: what other servers do is found by asking")
    return await connect()


async def test_new_jobs_are_announced(store: Store, signals: RecordingSignals) -> None:
    """Jobs that may be claimed at once are announced, for every queue that they went to."""
    await put(store, job("a"), job("b"))
    await put(store, job("c"))

    for queue in ("a", "b", "c"):
        await signals.until_ready(queue)


async def test_promoted_jobs_are_announced(store: Store, signals: RecordingSignals, clock: FakeClock) -> None:
    """Jobs whose time has come are announced then."""
    await put(store, job("later", scheduled_at=START + 10))
    clock.advance(10)
    assert "later" not in signals.queues

    await store.promote(clock.now(), 10)

    await signals.until_ready("later")


@pytest.mark.parametrize("how", ["activated", "released", "reaped", "retried when dead", "retried when failed"])
async def test_jobs_that_come_back_are_announced(
    store: Store, signals: RecordingSignals, clock: FakeClock, how: str
) -> None:
    """However a job becomes available, its queue is announced."""
    message = job("pending")
    if how == "retried when dead":
        message = await bury(store, "pending")
    else:
        await put(store, message, state=states.PENDING if how == "activated" else 0)
    held = await take_one(store, "pending") if how in ("released", "reaped", "retried when failed") else None
    signals.clear()

    if how == "activated":
        await change(store, lifecycle.activate(await see(store, message)))
    elif how == "retried when dead":
        await change(store, lifecycle.retry_dead(message))
    elif how == "released" and held:
        await change(store, released(held, clock.now()))
    elif how == "retried when failed" and held:
        await change(store, failed(held, clock.now()))
        clock.advance(10_000)
        await store.promote(clock.now(), 1)
    else:
        clock.advance(VISIBILITY_MS)
        await reap(store)

    await signals.until_ready("pending")


async def test_a_neighbours_jobs_are_announced(neighbour: Store, signals: RecordingSignals, clock: FakeClock) -> None:
    """What another server enqueues, promotes or gives back is heard here."""
    await put(neighbour, job("inserted"), job("promoted", scheduled_at=START + 1))
    await put(neighbour, waiting := job("activated"), state=states.PENDING)
    await signals.until_ready("inserted")

    clock.advance(1)
    await neighbour.promote(clock.now(), 1)
    await signals.until_ready("promoted")

    await change(neighbour, lifecycle.activate(await see(neighbour, waiting)))
    await signals.until_ready("activated")


async def test_a_queue_that_fills_again_is_announced_again(
    store: Store, neighbour: Store, signals: RecordingSignals
) -> None:
    """Each time a queue turns from empty to not empty, the others hear of it."""
    for _ in range(3):
        signals.clear()
        await put(neighbour, job())
        await signals.until_ready("default")
        assert len(await take(store)) == 1


@pytest.mark.parametrize("how", ["acknowledged", "cancelled", "replaced", "failed", "released", "reaped"])
async def test_a_streamed_job_that_a_neighbour_ended(
    store: Store, neighbour: Store, signals: RecordingSignals, clock: FakeClock, how: str
) -> None:
    """A server hears when a job that it streams is finished, or taken away, through another one."""
    await put(store, message := job())
    await take(store, 1, streaming=True)
    held = await see(neighbour, message)

    if how == "acknowledged":
        assert await ack(neighbour, held.id) is None
    elif how == "reaped":
        clock.advance(VISIBILITY_MS)
        assert len(await reap(neighbour)) == 1
    elif how == "replaced":
        assert await do(neighbour, Unit([new_job(job("other"))], changes=[lifecycle.cancel(held)])) is None
    else:
        decide = {"cancelled": lambda job, _: lifecycle.cancel(job), "failed": failed, "released": released}
        assert await change(neighbour, decide[how](held, clock.now())) is not None

    await signals.until_released(held.id)
    assert signals.jobs == [held.id]


async def test_room_that_a_neighbour_made(store: Store, neighbour: Store, signals: RecordingSignals) -> None:
    """A server that found a limit used up hears when a job that ends on another one makes room."""
    await put(store, job("running"), job("waiting"), links=limited(RateLimit("key", concurrency=1)))
    held = await take_one(neighbour, "running")
    assert await take(store, 1, "waiting") == []
    signals.clear()

    await ack(neighbour, held.id)

    await signals.until_ready("waiting")
    assert len(await take(store, 1, "waiting")) == 1


async def test_a_window_that_a_neighbour_saw_reopen(
    store: Store, neighbour: Store, signals: RecordingSignals, clock: FakeClock
) -> None:
    """A server that found a limit by time used up hears of its end, whichever server notices that first."""
    await put(store, job("a"), job("a"), links=limited(RateLimit("key", claims=1, period_ms=100)))
    assert len(await take(store, 2, "a")) == 1
    signals.clear()
    clock.advance(100)

    await neighbour.promote(clock.now(), 10)

    await signals.until_ready("a")
    assert len(await take(store, 2, "a")) == 1


async def test_only_streamed_jobs_are_reported(store: Store, neighbour: Store, signals: RecordingSignals) -> None:
    """Nobody hears of jobs that no stream waits for, nor of those that a server ended itself."""
    await put(store, job("fetched"), job("own"), job("streamed"))
    fetched = await take_one(store, "fetched")
    (own,) = await take(store, 1, "own", streaming=True)
    (streamed,) = await take(store, 1, "streamed", streaming=True)

    await ack(neighbour, fetched.id)
    await ack(store, own.job_id)
    await ack(neighbour, streamed.job_id)

    await signals.until_released(streamed.job_id)
    assert signals.jobs == [streamed.job_id]


async def test_other_queues_are_not_announced(store: Store, signals: RecordingSignals, clock: FakeClock) -> None:
    """Jobs that nobody can claim yet announce nothing, nor do those that are claimed or end."""
    await put(store, job("later", scheduled_at=START + 10))
    await put(store, job("pending"), state=states.PENDING)
    await put(store, job("now"))
    await signals.until_ready("now")
    signals.clear()

    await ack(store, (await take_one(store, "now")).id)
    await store.promote(clock.now(), 10)
    await put(store, job("last"))

    await signals.until_ready("last")
    assert set(signals.queues) == {"last"}
