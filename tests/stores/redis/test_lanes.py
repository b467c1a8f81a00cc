"""How Redis keeps jobs with limits apart, so that nobody looks at those that may not run."""

import pytest

from ojs_grpc.core.links import Links
from ojs_grpc.core.rate_limit import RateLimit
from ojs_grpc.stores.redis.store import RedisStore
from tests.clock import FakeClock
from tests.store.building import QUEUE, ack, ids_of, job, put, take

LANES = 150
"""More than one wake-up opens."""


async def put_lanes(store: RedisStore, common: RateLimit, count: int, queue: str = QUEUE) -> set[str]:
    """Jobs that share one limit and have one of their own each, so that each stands in a lane of its own."""
    messages = [job(queue) for _ in range(count)]
    for message in messages:
        await put(store, message, links=Links(limits=(common, RateLimit(f"own-{message.id}", concurrency=1))))
    return {message.id for message in messages}


@pytest.mark.parametrize("common", [RateLimit("all", concurrency=1), RateLimit("all", claims=1, period_ms=50)])
async def test_every_lane_gets_its_turn(store: RedisStore, clock: FakeClock, common: RateLimit) -> None:
    """However many lanes wait for one limit, each is opened in the end, though few are at once."""
    left = await put_lanes(store, common, LANES)

    for _ in range(3 * LANES):
        for given in ids_of(await take(store, 2)):
            left.remove(given)
            await ack(store, given)
        clock.advance(50)
        await store.promote(clock.now(), 10)

    assert left == set()


async def test_lanes_that_nobody_asks_for_hold_back_no_other(store: RedisStore, clock: FakeClock) -> None:
    """Lanes of a queue without workers may be opened first; those of another queue get the limit all the same."""
    common = RateLimit("all", concurrency=1)
    await put_lanes(store, common, LANES, "busy")
    (running,) = await take(store, 1, "busy")
    await take(store, 1, "busy")
    wanted = await put_lanes(store, common, 1)
    assert await take(store) == []

    await ack(store, running.job_id)
    found = []
    for _ in range(5):
        found += ids_of(await take(store))
        clock.advance(100)
        await store.promote(clock.now(), 10)

    assert set(found) == wanted
