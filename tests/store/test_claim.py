"""DeliveryStore.claim: which jobs go to which slots, in which order, under which lease."""

import pytest
from ojs_grpc_pb.v1.job_pb2 import Job

from ojs_grpc.core import ids, lifecycle, states
from ojs_grpc.stores.ports import Delivery, Demand, Store
from tests.clock import START, FakeClock
from tests.store.building import (
    MANY_BYTES,
    QUEUE,
    QUIET,
    RUNNING,
    TERMINATE,
    VISIBILITY_MS,
    WORKER,
    bury,
    change,
    changed,
    claim,
    counts,
    demand,
    failed,
    ids_of,
    job,
    put,
    reap,
    released,
    see,
    take,
    take_one,
    unique,
    unit,
)

KIB = 1024


async def test_a_claimed_job_is_active_and_leased(store: Store, clock: FakeClock) -> None:
    """A claim counts the attempt, sets the start and leases the job to the worker; the delivery shows all of it."""
    message = job()
    await put(store, message)
    clock.advance(25)

    (delivery,) = await take(store)

    claimed = changed(
        message,
        state=states.ACTIVE,
        enqueued_at=START,
        attempt=1,
        started_at=START + 25,
        lease=delivery.lease,
        lease_expires_at=START + 25 + VISIBILITY_MS,
        worker_id=WORKER,
    )
    assert delivery == Delivery(message.id, delivery.lease, WORKER, QUEUE, delivery.job)
    assert delivery.lease > 0
    assert Job.FromString(delivery.job) == claimed
    assert await see(store, message) == claimed
    assert await store.leases([message.id]) == [delivery.lease]
    assert await counts(store) == {QUEUE: 0}


async def test_a_claimed_job_is_not_given_again(store: Store) -> None:
    """While a lease holds, nobody else gets the job, nor the same worker again."""
    await put(store, job())

    assert len(await take(store, 5)) == 1
    assert await take(store, 5) == []
    assert await take(store, 5, worker="worker-2") == []


async def test_nothing_to_claim(store: Store, clock: FakeClock) -> None:
    """Unknown and empty queues give nothing, and no demands get no answers."""
    await put(store, job("elsewhere"))

    assert await store.claim([], clock.now()) == []
    assert await take(store, 3, "unknown", QUEUE) == []
    assert await claim(store, Demand(("elsewhere",), [], MANY_BYTES)) == [[]]
    assert await counts(store) == {"elsewhere": 1}


async def test_higher_priority_first(store: Store) -> None:
    """Jobs come by priority, highest first, over the whole range."""
    priorities = [0, -100, 5, 100, -1, 99, 1, -99, 0, 5]
    await put(store, *[job(priority=priority) for priority in priorities])

    deliveries = await take(store, len(priorities))

    given = [Job.FromString(delivery.job).priority for delivery in deliveries]
    assert given == sorted(priorities, reverse=True)


async def test_first_in_first_out_within_a_priority(store: Store, clock: FakeClock) -> None:
    """Jobs of one priority come in the order in which they became available, in equal milliseconds too."""
    messages = [job(priority=number % 2) for number in range(60)]
    for start in range(0, 60, 6):
        await put(store, *messages[start : start + 3])
        await put(store, *messages[start + 3 : start + 6])
        clock.advance(1)

    deliveries = await take(store, 60)

    wanted = [message.id for priority in (1, 0) for message in messages if message.priority == priority]
    assert ids_of(deliveries) == wanted


@pytest.mark.parametrize("kinds", [1, 3, 30])
async def test_what_else_differs_is_no_order(store: Store, kinds: int) -> None:
    """Jobs of one call with other time limits, or with links, stand in line where the call has them."""
    messages = [job(timeout_ms=1000 + number % kinds, visibility_ms=2000 + number % 2) for number in range(60)]
    units = [
        unit(message, links=unique(f"job {number}") if number % 7 == 3 else None)
        for number, message in enumerate(messages)
    ]
    await store.insert(units, store.clock.now())

    given = ids_of(await take(store, 60))

    assert given == [message.id for message in messages]


async def test_order_goes_on_between_claims(store: Store) -> None:
    """Several small claims give what one large one would have given."""
    messages = [job(priority=-number % 3) for number in range(30)]
    await put(store, *messages)

    given = [(await take_one(store)).id for _ in range(10)] + ids_of(await take(store, 20))

    assert given == [m.id for m in sorted(messages, key=lambda message: -message.priority)]


async def test_order_is_by_becoming_available(store: Store, clock: FakeClock) -> None:
    """What becomes available again, or late, goes behind what is waiting, whenever it was created."""
    release, retry, lose, wait, promote = (job() for _ in range(5))
    dead = await bury(store)
    await put(store, release, retry, lose)
    await put(store, wait, state=states.PENDING)
    await put(store, changed(promote, scheduled_at=START + 1))
    claimed = [Job.FromString(delivery.job) for delivery in await take(store, 3)]
    now = clock.advance(VISIBILITY_MS)
    first = job()
    await put(store, first)

    await change(store, lifecycle.activate(await see(store, wait)))
    await change(store, lifecycle.retry_dead(dead))
    await change(store, released(claimed[0], now))
    await change(store, failed(claimed[1], now))
    await reap(store)
    clock.advance(1_000)
    await store.promote(clock.now(), 1)
    await store.promote(clock.now(), 1)

    wanted = [first.id, wait.id, dead.id, release.id, lose.id, promote.id, retry.id]
    assert ids_of(await take(store, 10)) == wanted


async def test_tail_of_its_own_priority(store: Store, clock: FakeClock) -> None:
    """A job that comes back goes behind its equals, and still before all of lower priority."""
    high, equal, low = job(priority=2), job(priority=2), job(priority=1)
    await put(store, low, high, equal)
    held = await take_one(store)

    await change(store, released(held, clock.now()))

    assert ids_of(await take(store, 3)) == [equal.id, high.id, low.id]


async def test_queues_in_the_order_asked(store: Store) -> None:
    """A queue is asked when those before it are empty, whatever the priorities and ages."""
    last, first, second = job("c", priority=100), job("a", priority=-100), job("b")
    more = job("a", priority=-50)
    await put(store, last, second, first, more)

    assert ids_of(await take(store, 3, "a", "b", "c")) == [more.id, first.id, second.id]
    assert ids_of(await take(store, 3, "a", "b", "c")) == [last.id]


async def test_other_queues_are_left_alone(store: Store) -> None:
    """Only the queues that were asked for give jobs, and one that is named twice gives each of its jobs once."""
    await put(store, job("a"), job("b"), job("c"))

    deliveries = await take(store, 5, "c", "a", "c")

    assert [delivery.queue for delivery in deliveries] == ["c", "a"]
    assert await counts(store) == {"a": 0, "b": 1, "c": 0}


async def test_no_more_jobs_than_slots(store: Store) -> None:
    """Nothing is leased beyond the free slots."""
    await put(store, *[job() for _ in range(10)])

    assert len(await take(store, 4)) == 4
    assert await counts(store) == {QUEUE: 6}


async def test_slots_are_filled_in_order(store: Store) -> None:
    """The first job goes to the first slot, and so on; a worker may have several, and no name."""
    messages = [job() for _ in range(4)]
    await put(store, *messages)
    workers = ["a", "b", "", "a", "c"]

    (deliveries,) = await claim(store, Demand((QUEUE,), workers, MANY_BYTES))

    assert [(delivery.job_id, delivery.worker_id) for delivery in deliveries] == [
        (message.id, worker) for message, worker in zip(messages, workers, strict=False)
    ]
    assert [Job.FromString(delivery.job).worker_id for delivery in deliveries] == workers[:4]


async def test_demands_of_a_call_share_nothing(store: Store) -> None:
    """Demands of one call get different jobs, each from its own queues, for its own workers and time."""
    await put(store, *[job() for _ in range(5)], job("b"))

    first, second, third, fourth = await claim(
        store,
        demand(2, worker="one", visibility_ms=1_000),
        demand(2, "b", QUEUE, worker="two", visibility_ms=2_000),
        demand(9, worker="three"),
        demand(9, worker="four"),
    )

    assert [len(first), len(second), len(third), len(fourth)] == [2, 2, 2, 0]
    assert len(set(ids_of([*first, *second, *third]))) == 6
    assert [delivery.queue for delivery in second] == ["b", QUEUE]
    for deliveries, worker, length in ((first, "one", 1_000), (second, "two", 2_000), (third, "three", VISIBILITY_MS)):
        for delivery in deliveries:
            shown = Job.FromString(delivery.job)
            assert shown == changed(shown, worker_id=worker, lease_expires_at=START + length)


async def test_a_lease_lasts_as_the_job_says(store: Store) -> None:
    """Without a word from the claim, each job's own visibility time counts."""
    short, long = job(visibility_ms=1), job(visibility_ms=7_200_000)
    await put(store, short, long)

    deliveries = [Job.FromString(delivery.job) for delivery in await take(store, 2)]

    assert deliveries[0] == changed(deliveries[0], lease_expires_at=START + 1)
    assert deliveries[1] == changed(deliveries[1], lease_expires_at=START + 7_200_000)


async def test_leases_grow(store: Store, clock: FakeClock) -> None:
    """Each claim of a job has a greater lease than all before, though attempts are given back."""
    await put(store, job())
    leases = []

    for _ in range(5):
        held = await take_one(store)
        leases.append(held.lease)
        await change(store, released(held, clock.now()))

    assert leases == sorted(set(leases))


async def test_an_answer_has_its_limit(store: Store) -> None:
    """A claim stops before its jobs weigh too much; the rest waits for the next claim, in its order."""
    messages = [job(padding=100 * KIB) for _ in range(8)]
    await put(store, *messages)

    first = await take(store, 8, max_bytes=350 * KIB)
    second = await take(store, 8, max_bytes=250 * KIB)

    assert ids_of(first) == [message.id for message in messages[:3]]
    assert ids_of(second) == [message.id for message in messages[3:5]]
    assert sum(len(delivery.job) for delivery in first) <= 350 * KIB
    assert await counts(store) == {QUEUE: 3}


async def test_a_limit_counts_what_is_delivered(store: Store) -> None:
    """The limit holds for the bytes of the answer: what a claim adds to a job is weighed too."""
    await put(store, *[job(padding=KIB) for _ in range(100)])
    one = len((await take(store))[0].job)

    deliveries = await take(store, 99, max_bytes=20 * one + one // 2)

    assert 15 <= len(deliveries) <= 20
    assert sum(len(delivery.job) for delivery in deliveries) <= 20 * one + one // 2


async def test_a_limit_counts_the_history(store: Store, clock: FakeClock) -> None:
    """Errors of earlier attempts are part of what is delivered, so they are weighed too."""
    await put(store, *[job() for _ in range(10)])
    for delivery in await take(store, 10):
        held = Job.FromString(delivery.job)
        await change(store, failed(held, clock.now(), code="x" * 255))
    clock.advance(10_000)
    await store.promote(clock.now(), 10)

    deliveries = await take(store, 10, max_bytes=1_500)

    assert 1 <= len(deliveries) < 5
    assert sum(len(delivery.job) for delivery in deliveries) <= 1_500


async def test_one_oversized_job_is_given(store: Store) -> None:
    """A job heavier than the limit is given alone, so that it does not block its queue for ever."""
    messages = [job(padding=100 * KIB), job(), job(padding=100 * KIB)]
    await put(store, *messages)

    assert ids_of(await take(store, 3, max_bytes=10 * KIB)) == [messages[0].id]
    assert ids_of(await take(store, 3, max_bytes=10 * KIB)) == [messages[1].id]
    assert ids_of(await take(store, 3, max_bytes=1)) == [messages[2].id]


async def test_a_limit_spans_queues(store: Store) -> None:
    """The limit is the answer's, not a queue's: what does not fit from the first queue stops the second too."""
    await put(store, job("a", padding=60 * KIB), job("a", padding=60 * KIB), job("b"), job("c"))

    deliveries = await take(store, 5, "a", "b", "c", max_bytes=100 * KIB)

    assert [delivery.queue for delivery in deliveries] == ["a"]


async def test_each_demand_has_its_own_limit(store: Store) -> None:
    """The limit counts the deliveries of one demand."""
    await put(store, *[job(padding=60 * KIB) for _ in range(4)])

    answers = await claim(store, demand(3, max_bytes=100 * KIB), demand(3, max_bytes=150 * KIB))

    assert [len(deliveries) for deliveries in answers] == [1, 2]


async def test_jobs_of_a_mebibyte(store: Store) -> None:
    """Three of the largest jobs fit into one answer of 3.5 MiB."""
    messages = [job(padding=1024 * KIB) for _ in range(4)]
    await put(store, *messages)

    deliveries = await take(store, 4, max_bytes=3_584 * KIB)

    assert [Job.FromString(delivery.job).args[0] for delivery in deliveries] == [m.args[0] for m in messages[:3]]


async def test_a_large_claim(store: Store) -> None:
    """A claim for a thousand slots over several queues gives a thousand different jobs, in order."""
    messages = [job(f"queue-{number % 4}") for number in range(1_200)]
    await put(store, *messages)
    names = ["queue-2", "queue-0", "queue-3", "queue-1"]

    deliveries = await take(store, 1_000, *names)

    wanted = [message.id for name in names for message in messages if message.queue == name]
    assert ids_of(deliveries) == wanted[:1_000]


async def test_past_its_time_to_live_a_job_is_not_given(store: Store, clock: FakeClock) -> None:
    """A job that nobody got in time is passed over, and those behind it are given."""
    mortal, immortal, later = job(expires_at=START + 1_000), job(), job(expires_at=START + 3_000)
    await put(store, mortal, immortal, later)
    clock.advance(1_001)

    deliveries = await take(store, 3)

    assert ids_of(deliveries) == [immortal.id, later.id]
    assert (await see(store, mortal)).attempt == 0


async def test_many_expired_jobs_do_not_hide_the_living(store: Store, clock: FakeClock) -> None:
    """However many expired jobs are at the head of a queue, one claim reaches the job behind them."""
    await put(store, *[job(priority=1, expires_at=START + 1) for _ in range(3_000)])
    living = job()
    await put(store, living)
    clock.advance(10)

    assert ids_of(await take(store, 1)) == [living.id]


async def test_within_its_time_to_live_a_job_is_given(store: Store, clock: FakeClock) -> None:
    """Up to its time a job is delivered as any other, and shows that time."""
    mortal = job(expires_at=START + 1_000)
    await put(store, mortal)
    clock.advance(999)

    held = await take_one(store)

    assert held == changed(held, id=mortal.id, expires_at=START + 1_000)


@pytest.mark.parametrize("waited", ["scheduled", "pending"])
async def test_a_time_to_live_counts_while_a_job_waits(store: Store, clock: FakeClock, waited: str) -> None:
    """A job that becomes available after its time to live is not given."""
    message = job(scheduled_at=START + 2_000 if waited == "scheduled" else 0, expires_at=START + 1_000)
    await put(store, message, state=states.PENDING if waited == "pending" else 0)
    clock.advance(2_000)

    if waited == "pending":
        await change(store, lifecycle.activate(await see(store, message)))
    await store.promote(clock.now(), 10)

    assert await take(store) == []


@pytest.mark.parametrize("how", ["released", "failed", "reaped", "retried when dead"])
async def test_a_job_that_was_active_has_no_time_to_live(store: Store, clock: FakeClock, how: str) -> None:
    """Once a worker had the job it is given again whatever its time to live, though the attempt may be back at 0."""
    if how == "retried when dead":
        dead = await bury(store, expires_at=START + 1_000)
        await change(store, lifecycle.retry_dead(dead))
    else:
        await put(store, job(expires_at=START + 1_000))
        held = await take_one(store)
        if how == "released":
            await change(store, released(held, clock.now()))
        if how == "failed":
            await change(store, failed(held, clock.now()))
    clock.advance(VISIBILITY_MS)
    await reap(store)
    await store.promote(clock.now(), 10)

    assert len(await take(store)) == 1


@pytest.mark.parametrize("state", [QUIET, TERMINATE])
async def test_a_worker_that_winds_down_gets_nothing(store: Store, clock: FakeClock, state: int) -> None:
    """The slots of a worker that said quiet or terminate are passed over; the jobs go to the others."""
    messages = [job() for _ in range(3)]
    await put(store, *messages)
    await store.heartbeat("closing", state, "", 0, 0, clock.now())

    (deliveries,) = await claim(store, Demand((QUEUE,), ["closing", "a", "closing", "", "b", "closing"], MANY_BYTES))

    assert [(d.job_id, d.worker_id) for d in deliveries] == [
        (message.id, worker) for message, worker in zip(messages, ["a", "", "b"], strict=True)
    ]
    assert await take(store, worker="closing") == []


async def test_a_worker_that_runs_again_gets_jobs(store: Store, clock: FakeClock) -> None:
    """The last heartbeat counts: a quiet worker that says running is served again."""
    await put(store, job())
    await store.heartbeat("worker", QUIET, "", 0, 0, clock.now())
    assert await take(store, worker="worker") == []

    await store.heartbeat("worker", RUNNING, "", 0, 0, clock.now())

    assert len(await take(store, worker="worker")) == 1


@pytest.mark.parametrize("order", [("before", "after"), ("after", "before"), ("after",)])
async def test_a_worker_that_winds_down_does_so_everywhere(
    store: Store, clock: FakeClock, order: tuple[str, ...]
) -> None:
    """What a worker said holds for queues that it never asked before, too."""
    assert ids.partition_of_queue("before") != ids.partition_of_queue("after")
    await put(store, job("before"), job("after"), job("before"))
    await take_one(store, "before", worker="closing")

    await store.heartbeat("closing", QUIET, "", 0, 0, clock.now())

    assert await take(store, 5, *order, worker="closing") == []
    assert len(await take(store, 5, *order)) == len(order)


async def test_at_its_very_end_a_time_to_live_is_over(store: Store, clock: FakeClock) -> None:
    """At the millisecond that `expires_at` names a job is not given any more, and found to be expired."""
    message = job(expires_at=START + 1_000)
    await put(store, message)
    clock.advance(1_000)

    assert await take(store) == []
    found = await store.expired(clock.now(), 10)
    assert [Job.FromString(data).id for data in found.jobs] == [message.id]


async def test_an_empty_queue_is_drained(store: Store, clock: FakeClock) -> None:
    """A claim that left slots free because there was nothing more says so, so that nobody asks again."""
    await put(store, job("a"), job("b"), job("c", scheduled_at=START + 1), job("d", expires_at=START + 1))
    clock.advance(10)

    answers = await store.claim([demand(3, "a", "b", "c"), demand(1, "a"), demand(1, "unknown")], clock.now())

    assert [(len(claimed.deliveries), claimed.drained) for claimed in answers] == [(2, True), (0, True), (0, True)]


async def test_a_queue_with_more_is_not_drained(store: Store, clock: FakeClock) -> None:
    """A claim that ran out of slots or of bytes, with jobs left in any of its queues, says that there may be more."""
    await put(store, *[job(padding=KIB) for _ in range(4)], job("other"))

    answers = await store.claim([demand(2, QUEUE), demand(9, QUEUE, max_bytes=KIB + KIB // 2)], clock.now())
    spilled = await store.claim([demand(1, QUEUE, "other")], clock.now())

    assert [(len(claimed.deliveries), claimed.drained) for claimed in answers] == [(2, False), (1, False)]
    assert [(len(claimed.deliveries), claimed.drained) for claimed in spilled] == [(1, False)]


async def test_slots_passed_over_do_not_drain(store: Store, clock: FakeClock) -> None:
    """A worker that winds down does not learn, and does not tell, whether its queues hold more."""
    await put(store, job(), job())
    await store.heartbeat("closing", QUIET, "", 0, 0, clock.now())

    refused = await store.claim([Demand((QUEUE,), ["closing", "closing"], MANY_BYTES)], clock.now())
    mixed = await store.claim([Demand((QUEUE,), ["a", "closing"], MANY_BYTES)], clock.now())

    assert [(list(claimed.deliveries), claimed.drained) for claimed in refused] == [([], False)]
    assert [(len(claimed.deliveries), claimed.drained) for claimed in mixed] == [(1, False)]


async def test_streaming_changes_nothing_in_a_claim(store: Store) -> None:
    """A demand for streams gets the same jobs under the same terms as any other."""
    message = job()
    await put(store, message)

    (delivery,) = await take(store, 1, streaming=True)

    assert Job.FromString(delivery.job) == changed(
        message,
        state=states.ACTIVE,
        enqueued_at=START,
        attempt=1,
        started_at=START,
        lease=delivery.lease,
        lease_expires_at=START + VISIBILITY_MS,
        worker_id=WORKER,
    )


async def test_no_answer_is_missing(store: Store, clock: FakeClock) -> None:
    """After claims that were answered there is nothing to give back."""
    await put(store, job(), job())
    await take(store)

    assert await store.unanswered(clock.now()) == []
    assert len(await take(store)) == 1


async def test_leases_of_jobs(store: Store, clock: FakeClock) -> None:
    """Active jobs show their lease, all others and unknown ids 0, in the order asked."""
    waiting, running, done, back, gone = (job() for _ in range(5))
    await put(store, running, done, back)
    held = [Job.FromString(delivery.job) for delivery in await take(store, 3)]
    await put(store, waiting)
    await store.complete([], clock.now())
    await change(store, lifecycle.cancel(held[1]))
    await change(store, released(held[2], clock.now()))

    leases = await store.leases([m.id for m in (waiting, running, done, back, gone, running)])

    assert leases == [0, held[0].lease, 0, 0, 0, held[0].lease]
    assert await store.leases([]) == []
