"""JobStore.insert of jobs that must be unique (behaviour sections 3.3 to 3.5, and 24, traps 4 to 8 and 35)."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest
from ojs_grpc_pb.v1.job_pb2 import Job

from ojs_grpc.core import ids, lifecycle, states
from ojs_grpc.core.links import Links
from ojs_grpc.errors import DuplicateJob
from ojs_grpc.stores.ports import Duplicates, Outcome, Retention, Store, Unit
from tests.clock import START, FakeClock
from tests.store.building import (
    DEAD_LETTER,
    LIVING,
    QUEUE,
    ack,
    change,
    counts,
    dead_ids,
    do,
    failed,
    job,
    job_id,
    look,
    new_job,
    put,
    released,
    see,
    take,
    take_one,
    unique,
    unit,
)

DAY_MS = 86_400_000


async def bring(store: Store, clock: FakeClock, state: int, links: Links, **fields: object) -> Job:
    """A job with these links, in this state; none of the store's other jobs is available."""
    message = job(scheduled_at=START + DAY_MS if state == states.SCHEDULED else 0, **fields)  # type: ignore[arg-type]
    await put(store, message, state=states.PENDING if state == states.PENDING else 0, links=links)
    if state in (states.ACTIVE, states.COMPLETED, states.RETRYABLE, states.DISCARDED):
        held = await take_one(store)
        if state == states.COMPLETED:
            await ack(store, held.id)
        elif state != states.ACTIVE:
            await change(store, failed(held, clock.now()))
    elif state == states.CANCELLED:
        await change(store, lifecycle.cancel(await see(store, message)))
    found = await see(store, message)
    assert found.state == state
    return found


def duplicate_of(outcome: Outcome) -> Job:
    """The duplicate of the only job of a unit."""
    assert isinstance(outcome, Duplicates)
    (data,) = outcome.jobs.values()
    assert list(outcome.jobs) == [0]
    return Job.FromString(data)


@pytest.mark.parametrize("state", states.ALL)
async def test_a_job_counts_in_the_states_that_the_policy_names(store: Store, clock: FakeClock, state: int) -> None:
    """An existing job is a duplicate in exactly the states of the new one's policy, terminal ones included."""
    existing = await bring(store, clock, state, unique(), max_attempts=1 if state == states.DISCARDED else 3)
    others = [other for other in states.ALL if other != state]

    named = await do(store, unit(job(), links=unique(states_=[state])))
    default = await do(store, unit(job("b"), links=unique()))
    unnamed = await do(store, unit(job("c"), links=unique(states_=others)))

    assert duplicate_of(named) == existing
    assert (duplicate_of(default) == existing) if state in LIVING else default is None
    # A default that was let in is available, and counts.
    assert unnamed is None if state in LIVING else isinstance(unnamed, Duplicates)


async def test_a_refused_job_is_not_there(store: Store, clock: FakeClock) -> None:
    """Nothing of a unit with a duplicate is stored, and the existing job is untouched."""
    existing = await bring(store, clock, states.AVAILABLE, unique())
    alone, same = job("b"), job()

    outcome = await do(store, Unit([new_job(alone), new_job(same, links=unique())]))

    assert isinstance(outcome, Duplicates)
    assert {place: Job.FromString(data) for place, data in outcome.jobs.items()} == {1: existing}
    assert [await look(store, each.id) for each in (alone, same)] == [None, None]
    assert await counts(store) == {QUEUE: 1}


async def test_every_duplicate_is_named(store: Store) -> None:
    """A unit with several duplicates says all of them, by their places in the unit."""
    first, second = job(), job()
    await put(store, first, links=unique("first"))
    await put(store, second, links=unique("second"))

    outcome = await do(
        store,
        Unit(
            [
                new_job(job("a"), links=unique("second")),
                new_job(job("b"), links=unique("third")),
                new_job(job("c")),
                new_job(job("d"), links=unique("first")),
            ]
        ),
    )

    assert isinstance(outcome, Duplicates)
    assert {place: Job.FromString(data).id for place, data in outcome.jobs.items()} == {0: second.id, 3: first.id}


async def test_what_is_no_duplicate(store: Store) -> None:
    """Other fingerprints don't meet, nor does a job without one meet any."""
    await put(store, job(), links=unique("a"))
    await put(store, job())

    assert await do(store, unit(job(), links=unique("b"))) is None
    assert await do(store, unit(job())) is None
    assert isinstance(await do(store, unit(job(), links=unique("a"))), Duplicates)


async def test_queues_and_ids_do_not_matter(store: Store) -> None:
    """The fingerprint alone decides: the same in another queue, in another partition, under an id of choice."""
    assert ids.partition_of_queue("elsewhere") != ids.partition_of_queue(QUEUE)
    await put(store, first := job(job_id_=job_id(255)), reserved=True, links=unique())

    for queue in ("elsewhere", QUEUE):
        assert duplicate_of(await do(store, unit(job(queue), links=unique()))).id == first.id


async def test_a_policy_is_the_new_jobs_own(store: Store, clock: FakeClock) -> None:
    """What policy an existing job was stored with does not matter (behaviour section 3.3)."""
    existing = await bring(store, clock, states.AVAILABLE, unique(states_=[states.PENDING], period_ms=1))
    clock.advance(10)

    assert duplicate_of(await do(store, unit(job(), links=unique()))) == existing


async def test_the_newest_duplicate_is_given(store: Store, clock: FakeClock) -> None:
    """Of several jobs with the fingerprint, the newest that counts is named."""
    only_pending = unique(states_=[states.PENDING])
    first = await bring(store, clock, states.AVAILABLE, only_pending)
    clock.advance(1)
    await put(store, second := job(), links=only_pending)
    clock.advance(1)
    await put(store, third := job(scheduled_at=START + DAY_MS), links=only_pending)

    newest = await do(store, unit(job(), links=unique()))
    newest_available = await do(store, unit(job(), links=unique(states_=[states.AVAILABLE])))
    await change(store, lifecycle.cancel(await see(store, second)))
    remaining = await do(store, unit(job(), links=unique(states_=[states.AVAILABLE])))

    assert [duplicate_of(outcome).id for outcome in (newest, newest_available, remaining)] == [
        third.id,
        second.id,
        first.id,
    ]


async def test_a_period_counts_from_the_existing_job(store: Store, clock: FakeClock) -> None:
    """A period ends that long after the existing job was created, whatever became of it, however often one tries."""
    links = unique(period_ms=10_000)
    await put(store, job(), links=links)
    outcomes = []

    for wait_ms in (4_000, 5_999, 1):
        clock.advance(wait_ms)
        await change(store, released(await take_one(store), clock.now()))
        outcomes.append(await do(store, unit(job(), links=links)))

    assert [isinstance(outcome, Duplicates) for outcome in outcomes] == [True, True, False]
    assert outcomes[-1] is None
    # The first one is still available (L4-UNIQ-005).
    assert await counts(store) == {QUEUE: 2}


async def test_a_period_may_outlast_the_job(store: Store, clock: FakeClock) -> None:
    """With terminal states, a finished job counts until its period ends: at most once in a while."""
    links = unique(states_=states.ALL, period_ms=10_000)
    await bring(store, clock, states.COMPLETED, links)
    clock.advance(9_999)
    early = await do(store, unit(job(), links=links))
    clock.advance(1)

    assert isinstance(early, Duplicates)
    assert await do(store, unit(job(), links=links)) is None


async def test_units_of_one_call(store: Store) -> None:
    """Of twins that arrive together in different units, the first is stored and the others meet it."""
    first, second, third = job("a"), job("b"), job("a")

    outcomes = await store.insert([unit(message, links=unique()) for message in (first, second, third)], START)

    assert outcomes[0] is None
    assert [duplicate_of(outcome).id for outcome in outcomes[1:]] == [first.id, first.id]


async def test_a_refused_unit_holds_nothing(store: Store) -> None:
    """The jobs of a refused unit are nobody's duplicates, not even within the call."""
    await put(store, taken := job(job_id_=job_id(1)), reserved=True)
    await put(store, job(), links=unique("held"))
    clash = Unit([new_job(job(), links=unique()), new_job(taken, reserved=True)])
    twin = Unit([new_job(job(), links=unique()), new_job(job(), links=unique("held"))])

    outcomes = await store.insert([clash, twin, unit(job(), links=unique())], START)

    assert [type(outcome) for outcome in outcomes] == [DuplicateJob, Duplicates, type(None)]


async def test_one_of_a_hundred_wins(store: Store) -> None:
    """Of a hundred twins at once, in calls of their own, exactly one is stored (trap 4)."""
    messages = [job(f"queue-{number % 7}") for number in range(100)]

    outcomes = await asyncio.gather(*[do(store, unit(message, links=unique())) for message in messages])

    (winner,) = [message for message, outcome in zip(messages, outcomes, strict=True) if outcome is None]
    assert {duplicate_of(outcome).id for outcome in outcomes if outcome is not None} == {winner.id}
    assert sum((await counts(store)).values()) == 1


async def test_one_of_a_hundred_wins_on_two_servers(store: Store, other: Store) -> None:
    """The same through two servers on the same data."""
    twins = [do(server, unit(job(f"queue-{n % 7}"), links=unique())) for n in range(50) for server in (store, other)]

    outcomes = await asyncio.gather(*twins)

    assert outcomes.count(None) == 1
    assert len({duplicate_of(outcome).id for outcome in outcomes if outcome is not None}) == 1
    assert sum((await counts(store)).values()) == 1


def replacing(existing: Job, message: Job) -> Unit:
    """Cancels a job and stores its twin."""
    return Unit([new_job(message, links=unique())], changes=[lifecycle.cancel(existing)])


@pytest.mark.parametrize("state", sorted(LIVING))
async def test_a_job_is_replaced(store: Store, clock: FakeClock, state: int) -> None:
    """Cancelling the existing job makes room for its twin in the same unit, without a gap."""
    existing = await bring(store, clock, state, unique())
    twin = job("b")

    assert await do(store, replacing(existing, twin)) is None

    assert (await see(store, existing)).state == states.CANCELLED
    assert duplicate_of(await do(store, unit(job(), links=unique()))).id == twin.id


async def test_a_replaced_active_job_cannot_be_acknowledged(store: Store, clock: FakeClock) -> None:
    """Whoever ran the job that was replaced comes too late (trap 7)."""
    held = await bring(store, clock, states.ACTIVE, unique())
    await do(store, replacing(held, job()))

    assert await ack(store, held.id, lease=held.lease) is not None
    assert (await see(store, held)).state == states.CANCELLED


async def test_a_replaced_job_may_still_count(store: Store, clock: FakeClock) -> None:
    """Under a policy that names cancelled jobs, cancelling one makes no room."""
    existing = await bring(store, clock, states.AVAILABLE, unique())
    links = unique(states_=[states.AVAILABLE, states.CANCELLED])

    outcome = await do(store, Unit([new_job(job(), links=links)], changes=[lifecycle.cancel(existing)]))

    assert duplicate_of(outcome).id == existing.id
    assert await see(store, existing) == existing


async def test_a_unit_may_bring_a_job_into_the_policy(store: Store, clock: FakeClock) -> None:
    """A job that the unit changes counts as changed, also when that is what makes it a duplicate."""
    existing = await bring(store, clock, states.PENDING, unique())
    links = unique(states_=[states.AVAILABLE])

    outcome = await do(store, Unit([new_job(job(), links=links)], changes=[lifecycle.activate(existing)]))

    # Nothing of the unit is done, so the duplicate as it stands is the one from before.
    assert duplicate_of(outcome) == existing


async def test_replacing_the_wrong_job(store: Store, clock: FakeClock) -> None:
    """When another twin is live as well, cancelling one of them is not enough, and not done."""
    first = await bring(store, clock, states.AVAILABLE, unique(states_=[states.PENDING]))
    await put(store, second := job(), links=unique(states_=[states.PENDING]))

    assert duplicate_of(await do(store, replacing(first, job()))).id == second.id
    assert await see(store, first) == first


async def test_one_of_many_replaces(store: Store, clock: FakeClock) -> None:
    """Of many that replace the same job at once one does; there is exactly one live twin all along."""
    existing = await bring(store, clock, states.AVAILABLE, unique())

    outcomes = await asyncio.gather(*[do(store, replacing(existing, job())) for _ in range(30)])

    assert outcomes.count(None) == 1
    assert await counts(store) == {QUEUE: 1}


async def test_a_retry_does_not_look(store: Store, clock: FakeClock) -> None:
    """A job that becomes available again is not checked, though a twin came in the meantime."""
    waiting = await bring(store, clock, states.RETRYABLE, unique())
    await put(store, job("b"), links=unique(states_=[states.AVAILABLE]))
    clock.advance(60_000)

    assert (await store.promote(clock.now(), 10)).promoted == 1
    assert (await see(store, waiting)).state == states.AVAILABLE


async def test_a_dead_letter_comes_back_beside_its_twin(store: Store, clock: FakeClock) -> None:
    """Both then hold the fingerprint, and a third one has to wait for both (trap 8)."""
    dead = await bring(store, clock, states.DISCARDED, unique(), max_attempts=1, retry=DEAD_LETTER)
    await put(store, twin := job("b"), links=unique())
    await change(store, lifecycle.retry_dead(dead))

    both = await do(store, unit(job(), links=unique()))
    await change(store, lifecycle.cancel(await see(store, twin)))
    one = await do(store, unit(job(), links=unique()))
    await change(store, lifecycle.cancel(await see(store, dead)))

    assert isinstance(both, Duplicates)
    assert duplicate_of(one).id == dead.id
    assert await do(store, unit(job(), links=unique())) is None


async def test_a_removed_job_no_longer_counts(store: Store, clock: FakeClock) -> None:
    """A job that retention or somebody removed is nobody's duplicate, whatever states count."""
    always = unique("swept", states_=states.ALL)
    forever = unique("deleted", states_=states.ALL)
    await bring(store, clock, states.COMPLETED, always)
    dead = await bring(store, clock, states.DISCARDED, forever, max_attempts=1, retry=DEAD_LETTER)
    before = [await do(store, unit(job(), links=links)) for links in (always, forever)]

    clock.advance(10)
    assert await store.sweep(Retention(finished_ms=1), clock.now(), 10) == 1
    assert await dead_ids(store) == [dead.id]
    await store.delete_dead(dead.id, clock.now())

    assert [type(outcome) for outcome in before] == [Duplicates, Duplicates]
    assert [await do(store, unit(job(), links=links)) for links in (always, forever)] == [None, None]


async def test_many_twins_leave_no_trace(store: Store, clock: FakeClock) -> None:
    """After many jobs of one fingerprint came and went, the next one is judged by those that are left."""
    for _ in range(30):
        await bring(store, clock, states.COMPLETED, unique())
        clock.advance(1)
    assert await store.sweep(Retention(finished_ms=10), clock.now(), 100) > 15

    assert isinstance(await do(store, unit(job(), links=unique(states_=[states.COMPLETED]))), Duplicates)
    await put(store, last := job(), links=unique())
    assert duplicate_of(await do(store, unit(job(), links=unique(states_=states.ALL)))).id == last.id
    assert await take(store, 9) != []


async def test_fingerprints_outlive_the_server(
    scheme: str, store: Store, connect: Callable[..., Awaitable[Store]]
) -> None:
    """After a restart a twin is still met."""
    if scheme == "memory":
        pytest.skip("a store in memory ends with its process")
    await put(store, job(), links=unique())
    await store.close()

    assert isinstance(await do(await connect(), unit(job(), links=unique())), Duplicates)


# Jobs that come back to life


async def test_a_job_without_a_twin_comes_back(store: Store) -> None:
    """The job itself, still finished, is no duplicate."""
    links = unique()
    dead = await _dead(store, links)
    assert links.unique is not None

    assert await do(store, Unit(changes=[lifecycle.retry_dead(dead)], alike=[links.unique])) is None
    assert (await see(store, dead)).state == states.AVAILABLE


async def test_a_job_with_a_living_twin_does_not_come_back(store: Store) -> None:
    """The twin is told by the position after the unit's jobs, and nothing changes."""
    links = unique()
    dead = await _dead(store, links)
    twin, other = job(), job()
    await put(store, twin, links=links)
    assert links.unique is not None
    before = await see(store, dead)

    outcome = await do(
        store, Unit(jobs=[new_job(other)], changes=[lifecycle.retry_dead(dead)], alike=[links.unique])
    )

    assert isinstance(outcome, Duplicates)
    assert {position: Job.FromString(data).id for position, data in outcome.jobs.items()} == {1: twin.id}
    assert await see(store, dead) == before
    assert await look(store, other.id) is None


async def _dead(store: Store, links: Links) -> Job:
    message = job(retry=DEAD_LETTER)
    await put(store, message, links=links)
    await change(store, failed(await take_one(store), store.clock.now()))
    dead = await see(store, message)
    assert dead.dead_letter
    return dead
