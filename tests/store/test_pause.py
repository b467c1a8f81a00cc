"""QueueStore.set_paused: a paused queue takes jobs and gives none (behaviour section 11, traps 46 and 47)."""

from collections.abc import Awaitable, Callable

import pytest

from ojs_grpc.core import states
from ojs_grpc.core.rate_limit import RateLimit
from ojs_grpc.stores.ports import QueueRow, Store
from tests.clock import START, FakeClock
from tests.signals import RecordingSignals
from tests.store.building import (
    QUEUE,
    VISIBILITY_MS,
    ack,
    change,
    demand,
    facts,
    failed,
    given,
    ids_of,
    job,
    pause,
    put,
    put_limited,
    reap,
    resume,
    see,
    take,
    take_one,
)

ONE = RateLimit("key", concurrency=1)


async def test_a_paused_queue_gives_nothing(store: Store, clock: FakeClock) -> None:
    """A claim finds a paused queue empty, and goes on to the next one asked for."""
    await put(store, job("a"), job("a"), b := job("b"))
    await pause(store, "a")

    (nothing,) = await store.claim([demand(2, "a")], clock.now())
    (some,) = await store.claim([demand(2, "a", "b")], clock.now())

    assert (list(nothing.deliveries), nothing.drained) == ([], True)
    assert (ids_of(some.deliveries), some.drained) == ([b.id], True)


async def test_a_paused_queue_takes_jobs(store: Store, clock: FakeClock) -> None:
    """Enqueues and promotions go on; nothing of it is given until the queue resumes, then all in order."""
    await put(store, first := job(), later := job(scheduled_at=START + 10))
    await pause(store)
    await put(store, second := job(), urgent := job(priority=1))
    clock.advance(10)
    assert (await store.promote(clock.now(), 10)).promoted == 1
    assert await take(store, 9) == []

    await resume(store)

    assert ids_of(await take(store, 9)) == [urgent.id, first.id, second.id, later.id]


async def test_active_jobs_are_not_concerned(store: Store, clock: FakeClock) -> None:
    """What was given before the pause is worked on: heartbeats, failures, lost leases and acknowledgements count."""
    await put(store, *[job() for _ in range(3)])
    done, failing, lost = [await take_one(store) for _ in range(3)]
    await pause(store)

    assert len((await store.heartbeat("", 0, done.id, done.lease, 90_000, clock.now())).jobs) == 1
    clock.advance(VISIBILITY_MS)
    assert {each.id for each in await reap(store)} == {failing.id, lost.id}
    assert await ack(store, done.id, lease=done.lease) is None
    assert await ack(store, lost.id, lease=lost.lease) is None

    assert [(await see(store, each)).state for each in (done, failing, lost)] == [
        states.COMPLETED,
        states.AVAILABLE,
        states.COMPLETED,
    ]
    assert await take(store, 9) == []


async def test_pausing_says_whether_it_changed_anything(store: Store) -> None:
    """Only the first of several pauses, and of several resumes, is one."""
    assert [await pause(store), await pause(store)] == [True, False]
    assert [await resume(store), await resume(store)] == [True, False]


async def test_an_unknown_queue_may_be_paused(store: Store, clock: FakeClock) -> None:
    """A queue exists from its first pause on, and jobs that come later wait."""
    await pause(store, "new")
    clock.advance(5)
    await put(store, job("new"))

    rows = list((await store.queues("", 10)).rows)

    assert rows == [QueueRow("new", paused=True, available=1, created_at=START)]
    assert (await facts(store, "new")).paused
    assert await take(store, 1, "new") == []


async def test_resuming_what_was_never_paused(store: Store) -> None:
    """It changes nothing, but the queue is known from then on."""
    assert await resume(store, "new") is False

    assert [row.name for row in (await store.queues("", 10)).rows] == ["new"]


async def test_queues_are_paused_one_by_one(store: Store) -> None:
    """A pause is about the queue named and no other, and is shown in lists and figures."""
    await put(store, job("a"), job("b"))
    await pause(store, "a")

    assert {row.name: row.paused for row in (await store.queues("", 10)).rows} == {"a": True, "b": False}
    assert [(await facts(store, queue)).paused for queue in ("a", "b")] == [True, False]
    assert len(await take(store, 1, "b")) == 1


async def test_a_resumed_queue_is_announced(store: Store, signals: RecordingSignals) -> None:
    """Whoever waits for jobs hears that there are some again."""
    await put(store, job("held"))
    await pause(store, "held")
    signals.clear()

    await resume(store, "held")

    await signals.until_ready("held")


async def test_a_limit_and_a_pause(store: Store, clock: FakeClock) -> None:
    """A job that a limit held back and that a pause holds back waits for both to end."""
    _, waiting = await put_limited(store, ONE, count=2)
    held = await take_one(store)
    assert await take(store) == []
    await pause(store)
    await change(store, failed(held, clock.now()))
    assert await take(store) == []

    await resume(store)

    assert ids_of(await take(store, 9)) == [waiting.id]


async def test_a_paused_queue_holds_no_key(store: Store, signals: RecordingSignals) -> None:
    """A paused queue whose job was next under a limit leaves the room to other queues, until it resumes."""
    (a,) = await put_limited(store, ONE, queue="a")
    (b,) = await put_limited(store, ONE, queue="b")
    assert await given(store, "a", "b") == [a.id]
    await pause(store, "b")
    await ack(store, a.id)
    (rival,) = await put_limited(store, ONE, queue="a")

    assert await given(store, "b", "a") == [rival.id]
    await resume(store, "b")
    assert await given(store, "b") == []
    signals.clear()
    await ack(store, rival.id)

    await signals.until_ready("b")
    assert await given(store, "b") == [b.id]


async def test_servers_share_a_pause(store: Store, other: Store) -> None:
    """A queue that one server paused gives nothing through another one."""
    await put(store, job())
    await pause(other)

    assert await take(store) == []
    assert await pause(store) is False
    await resume(store)
    assert len(await take(other)) == 1


async def test_a_neighbour_hears_of_a_resume(
    scheme: str, store: Store, connect: Callable[..., Awaitable[Store]], signals: RecordingSignals
) -> None:
    """A queue that another server resumed is announced here, where servers can talk to each other."""
    if scheme != "redis":
        pytest.skip("SQLite carries no messages: what other servers do is found by asking")
    neighbour = await connect()
    await put(store, job())
    await pause(neighbour)
    signals.clear()

    await resume(neighbour)

    await signals.until_ready(QUEUE)


async def test_a_pause_outlives_the_server(
    scheme: str, store: Store, connect: Callable[..., Awaitable[Store]]
) -> None:
    """After a restart a paused queue is still paused."""
    if scheme == "memory":
        pytest.skip("a store in memory ends with its process")
    await put(store, job())
    await pause(store)
    await store.close()

    assert await take(await connect()) == []
