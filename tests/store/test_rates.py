"""DeliveryStore.claim of jobs that may start only so often (behaviour sections 15 and 24, trap 57)."""

import asyncio

from ojs_grpc.core.rate_limit import RateLimit
from ojs_grpc.stores.ports import Store
from tests.clock import START, FakeClock
from tests.signals import RecordingSignals
from tests.store.building import (
    ack,
    change,
    demand,
    given,
    job,
    later,
    put,
    put_limited,
    released,
    see,
    take,
    take_one,
)

OFTEN = RateLimit("key", claims=2, period_ms=1_000)


async def test_so_many_start_within_a_period(store: Store, clock: FakeClock) -> None:
    """No more claims than allowed within the period, whether the jobs are done or not."""
    messages = await put_limited(store, OFTEN, count=5)

    seen = await given(store)
    for each in seen:
        await ack(store, each)
    await later(store, clock, 999)
    early = await given(store)
    await later(store, clock, 1)

    assert seen == [each.id for each in messages[:2]]
    assert early == []
    assert await given(store) == [each.id for each in messages[2:4]]


async def test_the_window_slides(store: Store, clock: FakeClock) -> None:
    """Whatever millisecond a period begins at, it holds no more claims than allowed (trap 57)."""
    await put_limited(store, OFTEN, count=40)
    claimed: list[int] = []
    wanted: list[int] = []

    for step in (0, 990, 9, 1, 1, 989, 10, 500, 499, 1, 700, 300, 1, 2_500, 1, 998, 1):
        now = await later(store, clock, step)
        claimed += [now for _ in await take(store, 1)]
        if sum(now - 1_000 < earlier for earlier in wanted) < 2:
            wanted.append(now)

    assert claimed == wanted


async def test_a_claim_is_a_claim(store: Store, clock: FakeClock) -> None:
    """A job that was given back, lost or retried uses up another claim each time it is given."""
    await put_limited(store, OFTEN)
    for _ in range(2):
        await change(store, released(await take_one(store), clock.now()))

    assert await given(store) == []
    await later(store, clock, 1_000)
    assert len(await given(store)) == 1


async def test_each_job_is_judged_by_its_own_window(store: Store, clock: FakeClock) -> None:
    """Every claim of a key counts, whatever the job that it gave allows itself; each job looks back its own period."""
    often, rare = RateLimit("key", claims=5, period_ms=1_000), RateLimit("key", claims=1, period_ms=10_000)
    (unlimited,) = await put_limited(store, RateLimit("key", concurrency=9))
    (first,) = await put_limited(store, often)
    (waiting,) = await put_limited(store, rare)
    assert await given(store) == [unlimited.id, first.id]

    await later(store, clock, 5_000)
    (second,) = await put_limited(store, often)
    assert await given(store) == [second.id]
    await later(store, clock, 5_000)
    assert await given(store) == []
    await later(store, clock, 5_000)
    assert await given(store) == [waiting.id]


async def test_promotion_tells_when_a_window_reopens(
    store: Store, clock: FakeClock, signals: RecordingSignals
) -> None:
    """While a limit by time holds jobs back, its end is a time to come back at; then the queue is announced."""
    *_, last = await put_limited(store, OFTEN, queue="held", count=3)
    clock.advance(5)
    (claimed,) = await store.claim([demand(9, "held")], clock.now())
    assert (len(claimed.deliveries), claimed.drained) == (2, True)
    signals.clear()

    clock.advance(100)
    waiting = await store.promote(clock.now(), 10)
    clock.advance(900)
    reopened = await store.promote(clock.now(), 10)

    assert (waiting.promoted, waiting.next_at) == (0, START + 1_005)
    assert reopened.promoted == 0
    await signals.until_ready("held")
    assert await given(store, "held") == [last.id]
    assert (await store.promote(clock.now(), 10)).next_at is None


async def test_the_earliest_of_all_times(store: Store, clock: FakeClock) -> None:
    """The time to come back at is the earlier of a window's end and a job's own time."""
    await put_limited(store, OFTEN, count=3)
    await given(store)
    await put(store, job(scheduled_at=START + 2_000))
    late = (await store.promote(clock.now(), 10)).next_at
    await put(store, job(scheduled_at=START + 500))

    assert late == START + 1_000
    assert (await store.promote(clock.now(), 10)).next_at == START + 500


async def test_a_rate_and_a_concurrency(store: Store, clock: FakeClock) -> None:
    """A limit of both kinds holds back until both allow."""
    first, second, third = await put_limited(store, RateLimit("key", concurrency=1, claims=2, period_ms=1_000), count=3)
    assert await given(store) == [first.id]
    await later(store, clock, 1_000)
    assert await given(store) == []
    await ack(store, first.id)
    assert await given(store) == [second.id]
    await ack(store, second.id)

    assert await given(store) == [third.id]
    await change(store, released(await see(store, third), clock.now()))
    assert await given(store) == []
    await later(store, clock, 1_000)
    assert await given(store) == [third.id]


async def test_two_servers_share_a_window(store: Store, other: Store, clock: FakeClock) -> None:
    """Many claims at once through two servers start no more jobs within the period than allowed."""
    await put_limited(store, OFTEN, count=9)
    started = []

    for _ in range(3):
        claims = await asyncio.gather(*[take(server, 1) for _ in range(5) for server in (store, other)])
        started.append(sum(map(len, claims)))
        await later(other, clock, 1_000)

    assert started == [2, 2, 2]
