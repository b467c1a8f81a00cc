"""OperatorStore.clear: everything is gone, and the store works on."""

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from ojs_grpc.core import states
from ojs_grpc.core.rate_limit import RateLimit
from ojs_grpc.stores.ports import IdempotencyKey, JobFilter, Page, Store, Unit
from tests.clock import FakeClock
from tests.signals import RecordingSignals
from tests.store.building import (
    MANY_BYTES,
    QUEUE,
    RUNNING,
    WORKER,
    ack,
    bury,
    change,
    do,
    facts,
    failed,
    history,
    ids_of,
    job,
    limited,
    look,
    new_job,
    pause,
    put,
    take,
    take_one,
    told,
    unique,
    write,
)


async def fill(store: Store, clock: FakeClock) -> list[str]:
    """Something of everything; the ids of the jobs."""
    messages = [job(), job(), job(), job("x", expires_at=clock.now() + 1_000_000), job()]
    await put(store, *messages)
    scheduled, pending = job(scheduled_at=clock.now() + 1_000), job(workflow_id="flow")
    await put(store, scheduled)
    await put(store, pending, state=states.PENDING)
    await put(store, narrow := job("narrow"), links=limited(RateLimit("key", 1, 1, 60_000)))
    await put(store, only := job("only"), links=unique())
    await take_one(store, "narrow")
    await ack(store, (await take_one(store)).id)
    await change(store, failed(await take_one(store), clock.now()))
    await take_one(store)
    buried = await bury(store, "bury")
    await pause(store, "x")
    await write(store, "cron", "name", b"data", clock.now() + 1)
    await store.heartbeat(WORKER, RUNNING, "", 0, 0, clock.now())
    key = IdempotencyKey("key", b"fingerprint", b"reply", clock.now() + 1_000_000)
    keyed = job()
    assert await do(store, Unit([new_job(keyed)], key)) is None
    return [each.id for each in (*messages, scheduled, pending, narrow, only, buried, keyed)]


async def test_nothing_is_left(store: Store, clock: FakeClock) -> None:
    """Jobs, queues, documents, events, keys and workers are gone, and no duty finds anything to do."""
    ids = await fill(store, clock)

    await store.clear()

    assert await store.read(ids) == [None] * len(ids)
    assert await store.jobs(JobFilter(), "", 10, MANY_BYTES) == Page([], "", 0)
    assert await store.queue_counts("", clock.now()) == []
    assert (await store.queues("", 10)).total == 0
    assert await store.queue_facts(QUEUE, clock.now()) is None
    assert (await store.list_documents("cron", "", 10)).total == 0
    assert await store.workers("", 10) == Page([], "", 0)
    assert await history(store) == []
    assert (await store.dead_letters("", "", 10, MANY_BYTES)).total == 0
    assert not (await store.endings(10)).endings
    clock.advance(10_000_000)
    now = clock.now()
    assert (await store.promote(now, 10)) == (0, None)
    assert (await store.expired(now, 10)) == ([], None)
    assert (await store.overdue(now, 10)) == ([], None)
    assert (await store.due_documents("cron", now, 10)) == ([], None)
    assert await take(store, 10, QUEUE, "x", "narrow", "only") == []


async def test_the_store_works_on(store: Store, signals: RecordingSignals, clock: FakeClock) -> None:
    """After it everything works as on an empty store, with the same names again."""
    await fill(store, clock)
    await store.clear()
    signals.clear()

    again = await fill(store, clock)
    await put(store, late := job("x"))

    assert {QUEUE, "narrow", "only", "bury"} <= set(signals.queues)
    assert (await look(store, again[0])) is not None
    assert ids_of(await take(store, 1, "x")) == []
    counts = {queue.name: sum(queue.jobs.values()) for queue in await store.queue_counts("", clock.now())}
    assert counts == {QUEUE: 7, "x": 2, "narrow": 1, "only": 1, "bury": 1}
    assert (await facts(store)).completed == 1
    assert await told(store, late.id)


async def test_heartbeats_reach_what_is_claimed_later(store: Store, clock: FakeClock) -> None:
    """What the store remembers of its workers holds after it too."""
    await put(store, job("far"))
    await take(store, 1, "far")
    await store.clear()
    await put(store, job("far"))
    (held,) = await take(store, 1, "far")
    clock.advance(1_000)

    extension = await store.heartbeat(WORKER, RUNNING, "", 0, 0, clock.now())

    assert [job_id for job_id, _ in extension.jobs] == [held.job_id]
    (row,) = (await store.workers("", 10)).rows
    assert (row.worker_id, row.active) == (WORKER, 1)


async def test_who_never_beats_is_known_again(store: Store) -> None:
    """A worker that claimed before it, and claims again, is listed although it never sends a heartbeat."""
    await put(store, job())
    await take(store, 1)
    await store.clear()
    await put(store, job())
    await take(store, 1)

    (row,) = (await store.workers("", 10)).rows

    assert (row.worker_id, row.active) == (WORKER, 1)


async def test_what_others_do_meanwhile_goes_too(store: Store, scheme: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """On Redis, where it takes several steps, a change between them leaves no wrong count behind."""
    if scheme != "redis":
        return
    await put(store, job())
    held = await take_one(store)
    connections = store._connections  # type: ignore[attr-defined]
    call = connections.call
    acked: list[str] = []

    async def call_and_ack(*words: Any) -> Any:  # noqa: ANN401 - whatever the command replies
        answer = await call(*words)
        if words[0] == "UNLINK" and not acked:
            acked.append(held.id)
            assert await ack(store, held.id) is None
        return answer

    monkeypatch.setattr(connections, "call", call_and_ack)
    await store.clear()
    await put(store, job())

    assert acked
    (counts,) = await store.queue_counts("", store.clock.now())
    assert counts.jobs == {**dict.fromkeys(states.ALL, 0), states.AVAILABLE: 1}


async def test_leases_never_come_back(store: Store) -> None:
    """A lease given after it differs from all before."""
    await put(store, job())
    before = await take_one(store)
    await store.clear()
    await put(store, job())

    assert (await take_one(store)).lease > before.lease


async def test_who_follows_the_log_goes_on(store: Store, clock: FakeClock) -> None:
    """A cursor from before gives what is logged after, each event once and with an id of its own."""
    await put(store, first := job())
    (seen,) = [event.id for event in await history(store)]
    cursor = await store.event_cursor(None)
    behind = await store.event_cursor(seen)

    await store.clear()
    await put(store, second := job())

    assert first.id != second.id
    for place in (cursor, behind):
        await store.await_events(place, 1_000)
        page = await store.events(place, 10)
        assert [event.id != seen for event in page.events] == [True]
        assert not (await store.events(page.cursor, 10)).events


async def test_of_two_servers(store: Store, other: Store, scheme: str, clock: FakeClock) -> None:
    """On Redis, another server may go on too."""
    if scheme != "redis":
        return
    await put(other, job("far"))
    await take(other, 1, "far")
    await store.clear()
    await put(other, job("far"))
    (held,) = await take(other, 1, "far")

    extension = await store.heartbeat(WORKER, RUNNING, "", 0, 0, clock.now())

    assert [job_id for job_id, _ in extension.jobs] == [held.job_id]


async def test_other_data_stays(store: Store, scheme: str, connect: Callable[..., Awaitable[Store]]) -> None:
    """On Redis, keys of others in the same database are not touched."""
    if scheme != "redis":
        return
    call = (await connect())._connections.call  # type: ignore[attr-defined]
    for name in ("other", "ojs:other", "ojs:{xx}:j:1"):
        await call("SET", name, "value")
    await put(store, job())

    await store.clear()

    kept = {name.decode() for name in await call("KEYS", "*")}
    assert {"other", "ojs:other", "ojs:{xx}:j:1"} <= kept
    assert {name.split(":")[2] for name in kept - {"other", "ojs:other", "ojs:{xx}:j:1"}} <= {
        "seq", "lease", "version", "logged", "events", "places"
    }  # fmt: skip
