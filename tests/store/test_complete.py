"""DeliveryStore.complete: who may end a job with success, and who comes too late."""

import pytest
from google.protobuf.struct_pb2 import Struct, Value
from ojs_grpc_pb.v1.job_pb2 import Job

from ojs_grpc.core import lifecycle, states
from ojs_grpc.stores.ports import Completion, Refusal, Store
from tests.clock import START, FakeClock
from tests.store.building import (
    QUEUE,
    VISIBILITY_MS,
    WORKER,
    ack,
    bury,
    change,
    changed,
    counts,
    dead_ids,
    failed,
    job,
    job_id,
    look,
    put,
    reap,
    released,
    see,
    take,
    take_one,
)


async def lose_lease(store: Store, clock: FakeClock) -> Job:
    """A job whose lease has run out, as its worker had it: it is available again."""
    await put(store, job())
    held = await take_one(store)
    clock.advance(VISIBILITY_MS)
    (lost,) = await reap(store)
    assert (lost.state, lost.lease) == (states.AVAILABLE, held.lease)
    return held


async def test_an_acknowledged_job_is_completed(store: Store, clock: FakeClock) -> None:
    """The job shows when it was completed and its result; holder and deadline are gone, the lease number stays."""
    message = job()
    await put(store, message)
    held = await take_one(store)
    result = Struct()
    result.update({"rows": 3, "file": "ü"})
    clock.advance(40)

    refusal = await ack(store, held.id, lease=held.lease, worker=WORKER, tail=Job(result=result).SerializeToString())

    assert refusal is None
    assert await see(store, message) == changed(
        message,
        state=states.COMPLETED,
        enqueued_at=START,
        attempt=1,
        started_at=START,
        completed_at=START + 40,
        lease=held.lease,
        result=result,
    )
    assert await store.leases([message.id]) == [0]
    assert await take(store) == []


async def test_a_result_may_be_large(store: Store) -> None:
    """A result of a mebibyte comes back whole."""
    await put(store, job())
    held = await take_one(store)
    result = Value(string_value="r" * 1024 * 1024)

    await ack(store, held.id, lease=held.lease, tail=Job(result_value=result).SerializeToString())

    assert (await see(store, held)).result_value == result


async def test_the_history_stays(store: Store, clock: FakeClock) -> None:
    """The errors of earlier attempts and their delay are kept beside the result."""
    await put(store, job())
    retryable = await change(store, failed(await take_one(store), clock.now()))
    assert retryable is not None
    clock.advance(10_000)
    await store.promote(clock.now(), 1)
    held = await take_one(store)
    result = Value(number_value=42)

    await ack(store, held.id, tail=Job(result_value=result).SerializeToString())

    wanted = changed(
        held,
        state=states.COMPLETED,
        completed_at=clock.now(),
        worker_id="",
        lease_expires_at=None,
        result_value=result,
    )
    assert await see(store, held) == wanted
    assert wanted.errors == retryable.errors
    assert wanted.retry_delay_ms == 1_000


async def test_completions_are_judged_one_by_one(store: Store, clock: FakeClock) -> None:
    """Each completion of a call has its own answer, in the order of the call."""
    await put(store, *[job() for _ in range(3)], job("other"))
    first, second, third = await take(store, 3)
    (fourth,) = await take(store, 1, "other")

    answers = await store.complete(
        [
            Completion(first.job_id, first.lease, WORKER, b""),
            Completion(second.job_id, second.lease + 1_000, WORKER, b""),
            Completion(job_id(0), 0, "", b""),
            Completion(fourth.job_id, 0, "", b""),
            Completion(third.job_id, 0, "stranger", b""),
        ],
        clock.now(),
    )

    assert answers == [
        None,
        Refusal(states.ACTIVE, second.lease, WORKER),
        Refusal(0),
        None,
        Refusal(states.ACTIVE, third.lease, WORKER),
    ]
    assert await store.complete([], clock.now()) == []


async def test_a_second_ack_is_refused(store: Store, clock: FakeClock) -> None:
    """A completed job is not completed again, under its lease or without; the first result stays."""
    await put(store, job())
    held = await take_one(store)
    first, second = Job(result_value=Value(number_value=1)), Job(result_value=Value(number_value=2))
    await ack(store, held.id, lease=held.lease, tail=first.SerializeToString())
    clock.advance(10)

    answers = [await ack(store, held.id, lease=lease, tail=second.SerializeToString()) for lease in (held.lease, 0)]

    assert [answer and answer.state for answer in answers] == [states.COMPLETED, states.COMPLETED]
    shown = await see(store, held)
    assert shown == changed(shown, completed_at=START, result_value=Value(number_value=1))


async def test_a_second_ack_in_the_same_call_is_refused(store: Store, clock: FakeClock) -> None:
    """Of two completions of one job in a call the first is done and the second refused."""
    await put(store, job())
    held = await take_one(store)

    answers = await store.complete([Completion(held.id, held.lease, WORKER, b"")] * 2, clock.now())

    assert answers[0] is None
    assert answers[1] is not None
    assert answers[1].state == states.COMPLETED


async def test_an_unknown_job(store: Store) -> None:
    """There is no state to report of a job that does not exist."""
    assert await ack(store, job_id(0), lease=1, worker=WORKER) == Refusal(0)


async def test_without_identity_the_state_decides(store: Store) -> None:
    """A caller that shows neither lease nor worker may complete any active job."""
    await put(store, job())
    held = await take_one(store)

    assert await ack(store, held.id) is None


async def test_without_a_lease_the_holder_decides(store: Store) -> None:
    """A worker that shows no lease may complete what it holds, and nothing else."""
    await put(store, job())
    held = await take_one(store)

    assert await ack(store, held.id, worker="stranger") == Refusal(states.ACTIVE, held.lease, WORKER)
    assert (await see(store, held)).state == states.ACTIVE
    assert await ack(store, held.id, worker=WORKER) is None


async def test_a_job_that_was_claimed_without_a_name(store: Store) -> None:
    """What an unnamed worker holds may be completed under any name, as it may be failed (core.lifecycle)."""
    await put(store, job())
    held = await take_one(store, worker="")

    assert await ack(store, held.id, worker="anybody") is None


async def test_a_lease_is_the_proof(store: Store) -> None:
    """The right lease completes a job whatever the worker calls itself; a wrong one does not, for the holder either."""
    await put(store, job())
    held = await take_one(store)

    for wrong in (held.lease + 1, held.lease + 10_000):
        assert await ack(store, held.id, lease=wrong, worker=WORKER) == Refusal(states.ACTIVE, held.lease, WORKER)
    assert await ack(store, held.id, lease=held.lease, worker="renamed") is None


async def test_a_stale_lease_of_the_same_worker(store: Store, clock: FakeClock) -> None:
    """A worker that lost a job and got it again cannot complete it under its first lease."""
    stale = await lose_lease(store, clock)
    fresh = await take_one(store)

    assert await ack(store, stale.id, lease=stale.lease, worker=WORKER) == Refusal(states.ACTIVE, fresh.lease, WORKER)
    assert await see(store, stale) == fresh
    assert await ack(store, fresh.id, lease=fresh.lease, worker=WORKER) is None


@pytest.mark.parametrize("state", [states.AVAILABLE, states.SCHEDULED, states.PENDING])
async def test_a_job_that_nobody_had(store: Store, state: int) -> None:
    """A job that was never claimed cannot be completed, whatever lease is claimed."""
    message = job(scheduled_at=START + 1_000 if state == states.SCHEDULED else 0)
    await put(store, message, state=state)
    before = await see(store, message)

    for lease in (0, 1, 2):
        refusal = await ack(store, message.id, lease=lease, worker=WORKER)
        assert refusal is not None
        assert refusal.state == state

    assert await see(store, message) == before


@pytest.mark.parametrize("state", [states.RETRYABLE, states.CANCELLED, states.DISCARDED])
async def test_a_job_that_was_taken_away(store: Store, clock: FakeClock, state: int) -> None:
    """The last lease completes nothing once the job failed, was cancelled or was discarded."""
    await put(store, job(max_attempts=1 if state == states.DISCARDED else 3))
    held = await take_one(store)
    ended = await change(store, lifecycle.cancel(held) if state == states.CANCELLED else failed(held, clock.now()))

    for lease in (held.lease, 0):
        refusal = await ack(store, held.id, lease=lease, worker=WORKER)
        assert refusal is not None
        assert refusal.state == state

    assert await see(store, held) == ended


async def test_a_late_ack_with_its_lease(store: Store, clock: FakeClock) -> None:
    """A worker that finished after its lease had ended is believed, as long as nobody else has begun."""
    late = await lose_lease(store, clock)
    before = await see(store, late)
    clock.advance(5)

    assert await ack(store, late.id, lease=late.lease, worker=WORKER) is None

    assert await see(store, late) == changed(before, state=states.COMPLETED, completed_at=clock.now())
    assert await take(store) == []
    assert await counts(store) == {QUEUE: 0}


async def test_a_late_ack_without_its_lease(store: Store, clock: FakeClock) -> None:
    """Who cannot show the lease cannot complete a job that is available again."""
    late = await lose_lease(store, clock)
    before = await see(store, late)

    for lease, worker in ((0, ""), (0, WORKER), (late.lease + 1, WORKER)):
        refusal = await ack(store, late.id, lease=lease, worker=worker)
        assert refusal is not None
        assert refusal.state == states.AVAILABLE

    assert await see(store, late) == before


async def test_a_late_ack_once_claimed_again(store: Store, clock: FakeClock) -> None:
    """When somebody else has begun, the lost lease is worth nothing, also after that claim was lost too."""
    late = await lose_lease(store, clock)
    held = await take_one(store, worker="worker-2")

    refused = await ack(store, late.id, lease=late.lease, worker=WORKER)
    clock.advance(VISIBILITY_MS)
    await reap(store)
    refused_again = await ack(store, late.id, lease=late.lease, worker=WORKER)

    assert refused == Refusal(states.ACTIVE, held.lease, "worker-2")
    assert refused_again is not None
    assert refused_again.state == states.AVAILABLE
    assert await ack(store, late.id, lease=held.lease) is None


async def test_no_late_ack_after_a_release(store: Store, clock: FakeClock) -> None:
    """Who gave a job back cannot complete it any more: a release makes its lease stale."""
    await put(store, job())
    held = await take_one(store)
    back = await change(store, released(held, clock.now()))

    refusal = await ack(store, held.id, lease=held.lease, worker=WORKER)

    assert back is not None
    assert refusal is not None
    assert refusal.state == states.AVAILABLE
    assert await see(store, held) == back


async def test_no_late_ack_after_a_failure(store: Store, clock: FakeClock) -> None:
    """Who failed a job, or ran for too long, cannot complete it once it is available again."""
    await put(store, job())
    held = await take_one(store)
    await change(store, failed(held, clock.now()))
    await store.promote(clock.advance(10_000), 1)

    refusal = await ack(store, held.id, lease=held.lease, worker=WORKER)

    assert refusal is not None
    assert refusal.state == states.AVAILABLE


async def test_no_late_ack_after_a_dead_letter_starts_over(store: Store) -> None:
    """The last lease of a dead letter completes nothing once the job is available again."""
    dead = await bury(store)
    fresh = await change(store, lifecycle.retry_dead(dead))

    refusal = await ack(store, dead.id, lease=dead.lease, worker=WORKER)

    assert fresh is not None
    assert refusal is not None
    assert refusal.state == states.AVAILABLE
    assert await see(store, dead) == fresh


async def test_a_completed_job_is_never_overdue(store: Store, clock: FakeClock) -> None:
    """Success ends the lease: when its time comes, nothing happens."""
    await put(store, job(max_attempts=1, timeout_ms=1_000))
    held = await take_one(store)
    await ack(store, held.id)
    done = await look(store, held.id)
    clock.advance(10 * VISIBILITY_MS)

    found = await store.overdue(clock.now(), 10)

    assert (found.jobs, found.next_at) == ([], None)
    assert await look(store, held.id) == done
    assert await dead_ids(store) == []
