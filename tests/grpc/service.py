"""A server of a test's own with a channel to it, and what tests say to it again and again."""

import asyncio
import inspect
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from functools import partial
from typing import Any, NamedTuple
from unittest import mock

import grpc
import pytest
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message
from google.protobuf.struct_pb2 import Struct, Value
from google.rpc.error_details_pb2 import BadRequest, ErrorInfo, RetryInfo
from google.rpc.status_pb2 import Status
from ojs_grpc_pb.v1 import job_pb2, queue_pb2, service_pb2_grpc, worker_pb2
from ojs_grpc_pb.v1.job_pb2 import EnqueueOptions, Job

from ojs_grpc.config import OFF, Config
from ojs_grpc.core.duration import to_duration
from ojs_grpc.server import Server
from ojs_grpc.stores import open_store
from tests.clock import FakeClock

SECOND = 1000
PATIENCE_S = 10
"""Ends a test that would hang; no passing test waits for it."""
NO_WAIT = Duration()
UNKNOWN_ID = "01970000-0000-7000-8000-000000000000"
STRANGE_IDS = ["", "x", UNKNOWN_ID, UNKNOWN_ID.upper(), UNKNOWN_ID + "\n", "-" * 36, "\0", "😀" * 9, "z" * 100_000]
"""None of them is the id of a job."""
DETAILS = "grpc-status-details-bin"
CHANNEL_OPTIONS = (
    # Tests come and go on one port after another; a pool of subchannels shared between them only confuses.
    ("grpc.use_local_subchannel_pool", 1),
    ("grpc.max_send_message_length", -1),
)


class Service:
    """A running server, a channel to it, and the clock that its store goes by."""

    def __init__(self, server: Server, channel: grpc.aio.Channel, clock: FakeClock) -> None:
        self.server = server
        self.channel = channel
        self.clock = clock
        self.stub = service_pb2_grpc.OJSServiceStub(channel)

    @property
    def store(self) -> Any:  # noqa: ANN401 - tests replace its methods
        """The store that the server uses."""
        return self.server.engine.store

    async def advance(self, ms: int) -> None:
        """Moves time, and lets every duty do what has become due."""
        self.clock.advance(ms)
        await self.run_duties()

    async def run_duties(self) -> None:
        """One turn of every duty."""
        for duty in self.server._maintenance._duties:
            await duty.run_once()

    async def enqueue(self, type_: str = "test.job", *args: Any, id: str = "", **options: Any) -> Job:  # noqa: ANN401
        """Enqueues a job; keywords are options."""
        said = EnqueueOptions(**options)
        request = job_pb2.EnqueueRequest(type=type_, id=id or None, args=map(value, args), options=said)
        return (await self.stub.Enqueue(request)).job

    async def enqueue_many(self, count: int, **options: Any) -> list[Job]:  # noqa: ANN401
        """Enqueues so many jobs at once."""
        request = job_pb2.EnqueueBatchRequest(default_options=EnqueueOptions(**options))
        for _ in range(count):
            request.jobs.add(type="test.job")
        return list((await self.stub.EnqueueBatch(request)).jobs)

    async def fetch(
        self, count: int = 1, *queues: str, worker_id: str = "worker-1", wait: Duration = NO_WAIT, **more: Any  # noqa: ANN401
    ) -> list[Job]:
        """Fetches what is there."""
        request = worker_pb2.FetchRequest(
            queues=queues or ("default",), count=count, worker_id=worker_id, wait=wait, **more
        )
        return list((await self.stub.Fetch(request)).jobs)

    async def fetch_one(self, *queues: str, **more: Any) -> Job:  # noqa: ANN401
        """Fetches one job; there must be one."""
        (job,) = await self.fetch(1, *queues, **more)
        return job

    async def get(self, job_id: str) -> Job:
        """The job as it stands."""
        return (await self.stub.GetJob(job_pb2.GetJobRequest(job_id=job_id))).job

    async def ack(self, job: Job, **more: Any) -> worker_pb2.AckResponse:  # noqa: ANN401
        """Completes the job, under its lease."""
        return await self.stub.Ack(worker_pb2.AckRequest(job_id=job.id, lease=job.lease, **more))

    async def nack(self, job: Job, code: str = "boom", **more: Any) -> worker_pb2.NackResponse:  # noqa: ANN401
        """Fails the job, under its lease."""
        error = more.pop("error", job_pb2.JobError(code=code, message="it broke"))
        return await self.stub.Nack(worker_pb2.NackRequest(job_id=job.id, lease=job.lease, error=error, **more))

    async def counts(self) -> dict[str, int]:
        """How many jobs are available in each queue."""
        queues = (await self.stub.ListQueues(queue_pb2.ListQueuesRequest(limit=1000))).queues
        return {queue.name: queue.available_count for queue in queues}

    async def bury(self, queue: str = "default", **options: Any) -> Job:  # noqa: ANN401
        """Makes a dead letter."""
        policy = job_pb2.RetryPolicy(max_attempts=1, on_exhaustion="dead_letter")
        await self.enqueue(queue=queue, retry=policy, **options)
        job = await self.fetch_one(queue)
        await self.nack(job)
        return await self.get(job.id)

    def stream(self, max_concurrent: int = 1, *queues: str, worker_id: str = "worker-1", **more: Any) -> "Jobs":  # noqa: ANN401
        """Opens a stream of jobs."""
        return Jobs(
            self.stub.StreamJobs(
                worker_pb2.StreamJobsRequest(
                    queues=queues or ("default",), worker_id=worker_id, max_concurrent=max_concurrent, **more
                )
            )
        )

    async def until_a_poll_waits(self) -> None:
        """Returns when somebody who asked for jobs has found none and waits for them."""
        dispatcher = self.server.engine._dispatcher
        await eventually(lambda: dispatcher._consumers() - dispatcher._unasked)

    async def raw(self, method: str, data: bytes, **more: Any) -> bytes:  # noqa: ANN401
        """Sends these bytes as the request of a unary call; the bytes of the reply."""
        return await self.channel.unary_unary(f"/ojs.v1.OJSService/{method}")(data, **more)


class Jobs:
    """A client's end of StreamJobs."""

    def __init__(self, call: Any) -> None:  # noqa: ANN401 - grpc's classes are not generic at runtime
        self.call = call

    async def next(self) -> Job:
        """The next job; there must be one soon."""
        async with patience():
            job = await self.call.read()
        assert job is not grpc.aio.EOF, "the stream has ended"
        return job

    async def take(self, count: int) -> list[Job]:
        """The next so many jobs."""
        return [await self.next() for _ in range(count)]

    async def opened(self) -> None:
        """Returns when the server has the stream."""
        async with patience():
            await self.call.initial_metadata()

    async def ended(self) -> "Status_":
        """The status with which the server ends the stream; nothing comes before."""
        async with patience():
            with pytest.raises(grpc.aio.AioRpcError) as error:
                await self.call.read()
        return status_of(error.value.code(), error.value.trailing_metadata())

    def cancel(self) -> None:
        """The client goes away."""
        self.call.cancel()


class Status_(NamedTuple):  # noqa: N801 - Status is google's
    """How a call was refused."""

    code: grpc.StatusCode
    info: ErrorInfo
    bad_request: BadRequest | None
    retry: RetryInfo | None
    metadata: Sequence[tuple[str, str | bytes]]

    @property
    def fields(self) -> list[str]:
        """The paths of the fields that break a rule."""
        return [violation.field for violation in self.bad_request.field_violations] if self.bad_request else []


def status_of(code: grpc.StatusCode, metadata: Any) -> Status_:  # noqa: ANN401
    """The parts of a status, from code and trailing metadata; there must be an ErrorInfo."""
    trailers = tuple(metadata or ())
    details = [data for key, data in trailers if key == DETAILS]
    assert len(details) == 1, f"{code} without details: {trailers}"
    status = Status.FromString(details[0])
    assert status.code == code.value[0]
    assert len(details[0]) < 4096
    found: dict[type[Message], Any] = {}
    for packed in status.details:
        for kind in (ErrorInfo, BadRequest, RetryInfo):
            if packed.Is(kind.DESCRIPTOR):
                assert kind not in found, f"two {kind}"
                found[kind] = kind()
                packed.Unpack(found[kind])
    assert len(found) == len(status.details)
    assert ErrorInfo in found, "no ErrorInfo"
    return Status_(code, found[ErrorInfo], found.get(BadRequest), found.get(RetryInfo), trailers)


class Caught:
    """The status, once the block is left."""

    status: Status_

    @property
    def info(self) -> ErrorInfo:
        """Its ErrorInfo."""
        return self.status.info

    @property
    def fields(self) -> list[str]:
        """As `Status_.fields`."""
        return self.status.fields


@contextmanager
def refused(code: grpc.StatusCode, reason: str) -> Iterator[Caught]:
    """The call in this block is refused with this code and ErrorInfo.reason."""
    caught = Caught()
    with pytest.raises(grpc.aio.AioRpcError) as error:
        yield caught
    caught.status = status_of(error.value.code(), error.value.trailing_metadata())
    assert (error.value.code(), caught.info.reason) == (code, reason), error.value.details()
    assert caught.info.domain == "openjobspec.org"


def invalid(reason: str = "invalid_request") -> Any:  # noqa: ANN401
    """The call in this block breaks a rule."""
    return refused(grpc.StatusCode.INVALID_ARGUMENT, reason)


def wrong_state() -> Any:  # noqa: ANN401
    """The call in this block meets a job in another state, or under another lease."""
    return refused(grpc.StatusCode.FAILED_PRECONDITION, "invalid_state")


def not_found() -> Any:  # noqa: ANN401
    """The call in this block names something that is not there."""
    return refused(grpc.StatusCode.NOT_FOUND, "not_found")


def unsupported() -> Any:  # noqa: ANN401
    """The call in this block asks for what this server does not do."""
    return refused(grpc.StatusCode.UNIMPLEMENTED, "unsupported")


def too_large() -> Any:  # noqa: ANN401
    """The call in this block is over a limit."""
    return refused(grpc.StatusCode.RESOURCE_EXHAUSTED, "payload_too_large")


@asynccontextmanager
async def run_service(
    clock: FakeClock,
    url: str = "memory:",
    http: str = OFF,
    **settings: Any,  # noqa: ANN401
) -> AsyncIterator[Service]:
    """Runs a server on a free port, its store going by this clock."""
    async with AsyncExitStack() as stack:
        with mock.patch("ojs_grpc.server.open_store", partial(open_store, clock=clock)):
            server = Server(Config(store=url, grpc="127.0.0.1:0", http=http, **settings))
        await stack.enter_async_context(server)
        channel = await stack.enter_async_context(open_channel(server.port))
        yield Service(server, channel, clock)


def open_channel(port: int, *options: tuple[str, int]) -> grpc.aio.Channel:
    """A channel with no options that a stock client would not have, but for what it sends."""
    return grpc.aio.insecure_channel(f"127.0.0.1:{port}", options=(*CHANNEL_OPTIONS, *options))


@asynccontextmanager
async def slow_reader(service: "Service") -> AsyncIterator["Service"]:
    """Another client, whose transport takes 64 KiB a call ahead of what it reads, and no more."""
    async with open_channel(
        service.server.port, ("grpc.http2.bdp_probe", 0), ("grpc.http2.lookahead_bytes", 65536)
    ) as channel:
        yield Service(service.server, channel, service.clock)


@asynccontextmanager
async def patience() -> AsyncIterator[None]:
    """Fails the test if the block takes for ever."""
    async with asyncio.timeout(PATIENCE_S):
        yield


async def eventually(condition: Any) -> None:  # noqa: ANN401 - a function or a coroutine function
    """Returns when the condition holds; for what the server does in the background."""
    async with patience():
        while True:
            holds = condition()
            if inspect.isawaitable(holds):
                holds = await holds
            if holds:
                return
            await asyncio.sleep(0.002)


def hold(service: Service, operation: str) -> tuple[asyncio.Event, asyncio.Event]:
    """Holds calls of an operation of the store until told: says when there is one, and is told to go on."""
    perform, begun, go_on = getattr(service.store, operation), asyncio.Event(), asyncio.Event()

    async def held(*arguments: object) -> object:
        begun.set()
        await go_on.wait()
        return await perform(*arguments)

    setattr(service.store, operation, held)
    return begun, go_on


def hold_claims(service: Service) -> tuple[asyncio.Event, asyncio.Event]:
    """Holds the answers of claims that gave something, until told: says when there is one, and is told to go on."""
    claim, claimed, go_on = service.store.claim, asyncio.Event(), asyncio.Event()

    async def held(*arguments: object) -> object:
        answers = await claim(*arguments)
        if any(answer.deliveries for answer in answers):
            claimed.set()
            await go_on.wait()
        return answers

    service.store.claim = held
    return claimed, go_on


def value(plain: Any) -> Value:  # noqa: ANN401
    """A JSON value as protobuf says it."""
    if isinstance(plain, Value):
        return plain
    holder = Struct()
    holder["x"] = plain
    return holder.fields["x"]


def struct(**members: Any) -> Struct:  # noqa: ANN401
    """A JSON object as protobuf says it."""
    return objects(members)


def objects(members: Mapping[str, Any]) -> Struct:
    """The same, for names that are no identifiers; values may be protobuf's."""
    return Struct(fields={name: value(member) for name, member in members.items()})


def seconds(number: float) -> Duration:
    """A duration."""
    return to_duration(round(number * 1000))


def nested(depth: int, kind: str = "list") -> Value:
    """So many lists or objects within each other."""
    inner = Value(number_value=1)
    for _ in range(depth):
        outer = Value()
        if kind == "list":
            outer.list_value.values.append(inner)
        else:
            outer.struct_value.fields["a"].CopyFrom(inner)
        inner = outer
    return inner


def ids(jobs: Sequence[Job]) -> list[str]:
    """Which jobs, in order."""
    return [job.id for job in jobs]


async def refused_or_done(call: Any) -> str:  # noqa: ANN401 - a call's awaitable
    """`done`, or the reason why not."""
    try:
        await call
    except grpc.aio.AioRpcError as error:
        return status_of(error.code(), error.trailing_metadata()).info.reason
    return "done"
