"""A store whose calls are timed and counted."""

import asyncio
from collections.abc import AsyncIterator
from inspect import iscoroutinefunction
from typing import Any
from unittest import mock

import pytest
from google.protobuf.struct_pb2 import Struct
from ojs_grpc_pb.v1.job_pb2 import EnqueueOptions, EnqueueRequest, Job, JobError, RetryPolicy

from ojs_grpc.core import states
from ojs_grpc.core.draft import draft_of
from ojs_grpc.core.duration import to_timestamp
from ojs_grpc.core.envelope import Defaults
from ojs_grpc.errors import InvalidRequest, StoreTimeout, StoreUnavailable
from ojs_grpc.maintenance.promoter import Promoter
from ojs_grpc.operations.delivery import Holder, Result
from ojs_grpc.operations.engine import Engine
from ojs_grpc.operations.jobs import CallContext
from ojs_grpc.stores import open_store
from ojs_grpc.stores.observed import observe
from ojs_grpc.stores.ports import Store
from ojs_grpc.telemetry.recorder import DUE, NEW, Recorder
from tests.clock import START, FakeClock
from tests.signals import RecordingSignals
from tests.store.building import job, unit

OPERATIONS = [name for name in dir(Store) if iscoroutinefunction(getattr(Store, name))]


class BrokenStore:
    """Every call of it ends with one error."""

    def __init__(self, error: Exception) -> None:
        self.clock = FakeClock()
        self._error = error

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401
        async def fail(*_: object) -> None:
            raise self._error

        return fail


class Rig:
    """An engine on an observed store."""

    def __init__(self, store: Store, recorder: Recorder, engine: Engine) -> None:
        self.store = store
        self.recorder = recorder
        self.engine = engine

    async def enqueue(self, **options: Any) -> str:  # noqa: ANN401
        """Enqueues a job; its id."""
        request = EnqueueRequest(type="test.job", options=EnqueueOptions(**options))
        enqueued = await self.engine.jobs.enqueue(draft_of(request), CallContext())
        return Job.FromString(enqueued.jobs[0]).id

    async def fetch(self) -> str:
        """Claims a job; its id."""
        (leased,) = await self.engine.delivery.fetch(["default"], "worker-1", 1, 0)
        return leased.job_id

    def changes(self) -> dict[tuple[int, int], int]:
        """What was counted since the last look."""
        seen = dict(self.recorder.jobs)
        self.recorder.jobs.clear()
        return seen


@pytest.fixture
async def rig(url: str, clock: FakeClock) -> AsyncIterator[Rig]:
    """An engine on each kind of store in turn."""
    recorder = Recorder()
    store = observe(open_store(url, clock=clock), recorder)
    engine = Engine(store, Defaults(), recorder)
    await engine.start()
    yield Rig(store, recorder, engine)
    await engine.stop()


async def test_new_jobs_count_by_their_state(rig: Rig) -> None:
    """Available, scheduled or pending."""
    await asyncio.gather(rig.enqueue(), rig.enqueue(), rig.enqueue(delay_until=to_timestamp(START + 60_000)))

    assert rig.changes() == {(NEW, states.AVAILABLE): 2, (NEW, states.SCHEDULED): 1}


async def test_a_job_counts_once_for_each_change(rig: Rig) -> None:
    """Claimed, failed, due again, claimed, completed."""
    job_id = await rig.enqueue(retry=RetryPolicy(max_attempts=3))
    rig.changes()

    await rig.fetch()
    assert rig.changes() == {(states.AVAILABLE, states.ACTIVE): 1}
    await rig.engine.delivery.nack(job_id, JobError(code="boom", message="it broke"), Holder(), requeue=False)
    assert rig.changes() == {(states.ACTIVE, states.RETRYABLE): 1}
    clock: Any = rig.store.clock
    clock.advance(3_600_000)
    await Promoter(rig.store, rig.engine.due).run_once()
    assert rig.changes() == {(DUE, states.AVAILABLE): 1}
    await rig.fetch()
    await rig.engine.delivery.ack(job_id, Result(Struct()), Holder())
    assert rig.changes() == {(states.AVAILABLE, states.ACTIVE): 1, (states.ACTIVE, states.COMPLETED): 1}


async def test_what_is_refused_does_not_count(rig: Rig) -> None:
    """Neither an acknowledgement of a job that nobody holds, nor the second job with an id."""
    job_id = await rig.enqueue()
    await rig.engine.jobs.cancel(job_id)
    assert rig.changes() == {(NEW, states.AVAILABLE): 1, (states.AVAILABLE, states.CANCELLED): 1}

    twin = EnqueueRequest(type="test.job", id=job_id)
    ack = rig.engine.delivery.ack(job_id, Result(), Holder())
    await asyncio.gather(ack, rig.engine.jobs.enqueue(draft_of(twin), CallContext()), return_exceptions=True)

    assert rig.changes() == {}


async def test_every_operation_is_timed(rig: Rig) -> None:
    """By its name in the port."""
    await rig.enqueue()
    await rig.store.ping()
    await rig.store.queues("", 10)

    assert {"insert", "ping", "queues"} <= rig.recorder.store_calls.keys() <= set(OPERATIONS)
    assert sum(rig.recorder.store_calls["queues"].buckets) == 1
    assert not rig.recorder.store_errors


async def test_an_observed_store_is_like_the_store(url: str, clock: FakeClock) -> None:
    """It has all that the port promises."""
    plain = open_store(url, clock=clock)
    observed = observe(plain, Recorder())
    await observed.open(RecordingSignals())

    for name in Store.__annotations__:
        assert getattr(observed, name) == getattr(plain, name), name
    for name in OPERATIONS:
        assert iscoroutinefunction(getattr(observed, name)), name
    await observed.close()


@pytest.mark.parametrize("name", sorted({*OPERATIONS} - {"open", "close", "await_events"}))
async def test_failures_are_counted_and_passed_on(name: str) -> None:
    """Whatever operation fails, by the kind of its error."""
    recorder, error = Recorder(), StoreTimeout("too slow")
    store: Any = observe(BrokenStore(error), recorder)  # type: ignore[arg-type]

    with pytest.raises(StoreTimeout) as caught:
        await getattr(store, name)()

    assert caught.value is error
    assert recorder.store_errors == {(name, "StoreTimeout"): 1}
    assert sum(recorder.store_calls[name].buckets) == 1


@pytest.mark.parametrize(
    ("error", "counted"), [(StoreUnavailable("gone"), 1), (ValueError("a bug"), 1), (InvalidRequest([]), 0)]
)
async def test_answers_are_no_failures(error: Exception, counted: int) -> None:
    """A refusal is what the store was asked for; everything else that is raised is a failure."""
    recorder = Recorder()
    store: Any = observe(BrokenStore(error), recorder)  # type: ignore[arg-type]

    with pytest.raises(type(error)):
        await store.dead_letters()

    assert recorder.store_errors.total() == counted


async def test_what_cannot_be_counted_is_done_all_the_same(clock: FakeClock) -> None:
    """The figures are not worth a call."""
    recorder = Recorder()
    store = observe(open_store("memory:", clock=clock), recorder)
    await store.open(RecordingSignals())
    with mock.patch.object(recorder, "changed", side_effect=KeyError("a bug")):
        (outcome,) = await store.insert([unit(job())], START)
    await store.close()

    assert outcome is None
