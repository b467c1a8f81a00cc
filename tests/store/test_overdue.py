"""DeliveryStore.overdue: active jobs whose lease ended, whose worker fell silent, or that ran for too long."""

from typing import Any

import pytest
from ojs_grpc_pb.v1.job_pb2 import Job

from ojs_grpc.core import ids, states
from ojs_grpc.stores.ports import Overdue, OverdueJobs, Store
from tests.clock import START, FakeClock
from tests.store.building import (
    DEAD_LETTER,
    QUEUE,
    RUNNING,
    TIMEOUT_MS,
    VISIBILITY_MS,
    WORKER,
    ack,
    change,
    changed,
    dead_ids,
    job,
    put,
    reap,
    released,
    see,
    take,
    take_one,
)

LONG_MS = 3_600_000


async def overdue_ids(store: Store, limit: int = 100) -> list[str]:
    """Which jobs are overdue, in order."""
    found = await store.overdue(store.clock.now(), limit)
    return [Job.FromString(each.job).id for each in found.jobs]


async def beat(store: Store, worker: str = WORKER, *, job_id: str = "", extend_ms: int = 0) -> None:
    """A heartbeat of a running worker, now."""
    await store.heartbeat(worker, RUNNING, job_id, 0, extend_ms, store.clock.now())


async def hold(store: Store, worker: str = WORKER, **fields: Any) -> Job:  # noqa: ANN401 - the fields of `job`
    """A job that the worker holds."""
    queue = f"of-{worker or 'nobody'}"
    await put(store, job(queue, **fields))
    return await take_one(store, queue, worker=worker)


async def test_nothing_is_overdue(store: Store, clock: FakeClock) -> None:
    """Without active jobs there is nothing to wait for."""
    await put(store, job(), job(scheduled_at=START + 5))

    found = await store.overdue(clock.now() + LONG_MS, 10)

    assert (list(found.jobs), found.next_at) == ([], None)


async def test_a_lease_that_ended(store: Store, clock: FakeClock) -> None:
    """A job is overdue from the end of its lease on, and shows the times that it is judged by."""
    await put(store, job(visibility_ms=5_000, timeout_ms=70_000))
    clock.advance(10)
    held = await take_one(store)

    clock.advance(4_999)
    before = await store.overdue(clock.now(), 10)
    clock.advance(1)
    after = await store.overdue(clock.now(), 10)

    assert (list(before.jobs), before.next_at) == ([], START + 5_010)
    assert len(after.jobs) == 1
    assert after.jobs[0] == Overdue(after.jobs[0].job, START + 5_010, START + 70_010)
    assert Job.FromString(after.jobs[0].job) == held


async def test_looking_changes_nothing(store: Store, clock: FakeClock) -> None:
    """An overdue job is active until somebody applies what was decided, and is found again until then."""
    held = await hold(store)
    clock.advance(VISIBILITY_MS)

    first, second = await overdue_ids(store), await overdue_ids(store)

    assert first == second == [held.id]
    assert await see(store, held) == held
    assert await take(store, 1, held.queue) == []


async def test_a_job_that_ran_for_too_long(store: Store, clock: FakeClock) -> None:
    """However its lease is extended, a job is overdue when its execution time is over."""
    held = await hold(store, visibility_ms=LONG_MS, timeout_ms=8_000)
    clock.advance(7_000)
    await beat(store, "", job_id=held.id, extend_ms=LONG_MS)

    assert (await store.overdue(clock.now() + 999, 10)).next_at == START + 8_000
    clock.advance(1_000)
    (answer,) = await reap(store)

    assert answer.state == states.RETRYABLE
    assert answer == changed(answer, next_attempt_at=START + 9_000, lease_expires_at=None, worker_id="", attempt=1)
    assert answer.errors[0].code == "timeout"


async def test_the_execution_time_begins_with_each_claim(store: Store, clock: FakeClock) -> None:
    """A second attempt has the whole time again."""
    first = await hold(store, visibility_ms=LONG_MS, timeout_ms=8_000)
    clock.advance(5_000)
    await change(store, released(first, clock.now()))
    await take_one(store, first.queue)

    found = await store.overdue(clock.now(), 10)

    assert found.next_at == START + 5_000 + 8_000


async def test_a_worker_that_never_beats_is_not_dead(store: Store, clock: FakeClock) -> None:
    """Silence says nothing about a worker that has never sent a heartbeat: its leases last as promised."""
    await hold(store, visibility_ms=LONG_MS)
    clock.advance(store.silence_ms * 3)

    found = await store.overdue(clock.now(), 10)

    assert (list(found.jobs), found.next_at) == ([], START + TIMEOUT_MS)


async def test_a_worker_that_fell_silent(store: Store, clock: FakeClock) -> None:
    """What a worker holds is overdue when it has beaten and then been silent; what it got before the beat too."""
    before = await hold(store, visibility_ms=LONG_MS)
    clock.advance(5_000)
    await beat(store, extend_ms=LONG_MS)
    clock.advance(1_000)
    after = await hold(store, visibility_ms=LONG_MS)
    dead_at = START + 5_000 + store.silence_ms

    clock.advance(store.silence_ms - 1_001)
    early = await store.overdue(clock.now(), 10)
    clock.advance(1)
    found = await store.overdue(clock.now(), 10)

    assert (list(early.jobs), early.next_at) == ([], dead_at)
    assert {Job.FromString(each.job).id for each in found.jobs} == {before.id, after.id}
    assert {each.lease_expires_at for each in found.jobs} == {START + 5_000 + LONG_MS, START + 6_000 + LONG_MS}
    assert {each.times_out_at for each in found.jobs} == {START + TIMEOUT_MS, START + 6_000 + TIMEOUT_MS}
    answers = await reap(store)
    assert {answer.errors[0].code for answer in answers} == {"worker_death"}
    assert [answer.state for answer in answers] == [states.AVAILABLE] * 2


async def test_each_beat_starts_the_silence_anew(store: Store, clock: FakeClock) -> None:
    """A worker that goes on beating keeps its jobs."""
    held = await hold(store)

    for _ in range(TIMEOUT_MS // store.silence_ms):
        clock.advance(store.silence_ms - 1)
        assert await overdue_ids(store) == []
        await beat(store)

    assert await see(store, held) == changed(held, lease_expires_at=clock.now() + VISIBILITY_MS)


@pytest.mark.parametrize("order", [("before", "after"), ("after", "before"), ("after",)])
async def test_a_beat_counts_in_every_queue(store: Store, clock: FakeClock, order: tuple[str, ...]) -> None:
    """A worker that has beaten is awaited also for jobs of queues that it never asked before."""
    assert ids.partition_of_queue("before") != ids.partition_of_queue("after")
    await put(store, job("before"), job("after"), job("before"))
    first = await take_one(store, "before")
    await beat(store)
    await ack(store, first.id)
    clock.advance(1_000)

    assert len(await take(store, 5, *order)) == len(order)

    found = await store.overdue(START + store.silence_ms, 10)
    assert len(found.jobs) == len(order)
    assert found.next_at is None


async def test_an_old_beat_says_nothing(store: Store, clock: FakeClock) -> None:
    """A worker whose last beat is older than the silence, and that claims again, is held to its lease alone."""
    await beat(store)
    clock.advance(store.silence_ms + 1)
    await hold(store)

    found = await store.overdue(clock.now() + store.silence_ms + 1, 10)

    assert (list(found.jobs), found.next_at) == ([], START + store.silence_ms + 1 + VISIBILITY_MS)


async def test_a_beat_of_another_worker_says_nothing(store: Store, clock: FakeClock) -> None:
    """The silence of one worker is not the silence of another, nor of an unnamed one."""
    await beat(store, "worker-2")
    await hold(store, WORKER)
    unnamed = await hold(store, "")
    await beat(store, "", job_id=unnamed.id)

    found = await store.overdue(clock.now() + store.silence_ms, 10)

    assert (list(found.jobs), found.next_at) == ([], START + VISIBILITY_MS)


async def test_a_beat_of_a_job_keeps_the_worker_in_view(store: Store, clock: FakeClock) -> None:
    """A beat that names only the job extends its lease; the holder, which has beaten before, is still awaited."""
    held = await hold(store, visibility_ms=LONG_MS)
    await beat(store)
    clock.advance(10_000)
    await beat(store, "", job_id=held.id, extend_ms=LONG_MS)

    found = await store.overdue(clock.now(), 10)

    assert found.next_at == START + store.silence_ms


async def test_a_beat_of_a_job_outweighs_an_old_silence(store: Store, clock: FakeClock) -> None:
    """A job whose worker fell silent, and that is extended by itself before anybody reaps it, lives on."""
    held = await hold(store)
    await beat(store)
    now = clock.advance(store.silence_ms)
    assert await overdue_ids(store) == [held.id]

    await beat(store, "", job_id=held.id)

    found = await store.overdue(now, 10)
    assert (list(found.jobs), found.next_at) == ([], now + VISIBILITY_MS)


async def test_a_short_extension_is_overdue_first(store: Store, clock: FakeClock) -> None:
    """A beat that shortens the lease brings the wake-up forward."""
    held = await hold(store)
    await beat(store, "", job_id=held.id, extend_ms=2_000)

    assert (await store.overdue(clock.now(), 10)).next_at == START + 2_000
    clock.advance(2_000)
    assert await overdue_ids(store) == [held.id]


async def test_earliest_first_and_no_more_than_asked(store: Store, clock: FakeClock) -> None:
    """Overdue jobs come by the time that passed, across queues, up to the limit; the answer tells of the rest."""
    lengths = [4_000, 2_000, 9_000, 1_000, 3_000]
    held = [await hold(store, f"worker-{number % 2}", visibility_ms=each) for number, each in enumerate(lengths)]
    clock.advance(5_000)
    by_length = [job.id for _, job in sorted(zip(lengths, held, strict=True), key=lambda pair: pair[0])]

    some = await store.overdue(clock.now(), 3)
    every = await store.overdue(clock.now(), 100)

    assert [Job.FromString(each.job).id for each in some.jobs] == by_length[:3]
    assert some.next_at is not None
    assert some.next_at <= clock.now()
    assert [Job.FromString(each.job).id for each in every.jobs] == by_length[:4]
    assert every.next_at == START + 9_000


async def test_a_backlog_is_worked_off_in_chunks(store: Store, clock: FakeClock) -> None:
    """Rounds with a limit end a thousand leases, each once."""
    messages = [job(f"queue-{number % 10}") for number in range(1_000)]
    await put(store, *messages)
    await take(store, 1_000, *{message.queue for message in messages})
    clock.advance(VISIBILITY_MS)
    rounds: list[list[str]] = []

    while answers := await reap(store, limit=300):
        rounds.append([answer.id for answer in answers])

    assert [len(ids) for ids in rounds] == [300, 300, 300, 100]
    assert {job_id for ids in rounds for job_id in ids} == {message.id for message in messages}
    assert await store.overdue(clock.now(), 10) == OverdueJobs([], None)


@pytest.mark.parametrize("dead", [False, True])
async def test_a_job_that_kills_its_workers_ends(store: Store, clock: FakeClock, dead: bool) -> None:  # noqa: FBT001 - a parameter of pytest
    """Lost leases count as attempts: the last one discards the job, or makes it a dead letter if it wants to be one."""
    message = job(max_attempts=2, retry=DEAD_LETTER if dead else None)
    message.retry_policy.max_attempts = 2
    await put(store, message)
    for _ in range(2):
        await take_one(store)
        clock.advance(VISIBILITY_MS)
        await reap(store)

    answer = await see(store, message)
    assert (answer.state, answer.attempt, answer.dead_letter) == (states.DISCARDED, 2, dead)
    assert answer == changed(answer, discarded_at=clock.now(), completed_at=clock.now(), lease_expires_at=None)
    assert [error.code for error in answer.errors] == ["visibility_timeout"] * 2
    assert await dead_ids(store) == ([message.id] if dead else [])
    assert await take(store, 1, QUEUE) == []
