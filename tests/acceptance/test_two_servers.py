"""Two server processes on one store act as one: each thing happens once, and each sees what the other does."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import AsyncExitStack, ExitStack

import grpc
import pytest
from google.protobuf.json_format import MessageToDict
from google.protobuf.struct_pb2 import Value
from ojs_grpc_pb.v1 import events_pb2, job_pb2, queue_pb2, service_pb2, worker_pb2
from ojs_grpc_pb.v1.service_pb2_grpc import OJSServiceStub

from tests.cli.running import Serving
from tests.redis_server import PrivateRedis

pytestmark = pytest.mark.slow

_PATIENCE_S = 20


@pytest.fixture(scope="module", params=["sqlite", "redis"])
def shared(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A store that several processes may use."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path_factory.mktemp('shared') / 'jobs.db'}"
    server: PrivateRedis = request.getfixturevalue("redis_server")
    server.command("FLUSHALL")
    return server.url


@pytest.fixture(scope="module")
def servers(shared: str) -> Iterator[list[str]]:
    """The addresses of two servers. Each test has a queue of its own there."""
    with ExitStack() as stack:
        yield [stack.enter_context(Serving("--store", shared)).address for _ in range(2)]


@pytest.fixture
async def stubs(servers: list[str]) -> AsyncIterator[list[OJSServiceStub]]:
    """A stub for each."""
    async with AsyncExitStack() as stack:
        channels = [await stack.enter_async_context(grpc.aio.insecure_channel(address)) for address in servers]
        yield [OJSServiceStub(channel) for channel in channels]


async def test_one_of_a_hundred_equal_jobs_wins(stubs: Sequence[OJSServiceStub]) -> None:
    """A hundred concurrent enqueues of one key: one is stored, the others are told which."""
    request = job_pb2.EnqueueRequest(type="report.daily", args=[Value(number_value=42)])
    request.options.queue = "reports"
    request.options.unique.key.extend(["type", "args"])

    async def enqueue(number: int) -> str:
        try:
            await stubs[number % 2].Enqueue(request)
        except grpc.aio.AioRpcError as error:
            return error.code().name
        return "OK"

    outcomes = Counter(await asyncio.gather(*[enqueue(number) for number in range(100)]))

    assert outcomes == {"OK": 1, "ALREADY_EXISTS": 99}
    assert await _available(stubs[0], "reports") == 1


async def test_each_tick_fires_once(stubs: Sequence[OJSServiceStub]) -> None:
    """Both run the same entry; every second has one job."""
    entry = service_pb2.RegisterCronRequest(name="beat", cron="* * * * * *", type="beat.tick", overlap_policy="allow")
    entry.options.queue = "ticks"
    await stubs[0].RegisterCron(entry)
    jobs = []
    async with asyncio.timeout(_PATIENCE_S):
        while len(jobs) < 4:
            request = worker_pb2.FetchRequest(queues=["ticks"], count=10, worker_id="w")
            jobs += (await stubs[1].Fetch(request)).jobs
    await stubs[1].UnregisterCron(service_pb2.UnregisterCronRequest(name="beat"))

    ticks = [job.meta["cron_triggered_at"] for job in jobs]
    assert len(set(ticks)) == len(ticks)
    assert not (await stubs[0].ListCron(service_pb2.ListCronRequest())).entries


async def test_a_pause_holds_on_both(stubs: Sequence[OJSServiceStub]) -> None:
    """A stream on one server gets nothing while the other has paused its queue, and goes on when it resumes."""
    stream = stubs[0].StreamJobs(
        worker_pb2.StreamJobsRequest(queues=["orders"], worker_id="w", max_concurrent=10)
    )
    await stream.initial_metadata()
    await stubs[1].PauseQueue(queue_pb2.PauseQueueRequest(queue="orders"))
    request = job_pb2.EnqueueRequest(type="order.ship", options=job_pb2.EnqueueOptions(queue="orders"))
    held = (await stubs[0].Enqueue(request)).job
    reading = asyncio.ensure_future(stream.read())
    done, _ = await asyncio.wait({reading}, timeout=0.5)

    assert not done
    await stubs[1].ResumeQueue(queue_pb2.ResumeQueueRequest(queue="orders"))
    async with asyncio.timeout(_PATIENCE_S):
        assert (await reading).id == held.id
    stream.cancel()


async def test_each_hears_the_events_of_the_other(stubs: Sequence[OJSServiceStub]) -> None:
    """A job's life through one server, read as events from the other, in order; and again from after the first."""
    stream = stubs[1].StreamEvents(events_pb2.StreamEventsRequest(queues=["mails"]))
    await stream.initial_metadata()
    options = job_pb2.EnqueueOptions(queue="mails")
    await stubs[0].Enqueue(job_pb2.EnqueueRequest(type="mail.send", options=options))
    (job,) = (await stubs[0].Fetch(worker_pb2.FetchRequest(queues=["mails"], worker_id="w"))).jobs
    await stubs[0].Ack(worker_pb2.AckRequest(job_id=job.id, lease=job.lease))
    async with asyncio.timeout(_PATIENCE_S):
        events = [await stream.read() for _ in range(3)]
    stream.cancel()

    assert [event.type for event in events] == ["job.enqueued", "job.started", "job.completed"]
    assert {event.job_id for event in events} == {job.id}
    assert MessageToDict(events[1].data)["worker_id"] == "w"
    again = stubs[0].StreamEvents(
        events_pb2.StreamEventsRequest(job_id=job.id), metadata=(("x-ojs-after", events[0].id),)
    )
    async with asyncio.timeout(_PATIENCE_S):
        assert [(await again.read()).id for _ in range(2)] == [event.id for event in events[1:]]
    again.cancel()


async def _available(stub: OJSServiceStub, queue: str) -> int:
    response = await stub.QueueStats(queue_pb2.QueueStatsRequest(queue=queue))
    return response.stats.available
