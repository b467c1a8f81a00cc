"""JobStore.insert: changes, documents, jobs and events of one unit happen together, or not at all."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace

import pytest
from ojs_grpc_pb.v1.job_pb2 import Job

from ojs_grpc.core import lifecycle, states
from ojs_grpc.core.events import Kind, NewEvent
from ojs_grpc.core.links import Links
from ojs_grpc.core.rate_limit import QueueRule, QueueRules
from ojs_grpc.errors import DuplicateJob, InvalidRequest, QueueFull
from ojs_grpc.stores.ports import Duplicates, Ending, IdempotencyKey, Outcome, Outdated, Store, Unit, Write
from tests.clock import START, FakeClock
from tests.signals import RecordingSignals
from tests.store.building import (
    DEAD_LETTER,
    QUEUE,
    ack,
    bury,
    change,
    counts,
    dead_ids,
    do,
    endings,
    failed,
    history,
    ids_of,
    job,
    job_id,
    look,
    new_job,
    put,
    see,
    take,
    take_one,
    unique,
    unit,
    write,
)

KEY = IdempotencyKey("key", b"same", b"reply", START + 1_000)
EVENT = NewEvent(Kind.CRON_TRIGGERED, "nightly", b"", b"detail")


async def data_of(store: Store, name: str) -> bytes | None:
    """What a document holds."""
    (document,) = await store.documents("kind", [name])
    return document and document.data


async def version_of(store: Store, name: str) -> int:
    """The version of a document that there is."""
    (document,) = await store.documents("kind", [name])
    assert document is not None
    return document.version


async def test_all_of_a_unit_happens(store: Store, signals: RecordingSignals) -> None:
    """Changes, writes, jobs, endings and events of one unit are done together, in several queues."""
    waiting, step, fresh = job("a"), job("b", workflow_id="w"), job("c", scheduled_at=START + 5)
    await put(store, waiting, state=states.PENDING)
    await put(store, step, links=Links("w"))
    await ack(store, (await take_one(store, "b")).id)
    await write(store, "kind", "old", b"old")
    signals.clear()

    outcome = await do(
        store,
        Unit(
            jobs=[new_job(fresh), new_job(job("d"))],
            changes=[lifecycle.activate(await see(store, waiting))],
            writes=[Write("kind", "old", await version_of(store, "old"), None), Write("kind", "new", 0, b"new")],
            endings=[Ending(step.id, "w", states.COMPLETED)],
            events=[EVENT],
        ),
    )

    assert outcome is None
    assert (await see(store, waiting)).state == states.AVAILABLE
    assert (await see(store, fresh)).state == states.SCHEDULED
    assert [await data_of(store, name) for name in ("old", "new")] == [None, b"new"]
    assert await endings(store) == []
    assert Kind.CRON_TRIGGERED in [event.kind for event in await history(store)]
    await signals.until_ready("a")
    await signals.until_ready("d")


@pytest.mark.parametrize("what", ["changes", "writes", "endings", "events", "key", "nothing"])
async def test_a_unit_needs_no_jobs(store: Store, what: str) -> None:
    """A unit may be about anything alone."""
    await put(store, message := job())
    units = {
        "changes": Unit(changes=[lifecycle.cancel(await see(store, message))]),
        "writes": Unit(writes=[Write("kind", "name", 0, b"")]),
        "endings": Unit(endings=[Ending(message.id, "w", states.CANCELLED)]),
        "events": Unit(events=[EVENT]),
        "key": Unit(key=KEY),
        "nothing": Unit(),
    }

    assert await do(store, units[what]) is None
    assert await do(store, Unit(key=KEY)) == (b"reply" if what == "key" else None)


async def test_a_change_in_a_unit_is_a_change(store: Store, clock: FakeClock) -> None:
    """What a unit changes is changed as by `apply`: places, leases, dead letters and due times."""
    dying, failing = job(retry=DEAD_LETTER, max_attempts=1), job()
    await put(store, dying, failing)
    held = [await take_one(store), await take_one(store)]
    dead = await bury(store, "b")

    changes = [failed(each, clock.now()) for each in held]
    assert await do(store, Unit(changes=[*changes, lifecycle.retry_dead(dead)])) is None

    assert await dead_ids(store) == [dying.id]
    assert (await see(store, failing)).state == states.RETRYABLE
    assert await store.leases([dying.id, failing.id]) == [0, 0]
    assert ids_of(await take(store, 2, "b")) == [dead.id]
    assert (await store.promote(clock.now(), 10)).next_at == changes[1].due_at


async def refusing(store: Store, clock: FakeClock, why: str) -> Unit:
    """A unit that would do a thing of every kind, one of which is refused."""
    await put(store, job("held"), changing := job("changing"))
    waiting = await see(store, changing)
    held = await take_one(store, "held")
    await write(store, "kind", "present")
    await put(store, taken := job(job_id_=job_id(1)), reserved=True)
    await put(store, job(), links=unique())
    refused = {
        "a state": replace(lifecycle.cancel(held), state=states.AVAILABLE),
        "a lease": replace(lifecycle.cancel(held), lease=held.lease - 1),
        "a heartbeat": replace(failed(held, clock.now()), overdue_at=clock.now()),
        "an unknown job": replace(lifecycle.cancel(held), job_id=job_id(2)),
    }
    return Unit(
        jobs=[
            new_job(job("new")),
            new_job(taken if why == "an id" else job("new"), reserved=why == "an id"),
            new_job(job("full" if why == "a full queue" else "new")),
            new_job(job("new"), links=unique("same" if why == "a duplicate" else "different")),
        ],
        key=KEY,
        changes=[lifecycle.cancel(waiting), *([refused[why]] if why in refused else [])],
        writes=[
            Write("kind", "new", 0, b""),
            Write("kind", "present", 0 if why == "a version" else None, b"changed"),
        ],
        events=[EVENT],
    )


REASONS = {
    "a state": Outdated,
    "a lease": Outdated,
    "an unknown job": Outdated,
    "a heartbeat": Outdated,
    "a version": Outdated,
    "an id": DuplicateJob,
    "a duplicate": Duplicates,
    "a full queue": QueueFull,
}


@pytest.mark.parametrize("why", REASONS)
async def test_nothing_of_a_refused_unit_happens(
    open_with: Callable[..., Awaitable[Store]], clock: FakeClock, signals: RecordingSignals, why: str
) -> None:
    """Whatever a unit is refused for, no job, document, key, event or ending of it is there, and no job changed."""
    store = await open_with(signals, rules=QueueRules(by_name={"full": QueueRule(max_depth=1)}))
    await put(store, job("full"))
    await put(store, ending := job("ending", workflow_id="w"), links=Links("w"))
    await change(store, lifecycle.cancel(await see(store, ending)))
    bad = await refusing(store, clock, why)
    bad = bad._replace(endings=[Ending(ending.id, "w", states.CANCELLED)])
    before = await counts(store), await history(store), await store.read([each.job_id for each in bad.changes])

    outcome = await do(store, bad)

    assert isinstance(outcome, REASONS[why])
    after = await counts(store), await history(store), await store.read([each.job_id for each in bad.changes])
    assert after == before
    assert [await data_of(store, name) for name in ("new", "present")] == [None, b"data"]
    assert [each.job_id for each in await endings(store)] == [ending.id]
    assert [await look(store, bad.jobs[n].id) for n in (0, 2, 3)] == [None] * 3
    # Neither its key nor its fingerprint is taken.
    assert await do(store, Unit([new_job(job(), links=unique("different"))], bad.key)) is None


# The reasons in the order in which they count, each as part of a unit.
def broken(taken: Job, *reasons: str, fingerprint: bytes = b"new") -> Unit:
    """A unit that is refused for each of these reasons."""
    key = KEY if "the reply" in reasons or "the key" in reasons else None
    if key and "the reply" not in reasons:
        key = key._replace(fingerprint=b"another")
    jobs = [new_job(job("full" if "the depth" in reasons else "free"))]
    if "the id" in reasons:
        jobs.append(new_job(taken, reserved=True))
    if "the twin" in reasons:
        jobs.append(new_job(job(), links=unique()))
    return Unit(jobs, key, writes=[Write("kind", "present", 0, b"")] if "the version" in reasons else [])


@pytest.mark.parametrize(
    ("reasons", "wanted"),
    [
        (["the reply", "the version", "the id", "the twin", "the depth"], bytes),
        (["the key", "the version", "the id", "the twin", "the depth"], InvalidRequest),
        (["the version", "the id", "the twin", "the depth"], Outdated),
        (["the id", "the twin", "the depth"], DuplicateJob),
        (["the twin", "the depth"], Duplicates),
        (["the depth"], QueueFull),
        ([], type(None)),
    ],
)
async def test_the_first_reason_counts(
    open_with: Callable[..., Awaitable[Store]], reasons: list[str], wanted: type[object]
) -> None:
    """A unit that could be refused for several reasons is refused for the first in the order of the contract."""
    store = await open_with(rules=QueueRules(by_name={"full": QueueRule(max_depth=1)}))
    await put(store, taken := job("full", job_id_=job_id(1)), reserved=True)
    await put(store, job(), links=unique())
    await write(store, "kind", "present")
    await do(store, Unit(key=KEY))

    assert isinstance(await do(store, broken(taken, *reasons)), wanted)


async def test_one_change_a_reading(store: Store) -> None:
    """Of two changes decided from the same reading the second one no longer holds, so that neither is done."""
    await put(store, message := job())
    read = await see(store, message)

    assert await do(store, Unit(changes=[lifecycle.cancel(read), lifecycle.cancel(read)])) == Outdated()

    assert await see(store, message) == read


async def test_units_of_a_call_see_the_earlier_ones(store: Store) -> None:
    """Each unit is judged after those before it, done or refused, and none is refused for another's sake."""
    await put(store, message := job())
    read = await see(store, message)
    twins = [job(), job(), job()]

    outcomes = await store.insert(
        [
            Unit(writes=[Write("kind", "name", 0, b"first")]),
            Unit(writes=[Write("kind", "name", 0, b"second")]),
            Unit([new_job(twins[0], links=unique())], changes=[lifecycle.cancel(read)]),
            Unit([new_job(job("other"))], changes=[lifecycle.cancel(read)]),
            Unit([new_job(twins[1], links=unique())]),
            Unit([new_job(twins[2], links=unique("different"))]),
        ],
        START,
    )

    (first,) = await store.read([twins[0].id])
    assert outcomes == [None, Outdated(), None, Outdated(), Duplicates({0: first or b""}), None]
    assert await data_of(store, "name") == b"first"
    assert await counts(store) == {QUEUE: 2}


async def test_units_of_many_queues_keep_their_order(store: Store) -> None:
    """A refused unit in between leaves the jobs of the others in the order of the call."""
    await write(store, "kind", "present")
    good = [job("a" if number % 2 else "b") for number in range(6)]
    bad = Unit([new_job(job("a"))], writes=[Write("kind", "present", 0, b"")])

    await store.insert([unit(good[0], good[1]), bad, unit(good[3], good[2]), bad, unit(good[5], good[4])], START)

    assert ids_of(await take(store, 9, "a")) == [good[1].id, good[3].id, good[5].id]
    assert ids_of(await take(store, 9, "b")) == [good[0].id, good[2].id, good[4].id]


async def test_a_unit_of_thousands(store: Store) -> None:
    """A unit may replace thousands of unique jobs of a workflow; a refusal names all duplicates."""
    names = [str(number) for number in range(5_000)]
    old, new = [
        [new_job(job(f"queue-{name[-1]}"), links=unique(name)._replace(workflow_id="w")) for name in names]
        for _ in range(2)
    ]
    await do(store, Unit(old))
    read = [Job.FromString(data or b"") for data in await store.read([each.id for each in old])]

    refused = await do(store, Unit(new))
    done = await do(store, Unit(new, changes=[lifecycle.cancel(each) for each in read]))

    assert isinstance(refused, Duplicates)
    assert [Job.FromString(refused.jobs[place]) for place in range(5_000)] == read
    assert done is None
    assert sum((await counts(store)).values()) == 5_000
    ended = await store.endings(10_000)
    assert {each.job_id for each in ended.endings} == {each.id for each in old}
    assert await do(store, Unit(endings=ended.endings)) is None
    assert await endings(store) == []


async def test_a_repeated_unit_is_done_once(store: Store) -> None:
    """A unit that is sent again under its key is answered, though its preconditions no longer hold."""
    await put(store, message := job())
    again = Unit(
        [new_job(job(), links=unique())],
        KEY,
        changes=[lifecycle.cancel(await see(store, message))],
        writes=[Write("kind", "name", 0, b"")],
    )

    assert [await do(store, again) for _ in range(3)] == [None, b"reply", b"reply"]


async def test_one_of_many_writers_wins(store: Store) -> None:
    """Of many units at once that replace the same version, exactly one is done, with its job."""
    await write(store, "kind", "name")
    version = await version_of(store, "name")

    outcomes: list[Outcome] = await asyncio.gather(
        *[do(store, Unit([new_job(job())], writes=[Write("kind", "name", version, b"")])) for _ in range(30)]
    )

    assert outcomes.count(None) == 1
    assert outcomes.count(Outdated()) == 29
    assert await counts(store) == {QUEUE: 1}


async def test_one_of_many_servers_fires(store: Store, other: Store) -> None:
    """However many servers do what a document asks for, its jobs are enqueued once each time (trap 13)."""
    await write(store, "kind", "name", b"0")

    async def fire(server: Store) -> None:
        for _ in range(10):
            (document,) = await server.documents("kind", ["name"])
            assert document is not None
            count = b"%d" % (int(document.data) + 1)
            await do(server, Unit([new_job(job())], writes=[Write("kind", "name", document.version, count)]))

    await asyncio.gather(*[fire(server) for server in (store, other) * 3])

    fired = await data_of(store, "name")
    assert fired is not None
    assert int(fired) >= 10
    assert await counts(store) == {QUEUE: int(fired)}
