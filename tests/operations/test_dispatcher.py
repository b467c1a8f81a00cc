"""The dispatcher: who is asked for, who gets what, and that nothing leased is ever forgotten."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator

import pytest

from ojs_grpc.core.limits import Limits
from ojs_grpc.errors import InvalidState, JobNotFound, ServerStopping, StoreError, StoreUnavailable
from ojs_grpc.operations import dispatcher as module
from ojs_grpc.operations.consumer import WINDOW, Consumer
from ojs_grpc.operations.dispatcher import Dispatcher
from tests.grpc.service import eventually, patience
from tests.operations.stores import RecordingChanges, ScriptedStore


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the dispatcher does after a while, it does soon; and its tick only when a test asks for it."""
    monkeypatch.setattr(module, "_RETRY_SECONDS", 0.001)
    monkeypatch.setattr(module, "_TICK_SECONDS", 3600)


@pytest.fixture
def store() -> ScriptedStore:
    """An empty store."""
    return ScriptedStore()


@pytest.fixture
def changes(store: ScriptedStore) -> RecordingChanges:
    """What was given back."""
    return RecordingChanges(store)


@pytest.fixture
async def dispatcher(store: ScriptedStore, changes: RecordingChanges) -> AsyncIterator[Dispatcher]:
    """A dispatcher that runs."""
    dispatcher = Dispatcher(store, Limits())  # type: ignore[arg-type]
    dispatcher.start(changes)  # type: ignore[arg-type]
    yield dispatcher
    store.gate.set()
    async with patience():
        await dispatcher.stop()


def stream(
    dispatcher: Dispatcher, worker: str = "w", capacity: int = 10, *queues: str, visibility_ms: int = 0
) -> Consumer:
    """A stream that waits."""
    consumer = Consumer(queues or ("q",), worker, capacity, visibility_ms, streaming=True)
    dispatcher.open(consumer)
    return consumer


def poll(dispatcher: Dispatcher, count: int = 1, *queues: str, worker: str = "w") -> Consumer:
    """A long poll that waits."""
    consumer = Consumer(queues or ("q",), worker, count, 0, streaming=False)
    dispatcher.open(consumer)
    return consumer


async def settle(turns: int = 20) -> None:
    """Lets the dispatcher do all that it would do now."""
    for _ in range(turns):
        await asyncio.sleep(0)


def claimed(consumer: Consumer) -> list[str]:
    """What is leased for it and not taken."""
    return [delivery.job_id for delivery in consumer.claimed]


# Asking


async def test_nobody_waits_nothing_is_asked(dispatcher: Dispatcher, store: ScriptedStore) -> None:
    """Not even when a queue is said to be ready."""
    dispatcher.wake(["q"])
    dispatcher.wake_all()
    await settle()

    assert store.demands == []
    assert not dispatcher._ready


async def test_a_new_consumer_is_asked_for_at_once(dispatcher: Dispatcher, store: ScriptedStore) -> None:
    """With its queues, and no more slots than it has."""
    stream(dispatcher, "w", 3, "a", "b", visibility_ms=77)
    await settle()

    ((demand,),) = store.demands
    assert (demand.queues, list(demand.workers), demand.visibility_ms) == (("a", "b"), ["w"] * 3, 77)
    assert (demand.streaming, demand.max_bytes) == (True, Limits().reply_bytes)


async def test_an_empty_queue_is_asked_again_when_it_is_ready(dispatcher: Dispatcher, store: ScriptedStore) -> None:
    """An idle stream costs nothing."""
    consumer = stream(dispatcher)
    await settle()
    assert len(store.demands) == 1

    dispatcher.wake(["other"])
    await settle()
    assert len(store.demands) == 1

    store.put("q", "j")
    dispatcher.wake(["q"])
    await settle()
    assert claimed(consumer) == ["j"]
    assert len(store.demands) == 2


async def test_a_full_queue_is_asked_until_it_is_empty(dispatcher: Dispatcher, store: ScriptedStore) -> None:
    """In calls that grow, without anyone having to say it is ready again."""
    store.put("q", *map(str, range(300)))
    streams = [stream(dispatcher, f"w{number}", 100) for number in range(3)]

    await settle(100)

    assert sum(len(consumer.claimed) for consumer in streams) == 300
    sizes = [sum(len(demand.workers) for demand in demands) for demands in store.demands]
    assert sizes[0] <= 40
    assert max(sizes) <= 300
    assert len(sizes) < 12


async def test_a_stream_without_free_slots_is_not_asked_for(dispatcher: Dispatcher, store: ScriptedStore) -> None:
    """However ready its queue is; when a slot frees, it is."""
    store.put("q", "a", "b")
    consumer = stream(dispatcher, capacity=1)
    await settle()
    calls = len(store.demands)
    dispatcher.wake(["q"])
    await settle()
    assert len(store.demands) == calls
    assert claimed(consumer) == ["a"]

    dispatcher.release(["a"])
    await settle()

    assert claimed(consumer) == ["a", "b"]


async def test_a_stream_that_does_not_take_is_not_given_more(dispatcher: Dispatcher, store: ScriptedStore) -> None:
    """Not beyond its window, whatever its capacity."""
    store.put("q", *map(str, range(9 * WINDOW)))
    consumer = stream(dispatcher, capacity=9 * WINDOW)
    await settle(200)
    assert WINDOW // 2 < len(consumer.claimed) <= WINDOW

    for _ in range(3 * WINDOW):
        consumer.take()
        if consumer.runs_low:
            dispatcher.refill(consumer)
            await settle()
            assert WINDOW // 2 < len(consumer.claimed) <= WINDOW


async def test_a_stream_is_not_given_too_many_bytes(dispatcher: Dispatcher, store: ScriptedStore) -> None:
    """Large jobs fill it sooner; what it takes makes room again."""
    store.put("q", *(f"{number:0300000}" for number in range(100)))
    consumer = stream(dispatcher, capacity=100)

    await settle(200)

    assert len(consumer.claimed) <= 32
    before = len(store.demands)
    while not consumer.runs_low:
        consumer.take()
    assert len(consumer.claimed) <= 4
    dispatcher.refill(consumer)
    await settle()
    assert len(store.demands) > before


async def test_streams_of_the_same_queues_share_a_demand(dispatcher: Dispatcher, store: ScriptedStore) -> None:
    """Polls and other queues or leases have their own."""
    stream(dispatcher, "a", 1, "q")
    stream(dispatcher, "b", 1, "q")
    stream(dispatcher, "c", 1, "q", "r")
    stream(dispatcher, "d", 1, "q", visibility_ms=5)
    poll(dispatcher, 2, "q", worker="e")
    await settle()

    (demands,) = store.demands
    assert sorted(sorted(demand.workers) for demand in demands) == [["a", "b"], ["c"], ["d"], ["e", "e"]]


# Sharing


async def test_jobs_go_round(dispatcher: Dispatcher, store: ScriptedStore) -> None:
    """One for each before the second for any."""
    streams = [stream(dispatcher, f"w{number}") for number in range(4)]
    await settle()
    store.put("q", *"abcdefgh")
    dispatcher.wake(["q"])
    await settle()

    assert [len(consumer.claimed) for consumer in streams] == [2, 2, 2, 2]
    assert [worker for _, worker in store.given[:4]] == ["w0", "w1", "w2", "w3"]


async def test_who_was_served_goes_to_the_end(dispatcher: Dispatcher, store: ScriptedStore) -> None:
    """Job by job, each stream in its turn."""
    for number in range(3):
        stream(dispatcher, f"w{number}")
    await settle()
    for job in "abcdef":
        store.put("q", job)
        dispatcher.wake(["q"])
        await settle()

    assert [worker for _, worker in store.given] == ["w0", "w1", "w2"] * 2


async def test_slots_differ(dispatcher: Dispatcher, store: ScriptedStore) -> None:
    """Who has few is done early, the rest goes to the others."""
    small, large = stream(dispatcher, "small", 1), stream(dispatcher, "large", 5)
    await settle()
    store.put("q", *"abcdefgh")
    dispatcher.wake(["q"])
    await settle()

    assert (len(small.claimed), len(large.claimed)) == (1, 5)


async def test_a_busy_queue_does_not_starve_another(dispatcher: Dispatcher, store: ScriptedStore) -> None:
    """More hungry streams than one claim has slots, and a backlog that never ends: the other queue has its turn."""
    busy = [stream(dispatcher, f"w{number}", 200, "busy") for number in range(300)]
    others = [stream(dispatcher, name, 1, name) for name in "abcdefgh"]
    await settle()
    store.demands.clear()
    store.put("busy", *map(str, range(5000)))
    for name in "abcdefgh":
        store.put(name, name)
    dispatcher.wake(["busy", *"abcdefgh"])

    await eventually(lambda: all(consumer.claimed for consumer in others))

    asked = [{queue for demand in demands for queue in demand.queues} for demands in store.demands]
    assert max(next(call for call, queues in enumerate(asked) if name in queues) for name in "abcdefgh") <= 3
    assert all(consumer.claimed for consumer in busy)


async def test_many_polls_get_one_each(dispatcher: Dispatcher, store: ScriptedStore) -> None:
    """Also more of them than one claim has slots."""
    polls = [poll(dispatcher, 1, worker=f"w{number}") for number in range(400)]
    store.put("q", *map(str, range(400)))

    await eventually(lambda: all(consumer.claimed for consumer in polls))

    assert {len(consumer.claimed) for consumer in polls} == {1}


async def test_a_poll_is_filled_by_one_claim(dispatcher: Dispatcher, store: ScriptedStore) -> None:
    """What comes later might not fit into its reply."""
    store.put("q", "a")
    consumer = poll(dispatcher, 5)
    await settle()
    store.put("q", "b")
    dispatcher.wake(["q"])
    await settle()

    assert claimed(consumer) == ["a"]


# Winding down


async def test_a_worker_that_is_passed_over_is_left_alone(dispatcher: Dispatcher, store: ScriptedStore) -> None:
    """Not asked for again and again while its queue has jobs; others are served."""
    store.withdrawn = {"quiet"}
    quiet = stream(dispatcher, "quiet")
    await settle()
    store.put("q", "a", "b")
    dispatcher.wake(["q"])
    await settle(200)
    assert len(store.demands) <= 3

    running = stream(dispatcher, "running")
    await settle()

    assert claimed(running) == ["a", "b"]
    assert not quiet.claimed


async def test_passed_over_and_served_in_one_demand(dispatcher: Dispatcher, store: ScriptedStore) -> None:
    """Jobs find the stream of the worker that has them."""
    store.withdrawn = {"quiet"}
    quiet, running = stream(dispatcher, "quiet", 3), stream(dispatcher, "running", 3)
    await settle()
    store.put("q", *"abcde")
    dispatcher.wake(["q"])
    await settle(100)

    assert (claimed(quiet), claimed(running)) == ([], ["a", "b", "c"])
    assert len(store.demands) == 2


async def test_a_worker_that_runs_again_is_served(
    dispatcher: Dispatcher, store: ScriptedStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At the next tick."""
    monkeypatch.setattr(module, "_TICK_SECONDS", 0.001)
    dispatcher._spawn(dispatcher._tick())
    store.withdrawn = {"w"}
    consumer = stream(dispatcher)
    store.put("q", "a")
    dispatcher.wake(["q"])
    await settle()
    assert not consumer.claimed

    store.withdrawn.clear()

    await eventually(lambda: claimed(consumer) == ["a"])


# What happens during a claim


async def test_a_wake_during_a_claim_is_not_lost(dispatcher: Dispatcher, store: ScriptedStore) -> None:
    """The claim finds the queue empty, and meanwhile it is not."""
    store.gate.clear()
    consumer = stream(dispatcher)
    await store.claiming.wait()
    store.put("q", "a")
    dispatcher.wake(["q"])

    store.gate.set()

    await eventually(lambda: claimed(consumer) == ["a"])


async def test_a_slot_that_frees_during_a_claim_is_used(dispatcher: Dispatcher, store: ScriptedStore) -> None:
    """The queue has more, and the stream was full when the claim was made."""
    store.put("q", "a", "b", "c")
    consumer = stream(dispatcher, capacity=2)
    await settle()
    assert len(consumer.claimed) == 2
    store.gate.clear()
    other = stream(dispatcher, "other", 1, "elsewhere")
    await store.claiming.wait()

    dispatcher.release(["a"])
    store.gate.set()

    await eventually(lambda: claimed(consumer) == ["a", "b", "c"])
    assert not other.claimed


@pytest.mark.parametrize("kind", ["stream", "poll"])
async def test_a_consumer_that_closes_during_a_claim_gives_back(
    dispatcher: Dispatcher, store: ScriptedStore, changes: RecordingChanges, kind: str
) -> None:
    """What the claim leased for it; others keep theirs."""
    store.gate.clear()
    store.put("q", *"abcd")
    leaving = stream(dispatcher, "leaving") if kind == "stream" else poll(dispatcher, 2, worker="leaving")
    staying = stream(dispatcher, "staying")
    await store.claiming.wait()

    dispatcher.close(leaving)
    store.gate.set()

    await eventually(lambda: len(changes.back) == 2)
    workers = dict(store.given)
    assert {workers[job] for job in changes.back} == {"leaving"}
    assert Counter(workers[job] for job in claimed(staying)) == {"staying": 2}
    assert not any(consumer is leaving for consumer in dispatcher._streams.values())


async def test_a_consumer_that_closes_gives_back_what_it_did_not_take(
    dispatcher: Dispatcher, store: ScriptedStore, changes: RecordingChanges
) -> None:
    """What it took stays leased."""
    store.put("q", *"abc")
    consumer = stream(dispatcher)
    await settle()
    consumer.take()

    dispatcher.close(consumer)
    dispatcher.close(consumer)

    await eventually(lambda: sorted(changes.back) == ["b", "c"])
    assert not dispatcher._streams
    assert not dispatcher._waiting
    assert not dispatcher._ready


@pytest.mark.parametrize(
    "error", [InvalidState("a", "active", "active"), JobNotFound("a"), StoreUnavailable("gone"), StoreError("odd")]
)
async def test_a_job_that_cannot_be_given_back_does_not_keep_the_others(
    dispatcher: Dispatcher, store: ScriptedStore, changes: RecordingChanges, error: Exception
) -> None:
    """Somebody else ended its lease, or the store is gone."""
    store.put("q", *"abc")
    consumer = stream(dispatcher)
    await settle()
    changes.errors.append(error)

    dispatcher.close(consumer)

    await eventually(lambda: changes.back == ["b", "c"])


# Slots


async def test_a_job_that_another_server_took_away_and_that_came_back_takes_one_slot(
    dispatcher: Dispatcher, store: ScriptedStore
) -> None:
    """The news that it was taken comes late or never: the old stream's slot is free, the new one's is not."""
    store.put("q", "a")
    first = stream(dispatcher, "first", 1)
    await settle()
    second = stream(dispatcher, "second", 1)
    await settle()
    store.put("q", "a", "b")
    dispatcher.wake(["q"])
    await settle()

    assert claimed(second) == ["a"]
    assert claimed(first) == ["a", "b"]
    assert (list(first.held), list(second.held)) == (["b"], ["a"])


async def test_the_tick_finds_slots_that_freed_elsewhere(
    dispatcher: Dispatcher, store: ScriptedStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody said so: the job has no lease any more, or another one."""
    monkeypatch.setattr(module, "_TICK_SECONDS", 0.001)
    store.put("q", *"abcd")
    consumer = stream(dispatcher, capacity=2)
    await settle()
    assert sorted(consumer.held) == ["a", "b"]
    store.present["a"] = 0
    store.present["b"] = 999

    dispatcher._spawn(dispatcher._tick())

    await eventually(lambda: sorted(consumer.held) == ["c", "d"])


async def test_a_release_of_something_unknown(dispatcher: Dispatcher) -> None:
    """Is no news for this process."""
    dispatcher.release(["whatever"])


# Polls


async def test_a_poll_knows_when_it_was_asked_for(dispatcher: Dispatcher, store: ScriptedStore) -> None:
    """Not before the store has answered; then also if there was nothing."""
    store.gate.clear()
    consumer = poll(dispatcher)
    asked = asyncio.create_task(consumer.asked())
    await store.claiming.wait()
    await settle()
    assert not asked.done()

    store.gate.set()

    async with patience():
        await asked
    assert not consumer.claimed


async def test_a_poll_behind_a_slow_claim_is_asked_for_too(dispatcher: Dispatcher, store: ScriptedStore) -> None:
    """One that comes while a claim for others is under way gets its own."""
    store.gate.clear()
    stream(dispatcher, "other", 1, "elsewhere")
    await store.claiming.wait()
    store.put("q", "a")
    consumer = poll(dispatcher)
    store.gate.set()

    async with patience():
        await consumer.asked()
        await consumer.wait()
    assert claimed(consumer) == ["a"]


# Failures


async def test_a_failed_claim_ends_polls_and_leaves_streams(dispatcher: Dispatcher, store: ScriptedStore) -> None:
    """The stream gets its jobs when the store is back."""
    error = StoreUnavailable("gone")
    store.failures.append(error)
    waiting, asking = stream(dispatcher), poll(dispatcher)
    store.put("q", "a")

    with pytest.raises(StoreUnavailable) as seen:
        async with patience():
            await asking.asked()

    assert seen.value is error
    dispatcher.close(asking)
    await eventually(lambda: claimed(waiting) == ["a"])


async def test_polls_that_come_during_an_outage_end_as_well(dispatcher: Dispatcher, store: ScriptedStore) -> None:
    """They are not left waiting for a store that does not come back."""
    store.failures.append(StoreUnavailable("gone"))
    store.unanswered_errors.extend(StoreUnavailable("still gone") for _ in range(50))
    stream(dispatcher)
    await eventually(lambda: len(store.unanswered_errors) < 50)

    late = poll(dispatcher)

    with pytest.raises(StoreUnavailable, match="still gone"):
        async with patience():
            await late.asked()
    store.unanswered_errors.clear()


async def test_what_a_lost_answer_leased_goes_back(
    dispatcher: Dispatcher, store: ScriptedStore, changes: RecordingChanges
) -> None:
    """Before anything else is claimed."""
    store.losses.append(StoreUnavailable("the connection broke"))
    store.put("q", "a", "b")
    consumer = stream(dispatcher)

    await eventually(lambda: sorted(changes.back) == ["a", "b"])

    store.put("q", "a")
    dispatcher.wake(["q"])
    await eventually(lambda: claimed(consumer) == ["a"])


@pytest.mark.parametrize("error", [RuntimeError("a bug"), KeyError("x"), StoreError("odd")])
async def test_no_error_ends_the_dispatcher(dispatcher: Dispatcher, store: ScriptedStore, error: Exception) -> None:
    """Foreseen or not."""
    store.failures.append(error)
    store.put("q", "a")
    consumer = stream(dispatcher)

    await eventually(lambda: claimed(consumer) == ["a"])


# Stopping


async def test_a_stopping_dispatcher_refuses(dispatcher: Dispatcher, store: ScriptedStore) -> None:
    """Who waits hears it, who comes hears it, and nothing more is claimed."""
    waiting = [stream(dispatcher), poll(dispatcher)]
    tasks = [asyncio.create_task(consumer.wait()) for consumer in waiting]
    await settle()
    calls = len(store.demands)

    dispatcher.refuse(ServerStopping())

    for task in tasks:
        with pytest.raises(ServerStopping):
            async with patience():
                await task
    with pytest.raises(ServerStopping):
        stream(dispatcher)
    store.put("q", "a")
    dispatcher.wake(["q"])
    await settle()
    assert len(store.demands) == calls


async def test_a_stop_gives_back_what_was_not_taken(
    dispatcher: Dispatcher, store: ScriptedStore, changes: RecordingChanges
) -> None:
    """Of consumers that are still there."""
    store.put("q", "a", "b")
    stream(dispatcher)
    await settle()

    await dispatcher.stop()

    assert sorted(changes.back) == ["a", "b"]


async def test_a_stop_waits_for_the_claim_under_way(
    dispatcher: Dispatcher, store: ScriptedStore, changes: RecordingChanges
) -> None:
    """And gives back what it leased."""
    store.gate.clear()
    store.put("q", "a")
    stream(dispatcher)
    await store.claiming.wait()
    stopping = asyncio.create_task(dispatcher.stop())
    await settle()
    assert not stopping.done()

    store.gate.set()

    async with patience():
        await stopping
    assert changes.back == ["a"]
    assert not dispatcher._tasks
