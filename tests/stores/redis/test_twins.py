"""Which unique jobs Redis remembers: all that are stored, also those behind a newer one."""

from ojs_grpc.core import states
from ojs_grpc.stores.ports import Duplicates
from ojs_grpc.stores.redis.store import RedisStore
from tests.clock import FakeClock
from tests.store.building import DEAD_LETTER, change, do, failed, job, put, take_one, unique, unit


async def test_a_finished_job_counts_again_when_a_newer_one_is_gone(store: RedisStore, clock: FakeClock) -> None:
    """Of two dead letters with one fingerprint the older one is a duplicate as soon as the newer one is deleted."""
    links = unique(states_=[states.PENDING])
    older, newer = [job(retry=DEAD_LETTER, max_attempts=1) for _ in range(2)]
    for message in (older, newer):
        await put(store, message, links=links)
        await change(store, failed(await take_one(store), clock.now()))
        clock.advance(1)

    assert await store.delete_dead(newer.id, clock.now())

    (data,) = await store.read([older.id])
    assert data is not None
    outcome = await do(store, unit(job(), links=unique(states_=[states.DISCARDED])))
    assert outcome == Duplicates({0: data})
