"""ScheduleStore.expired: jobs that nobody got within their time to live."""

import pytest
from ojs_grpc_pb.v1.job_pb2 import Job

from ojs_grpc.core import lifecycle, states
from ojs_grpc.stores.ports import ExpiredJobs, Store
from tests.clock import START, FakeClock
from tests.store.building import bury, change, changed, counts, failed, job, put, reap, released, see, take_one

TTL_MS = 1_000


def ids_in(found: ExpiredJobs) -> list[str]:
    """Which jobs were found, in order."""
    return [Job.FromString(data).id for data in found.jobs]


async def test_nothing_expires(store: Store, clock: FakeClock) -> None:
    """Jobs without a time to live are never found."""
    await put(store, job(), job(scheduled_at=START + 10))

    found = await store.expired(clock.now() + 10_000_000, 10)

    assert (list(found.jobs), found.next_at) == ([], None)


@pytest.mark.parametrize("state", [states.AVAILABLE, states.SCHEDULED, states.PENDING])
async def test_a_job_past_its_time_is_found(store: Store, clock: FakeClock, state: int) -> None:
    """Whatever an expired job waits for, it is found as it stands, again and again; looking changes nothing."""
    message = job(scheduled_at=START + 5_000 if state == states.SCHEDULED else 0, expires_at=START + TTL_MS)
    await put(store, message, state=state)
    before = await see(store, message)

    early = await store.expired(START + TTL_MS - 1, 10)
    clock.advance(TTL_MS + 1)
    found = await store.expired(clock.now(), 10)

    assert (list(early.jobs), early.next_at) == ([], START + TTL_MS)
    assert [Job.FromString(data) for data in found.jobs] == [before]
    assert found == await store.expired(clock.now(), 10)
    assert await see(store, message) == before


async def test_a_discarded_job_is_not_found_again(store: Store, clock: FakeClock) -> None:
    """Once an expired job is discarded there is nothing left to do."""
    message = job(expires_at=START + TTL_MS)
    await put(store, message)
    clock.advance(TTL_MS + 1)
    (data,) = (await store.expired(clock.now(), 10)).jobs

    await change(store, lifecycle.expire(Job.FromString(data)))

    found = await store.expired(clock.now(), 10)
    assert (list(found.jobs), found.next_at) == ([], None)
    assert await see(store, message) == changed(
        message, state=states.DISCARDED, enqueued_at=START, discarded_at=clock.now()
    )
    assert sum((await counts(store)).values()) == 0


async def test_a_time_to_live_goes_on_through_promotion(store: Store, clock: FakeClock) -> None:
    """A scheduled job that became available, and still finds no worker, expires at its time."""
    message = job(scheduled_at=START + 100, expires_at=START + TTL_MS)
    await put(store, message)
    clock.advance(100)
    await store.promote(clock.now(), 1)

    early = await store.expired(clock.now(), 10)
    found = await store.expired(START + TTL_MS + 1, 10)

    assert (list(early.jobs), early.next_at) == ([], START + TTL_MS)
    assert [Job.FromString(data).state for data in found.jobs] == [states.AVAILABLE]


@pytest.mark.parametrize("how", ["running", "released", "reaped", "failed", "promoted again", "retried when dead"])
async def test_a_job_that_was_active_does_not_expire(store: Store, clock: FakeClock, how: str) -> None:
    """Once a worker had the job its time to live is over, even if the attempt was given back."""
    if how == "retried when dead":
        await change(store, lifecycle.retry_dead(await bury(store, expires_at=START + TTL_MS)))
    else:
        await put(store, job(expires_at=START + TTL_MS, visibility_ms=500))
        held = await take_one(store)
        if how == "released":
            await change(store, released(held, clock.now()))
        if how in ("failed", "promoted again"):
            await change(store, failed(held, clock.now()))
    clock.advance(TTL_MS + 1)
    if how == "reaped":
        assert len(await reap(store)) == 1
    if how == "promoted again":
        assert (await store.promote(clock.now(), 1)).promoted == 1

    found = await store.expired(clock.now(), 10)

    assert (list(found.jobs), found.next_at) == ([], None)


@pytest.mark.parametrize("state", [states.AVAILABLE, states.SCHEDULED, states.PENDING])
async def test_a_cancelled_job_does_not_expire(store: Store, clock: FakeClock, state: int) -> None:
    """A job that has ended otherwise is not found."""
    message = job(scheduled_at=START + 5_000 if state == states.SCHEDULED else 0, expires_at=START + TTL_MS)
    await put(store, message, state=state)
    await change(store, lifecycle.cancel(await see(store, message)))

    found = await store.expired(clock.now() + 10_000, 10)

    assert (list(found.jobs), found.next_at) == ([], None)


async def test_earliest_first_and_no_more_than_asked(store: Store, clock: FakeClock) -> None:
    """Expired jobs come by their time, across queues, up to the limit; the answer tells of the rest."""
    lengths = [500, 100, 900, 300, 2_000]
    messages = {each: job(f"queue-{number % 2}", expires_at=START + each) for number, each in enumerate(lengths)}
    await put(store, *messages.values())
    clock.advance(1_000)

    some = await store.expired(clock.now(), 3)
    every = await store.expired(clock.now(), 10)

    assert ids_in(some) == [messages[length].id for length in (100, 300, 500)]
    assert some.next_at is not None
    assert some.next_at <= clock.now()
    assert ids_in(every) == [messages[length].id for length in (100, 300, 500, 900)]
    assert every.next_at == START + 2_000


async def test_a_backlog_is_worked_off_in_chunks(store: Store, clock: FakeClock) -> None:
    """Rounds with a limit discard a thousand expired jobs, each once."""
    await put(store, *[job(f"queue-{number % 10}", expires_at=START + 1) for number in range(1_000)])
    clock.advance(10)
    rounds = []

    while jobs := (await store.expired(clock.now(), 300)).jobs:
        answers = await store.apply([lifecycle.expire(Job.FromString(data)) for data in jobs], clock.now())
        rounds.append(len([answer for answer in answers if answer is not None]))

    assert rounds == [300, 300, 300, 100]
    assert sum((await counts(store)).values()) == 0
