"""What workers do is logged, as far as it is known, and never in anybody's way."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
from google.protobuf.json_format import MessageToDict
from google.protobuf.struct_pb2 import Struct
from ojs_grpc_pb.v1.job_pb2 import Job
from ojs_grpc_pb.v1.worker_pb2 import WORKER_STATE_QUIET, WORKER_STATE_RUNNING, WORKER_STATE_TERMINATE

from ojs_grpc.core.events import name_of
from ojs_grpc.errors import StoreUnavailable
from ojs_grpc.operations import worker_events
from ojs_grpc.operations.worker_events import WorkerEvents
from tests.grpc.service import eventually
from tests.operations.event_log import EventLog

RUNNING, QUIET, TERMINATE = WORKER_STATE_RUNNING, WORKER_STATE_QUIET, WORKER_STATE_TERMINATE


@pytest.fixture
def log() -> EventLog:
    """An empty log."""
    return EventLog()


@pytest.fixture
async def workers(log: EventLog, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[WorkerEvents]:
    """What is under test."""
    monkeypatch.setattr(worker_events, "_GATHER_SECONDS", 0.001)
    workers = WorkerEvents(log)  # type: ignore[arg-type]
    yield workers
    await workers.stop()


async def told(workers: WorkerEvents, log: EventLog) -> list[tuple[str, str, dict[str, Any]]]:
    """Name, worker and data of each event; all of it is said in the data."""
    await workers.stop()
    events = [(event, MessageToDict(Struct.FromString(event.detail))) for event in log.logged]
    assert all(event.key == data.pop("worker_id") for event, data in events)
    return [(name_of(event.kind), event.key, data) for event, data in events]


def names(events: list[tuple[str, str, dict[str, Any]]]) -> list[str]:
    """The names alone."""
    return [name for name, _, _ in events]


async def test_a_worker_starts_with_its_first_stream_and_stops_with_its_last(
    log: EventLog, workers: WorkerEvents
) -> None:
    """However many it has in between; other workers are others."""
    workers.opened("w-1", ("a", "b"), 5)
    workers.opened("w-1", ("c",), 1)
    workers.opened("w-2", ("a",), 2)
    workers.closed("w-1", ("a", "b"))
    workers.closed("w-1", ("c",))

    assert await told(workers, log) == [
        ("worker.started", "w-1", {"queues": ["a", "b"], "concurrency": 5}),
        ("worker.started", "w-2", {"queues": ["a"], "concurrency": 2}),
        ("worker.stopped", "w-1", {"reason": "shutdown"}),
    ]


async def test_a_heartbeat_tells_what_the_worker_does(log: EventLog, workers: WorkerEvents) -> None:
    """Its queues are those of its streams; a heartbeat for a job has an event of its own."""
    workers.opened("w-1", ("b", "a"), 5)
    workers.opened("w-1", ("c",), 1)
    workers.beat("w-1", RUNNING, 3, of_job=False)
    workers.beat("w-1", RUNNING, 3, of_job=True)
    workers.beat("w-2", RUNNING, 0, of_job=False)

    assert (await told(workers, log))[1:] == [
        ("worker.heartbeat", "w-1", {"active_jobs": 3, "queues": ["a", "b", "c"]}),
        ("worker.heartbeat", "w-2", {"active_jobs": 0, "queues": []}),
    ]


async def test_a_worker_that_winds_down_is_told_once(log: EventLog, workers: WorkerEvents) -> None:
    """However often it says so; and that it stopped is not told again when its stream ends."""
    workers.opened("w-1", ("a",), 5)
    for state in (RUNNING, QUIET, QUIET, TERMINATE, TERMINATE):
        workers.beat("w-1", state, 2, of_job=True)
    workers.closed("w-1", ("a",))

    assert (await told(workers, log))[1:] == [
        ("worker.quiet", "w-1", {"active_jobs": 2}),
        ("worker.stopped", "w-1", {"reason": "shutdown"}),
    ]


async def test_a_worker_may_come_back(log: EventLog, workers: WorkerEvents) -> None:
    """By saying that it runs, or by a new stream; then it may wind down again."""
    workers.beat("w-1", QUIET, 0, of_job=True)
    workers.beat("w-1", RUNNING, 0, of_job=True)
    workers.beat("w-1", QUIET, 0, of_job=True)
    workers.opened("w-1", ("a",), 1)
    workers.beat("w-1", QUIET, 0, of_job=True)

    assert names(await told(workers, log)) == ["worker.quiet", "worker.quiet", "worker.started", "worker.quiet"]


async def test_a_worker_of_one_queue_is_of_that_queue(log: EventLog, workers: WorkerEvents) -> None:
    """So a filter of queues finds it; one of several queues is of none."""
    workers.opened("w-1", ("a",), 1)
    workers.opened("w-2", ("a", "b"), 1)
    await workers.stop()

    assert [Job.FromString(event.subject).queue for event in log.logged] == ["a", ""]


async def test_workers_that_never_return_are_forgotten(workers: WorkerEvents, monkeypatch: pytest.MonkeyPatch) -> None:
    """Names come from callers, and must not fill memory."""
    monkeypatch.setattr(worker_events, "_MAX_WINDING_DOWN", 3)
    for number in range(10):
        workers.beat(f"w-{number}", QUIET, 0, of_job=True)
    workers.opened("w-1", ("a",), 1)
    workers.closed("w-1", ("a",))

    assert list(workers._winding_down) == ["w-7", "w-8", "w-9"]
    assert not workers._streams


async def test_an_outage_costs_events_and_nothing_else(log: EventLog, workers: WorkerEvents) -> None:
    """Who beats does not notice, and what comes later is logged."""
    log.failures.append(StoreUnavailable("gone"))
    workers.beat("w-1", RUNNING, 0, of_job=False)
    await eventually(lambda: not log.failures)
    workers.beat("w-2", RUNNING, 0, of_job=False)

    assert [worker for _, worker, _ in await told(workers, log)] == ["w-2"]


async def test_what_cannot_be_written_for_long_is_bounded(
    log: EventLog, workers: WorkerEvents, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The rest is lost."""
    monkeypatch.setattr(worker_events, "_MAX_WAITING", 3)
    for number in range(10):
        workers.beat(f"w-{number}", RUNNING, 0, of_job=False)

    assert len(await told(workers, log)) == 3


async def test_without_a_log_nothing_is_noted(log: EventLog, workers: WorkerEvents) -> None:
    """Nor written."""
    log.log_events = False
    workers.beat("w-1", RUNNING, 0, of_job=False)
    assert (workers._task, await told(workers, log)) == (None, [])
