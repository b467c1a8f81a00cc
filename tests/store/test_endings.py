"""WorkflowStore: however a job of a workflow ends, the workflow can be told (behaviour section 24, traps 9 to 11)."""

from collections.abc import Awaitable, Callable

import pytest
from ojs_grpc_pb.v1.job_pb2 import Job

from ojs_grpc.core import lifecycle, states
from ojs_grpc.core.links import Links
from ojs_grpc.stores.ports import Ending, Retention, Store, Unit
from tests.clock import FakeClock
from tests.signals import RecordingSignals
from tests.store.building import (
    DEAD_LETTER,
    VISIBILITY_MS,
    ack,
    change,
    do,
    endings,
    failed,
    job,
    new_job,
    put,
    reap,
    released,
    see,
    take_one,
)


async def step(store: Store, workflow_id: str = "w", queue: str = "default", **fields: object) -> Job:
    """Stores a job of a workflow."""
    message = job(queue, workflow_id=workflow_id, **fields)  # type: ignore[arg-type]
    await put(store, message, links=Links(workflow_id))
    return message


async def complete(store: Store, clock: FakeClock) -> Job:
    """A worker acknowledges it."""
    message = await step(store)
    held = await take_one(store)
    assert await ack(store, message.id, lease=held.lease) is None
    return message


async def complete_late(store: Store, clock: FakeClock) -> Job:
    """A worker acknowledges it after its lease was lost."""
    message = await step(store)
    held = await take_one(store)
    clock.advance(VISIBILITY_MS)
    assert len(await reap(store)) == 1
    assert await ack(store, message.id, lease=held.lease) is None
    return message


async def exhaust(store: Store, clock: FakeClock) -> Job:
    """Its last attempt fails."""
    message = await step(store, max_attempts=1)
    await change(store, failed(await take_one(store), clock.now()))
    return message


async def die(store: Store, clock: FakeClock) -> Job:
    """Its last attempt fails, and it becomes a dead letter."""
    message = await step(store, max_attempts=1, retry=DEAD_LETTER)
    await change(store, failed(await take_one(store), clock.now()))
    return message


async def cancel(store: Store, clock: FakeClock) -> Job:
    """Somebody cancels it."""
    message = await step(store)
    await change(store, lifecycle.cancel(await see(store, message)))
    return message


async def cancel_active(store: Store, clock: FakeClock) -> Job:
    """Somebody cancels it while it runs."""
    await step(store)
    held = await take_one(store)
    await change(store, lifecycle.cancel(held))
    return held


async def expire(store: Store, clock: FakeClock) -> Job:
    """Nobody gets it in time."""
    message = await step(store, expires_at=clock.now() + 10)
    clock.advance(10)
    (data,) = (await store.expired(clock.now(), 10)).jobs
    await change(store, lifecycle.expire(Job.FromString(data)))
    return message


async def lose(store: Store, clock: FakeClock) -> Job:
    """Its worker disappears with its last attempt."""
    message = await step(store, max_attempts=1)
    await take_one(store)
    clock.advance(VISIBILITY_MS)
    assert len(await reap(store)) == 1
    return message


async def cancel_in_a_unit(store: Store, clock: FakeClock) -> Job:
    """It is replaced by another one."""
    message = await step(store)
    change = lifecycle.cancel(await see(store, message))
    assert await do(store, Unit([new_job(job())], changes=[change])) is None
    return message


Way = Callable[[Store, FakeClock], Awaitable[Job]]
WAYS: dict[Way, int] = {
    complete: states.COMPLETED,
    complete_late: states.COMPLETED,
    exhaust: states.DISCARDED,
    die: states.DISCARDED,
    cancel: states.CANCELLED,
    cancel_active: states.CANCELLED,
    expire: states.DISCARDED,
    lose: states.DISCARDED,
    cancel_in_a_unit: states.CANCELLED,
}


@pytest.mark.parametrize(("end", "state"), WAYS.items())
async def test_every_end_is_noted(
    store: Store, clock: FakeClock, signals: RecordingSignals, end: Way, state: int
) -> None:
    """However a job of a workflow ends, that is noted in the same step, and this process hears of it."""
    message = await end(store, clock)

    assert await endings(store) == [Ending(message.id, "w", state)]
    assert signals.endings == 1


async def test_what_is_no_end(store: Store, clock: FakeClock, signals: RecordingSignals) -> None:
    """A job that only waits again has not ended, and one of no workflow never tells."""
    await step(store)
    await change(store, released(await take_one(store), clock.now()))
    await change(store, failed(await take_one(store), clock.now()))
    await put(store, alone := job())
    await take_one(store)
    await ack(store, alone.id)

    assert await endings(store) == []
    assert signals.endings == 0


async def test_a_refused_end_is_none(store: Store, signals: RecordingSignals) -> None:
    """Neither a second acknowledgement nor a change that came too late ends a job again."""
    message = await step(store)
    held = await take_one(store)
    await ack(store, message.id)
    (ended,) = await endings(store)
    await do(store, Unit(endings=[ended]))

    assert await ack(store, message.id) is not None
    assert await change(store, lifecycle.cancel(held)) is None

    assert await endings(store) == []
    assert signals.endings == 1


async def test_an_ending_stays_until_it_is_forgotten(store: Store, clock: FakeClock) -> None:
    """Reading forgets nothing, nor does the removal of the job; a unit that names an ending forgets that one."""
    dead, done = await die(store, clock), await complete(store, clock)
    assert await store.delete_dead(dead.id, clock.now())
    clock.advance(10)
    assert await store.sweep(Retention(finished_ms=1, discarded_ms=1), clock.now(), 10) == 1

    noted = await endings(store)
    await do(store, Unit(endings=[noted[0]]))

    assert noted == [Ending(dead.id, "w", states.DISCARDED), Ending(done.id, "w", states.COMPLETED)]
    assert await endings(store) == [noted[1]]


async def test_forgetting_has_no_precondition(store: Store, clock: FakeClock) -> None:
    """An ending that is not noted, or not any more, may be forgotten all the same."""
    await complete(store, clock)
    noted = await endings(store)

    unknown = Ending("01970000-0000-7000-8000-0000000000ff", "w", states.COMPLETED)
    assert await do(store, Unit(endings=[unknown, *noted])) is None
    assert await do(store, Unit(endings=noted)) is None
    assert await endings(store) == []


async def test_a_dead_letter_ends_again(store: Store, clock: FakeClock, signals: RecordingSignals) -> None:
    """A job that was retried out of the dead letters tells of its next end too."""
    message = await die(store, clock)
    await do(store, Unit(endings=await endings(store)))
    await change(store, lifecycle.retry_dead(await see(store, message)))

    held = await take_one(store)
    await ack(store, held.id)

    assert await endings(store) == [Ending(message.id, "w", states.COMPLETED)]
    assert signals.endings == 2


async def test_endings_come_some_at_a_time(store: Store, clock: FakeClock) -> None:
    """With more endings than asked for some come, the others after those are forgotten; workflows don't mix."""
    ended = [await step(store, f"w:{{{number % 3}}} ü", f"queue-{number}") for number in range(10)]
    for message in ended:
        await change(store, lifecycle.cancel(await see(store, message)))
    told: list[Ending] = []

    while True:
        some = await store.endings(4)
        told.extend(some.endings)
        await do(store, Unit(endings=some.endings))
        if not some.more:
            break
        assert some.endings

    assert sorted(told) == sorted(Ending(each.id, each.workflow_id, states.CANCELLED) for each in ended)
    assert await endings(store) == []


async def test_endings_survive(
    scheme: str, store: Store, connect: Callable[..., Awaitable[Store]], clock: FakeClock
) -> None:
    """What ended before a crash is still to be told after it, by any server."""
    if scheme == "memory":
        pytest.skip("a store in memory ends with its process")
    message = await complete(store, clock)
    await store.close()

    assert await endings(await connect()) == [Ending(message.id, "w", states.COMPLETED)]
