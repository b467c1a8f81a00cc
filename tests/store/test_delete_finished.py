"""OperatorStore.delete_finished: jobs that nobody needs any more."""

import pytest

from ojs_grpc.core import lifecycle, states
from ojs_grpc.core.events import Kind
from ojs_grpc.core.rate_limit import RateLimit
from ojs_grpc.stores.ports import JobFilter, Retention, Store
from tests.clock import FakeClock
from tests.store.building import (
    MANY_BYTES,
    QUEUE,
    ack,
    bury,
    change,
    facts,
    failed,
    job,
    limited,
    look,
    put,
    see,
    take_one,
    told,
    unique,
)


async def end_all(store: Store, clock: FakeClock) -> dict[int, str]:
    """Jobs in each final state, by state; 0 is a dead letter."""
    ended = {}
    for state in (states.COMPLETED, states.CANCELLED, states.DISCARDED):
        message = job(max_attempts=1)
        await put(store, message, links=unique(str(state)))
        held = await take_one(store)
        if state == states.COMPLETED:
            await ack(store, held.id)
        elif state == states.CANCELLED:
            await change(store, lifecycle.cancel(held))
        else:
            await change(store, failed(held, clock.now()))
        ended[state] = message.id
        clock.advance(1)
    return ended | {0: (await bury(store)).id}


async def counts(store: Store) -> dict[int, int]:
    """How many jobs of the queue are in each state."""
    (queue,) = await store.queue_counts(QUEUE, store.clock.now())
    return dict(queue.jobs)


async def test_finished_jobs_are_deleted(store: Store, clock: FakeClock) -> None:
    """They are neither found nor listed nor counted any more."""
    ended = await end_all(store, clock)

    deleted = await store.delete_finished([*ended.values(), "unknown"], clock.now())
    again = await store.delete_finished(list(ended.values()), clock.now())

    assert deleted == [True] * 4 + [False]
    assert again == [False] * 4
    assert await store.read(list(ended.values())) == [None] * 4
    assert await counts(store) == dict.fromkeys(states.ALL, 0)
    assert (await store.jobs(JobFilter(), "", 10, MANY_BYTES))[1:] == ("", 0)
    assert (await store.dead_letters("", "", 10, MANY_BYTES)).total == 0
    assert (await facts(store)).completed == 1
    assert Kind.DEAD_LETTER_DELETED in await told(store, ended[0])


async def test_others_stay(store: Store, clock: FakeClock) -> None:
    """Jobs that are not finished are not deleted, and finished ones that are not named stay."""
    ended = await end_all(store, clock)
    message = job()
    await put(store, message)

    assert await store.delete_finished([message.id, ended[states.COMPLETED]], clock.now()) == [False, True]

    assert (await see(store, message)).state == states.AVAILABLE
    assert await counts(store) == {**dict.fromkeys(states.ALL, 0), 2: 1, states.CANCELLED: 1, states.DISCARDED: 2}


@pytest.mark.parametrize("reborn", [False, True])
async def test_retention_goes_on(store: Store, clock: FakeClock, reborn: bool) -> None:  # noqa: FBT001
    """What retention remembers of a deleted job harms nobody, also not a new job that has its id."""
    ended = await end_all(store, clock)
    await store.delete_finished([ended[states.COMPLETED], ended[states.CANCELLED]], clock.now())
    living = job(job_id_=ended[states.COMPLETED]) if reborn else job()
    await put(store, living, reserved=True)
    await put(store, done := job("default", priority=5))
    await ack(store, (await take_one(store)).id)
    clock.advance(10)

    swept = await store.sweep(Retention(finished_ms=5), clock.now(), 100)

    assert swept == 1
    assert await look(store, done.id) is None
    assert (await see(store, living)).state == states.AVAILABLE
    assert (await counts(store))[states.COMPLETED] == (await counts(store))[states.CANCELLED] == 0


async def test_limited_jobs(store: Store, clock: FakeClock) -> None:
    """Their lanes go with them."""
    message = job()
    await put(store, message, links=limited(RateLimit("key", 1)))
    await ack(store, (await take_one(store)).id)

    assert await store.delete_finished([message.id], clock.now()) == [True]

    await put(store, again := job(), links=limited(RateLimit("key", 1)))
    assert (await take_one(store)).id == again.id
