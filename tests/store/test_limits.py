"""DeliveryStore.claim of jobs with limits (behaviour sections 15 and 24, traps 15, 56 and 57)."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest
from ojs_grpc_pb.v1.job_pb2 import Job

from ojs_grpc.core import ids, lifecycle, states
from ojs_grpc.core.rate_limit import QueueRule, QueueRules, RateLimit
from ojs_grpc.stores.ports import Store, Unit
from tests.clock import START, FakeClock
from tests.signals import RecordingSignals
from tests.store.building import (
    DEAD_LETTER,
    QUEUE,
    VISIBILITY_MS,
    ack,
    change,
    demand,
    do,
    failed,
    given,
    ids_of,
    job,
    later,
    limited,
    new_job,
    put,
    put_limited,
    reap,
    released,
    see,
    take,
    take_one,
)

ONE = RateLimit("key", concurrency=1)
OpenWith = Callable[..., Awaitable[Store]]


# Concurrency


@pytest.mark.parametrize("concurrency", [1, 3])
async def test_so_many_run_at_once(store: Store, clock: FakeClock, concurrency: int) -> None:
    """However many slots ask, in one claim or several, no more jobs of a key are active than it allows."""
    limit = RateLimit("key", concurrency=concurrency)
    messages = await put_limited(store, limit, count=5)

    (first, second) = await store.claim([demand(2), demand(9)], clock.now())
    (third,) = await store.claim([demand(9)], clock.now())

    assert ids_of([*first.deliveries, *second.deliveries]) == [each.id for each in messages[:concurrency]]
    assert (list(third.deliveries), third.drained) == ([], True)
    assert [(await see(store, each)).state for each in messages[concurrency:]] == [states.AVAILABLE] * (5 - concurrency)


async def finish(store: Store, clock: FakeClock, held: Job, how: str) -> None:
    """Ends the lease of a job in one of all possible ways."""
    if how == "completed":
        assert await ack(store, held.id, lease=held.lease) is None
    elif how == "lost":
        clock.advance(VISIBILITY_MS)
        assert len(await reap(store)) == 1
    elif how == "replaced":
        assert await do(store, Unit([new_job(job("other"))], changes=[lifecycle.cancel(held)])) is None
    else:
        decided = {
            "failed": failed(held, clock.now()),
            "released": released(held, clock.now()),
            "cancelled": lifecycle.cancel(held),
        }
        assert await change(store, decided[how]) is not None


WAYS = ["completed", "failed", "released", "cancelled", "lost", "replaced"]


@pytest.mark.parametrize("how", WAYS)
async def test_every_end_of_a_lease_makes_room(
    store: Store, clock: FakeClock, signals: RecordingSignals, how: str
) -> None:
    """However a lease ends, the next job of the key may run, in whatever queue it waits, and that is announced."""
    assert ids.partition_of_queue("b") != ids.partition_of_queue("a")
    await put_limited(store, ONE, queue="a")
    (waiting,) = await put_limited(store, ONE, queue="b")
    held = await take_one(store, "a")
    assert await given(store, "b") == []
    signals.clear()

    await finish(store, clock, held, how)

    await signals.until_ready("b")
    assert await given(store, "b") == [waiting.id]
    assert await given(store, "a", "b") == []


async def test_a_retried_job_needs_room_again(store: Store, clock: FakeClock) -> None:
    """A job that comes back after a failure waits until the one that took its place is done."""
    first, second = await put_limited(store, ONE, count=2)
    await change(store, failed(await take_one(store), clock.now()))
    assert await given(store) == [second.id]
    clock.advance(30_000)
    assert (await store.promote(clock.now(), 10)).promoted == 1
    assert await given(store) == []

    await ack(store, second.id)

    assert await given(store) == [first.id]


async def test_a_released_job_waits_behind(store: Store, clock: FakeClock) -> None:
    """A job that was given back takes its new place behind those that were held back meanwhile."""
    first, second, third = await put_limited(store, ONE, count=3)
    held = await take_one(store)
    assert await given(store) == []
    await change(store, released(held, clock.now()))

    order = []
    for _ in range(3):
        order += await given(store)
        await ack(store, order[-1])

    assert order == [second.id, third.id, first.id]


async def test_late_acknowledgements_free_nothing_twice(store: Store, clock: FakeClock) -> None:
    """A lease that was lost, and is acknowledged late, was one lease."""
    messages = await put_limited(store, RateLimit("key", concurrency=2), count=5)
    held = [await take_one(store), await take_one(store)]
    clock.advance(VISIBILITY_MS)
    await reap(store)
    assert await given(store) == [messages[2].id, messages[3].id]

    assert [await ack(store, each.id, lease=each.lease) for each in held] == [None, None]
    assert await ack(store, held[0].id, lease=held[0].lease) is not None

    assert await given(store) == []
    assert (await see(store, messages[4])).state == states.AVAILABLE


async def test_keys_do_not_meet(store: Store) -> None:
    """Each key is counted by itself, and jobs without limits not at all."""
    keys = ["key", "KEY", "key:1", "{key}", "*", "ü", "k" * 250, "queue:default"]
    messages = [(await put_limited(store, RateLimit(key, concurrency=1)))[0] for key in keys for _ in range(2)]
    await put(store, free := job(), more := job())

    assert await given(store) == [*[each.id for each in messages[::2]], free.id, more.id]


async def test_each_job_is_judged_by_its_own_numbers(store: Store) -> None:
    """Jobs of one key may allow different numbers; all that run count, whatever they allow."""
    (strict,) = await put_limited(store, ONE)
    loose = await put_limited(store, RateLimit("key", concurrency=3), count=4)
    assert await given(store) == [strict.id, loose[0].id, loose[1].id]

    await ack(store, loose[0].id)
    (second_strict,) = await put_limited(store, ONE)
    assert await given(store) == [loose[2].id]
    for each in (strict, loose[1], loose[2]):
        await ack(store, each.id)
    seen = await given(store)

    # The loose one is first in line, and with it running the strict one may not.
    assert seen == [loose[3].id]
    await ack(store, loose[3].id)
    assert await given(store) == [second_strict.id]


# What is given instead


async def test_the_next_that_may_run_is_given(store: Store) -> None:
    """Jobs of a key that is used up are passed over, those of lower priority behind them included (RL-004)."""
    await put(store, job(priority=5), *[job(priority=5) for _ in range(3)], links=limited(ONE))
    await put(store, low := job(priority=-5), middle := job())
    assert len(await take(store, 1)) == 1

    assert await given(store) == [middle.id, low.id]


async def test_order_is_kept_among_those_that_may_run(store: Store, clock: FakeClock) -> None:
    """Jobs that were held back keep their places: priority first, then the order of their arrival."""
    messages = [job(priority=number % 3) for number in range(12)]
    await put(store, *messages, links=limited(ONE))
    expected = [[each.id] for priority in (2, 1, 0) for each in messages if each.priority == priority]

    seen = []
    for _ in messages:
        seen.append(await given(store))
        await ack(store, seen[-1][-1])

    assert seen == expected


async def test_a_late_comer_of_higher_priority(store: Store) -> None:
    """A job that arrives while others of its key wait goes by its priority, like any other."""
    first, second = await put_limited(store, ONE, count=2)
    await take_one(store)
    assert await given(store) == []
    await put(store, urgent := job(priority=1), links=limited(ONE))

    await ack(store, first.id)

    assert await given(store) == [urgent.id]
    await ack(store, urgent.id)
    assert await given(store) == [second.id]


async def test_a_free_job_between_held_ones(store: Store) -> None:
    """When room comes, a job that was held back goes before those that arrived after it."""
    first, second = await put_limited(store, ONE, count=2)
    assert await given(store) == [first.id]
    await put(store, free := job(), later := job())
    await ack(store, first.id)

    assert ids_of(await take(store, 2)) == [second.id, free.id]
    assert await given(store) == [later.id]


async def test_a_shared_key_across_queues(store: Store) -> None:
    """A key is shared by all queues; the queues that a claim asks for are still asked in order."""
    (a,) = await put_limited(store, ONE, queue="a")
    (b,) = await put_limited(store, ONE, queue="b")
    (c,) = await put_limited(store, ONE, queue="c")

    seen = []
    for order in ("b", "a", "c"), ("c", "a"), ("a", "b", "c"):
        seen += await given(store, *order)
        await ack(store, seen[-1])

    assert seen == [b.id, c.id, a.id]


async def test_held_jobs_are_jobs(store: Store, clock: FakeClock) -> None:
    """A job that is held back can be cancelled, expires, and is not given afterwards."""
    await put(store, running := job(), links=limited(ONE))
    await put(store, cancelled := job(), expiring := job(expires_at=START + 10), last := job(), links=limited(ONE))
    assert await given(store) == [running.id]
    assert await given(store) == []

    await change(store, lifecycle.cancel(await see(store, cancelled)))
    clock.advance(10)
    await ack(store, running.id)

    assert await given(store) == [last.id]
    (expired,) = (await store.expired(clock.now(), 10)).jobs
    assert Job.FromString(expired).id == expiring.id


async def test_a_held_job_that_is_acknowledged_late(store: Store, clock: FakeClock) -> None:
    """A job that lost its lease, waits for room, and is acknowledged late, is not given any more."""
    (lost,) = await put_limited(store, ONE)
    held = await take_one(store)
    rival, last = await put_limited(store, ONE, count=2)
    clock.advance(VISIBILITY_MS)
    await reap(store)
    assert await given(store) == [rival.id]
    assert await given(store) == []

    assert await ack(store, lost.id, lease=held.lease) is None
    await ack(store, rival.id)

    assert await given(store) == [last.id]
    await ack(store, last.id)
    assert await given(store) == []


async def test_a_held_job_that_nobody_waits_for(store: Store, clock: FakeClock) -> None:
    """When all that were held back are gone, room for the key is room for a new job."""
    running, *held = await put_limited(store, ONE, count=3)
    await take_one(store)
    assert await given(store) == []
    for each in held:
        await change(store, lifecycle.cancel(await see(store, each)))
    await ack(store, running.id)

    (fresh,) = await put_limited(store, ONE)

    assert await given(store) == [fresh.id]


async def test_a_dead_letter_comes_back_into_its_limit(store: Store, clock: FakeClock) -> None:
    """A dead letter that is retried waits like the others."""
    dying, rival = job(retry=DEAD_LETTER, max_attempts=1), job()
    await put(store, dying, rival, links=limited(ONE))
    await change(store, failed(await take_one(store), clock.now()))
    assert await given(store) == [rival.id]

    await change(store, lifecycle.retry_dead(await see(store, dying)))

    assert await given(store) == []
    await ack(store, rival.id)
    assert await given(store) == [dying.id]


async def test_many_held_jobs_of_many_keys(store: Store) -> None:
    """With hundreds of keys used up, a claim still finds the few jobs that may run."""
    keys = [RateLimit(f"key-{number}", concurrency=1) for number in range(300)]
    await do(store, Unit([new_job(job(priority=1), links=limited(key)) for key in keys for _ in range(3)]))
    first = await take(store, 1_000)
    assert len(first) == 300
    await put(store, free := job())

    assert await given(store) == [free.id]
    await ack(store, first[7].job_id)
    assert len(await given(store)) == 1


# Several limits


async def test_all_limits_must_allow(store: Store) -> None:
    """A job with several limits runs when every one of them has room."""
    a, b = RateLimit("a", concurrency=1), RateLimit("b", concurrency=1)
    (only_a,) = await put_limited(store, a)
    (only_b,) = await put_limited(store, b)
    (both,) = await put_limited(store, a, b)
    assert await given(store) == [only_a.id, only_b.id]

    await ack(store, only_a.id)
    assert await given(store) == []
    await ack(store, only_b.id)
    assert await given(store) == [both.id]

    await put_limited(store, a)
    await put_limited(store, b)
    assert await given(store) == []
    await ack(store, both.id)
    assert len(await given(store)) == 2


async def test_a_job_that_waits_for_two_limits_holds_up_nobody(store: Store) -> None:
    """When one of its limits has room and another one not, the next job of the first is given instead."""
    a, b = RateLimit("a", concurrency=1), RateLimit("b", concurrency=1)
    (first_a,) = await put_limited(store, a)
    (first_b,) = await put_limited(store, b)
    (both,) = await put_limited(store, a, b)
    (second_a,) = await put_limited(store, a)
    (second_b,) = await put_limited(store, b)
    assert await given(store) == [first_a.id, first_b.id]

    await ack(store, first_a.id)
    assert await given(store) == [second_a.id]
    await ack(store, first_b.id)
    assert await given(store) == [second_b.id]
    await ack(store, second_b.id)
    assert await given(store) == []
    await ack(store, second_a.id)
    assert await given(store) == [both.id]


async def test_a_refused_job_uses_nothing_up(store: Store, clock: FakeClock) -> None:
    """A job that one limit holds back does not count against its others."""
    full, rare = RateLimit("full", concurrency=1), RateLimit("rare", claims=1, period_ms=1_000)
    (running,) = await put_limited(store, full)
    await put_limited(store, rare, full, count=2)
    (alone,) = await put_limited(store, rare)

    assert await given(store) == [running.id, alone.id]
    await later(store, clock, 1_000)
    assert await given(store) == []
    await ack(store, running.id)
    assert len(await given(store)) == 1


async def test_a_queues_rule(open_with: OpenWith, signals: RecordingSignals, clock: FakeClock) -> None:
    """What the operator set for a queue limits every claim from it, of jobs that ask for no limit too."""
    rule = QueueRule(limit=RateLimit("queue:slow", concurrency=2))
    store = await open_with(signals, rules=QueueRules(by_name={"slow": rule}))
    await put(store, *[job("slow") for _ in range(4)], *[job("fast") for _ in range(4)])

    held = await given(store, "slow")

    assert (len(held), len(await given(store, "fast"))) == (2, 4)
    signals.clear()
    await ack(store, held[0])
    await signals.until_ready("slow")
    assert len(await given(store, "slow")) == 1


async def test_the_strictest_limit_wins(open_with: OpenWith, clock: FakeClock) -> None:
    """What the operator set for a queue and what a job says itself both have to allow a claim."""
    rule = QueueRule(limit=RateLimit("queue:slow", claims=2, period_ms=1_000))
    store = await open_with(rules=QueueRules(by_name={"slow": rule}))
    await put(store, *[job("slow") for _ in range(2)], links=limited(ONE))
    await put(store, *[job("slow") for _ in range(3)])

    seen = await given(store, "slow")

    assert len(seen) == 2
    await later(store, clock, 1_000)
    assert len(await given(store, "slow")) == 2
    await later(store, clock, 1_000)
    assert await given(store, "slow") == []
    await ack(store, seen[0])
    assert len(await given(store, "slow")) == 1


async def test_a_job_that_names_its_queues_key(open_with: OpenWith, clock: FakeClock) -> None:
    """A job may say the key of its queue's rule; it then counts once, and the stricter numbers apply."""
    rule = QueueRule(limit=RateLimit("queue:slow", concurrency=3, claims=4, period_ms=1_000))
    store = await open_with(rules=QueueRules(by_name={"slow": rule}))
    await put_limited(store, RateLimit("queue:slow", concurrency=2, claims=9, period_ms=1_000), queue="slow", count=9)

    seen = []
    for _ in range(3):
        seen.append(await given(store, "slow"))
        for each in seen[-1]:
            await ack(store, each)

    assert [len(each) for each in seen] == [2, 2, 0]
    await later(store, clock, 1_000)
    assert len(await given(store, "slow")) == 2


@pytest.mark.parametrize(("concurrency", "more"), [(0, 2), (1, 0), (2, 1)])
async def test_a_rule_that_changed(scheme: str, open_with: OpenWith, concurrency: int, more: int) -> None:
    """After a restart with another rule, the jobs that were held back go by that one."""
    if scheme == "memory":
        pytest.skip("a store in memory ends with its process")
    strict, loose = [
        QueueRules(by_name={"slow": QueueRule(limit=RateLimit("queue:slow", number) if number else None)})
        for number in (1, concurrency)
    ]
    store = await open_with(rules=strict)
    await put(store, *[job("slow") for _ in range(3)])
    assert (len(await given(store, "slow")), len(await given(store, "slow"))) == (1, 0)
    await store.close()

    assert len(await given(await open_with(rules=loose), "slow")) == more


async def test_a_rule_that_came_later(scheme: str, open_with: OpenWith) -> None:
    """Jobs that were stored before there was a rule go by it too."""
    if scheme == "memory":
        pytest.skip("a store in memory ends with its process")
    store = await open_with()
    await put(store, *[job("slow") for _ in range(3)])
    await store.close()

    store = await open_with(rules=QueueRules(by_name={"slow": QueueRule(limit=RateLimit("queue:slow", 1))}))

    (first,) = await given(store, "slow")
    await ack(store, first)
    assert len(await given(store, "slow")) == 1


# Several callers


async def test_concurrent_claims_never_exceed(store: Store) -> None:
    """Many claims at once for jobs of one key: no more run than it allows, and room that comes is used."""
    await put_limited(store, RateLimit("key", concurrency=3), count=30)
    done: list[str] = []

    while len(done) < 30:
        claims = await asyncio.gather(*[take(store, 2, worker=f"w{number}") for number in range(10)])
        running = [delivery.job_id for deliveries in claims for delivery in deliveries]
        assert len(running) == 3
        await asyncio.gather(*[ack(store, each) for each in running])
        done += running

    assert len(set(done)) == 30


async def test_two_servers_never_exceed(store: Store, other: Store) -> None:
    """The same through two servers and several queues."""
    for number in range(3):
        await put_limited(store, RateLimit("key", concurrency=4), queue=f"queue-{number}", count=4)
    queues = [f"queue-{number}" for number in range(3)]

    claims = await asyncio.gather(*[take(server, 1, *queues) for _ in range(10) for server in (store, other)])
    running = [delivery.job_id for deliveries in claims for delivery in deliveries]
    assert len(running) == 4
    assert await ack(other, running[0]) is None

    assert len(await given(store, *queues)) == 1
    assert await given(other, *queues) == []


async def test_limits_outlive_the_server(
    scheme: str, store: Store, connect: Callable[..., Awaitable[Store]], clock: FakeClock
) -> None:
    """After a restart what runs still counts, and what was held back is given when its turn comes."""
    if scheme == "memory":
        pytest.skip("a store in memory ends with its process")
    first, second = await put_limited(store, ONE, count=2)
    await put_limited(store, RateLimit("rare", claims=1, period_ms=1_000), queue="b", count=2)
    assert await given(store, QUEUE, "b") != []
    await store.close()

    reopened = await connect()

    assert await given(reopened, QUEUE, "b") == []
    await ack(reopened, first.id)
    await later(reopened, clock, 1_000)
    assert len(await given(reopened, QUEUE, "b")) == 2
    assert (await see(reopened, second)).state == states.ACTIVE
