"""What the gRPC binding notes of its calls."""

import asyncio
from collections.abc import AsyncIterator

import grpc
import pytest
from ojs_grpc_pb.v1 import job_pb2

from ojs_grpc.telemetry.recorder import Recorder
from tests.clock import FakeClock
from tests.grpc.service import UNKNOWN_ID, Service, eventually, run_service, seconds


@pytest.fixture
async def service(clock: FakeClock) -> AsyncIterator[Service]:
    """A server that admits one unary call."""
    async with run_service(clock, max_calls=1) as service:
        yield service


def counts(service: Service) -> dict[tuple[str, str], int]:
    """How many calls ended, by method and code."""
    recorder: Recorder = service.server.engine.recorder
    assert all(binding == "grpc" for binding, _, _ in recorder.calls)
    return {(method, code): sum(durations.buckets) for (_, method, code), durations in recorder.calls.items()}


async def test_each_call_has_its_code(service: Service) -> None:
    """Answered, refused, and failed by a bug."""
    await service.enqueue()
    for request in (job_pb2.GetJobRequest(job_id=UNKNOWN_ID), job_pb2.GetJobRequest()):
        with pytest.raises(grpc.aio.AioRpcError):
            await service.stub.GetJob(request)
    service.store.ping = None
    with pytest.raises(grpc.aio.AioRpcError):
        await service.raw("Health", b"")

    await eventually(
        lambda: counts(service) == {("Enqueue", "OK"): 1, ("GetJob", "NOT_FOUND"): 2, ("Health", "INTERNAL"): 1}
    )


async def test_a_call_too_many_and_one_cut_short(service: Service) -> None:
    """What was not admitted counts too, and so does what the caller gave up."""
    fetching = asyncio.create_task(service.fetch(wait=seconds(30)))
    await service.until_a_poll_waits()
    with pytest.raises(grpc.aio.AioRpcError):
        await service.enqueue()
    fetching.cancel()

    await eventually(lambda: counts(service) == {("Enqueue", "RESOURCE_EXHAUSTED"): 1, ("Fetch", "CANCELLED"): 1})


async def test_streams_count_when_they_end(service: Service) -> None:
    """With the time that they were open, and meanwhile as open streams with what they hold."""
    engine = service.server.engine
    job = await service.enqueue()
    stream = service.stream(2)
    assert (await stream.next()).id == job.id
    present = await engine.figures.present()
    assert (present.job_streams, present.event_streams, present.leases) == (1, 0, 1)
    assert counts(service) == {("Enqueue", "OK"): 1}

    stream.call.cancel()
    await eventually(lambda: counts(service) == {("Enqueue", "OK"): 1, ("StreamJobs", "CANCELLED"): 1})

    present = await engine.figures.present()
    assert (present.job_streams, present.leases) == (0, 0)
