"""JobStore.apply: a decided change happens if its precondition still holds, and leaves the job in one place only."""

from dataclasses import replace

import pytest
from ojs_grpc_pb.v1.job_pb2 import Job, JobError

from ojs_grpc.core import lifecycle, states
from ojs_grpc.core.duration import to_timestamp
from ojs_grpc.core.transition import Transition
from ojs_grpc.stores.ports import Promotion, Retention, Store
from tests.clock import START, FakeClock
from tests.store.building import (
    DEAD_LETTER,
    LIMITS,
    QUEUE,
    TIMEOUT_MS,
    VISIBILITY_MS,
    bury,
    change,
    changed,
    counts,
    dead_ids,
    failed,
    ids_of,
    job,
    job_id,
    middle,
    put,
    reap,
    reaped,
    released,
    see,
    take,
    take_one,
)

NOT_FINISHED = [states.SCHEDULED, states.AVAILABLE, states.PENDING, states.ACTIVE, states.RETRYABLE]


async def job_in(store: Store, state: int) -> Job:
    """The only job of the store, in this state."""
    message = job(scheduled_at=START + 1_000 if state == states.SCHEDULED else 0, max_attempts=2)
    await put(store, message, state=state if state == states.PENDING else 0)
    if state in (states.ACTIVE, states.RETRYABLE, states.DISCARDED, states.COMPLETED):
        held = await take_one(store)
        if state == states.RETRYABLE:
            await change(store, failed(held, store.clock.now()))
        if state == states.DISCARDED:
            await change(store, failed(held, store.clock.now(), code="DISCARD"))
    found = await see(store, message)
    assert found.state == state
    return found


async def places(store: Store, clock: FakeClock) -> list[str]:
    """Everywhere the only job of the store is found, now and ever after."""
    far = clock.now() + 365 * 86_400_000
    found = []
    found += ["queue"] if (await counts(store))[QUEUE] else []
    found += ["overdue"] if (await store.overdue(far, 10)).jobs else []
    found += ["expired"] if (await store.expired(far, 10)).jobs else []
    found += ["dead letters"] if await dead_ids(store) else []
    found += ["waiting"] if (await store.promote(clock.now() - 1_000_000, 10)).next_at is not None else []
    return found


def an_error(attempt: int, at: int) -> JobError:
    """What `failed` leaves in the history."""
    return JobError(code="boom", message="it broke", attempt=attempt, occurred_at=to_timestamp(at))


async def test_a_failed_attempt_waits_for_the_next(store: Store, clock: FakeClock) -> None:
    """A retryable job shows its error, its delay and when it is due; the lease that it had is stale for good."""
    message = job()
    await put(store, message)
    held = await take_one(store)
    clock.advance(10)

    answer = await change(store, failed(held, clock.now()))

    assert answer is not None
    assert answer.lease > held.lease
    wanted = changed(
        message,
        state=states.RETRYABLE,
        enqueued_at=START,
        attempt=1,
        started_at=START,
        lease=answer.lease,
        errors=[an_error(1, START + 10)],
        retry_delay_ms=1_000,
        next_attempt_at=START + 1_010,
    )
    assert answer == wanted
    assert await see(store, message) == wanted
    assert await store.leases([message.id]) == [0]
    assert await places(store, clock) == ["waiting"]


async def test_the_last_attempt_discards(store: Store, clock: FakeClock) -> None:
    """A job without attempts left is discarded, with both its times, and is no dead letter by default."""
    message = job(max_attempts=1)
    await put(store, message)
    held = await take_one(store)
    clock.advance(10)

    answer = await change(store, failed(held, clock.now()))

    wanted = changed(
        message,
        state=states.DISCARDED,
        enqueued_at=START,
        attempt=1,
        started_at=START,
        lease=held.lease,
        errors=[an_error(1, START + 10)],
        completed_at=START + 10,
        discarded_at=START + 10,
    )
    assert answer == wanted
    assert await see(store, message) == wanted
    assert await places(store, clock) == []


async def test_a_dead_letter_is_listed(store: Store, clock: FakeClock) -> None:
    """A job discarded as a dead letter says so, and stands in the list."""
    message = job(retry=DEAD_LETTER, max_attempts=1)
    await put(store, message)
    held = await take_one(store)
    clock.advance(10)

    answer = await change(store, failed(held, clock.now()))

    assert answer == changed(
        message,
        state=states.DISCARDED,
        enqueued_at=START,
        attempt=1,
        started_at=START,
        lease=held.lease,
        errors=[an_error(1, START + 10)],
        completed_at=START + 10,
        discarded_at=START + 10,
        dead_letter=True,
    )
    assert await dead_ids(store) == [message.id]
    assert await places(store, clock) == ["dead letters"]


async def test_a_release_gives_the_attempt_back(store: Store, clock: FakeClock) -> None:
    """A released job is available at once, as if it had not been claimed, but for its start and a new lease number."""
    message = job()
    await put(store, message)
    held = await take_one(store)
    clock.advance(10)

    answer = await change(store, released(held, clock.now()))

    assert answer is not None
    assert answer == changed(
        message,
        state=states.AVAILABLE,
        enqueued_at=START + 10,
        started_at=START,
        lease=answer.lease,
    )
    assert answer.lease > held.lease
    assert await see(store, message) == answer
    assert await places(store, clock) == ["queue"]
    assert (await take_one(store)).lease > answer.lease


async def test_an_activated_job_is_available(store: Store, clock: FakeClock) -> None:
    """A pending job joins its queue when it is activated."""
    message = job()
    await put(store, message, state=states.PENDING)
    clock.advance(10)

    answer = await change(store, lifecycle.activate(await see(store, message)))

    assert answer == changed(message, state=states.AVAILABLE, enqueued_at=START + 10)
    assert await see(store, message) == answer
    assert ids_of(await take(store)) == [message.id]


@pytest.mark.parametrize("state", NOT_FINISHED)
async def test_a_cancelled_job_is_nowhere(store: Store, clock: FakeClock, state: int) -> None:
    """A cancelled job shows when, and only when; no claim, promotion, deadline or list finds it any more."""
    before = await job_in(store, state)
    clock.advance(10)

    answer = await change(store, lifecycle.cancel(before))

    assert answer == changed(
        before,
        state=states.CANCELLED,
        cancelled_at=START + 10,
        worker_id="",
        lease_expires_at=None,
        next_attempt_at=None,
    )
    assert await see(store, before) == answer
    assert await store.leases([before.id]) == [0]
    assert await places(store, clock) == []
    assert await take(store) == []


@pytest.mark.parametrize("state", [states.SCHEDULED, states.AVAILABLE, states.PENDING])
async def test_an_expired_job_is_discarded(store: Store, clock: FakeClock, state: int) -> None:
    """Past its time to live a job is discarded: not completed, no dead letter, no error."""
    message = job(scheduled_at=START + 9_000 if state == states.SCHEDULED else 0, expires_at=START + 1_000)
    await put(store, message, state=state)
    before = await see(store, message)
    clock.advance(1_001)

    answer = await change(store, lifecycle.expire(before))

    assert answer == changed(before, state=states.DISCARDED, discarded_at=START + 1_001)
    assert await see(store, message) == answer
    assert await places(store, clock) == []


async def test_a_dead_letter_starts_over(store: Store, clock: FakeClock) -> None:
    """A retried dead letter is available with attempt 0, its errors, a new lease number and no end."""
    dead = await bury(store)
    clock.advance(10)

    answer = await change(store, lifecycle.retry_dead(dead))

    assert answer is not None
    assert answer == changed(
        dead,
        state=states.AVAILABLE,
        attempt=0,
        enqueued_at=START + 10,
        lease=answer.lease,
        completed_at=None,
        discarded_at=None,
        dead_letter=False,
    )
    assert answer.lease > dead.lease
    assert len(answer.errors) == 1
    assert await places(store, clock) == ["queue"]
    assert (await take_one(store)).attempt == 1


async def test_a_discarded_job_that_starts_over_is_not_finished(store: Store, clock: FakeClock) -> None:
    """A discarded job that was no dead letter may start over too; from then on retention leaves it alone."""
    before = await job_in(store, states.DISCARDED)
    again = await change(store, lifecycle.retry_dead(before))
    clock.advance(10)

    swept = await store.sweep(Retention(0, 0, 0, 0, 0), clock.now(), 10)

    assert swept == 0
    assert await see(store, before) == again
    assert await places(store, clock) == ["queue"]


async def test_a_lost_lease_makes_a_job_available(store: Store, clock: FakeClock) -> None:
    """After the lease ran out the job is available at once: the attempt counts, and the lease number stays."""
    message = job()
    await put(store, message)
    held = await take_one(store)
    now = clock.advance(VISIBILITY_MS)

    (answer,) = await reap(store)

    error = JobError(
        code="visibility_timeout",
        message="the lease ended without a report",
        attempt=1,
        occurred_at=to_timestamp(now),
    )
    assert answer == changed(
        message,
        state=states.AVAILABLE,
        enqueued_at=now,
        attempt=1,
        started_at=START,
        lease=held.lease,
        errors=[error],
    )
    assert await see(store, message) == answer
    assert await places(store, clock) == ["queue"]
    assert (await take_one(store)).attempt == 2


async def test_the_history_grows(store: Store, clock: FakeClock) -> None:
    """Each failure adds its error to those before, through retries, and the newest delay is shown."""
    await put(store, job(max_attempts=4))
    times = []
    for _ in range(3):
        held = await take_one(store)
        times.append(clock.advance(3))
        answer = await change(store, failed(held, clock.now()))
        assert answer is not None
        clock.advance(10_000)
        await store.promote(clock.now(), 1)

    held = await take_one(store)

    assert list(held.errors) == [an_error(attempt, at) for attempt, at in enumerate(times, 1)]
    assert held.retry_delay_ms == 4_000
    assert held.attempt == 4
    assert held.next_attempt_at.seconds == 0


@pytest.mark.parametrize("state", states.ALL)
async def test_another_state_refuses(store: Store, state: int) -> None:
    """A change decided for a job in one state is not applied in any other."""
    await put(store, job())
    before = await take_one(store)
    decided = replace(lifecycle.cancel(before), state=state)

    answer = await change(store, decided)

    assert (answer is None) == (state != states.ACTIVE)
    assert (await see(store, before) == before) == (state != states.ACTIVE)


@pytest.mark.parametrize("off_by", [-1, 1, 1_000_000])
async def test_another_lease_refuses(store: Store, off_by: int) -> None:
    """A change decided under one lease is not applied under another, though state and worker are the same."""
    await put(store, job())
    before = await take_one(store)

    answer = await change(store, replace(lifecycle.cancel(before), lease=before.lease + off_by))

    assert answer is None
    assert await see(store, before) == before


async def test_a_lease_in_between_refuses(store: Store, clock: FakeClock) -> None:
    """What was decided for the first claim is void in the second, and what was decided while available too."""
    await put(store, job())
    first = await take_one(store)
    back = await change(store, released(first, clock.now()))
    assert back is not None
    decided_while_available = lifecycle.cancel(back)
    second = await take_one(store)
    again = await change(store, released(second, clock.now()))

    answers = await store.apply([failed(first, clock.now()), decided_while_available], clock.now())

    assert answers == [None, None]
    assert await see(store, first) == again


async def test_an_unknown_job_refuses(store: Store) -> None:
    """There is nothing to change in a job that does not exist."""
    ghost = lifecycle.cancel(changed(job(), id=job_id(0), state=states.AVAILABLE))

    assert await change(store, ghost) is None


async def test_transitions_are_judged_one_by_one(store: Store, clock: FakeClock) -> None:
    """Each transition of a call has its own answer, in the order of the call, and a refused one stops no other."""
    messages = [job(f"queue-{number}") for number in range(20)]
    await put(store, *messages)
    found = [await see(store, message) for message in messages]
    decided = [
        replace(lifecycle.cancel(each), lease=0 if number % 2 else 7) for number, each in enumerate(reversed(found))
    ]

    answers = await store.apply(decided, clock.now())

    assert [data and Job.FromString(data) for data in answers] == [
        changed(each, state=states.CANCELLED, cancelled_at=START) if number % 2 else None
        for number, each in enumerate(reversed(found))
    ]
    assert await store.apply([], clock.now()) == []


async def test_of_two_changes_in_a_call_the_first_holds(store: Store, clock: FakeClock) -> None:
    """A second change of the same job, decided from the same reading, comes too late within one call too."""
    await put(store, job())
    held = await take_one(store)

    answers = await store.apply([failed(held, clock.now()), lifecycle.cancel(held)], clock.now())

    assert answers[0] is not None
    assert answers[1] is None
    assert (await see(store, held)).state == states.RETRYABLE


async def test_changes_in_a_call_build_on_each_other(store: Store, clock: FakeClock) -> None:
    """A change whose precondition an earlier one of the same call brings about is applied after it."""
    await put(store, *[job() for _ in range(3)])
    held = [Job.FromString(delivery.job) for delivery in await take(store, 3)]
    now = clock.advance(VISIBILITY_MS)
    lost = {t.job_id: t for t in (reaped(each, now) for each in (await store.overdue(now, 3)).jobs)}
    available = changed(held[0], state=states.AVAILABLE)
    retryable = changed(held[2], state=states.RETRYABLE)
    chain = [
        lost[held[0].id],
        lost[held[1].id],
        replace(failed(held[2], now), fence=False),
        lifecycle.cancel(available),
        lifecycle.cancel(retryable),
    ]

    answers = await store.apply(chain, now)

    assert [Job.FromString(data or b"").state for data in answers] == [
        states.AVAILABLE,
        states.AVAILABLE,
        states.RETRYABLE,
        states.CANCELLED,
        states.CANCELLED,
    ]
    assert await counts(store) == {QUEUE: 1}
    assert ids_of(await take(store, 3)) == [held[1].id]
    assert await store.promote(now + 10_000, 3) == Promotion(0, None)


async def test_a_fence_is_a_new_lease(store: Store, clock: FakeClock) -> None:
    """Each fence takes a number greater than all leases before; without one the number stays."""
    await put(store, job())
    held = await take_one(store)

    fenced = await change(store, replace(lifecycle.cancel(held), fence=True))

    assert fenced is not None
    assert fenced.lease > held.lease
    await put(store, job())
    plain = await take_one(store)
    assert plain.lease > held.lease
    answer = await change(store, lifecycle.cancel(plain))
    assert answer is not None
    assert answer.lease == plain.lease


async def test_an_overdue_change_needs_an_overdue_job(store: Store, clock: FakeClock) -> None:
    """A change for overdue jobs is applied when the job's time has passed by the time it names, and not before."""
    await put(store, job())
    held = await take_one(store)
    decided = Transition(held.id, states.ACTIVE, held.lease, states.AVAILABLE, 1, b"", overdue_at=0)

    early = await change(store, replace(decided, overdue_at=START + VISIBILITY_MS - 1))
    due = await change(store, replace(decided, overdue_at=START + VISIBILITY_MS))

    assert early is None
    assert due is not None
    assert due.state == states.AVAILABLE


async def test_a_heartbeat_cancels_an_overdue_change(store: Store, clock: FakeClock) -> None:
    """A job that was extended after the duty looked, and before it acted, stays with its worker."""
    await put(store, job())
    held = await take_one(store)
    now = clock.advance(VISIBILITY_MS)
    (found,) = (await store.overdue(now, 10)).jobs
    decided = reaped(found, now)
    await store.heartbeat("", 0, held.id, held.lease, 0, now)

    answer = await change(store, decided)

    assert answer is None
    assert await see(store, held) == changed(held, lease_expires_at=now + VISIBILITY_MS)


async def test_a_heartbeat_does_not_cancel_a_timeout(store: Store, clock: FakeClock) -> None:
    """A job that ran for too long is ended however its worker beats: its time cannot be extended."""
    await put(store, job(timeout_ms=5_000))
    held = await take_one(store)
    now = clock.advance(5_000)
    (found,) = (await store.overdue(now, 10)).jobs
    decided = reaped(found, now)
    await store.heartbeat("", 0, held.id, held.lease, 10 * TIMEOUT_MS, now)

    answer = await change(store, decided)

    assert answer is not None
    assert answer.state == states.RETRYABLE
    assert answer.errors[0].code == "timeout"


async def test_a_large_history(store: Store, clock: FakeClock) -> None:
    """Ten errors of full size are stored and shown; the oldest make room."""
    await put(store, job(max_attempts=13))
    for _ in range(12):
        held = await take_one(store)
        error = JobError(code="boom", message="m" * 10_000, backtrace="b" * 10_000)
        await change(store, lifecycle.fail(held, error, clock.now(), middle, LIMITS))
        clock.advance(300_000)
        await store.promote(clock.now(), 1)

    held = await take_one(store)

    assert [error.attempt for error in held.errors] == list(range(3, 13))
    assert {len(error.message) for error in held.errors} == {10_000}
