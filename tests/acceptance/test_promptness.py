"""How soon things happen that nobody calls for. Medians, as a machine may stall for a moment."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from statistics import median
from time import monotonic

import grpc
import pytest
from ojs_grpc_pb.v1 import job_pb2, service_pb2, worker_pb2, workflow_pb2
from ojs_grpc_pb.v1.service_pb2_grpc import OJSServiceStub

from tests.cli.running import Serving
from tests.conftest import STORES
from tests.redis_server import PrivateRedis

pytestmark = pytest.mark.slow

_STEPS = 20
_PATIENCE_S = 30


@pytest.fixture(scope="module", params=STORES)
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    """A server on each kind of store. Each test has a queue of its own there, and leaves nothing that goes on."""
    urls = {"memory": "memory:", "sqlite": f"sqlite:///{tmp_path_factory.mktemp('prompt') / 'jobs.db'}"}
    if request.param == "redis":
        redis: PrivateRedis = request.getfixturevalue("redis_server")
        redis.command("FLUSHALL")
        urls["redis"] = redis.url
    with Serving("--store", urls[request.param]) as serving:
        yield serving


@pytest.fixture
async def stub(server: Serving) -> AsyncIterator[OJSServiceStub]:
    """A stub for it."""
    async with grpc.aio.insecure_channel(server.address) as channel:
        yield OJSServiceStub(channel)


async def test_a_successor_comes_within_50_ms(stub: OJSServiceStub) -> None:
    """From the ack of a step until a worker has the next one."""
    request = workflow_pb2.CreateWorkflowRequest()
    options = job_pb2.EnqueueOptions(queue="steps")
    for number in range(_STEPS):
        parents = [f"{number - 1}"] if number else []
        request.steps.add(id=f"{number}", type="test.step", depends_on=parents, options=options)
    stream = stub.StreamJobs(worker_pb2.StreamJobsRequest(queues=["steps"], worker_id="w", max_concurrent=5))
    await stub.CreateWorkflow(request)
    waits = []
    async with asyncio.timeout(_PATIENCE_S):
        job = await stream.read()
        for _ in range(_STEPS - 1):
            await stub.Ack(worker_pb2.AckRequest(job_id=job.id, lease=job.lease))
            acknowledged = monotonic()
            job = await stream.read()
            waits.append((monotonic() - acknowledged) * 1000)
    stream.cancel()

    assert median(waits) <= 50, waits


async def test_a_tick_fires_within_250_ms(stub: OJSServiceStub) -> None:
    """From the time that the entry says until a worker has the job, by the server's clock."""
    stream = stub.StreamJobs(worker_pb2.StreamJobsRequest(queues=["ticks"], worker_id="w", max_concurrent=50))
    await stream.initial_metadata()
    entry = service_pb2.RegisterCronRequest(name="beat", cron="* * * * * *", type="test.tick", overlap_policy="allow")
    entry.options.queue = "ticks"
    await stub.RegisterCron(entry)
    async with asyncio.timeout(_PATIENCE_S):
        started = [(await stream.read()).started_at.ToMilliseconds() for _ in range(3)]
    stream.cancel()
    await stub.UnregisterCron(service_pb2.UnregisterCronRequest(name="beat"))

    assert median([at % 1000 for at in started]) <= 250, started
