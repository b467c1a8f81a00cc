"""The store and the process in figures."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from ojs_grpc_pb.v1.job_pb2 import EnqueueOptions, EnqueueRequest

from ojs_grpc.core.draft import draft_of
from ojs_grpc.core.duration import to_timestamp
from ojs_grpc.core.envelope import Defaults
from ojs_grpc.errors import StoreUnavailable
from ojs_grpc.operations import figures
from ojs_grpc.operations.engine import Engine
from ojs_grpc.operations.event_filters import Filters
from ojs_grpc.operations.jobs import CallContext
from ojs_grpc.stores import open_store
from ojs_grpc.telemetry.present import QueueFigures
from tests.clock import START, FakeClock


@pytest.fixture
async def engine(url: str, clock: FakeClock) -> AsyncIterator[Engine]:
    """An engine on each kind of store in turn."""
    engine = Engine(open_store(url, clock=clock), Defaults())
    await engine.start()
    yield engine
    await engine.stop()


async def fill(engine: Engine, **options: Any) -> None:  # noqa: ANN401
    """Enqueues a job."""
    request = EnqueueRequest(type="test.job", options=EnqueueOptions(**options))
    await engine.jobs.enqueue(draft_of(request), CallContext())


async def test_queues_have_their_depths(engine: Engine) -> None:
    """By state, with pauses."""
    await fill(engine, queue="mail")
    await fill(engine, queue="mail", delay_until=to_timestamp(START + 60_000))
    await fill(engine, queue="reports")
    await engine.delivery.fetch(["reports"], "worker-1", 1, 0)
    await engine.queues.pause("reports")

    present = await engine.figures.present()

    nothing = {"available": 0, "active": 0, "scheduled": 0, "retryable": 0, "discarded": 0}
    assert present.store_up
    assert present.store == engine.store.name
    assert present.all_queues == 2
    assert present.queues == {
        "mail": QueueFigures(paused=False, jobs=nothing | {"available": 1, "scheduled": 1}, completed=0),
        "reports": QueueFigures(paused=True, jobs=nothing | {"active": 1}, completed=0),
    }


async def test_queues_beyond_the_bound_are_only_counted(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first by name are told."""
    monkeypatch.setattr(figures, "MOST_QUEUES", 2)
    for name in ("d", "a", "c", "b"):
        await fill(engine, queue=name)

    present = await engine.figures.present()

    assert list(present.queues) == ["a", "b"]
    assert present.all_queues == 4


async def test_streams_of_events_count(engine: Engine) -> None:
    """As long as they are open."""
    stream = engine.events.subscribe(Filters())
    assert (await engine.figures.present()).event_streams == 1

    stream.close()

    assert (await engine.figures.present()).event_streams == 0


async def test_an_outage_is_told(engine: Engine) -> None:
    """The rest of the figures is there all the same."""
    store: Any = engine.store

    async def fail() -> None:
        raise StoreUnavailable("gone")

    store.ping = fail
    present = await engine.figures.present()

    assert not present.store_up
    assert (present.queues, present.all_queues) == ({}, None)
    assert present.job_streams == 0


async def test_an_outage_in_between_leaves_what_is_known(engine: Engine) -> None:
    """The store works, and then no longer."""
    await fill(engine, queue="a")
    store: Any = engine.store

    async def fail(*_: object) -> None:
        raise StoreUnavailable("gone")

    store.queue_facts = fail
    present = await engine.figures.present()

    assert (present.queues, present.all_queues) == ({}, 1)


async def test_a_slow_store_tells_what_it_can(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody waits longer than the bound."""
    monkeypatch.setattr(figures, "_SURVEY_SECONDS", 0.2)
    for name in ("a", "b"):
        await fill(engine, queue=name)
    store: Any = engine.store
    ask = store.queue_facts

    async def hesitate(queue: str, now: int) -> object:
        if queue == "b":
            await asyncio.sleep(60)
        return await ask(queue, now)

    store.queue_facts = hesitate
    present = await engine.figures.present()

    assert list(present.queues) == ["a"]
    assert present.all_queues == 2
