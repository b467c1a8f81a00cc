"""StreamEvents: what happens is told to whoever asks, from every server (behaviour section 18)."""

from typing import Any

import grpc
import pytest
from google.protobuf.json_format import MessageToDict
from ojs_grpc_pb.v1 import job_pb2, queue_pb2, service_pb2, worker_pb2, workflow_pb2
from ojs_grpc_pb.v1.events_pb2 import Event, StreamEventsRequest
from ojs_grpc_pb.v1.job_pb2 import EnqueueOptions, RetryPolicy

from ojs_grpc.core.duration import to_timestamp
from tests.clock import FakeClock
from tests.grpc.service import (
    SECOND,
    UNKNOWN_ID,
    Service,
    Status_,
    eventually,
    patience,
    run_service,
    seconds,
    slow_reader,
    status_of,
    struct,
)

AFTER = "x-ojs-after"
WORKFLOW = {"workflow_id", "workflow_name"}
STEP = WORKFLOW | {"step_id", "step_type"}
JOB = {"job_type", "queue"}
CRON = {"cron_name", "cron_expr", "job_type"}
REQUIRED = {
    "job.enqueued": JOB,
    "job.started": JOB | {"worker_id", "attempt"},
    "job.completed": JOB | {"duration_ms", "attempt"},
    "job.failed": JOB | {"attempt", "error"},
    "job.discarded": JOB | {"total_attempts", "last_error"},
    "job.retrying": JOB | {"attempt", "max_attempts", "next_retry_at", "error"},
    "job.cancelled": JOB,
    "job.heartbeat": JOB | {"worker_id", "attempt", "visible_until"},
    "job.scheduled": JOB | {"scheduled_at"},
    "job.expired": JOB | {"created_at", "expired_at", "ttl_ms"},
    "queue.paused": {"queue"},
    "queue.resumed": {"queue"},
    "worker.started": {"worker_id", "queues", "concurrency"},
    "worker.quiet": {"worker_id", "active_jobs"},
    "worker.stopped": {"worker_id", "reason"},
    "worker.heartbeat": {"worker_id", "active_jobs", "queues"},
    "workflow.started": WORKFLOW | {"total_steps"},
    "workflow.step_completed": STEP | {"duration_ms", "steps_remaining"},
    "workflow.step_failed": STEP,
    "workflow.completed": WORKFLOW | {"total_steps", "duration_ms"},
    "workflow.failed": WORKFLOW | {"failed_step_id", "failed_step_type", "error"},
    "workflow.cancelled": WORKFLOW,
    "cron.triggered": CRON | {"job_id", "scheduled_at"},
    "cron.skipped": CRON | {"reason"},
    "dead_letter.added": JOB,
    "dead_letter.retried": JOB,
    "dead_letter.deleted": JOB,
}
"""What the data of each type of event must have (behaviour section 18)."""


class Events:
    """A client's end of StreamEvents."""

    def __init__(self, call: Any) -> None:  # noqa: ANN401 - grpc's classes are not generic at runtime
        self.call = call

    async def next(self) -> Event:
        """The next event; there must be one soon."""
        async with patience():
            event = await self.call.read()
        assert event is not grpc.aio.EOF, "the stream has ended"
        return event

    async def take(self, count: int) -> list[Event]:
        """The next so many events."""
        return [await self.next() for _ in range(count)]

    async def until(self, type_: str) -> list[Event]:
        """The next events, up to the first of this type."""
        events = [await self.next()]
        while events[-1].type != type_:
            events.append(await self.next())
        return events

    async def ended(self) -> Status_:
        """The status with which the server ends the stream; nothing comes before."""
        async with patience():
            with pytest.raises(grpc.aio.AioRpcError) as error:
                await self.call.read()
        return status_of(error.value.code(), error.value.trailing_metadata())


def listen(service: Service, after: str = "", **filters: Any) -> Events:  # noqa: ANN401
    """A stream of events, perhaps not yet open."""
    metadata = ((AFTER, after),) if after else ()
    return Events(service.stub.StreamEvents(StreamEventsRequest(**filters), metadata=metadata))


async def listening(service: Service, after: str = "", **filters: Any) -> Events:  # noqa: ANN401
    """A stream of events that misses nothing from now on."""
    events = listen(service, after, **filters)
    async with patience():
        await events.call.initial_metadata()
    return events


def types(events: list[Event]) -> list[str]:
    """What happened, in order."""
    return [event.type for event in events]


def data(event: Event) -> dict[str, Any]:
    """Its data as JSON."""
    return MessageToDict(event.data)


# What is told


async def test_the_life_of_a_job_is_told_in_order(everywhere: Service) -> None:
    """From the enqueue to its result, with all that the spec wants."""
    events = await listening(everywhere)
    enqueued = await everywhere.enqueue("email.send", queue="mail", priority=5, trace_id="trace-1")
    job = await everywhere.fetch_one("mail")
    everywhere.clock.advance(250)
    await everywhere.stub.Heartbeat(worker_pb2.HeartbeatRequest(id=job.id, worker_id="worker-1", extend_by=seconds(9)))
    everywhere.clock.advance(250)
    await everywhere.ack(job, result=struct(sent=True))

    told = await events.take(4)

    assert {(event.job_id, event.job_type, event.queue) for event in told} == {(enqueued.id, "email.send", "mail")}
    assert len({event.id for event in told}) == 4
    about = {"job_type": "email.send", "queue": "mail", "trace_id": "trace-1"}
    assert [(event.type, data(event)) for event in told] == [
        ("job.enqueued", {**about, "priority": 5}),
        ("job.started", {**about, "worker_id": "worker-1", "attempt": 1}),
        (
            "job.heartbeat",
            {**about, "worker_id": "worker-1", "attempt": 1, "visible_until": "2025-06-15T15:06:49.250Z"},
        ),
        ("job.completed", {**about, "attempt": 1, "duration_ms": 500, "result": {"sent": True}}),
    ]


async def test_failures_are_told(everywhere: Service) -> None:
    """Each attempt, what becomes of it, and the end among the dead letters."""
    policy = RetryPolicy(max_attempts=2, initial_interval=seconds(1), jitter=False, on_exhaustion="dead_letter")
    job = await everywhere.enqueue(retry=policy)
    events = await listening(everywhere, job_id=job.id)
    await everywhere.nack(await everywhere.fetch_one())
    await everywhere.advance(SECOND)
    await everywhere.nack(await everywhere.fetch_one())
    await everywhere.stub.RetryDeadLetter(queue_pb2.RetryDeadLetterRequest(job_id=job.id))

    told = await events.take(9)

    assert types(told) == [
        "job.started",
        "job.failed",
        "job.retrying",
        "job.enqueued",
        "job.started",
        "job.failed",
        "job.discarded",
        "dead_letter.added",
        "dead_letter.retried",
    ]
    error = {"code": "boom", "message": "it broke"}
    assert data(told[2])["error"] == error
    assert data(told[2])["next_retry_at"] == "2025-06-15T15:06:41Z"
    assert (data(told[6])["total_attempts"], data(told[6])["last_error"]) == (2, error)


async def test_a_cancel_is_told_with_its_reason(everywhere: Service) -> None:
    """The one that the caller gave."""
    job = await everywhere.enqueue()
    events = await listening(everywhere)

    await everywhere.stub.CancelJob(job_pb2.CancelJobRequest(job_id=job.id, reason="superseded"))

    event = await events.next()
    assert (event.type, event.job_id, data(event)["reason"]) == ("job.cancelled", job.id, "superseded")


async def test_what_time_does_is_told(everywhere: Service) -> None:
    """A scheduled job becomes available, one past its time to live expires, and a lease ends."""
    events = await listening(everywhere, event_types=["job.scheduled", "job.enqueued", "job.expired", "job.failed"])
    later = await everywhere.enqueue(delay_until=to_timestamp(everywhere.clock.now() + 5 * SECOND), ttl=seconds(8))
    await everywhere.advance(5 * SECOND)
    await everywhere.advance(4 * SECOND)
    lost = await everywhere.enqueue(visibility_timeout=seconds(1))
    await everywhere.fetch_one()
    await everywhere.advance(SECOND)

    told = await events.take(6)

    assert [(event.type, event.job_id) for event in told] == [
        ("job.scheduled", later.id),
        ("job.enqueued", later.id),
        ("job.expired", later.id),
        ("job.enqueued", lost.id),
        ("job.failed", lost.id),
        ("job.enqueued", lost.id),
    ]
    assert data(told[0])["scheduled_at"] == "2025-06-15T15:06:45Z"
    assert (data(told[2])["ttl_ms"], data(told[2])["expired_at"]) == (8000, "2025-06-15T15:06:49Z")
    assert data(told[4])["error"]["code"] == "visibility_timeout"


async def test_workers_come_and_go(everywhere: Service) -> None:
    """By their streams and their heartbeats."""
    events = await listening(everywhere, event_types=["worker.started", "worker.heartbeat", "worker.stopped"])
    stream = everywhere.stream(3, "mail")
    assert data(await events.next()) == {
        "queue": "mail",
        "worker_id": "worker-1",
        "queues": ["mail"],
        "concurrency": 3,
    }
    await everywhere.stub.Heartbeat(worker_pb2.HeartbeatRequest(worker_id="worker-1"))
    assert data(await events.next())["active_jobs"] == 0

    stream.cancel()

    stopped = await events.next()
    assert (stopped.type, data(stopped)["reason"]) == ("worker.stopped", "shutdown")


async def test_every_type_of_event_says_what_the_spec_wants(everywhere: Service) -> None:
    """All types that apply are told, and none without its required data."""
    events = await listening(everywhere)
    told: list[Event] = []

    await _jobs_live_and_die(everywhere)
    await _workers_wind_down(everywhere)
    await _queues_pause(everywhere)
    await _crons_run(everywhere)
    await _workflows_end(everywhere)
    while {event.type for event in told} < REQUIRED.keys():
        told.append(await events.next())

    for event in told:
        assert REQUIRED[event.type] <= data(event).keys(), event
        assert (event.job_type, event.queue) == (data(event).get("job_type", ""), data(event).get("queue", ""))
    assert all(event.workflow_id for event in told if event.type.startswith("workflow."))


async def _jobs_live_and_die(service: Service) -> None:
    await service.enqueue(delay_until=to_timestamp(service.clock.now() + SECOND), ttl=seconds(2))
    await service.enqueue(ttl=seconds(1))
    await service.advance(3 * SECOND)
    await service.stub.CancelJob(job_pb2.CancelJobRequest(job_id=(await service.enqueue()).id))
    await service.enqueue(retry=RetryPolicy(max_attempts=2, initial_interval=seconds(1)))
    job = await service.fetch_one()
    await service.stub.Heartbeat(worker_pb2.HeartbeatRequest(id=job.id, worker_id="worker-1"))
    await service.nack(job)
    await service.advance(2 * SECOND)
    await service.ack(await service.fetch_one())
    await service.stub.RetryDeadLetter(queue_pb2.RetryDeadLetterRequest(job_id=(await service.bury()).id))
    await service.nack(await service.fetch_one(), code="DEAD_LETTER")
    (dead,) = (await service.stub.ListDeadLetter(queue_pb2.ListDeadLetterRequest())).jobs
    await service.stub.DeleteDeadLetter(queue_pb2.DeleteDeadLetterRequest(job_id=dead.id))


async def _workers_wind_down(service: Service) -> None:
    stream = service.stream(1, "nothing", worker_id="worker-2")
    await stream.opened()
    for state in (worker_pb2.WORKER_STATE_QUIET, worker_pb2.WORKER_STATE_TERMINATE):
        await service.stub.Heartbeat(worker_pb2.HeartbeatRequest(worker_id="worker-2", current_state=state))
    stream.cancel()


async def _queues_pause(service: Service) -> None:
    await service.stub.PauseQueue(queue_pb2.PauseQueueRequest(queue="mail"))
    await service.stub.ResumeQueue(queue_pb2.ResumeQueueRequest(queue="mail"))


async def _crons_run(service: Service) -> None:
    await service.stub.RegisterCron(service_pb2.RegisterCronRequest(name="often", cron="@every 1s", type="test.job"))
    await service.advance(SECOND)
    await service.advance(SECOND)
    await service.stub.UnregisterCron(service_pb2.UnregisterCronRequest(name="often"))
    await service.ack(await service.fetch_one())


async def _workflows_end(service: Service) -> None:
    for end in (service.ack, service.nack):
        await _workflow(service)
        await end(await service.fetch_one())
        await service.run_duties()
    workflow = await _workflow(service)
    await service.stub.CancelWorkflow(workflow_pb2.CancelWorkflowRequest(workflow_id=workflow.id, reason="enough"))


async def _workflow(service: Service) -> workflow_pb2.Workflow:
    step = workflow_pb2.WorkflowStep(
        id="only", type="test.job", options=EnqueueOptions(retry=RetryPolicy(max_attempts=1))
    )
    request = workflow_pb2.CreateWorkflowRequest(name="short", steps=[step])
    return (await service.stub.CreateWorkflow(request)).workflow


# To whom


async def test_a_subscriber_gets_what_it_asked_for(everywhere: Service) -> None:
    """Of its queues, of its types, and only that; unknown types do no harm."""
    events = await listening(everywhere, queues=["a", "b"], event_types=["job.started", "job.dead", "job.teleported"])
    for queue in ("c", "b", "a"):
        await everywhere.enqueue(queue=queue, retry=RetryPolicy(max_attempts=1))
        await everywhere.nack(await everywhere.fetch_one(queue))

    told = await events.take(4)

    assert [(event.type, event.queue) for event in told] == [
        ("job.started", "b"),
        ("job.discarded", "b"),
        ("job.started", "a"),
        ("job.discarded", "a"),
    ]


async def test_every_server_tells_what_happened_on_any(clock: FakeClock, url: str, scheme: str) -> None:
    """The log is shared."""
    if scheme == "memory":
        pytest.skip("a store in memory has one owner")
    async with run_service(clock, url) as one, run_service(clock, url) as other:
        events = await listening(other)
        job = await one.enqueue()

        event = await events.next()

        assert (event.type, event.job_id) == ("job.enqueued", job.id)


async def test_a_subscriber_goes_on_where_it_was(everywhere: Service) -> None:
    """After an event that it knows, also on another connection: nothing is missing, nothing comes twice."""
    first = await listening(everywhere)
    await everywhere.enqueue_many(30)
    known = await first.take(10)
    first.call.cancel()

    again = await listening(everywhere, after=known[-1].id)
    await everywhere.enqueue_many(5)

    rest = await again.take(25)
    assert len({event.job_id for event in known + rest}) == 35


@pytest.mark.parametrize(
    ("filters", "after", "broken"),
    [
        ({"queues": ["ok", "NO"]}, "", ["queues[1]"]),
        ({"queues": ["q"] * 257}, "", ["queues"]),
        ({"event_types": ["job.failed"] * 257}, "", ["event_types"]),
        ({"job_id": "job-1"}, "", ["job_id"]),
        ({}, UNKNOWN_ID, [AFTER]),
        ({}, f"evt_{UNKNOWN_ID.upper()}x", [AFTER]),
    ],
)
async def test_what_makes_no_sense_is_refused(
    service: Service, filters: dict[str, Any], after: str, broken: list[str]
) -> None:
    """With INVALID_ARGUMENT, and the field named."""
    status = await listen(service, after, **filters).ended()
    assert (status.code, status.fields) == (grpc.StatusCode.INVALID_ARGUMENT, broken)


async def test_a_server_without_a_log_says_so(clock: FakeClock) -> None:
    """And names the setting."""
    async with run_service(clock, events_count=0) as service:
        status = await listen(service).ended()
    assert (status.code, status.info.reason) == (grpc.StatusCode.UNIMPLEMENTED, "unsupported")
    assert status.info.metadata["setting"] == "events_count"


# For how long


async def test_a_silent_stream_is_kept_alive(service: Service) -> None:
    """So that both ends know that it is still there."""
    service.server.engine.events._keepalive_seconds = 0.01
    events = await listening(service)
    assert types(await events.take(2)) == ["stream.keepalive", "stream.keepalive"]


async def test_a_stopping_server_ends_its_streams(service: Service) -> None:
    """UNAVAILABLE, so that the subscriber goes on at another one; a long grace makes no difference."""
    events = await listening(service)

    async with patience():
        await service.server.stop(30)

    status = await events.ended()
    assert (status.code, status.info.reason) == (grpc.StatusCode.UNAVAILABLE, "backend_unavailable")


async def test_a_subscriber_that_goes_away_is_forgotten(service: Service) -> None:
    """With everything that was kept for it."""
    events = await listening(service)
    assert service.server.engine.events._subscribers

    events.call.cancel()

    await eventually(lambda: not service.server.engine.events._subscribers)


async def test_a_subscriber_that_does_not_read_holds_up_nobody(service: Service) -> None:
    """It misses events and learns how many; another one gets all of them."""
    service.server.engine.events._buffer = 20
    async with slow_reader(service) as elsewhere:
        slow = await listening(elsewhere, event_types=["job.enqueued"])
        quick = await listening(service, event_types=["job.enqueued"])
        sent = 0
        while not _lags(service):
            sent += len(await service.enqueue_many(10, trace_id="x" * 255))
            assert len(await quick.take(10)) == 10

        told = await slow.until("stream.gap")

        assert len(told) - 1 + data(told[-1])["missed"] == sent
        assert data(told[-1])["after"] == told[-2].id


def _lags(service: Service) -> bool:
    """Whether a subscriber misses events."""
    return any(subscriber._gap is not None for subscriber in service.server.engine.events._subscribers)
