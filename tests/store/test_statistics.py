"""QueueStore.queue_facts: how many jobs a queue has in each state, and what happened there minute by minute."""

import pytest
from ojs_grpc_pb.v1.job_pb2 import Job, RetryPolicy

from ojs_grpc.core import lifecycle, states
from ojs_grpc.core.events import Kind
from ojs_grpc.core.links import Links
from ojs_grpc.core.rate_limit import RateLimit
from ojs_grpc.stores.ports import Minute, QueueFacts, Retention, Store, Unit
from tests.clock import START, FakeClock
from tests.store.building import (
    DEAD_LETTER,
    QUEUE,
    VISIBILITY_MS,
    ack,
    change,
    do,
    facts,
    failed,
    job,
    limited,
    new_job,
    pause,
    put,
    reap,
    reaped,
    released,
    see,
    take,
    take_one,
    telling,
)

MINUTE_MS = 60_000
THIS_MINUTE = START // MINUTE_MS
TWICE = RetryPolicy(max_attempts=2, on_exhaustion="dead_letter")
STATES = ("available", "active", "scheduled", "retryable", "discarded", "completed")


async def figures(store: Store, queue: str = QUEUE) -> dict[str, int]:
    """The counts of a queue that are not 0."""
    found = await facts(store, queue)
    return {name: getattr(found, name) for name in STATES if getattr(found, name)}


async def minutes(store: Store, queue: str = QUEUE) -> list[Minute]:
    """What happened, in minutes since the test began."""
    return [each._replace(minute=each.minute - THIS_MINUTE) for each in (await facts(store, queue)).minutes]


async def test_an_unknown_queue_has_no_figures(store: Store) -> None:
    """A queue without a job or a pause is none; a claim from it does not make it one."""
    await take(store, 1, "unknown")

    assert await store.queue_facts("unknown", START) is None


async def test_a_new_queue(store: Store) -> None:
    """A queue that was only paused has nothing but zeros."""
    await pause(store, "new")

    assert await facts(store, "new") == QueueFacts(True, 0, 0, 0, 0, 0, 0, [])  # noqa: FBT003 - the figures in a row


async def test_jobs_are_counted_by_state(store: Store) -> None:
    """What is inserted is counted where it waits; pending jobs are in no figure, and queues don't mix."""
    await put(store, job(), job(), job(scheduled_at=START + 1))
    await put(store, job(), state=states.PENDING)
    await put(store, job("another"))

    assert await figures(store) == {"available": 2, "scheduled": 1}
    assert await figures(store, "another") == {"available": 1}


async def test_figures_follow_every_step(store: Store, clock: FakeClock) -> None:
    """Each transition moves a job from one figure to another, to the end and back from the dead letters."""
    seen = []

    async def note() -> None:
        seen.append(await figures(store))

    await put(store, message := job(scheduled_at=START + 10, max_attempts=2, retry=TWICE))
    await note()
    clock.advance(10)
    await store.promote(clock.now(), 10)
    await note()
    await change(store, released(await take_one(store), clock.now()))
    await note()
    held = await take_one(store)
    await note()
    await change(store, failed(held, clock.now()))
    await note()
    clock.advance(60_000)
    await store.promote(clock.now(), 10)
    await change(store, failed(await take_one(store), clock.now()))
    await note()
    await change(store, lifecycle.retry_dead(await see(store, message)))
    await note()
    await take_one(store)
    clock.advance(VISIBILITY_MS)
    await reap(store)
    await note()
    await ack(store, (await take_one(store)).id)
    await note()

    assert seen == [
        {"scheduled": 1},
        {"available": 1},
        {"available": 1},
        {"active": 1},
        {"retryable": 1},
        {"discarded": 1},
        {"available": 1},
        {"available": 1},
        {"completed": 1},
    ]


async def test_the_ways_out(store: Store, clock: FakeClock) -> None:
    """Cancelled jobs are in no figure; expired ones and exhausted leases are discarded; a late ack completes."""
    waiting, expiring = job(), job(expires_at=START + 5)
    await put(store, waiting, expiring, job(scheduled_at=START + 90))
    clock.advance(5)
    await change(store, lifecycle.cancel(await see(store, waiting)))
    await change(store, lifecycle.expire(await see(store, expiring)))
    assert await figures(store) == {"scheduled": 1, "discarded": 1}

    await put(store, job(max_attempts=1), job())
    _, late = await take_one(store), await take_one(store)
    clock.advance(VISIBILITY_MS)
    await reap(store)
    assert await figures(store) == {"available": 1, "scheduled": 1, "discarded": 2}

    await ack(store, late.id, lease=late.lease)
    assert await figures(store) == {"scheduled": 1, "discarded": 2, "completed": 1}


async def test_pending_jobs_enter_when_they_are_activated(store: Store) -> None:
    """An activated job counts as available, one whose time is still to come as scheduled, a cancelled one never."""
    messages = [job(), job(scheduled_at=START + 10), job()]
    await put(store, *messages, state=states.PENDING)
    assert await figures(store) == {}

    await change(store, lifecycle.activate(await see(store, messages[0])))
    await change(store, lifecycle.admit(await see(store, messages[1]), Job(), START))
    await change(store, lifecycle.cancel(await see(store, messages[2])))

    assert await figures(store) == {"available": 1, "scheduled": 1}


async def test_a_unit_is_counted(store: Store) -> None:
    """A unit's changes count like its jobs, and those of a refused unit don't."""
    await put(store, message := job())
    read = await see(store, message)
    good = Unit([new_job(job("b"))], changes=[lifecycle.cancel(read)])

    outcomes = await store.insert([good, good._replace(jobs=[new_job(job("b")), new_job(job("c"))])], START)

    assert outcomes[0] is None
    assert outcomes[1] is not None
    assert (await figures(store), await figures(store, "b")) == ({}, {"available": 1})
    assert await store.queue_facts("c", START) is None
    assert await do(store, good._replace(jobs=())) is not None


async def test_a_job_held_back_by_a_limit_is_available(store: Store) -> None:
    """A limit changes nothing of what a job is."""
    await put(store, *[job() for _ in range(3)], links=limited(RateLimit("key", concurrency=1)))
    await take(store, 3)

    assert await figures(store) == {"available": 2, "active": 1}
    assert [row.available for row in (await store.queues("", 10)).rows] == [2]


async def test_removed_jobs(store: Store, clock: FakeClock) -> None:
    """Discarded jobs count while they are stored, completed ones since the queue exists."""
    await put(store, job(max_attempts=1), job(max_attempts=1, retry=DEAD_LETTER), job(max_attempts=1), job())
    held = [await take_one(store) for _ in range(4)]
    for each in held[:3]:
        await change(store, failed(each, clock.now()))
    await ack(store, held[3].id)
    assert await figures(store) == {"discarded": 3, "completed": 1}

    await store.delete_dead(held[1].id, clock.now())
    assert await figures(store) == {"discarded": 2, "completed": 1}

    clock.advance(10)
    assert await store.sweep(Retention(finished_ms=1, discarded_ms=1), clock.now(), 10) == 3
    assert await figures(store) == {"completed": 1}


async def test_a_minute(store: Store, clock: FakeClock) -> None:
    """A minute tells of its claims and how long they waited, and of what ended and how long that took."""
    await put(store, first := job(), second := job(), scheduled := job(scheduled_at=START + 400))
    clock.advance(300)
    await take(store, 1)
    clock.advance(100)
    await store.promote(clock.now(), 10)
    clock.advance(7)
    await take(store, 2)
    clock.advance(1_000)
    for message in (first, second, scheduled):
        await ack(store, message.id)

    # Waited: 300, 407 and, since it was promoted, 7.
    assert await minutes(store) == [Minute(0, 3, 0, 3, 1_107 + 1_000 + 1_000, 714)]


async def test_failed_attempts(store: Store, clock: FakeClock) -> None:
    """Every change that tells of a failed attempt counts as one: a failure, a lost lease; a release does not."""
    await put(store, *[job(max_attempts=2) for _ in range(4)])
    failing, releasing, _, together = [await take_one(store) for _ in range(4)]
    await change(store, telling(failed(failing, clock.now()), Kind.JOB_FAILED, Kind.JOB_RETRYING))
    await change(store, telling(released(releasing, clock.now())))
    await do(store, Unit(changes=[telling(failed(together, clock.now()), Kind.JOB_FAILED, Kind.JOB_RETRYING)]))
    clock.advance(VISIBILITY_MS)
    (overdue,) = (await store.overdue(clock.now(), 10)).jobs
    await change(store, telling(reaped(overdue, clock.now()), Kind.JOB_FAILED))

    assert [(each.minute, each.failed, each.claimed) for each in await minutes(store)] == [(0, 2, 4), (1, 1, 0)]


async def test_a_late_acknowledgement_is_a_completion(store: Store, clock: FakeClock) -> None:
    """A job acknowledged after its lease was lost took from its claim until then."""
    await put(store, job())
    held = await take_one(store)
    clock.advance(VISIBILITY_MS)
    await reap(store)
    clock.advance(5)
    await ack(store, held.id, lease=held.lease)

    done = (await minutes(store))[-1]
    assert (done.minute, done.completed, done.duration_ms) == (1, 1, VISIBILITY_MS + 5)


async def test_waiting_starts_anew(store: Store, clock: FakeClock) -> None:
    """A job that came back has waited since then, not since its birth."""
    await put(store, job())
    clock.advance(100)
    held = await take_one(store)
    clock.advance(50)
    await change(store, released(held, clock.now()))
    clock.advance(7)
    await take_one(store)

    assert [(each.claimed, each.wait_ms) for each in await minutes(store)] == [(2, 107)]


async def test_an_hour_slides(store: Store, clock: FakeClock) -> None:
    """Each minute in which something happened is told for an hour, oldest first; others are left out."""
    for wait in (0, 2, 57, 1, 1):
        clock.advance(wait * MINUTE_MS)
        await put(store, job())
        await ack(store, (await take_one(store)).id)
    seen = [[each.minute for each in await minutes(store)]]
    for wait in (1, 57, 2):
        clock.advance(wait * MINUTE_MS)
        seen.append([each.minute for each in await minutes(store)])

    # After 61, 62, 119 and 121 minutes.
    assert seen == [[2, 59, 60, 61], [2, 59, 60, 61], [59, 60, 61], [61]]
    assert (await facts(store)).completed == 5


async def test_sweeping_keeps_the_hour(store: Store, clock: FakeClock) -> None:
    """Sweeping drops figures that nobody is told any more, and no others."""
    for _ in range(3):
        await put(store, job())
        await ack(store, (await take_one(store)).id)
        clock.advance(40 * MINUTE_MS)
        await store.sweep(Retention(), clock.now(), 100)

    assert [each.minute for each in await minutes(store)] == [80]
    assert [each.completed for each in await minutes(store)] == [1]


@pytest.mark.parametrize("links", [None, Links("w")])
async def test_servers_share_figures(store: Store, other: Store, links: Links | None) -> None:
    """What happens through any server is counted once."""
    await put(store, job(), job(), job(), links=links)
    await take_one(store)
    held = await take_one(other)
    await ack(store, held.id)

    assert await facts(store) == await facts(other)
    assert await figures(store) == {"available": 1, "active": 1, "completed": 1}
