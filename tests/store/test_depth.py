"""JobStore.insert into bounded queues (behaviour sections 16 and 24, trap 16)."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from ojs_grpc.core import lifecycle, states
from ojs_grpc.core.rate_limit import QueueRule, QueueRules
from ojs_grpc.errors import QueueFull
from ojs_grpc.stores.ports import Outcome, Store, Unit
from tests.clock import START, FakeClock
from tests.signals import RecordingSignals
from tests.store.building import (
    ack,
    change,
    counts,
    do,
    facts,
    failed,
    job,
    new_job,
    put,
    released,
    see,
    take_one,
    unique,
    unit,
)

RULES = QueueRules(QueueRule(max_depth=5), {"three": QueueRule(max_depth=3), "free": QueueRule()})
OpenWith = Callable[..., Awaitable[Store]]


@pytest.fixture
async def store(open_with: OpenWith, signals: RecordingSignals) -> Store:
    """An empty store whose queue `three` holds three jobs, `free` any number, and each other five."""
    return await open_with(signals, rules=RULES)


@pytest.fixture
async def other(scheme: str, store: Store, open_with: OpenWith) -> Store:
    """Another server on the data of `store`, with the same rules."""
    if scheme == "memory":
        pytest.skip("a store in memory has one owner")
    return await open_with(rules=RULES)


async def is_full(store: Store, queue: str = "three") -> bool:
    """Whether one more job is refused; one that is not is cancelled again."""
    outcome = await do(store, unit(probe := job(queue)))
    if outcome is None:
        await change(store, lifecycle.cancel(await see(store, probe)))
    return isinstance(outcome, QueueFull)


async def test_a_full_queue_takes_no_more(store: Store) -> None:
    """The job over the bound is refused with the figures; other queues are not concerned."""
    await put(store, *[job("three") for _ in range(3)])

    outcome = await do(store, unit(job("three")))

    assert isinstance(outcome, QueueFull)
    assert outcome.details == {"queue": "three", "depth": "3", "max_depth": "3"}
    assert await counts(store) == {"three": 3}
    assert await do(store, unit(job("another"))) is None


@pytest.mark.parametrize(("queue", "bound"), [("three", 3), ("another", 5), ("free", 50)])
async def test_each_queue_has_its_bound(store: Store, queue: str, bound: int) -> None:
    """A named rule goes before the one for all; without a bound, or with one that is not reached, all are taken."""
    await put(store, *[job(queue) for _ in range(bound)])

    assert await is_full(store, queue) == (queue != "free")


async def test_a_unit_that_does_not_fit(store: Store) -> None:
    """A unit is stored whole or not at all, its jobs for other queues included."""
    await put(store, job("three"))

    too_many = await do(store, unit(job("free"), *[job("three") for _ in range(3)]))
    enough = await do(store, unit(job("free"), *[job("three") for _ in range(2)]))

    assert isinstance(too_many, QueueFull)
    assert enough is None
    assert await counts(store) == {"free": 1, "three": 3}


async def test_units_of_one_call_fill_up(store: Store) -> None:
    """Each unit is judged by what those before it left."""
    outcomes = await store.insert(
        [unit(job("three"), job("three")), unit(job("three"), job("three")), unit(job("three")), unit(job("three"))],
        START,
    )

    assert [type(outcome) for outcome in outcomes] == [type(None), QueueFull, type(None), QueueFull]


async def test_what_counts(store: Store, clock: FakeClock) -> None:
    """Available, scheduled and retryable jobs count; pending, active and ended ones do not."""
    await put(store, job("three", scheduled_at=START + 9_999_999), job("three"))
    await put(store, *[job("three") for _ in range(6)], state=states.PENDING)
    assert not await is_full(store)

    held = await take_one(store, "three")
    await put(store, job("three"))
    assert not await is_full(store)
    await change(store, failed(held, clock.now()))

    assert (await see(store, held)).state == states.RETRYABLE
    assert await is_full(store)


@pytest.mark.parametrize("how", ["completed", "cancelled", "expired", "claimed"])
async def test_room_comes_back(store: Store, clock: FakeClock, how: str) -> None:
    """A job that leaves the queue, in whatever way, makes room for another."""
    messages = [job("three", expires_at=START + 10), job("three"), job("three")]
    await put(store, *messages)
    assert await is_full(store)

    if how == "cancelled":
        await change(store, lifecycle.cancel(await see(store, messages[0])))
    elif how == "expired":
        clock.advance(10)
        await change(store, lifecycle.expire(await see(store, messages[0])))
    else:
        await take_one(store, "three")
        if how == "completed":
            await ack(store, messages[0].id)

    assert not await is_full(store)
    await put(store, job("three"))
    assert await is_full(store)


async def test_only_insertion_is_bounded(store: Store, clock: FakeClock) -> None:
    """Jobs that come back, or are activated, go over the bound; then nothing is taken until it is reached again."""
    await put(store, *[job("three") for _ in range(3)])
    held = [await take_one(store, "three") for _ in range(3)]
    await put(store, *[job("three") for _ in range(3)])
    await put(store, waiting := job("three"), state=states.PENDING)

    assert await change(store, released(held[0], clock.now())) is not None
    assert await change(store, failed(held[1], clock.now())) is not None
    assert await change(store, lifecycle.activate(await see(store, waiting))) is not None

    found = await facts(store, "three")
    assert (found.available, found.retryable) == (5, 1)
    outcome = await do(store, unit(job("three")))
    assert isinstance(outcome, QueueFull)
    assert outcome.details["depth"] == "6"


async def test_a_unit_that_frees_as_much_as_it_adds(store: Store) -> None:
    """A full queue takes a job for one that the unit cancels: replacing is always possible."""
    await put(store, *[job("three") for _ in range(2)])
    await put(store, existing := job("three"), links=unique())
    cancel = lifecycle.cancel(await see(store, existing))

    two = await do(store, Unit([new_job(job("three")), new_job(job("three"))], changes=[cancel]))
    one = await do(store, Unit([new_job(job("three"), links=unique())], changes=[cancel]))

    assert isinstance(two, QueueFull)
    assert one is None
    assert await counts(store) == {"three": 3}


async def test_a_queue_over_its_bound_is_not_made_worse(store: Store, clock: FakeClock) -> None:
    """Over the bound, a unit that leaves the queue no fuller than it was passes."""
    await put(store, *[job("three") for _ in range(3)])
    held = await take_one(store, "three")
    await put(store, extra := job("three"))
    await change(store, released(held, clock.now()))
    cancel = lifecycle.cancel(await see(store, extra))

    assert await do(store, Unit([new_job(job("three"))], changes=[cancel])) is None
    assert await counts(store) == {"three": 4}


async def test_activation_in_a_unit_is_bounded(store: Store) -> None:
    """What a unit makes available counts like what it stores; a unit without either is never refused for depth."""
    await put(store, *[job("three") for _ in range(2)])
    await put(store, waiting := job("three"), more := job("three"), state=states.PENDING)
    changes = [lifecycle.activate(await see(store, message)) for message in (waiting, more)]

    assert isinstance(await do(store, Unit(changes=changes)), QueueFull)
    assert await do(store, Unit(changes=changes[:1])) is None
    assert await do(store, Unit([new_job(job("free"))])) is None


async def test_pending_jobs_fit_into_a_full_queue(store: Store) -> None:
    """A unit that leaves the depth as it is passes, whatever it stores."""
    await put(store, *[job("three") for _ in range(3)])

    assert await do(store, unit(job("three"), job("three"), state=states.PENDING)) is None


async def test_many_at_once_never_overshoot(store: Store) -> None:
    """Of many that insert at the same time exactly as many are taken as there is room for."""
    outcomes = await asyncio.gather(*[do(store, unit(job("another"))) for _ in range(40)])

    assert outcomes.count(None) == 5
    assert await counts(store) == {"another": 5}


async def test_two_servers_never_overshoot(store: Store, other: Store) -> None:
    """The same through two servers, with units of two jobs for several queues."""
    outcomes: list[Outcome] = await asyncio.gather(
        *[do(server, unit(job("another"), job("three"))) for _ in range(20) for server in (store, other)]
    )

    assert outcomes.count(None) == 3
    assert await counts(store) == {"another": 3, "three": 3}
