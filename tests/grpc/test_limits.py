"""How much the server takes at once, and what it says to more."""

import asyncio

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from ojs_grpc_pb.v1 import job_pb2, worker_pb2

from tests.clock import FakeClock
from tests.grpc.service import Service, refused, refused_or_done, run_service, seconds, too_large
from tests.grpc.test_fetch import eventually


async def test_calls_beyond_the_limit_are_refused(clock: FakeClock) -> None:
    """RESOURCE_EXHAUSTED with the time after which to try again; when a call ends, there is room."""
    async with run_service(clock, max_calls=2) as service:
        polls = [asyncio.create_task(service.fetch(1, wait=seconds(30))) for _ in range(2)]
        await eventually(lambda: len(service.server.engine._dispatcher._waiting.get("default", ())) == 2)

        with refused(grpc.StatusCode.RESOURCE_EXHAUSTED, "rate_limited") as caught:
            await service.enqueue()

        assert caught.info.metadata["retryable"] == "true"
        assert caught.status.retry is not None
        assert caught.status.retry.retry_delay.ToMilliseconds() == 1000
        assert ("retry-after", "1") in caught.status.metadata
        polls[0].cancel()
        await eventually(lambda: len(service.server.engine._dispatcher._waiting["default"]) == 1)
        await service.enqueue()
        assert len(await polls[1]) == 1


async def test_streams_take_no_place(clock: FakeClock) -> None:
    """However many are open, calls are admitted; health checks always are."""
    async with run_service(clock, max_calls=1) as service:
        streams = [service.stream(1, worker_id=f"worker-{number}") for number in range(5)]
        for stream in streams:
            await stream.opened()

        await service.enqueue()

        poll = asyncio.create_task(service.fetch(1, "other", wait=seconds(30)))
        await eventually(lambda: "other" in service.server.engine._dispatcher._waiting)
        check = await health_pb2_grpc.HealthStub(service.channel).Check(health_pb2.HealthCheckRequest())
        assert check.status == health_pb2.HealthCheckResponse.SERVING
        poll.cancel()


async def test_refused_and_failed_calls_leave_their_place(clock: FakeClock) -> None:
    """Ten thousand bad calls later there is as much room as before."""
    async with run_service(clock, max_calls=1) as service:
        for _ in range(20):
            assert await refused_or_done(service.get("unknown")) == "not_found"
            assert await refused_or_done(service.raw("Enqueue", b"\xff")) == "invalid_payload"
        await asyncio.gather(*(refused_or_done(service.enqueue()) for _ in range(50)))

        await service.enqueue()
        assert service.server._grpc._server is not None


async def test_a_request_above_the_limit(service: Service) -> None:
    """64 MiB is the limit; a little more gets our answer, and the server goes on."""
    data = b"\x0a\x01a" + b"\xfa\xff\x7f" + (b"\x80\x80\x80\x20") + bytes(1 << 26)

    with too_large() as caught:
        await service.raw("Enqueue", data)

    assert caught.fields == ["request"]
    await service.enqueue()


async def test_a_request_far_above_the_limit(service: Service) -> None:
    """GRPC itself refuses it, unread."""
    with pytest.raises(grpc.aio.AioRpcError) as error:
        await service.raw("Enqueue", bytes((1 << 26) + (1 << 21)))

    assert error.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    await service.enqueue()


async def test_a_request_that_a_stock_server_would_refuse(service: Service) -> None:
    """Above 4 MiB, gRPC's default, a batch is taken."""
    request = job_pb2.EnqueueBatchRequest()
    for _ in range(10):
        request.jobs.add(type="a").args.add(string_value="x" * 1_000_000)

    reply = await service.stub.EnqueueBatch(request)

    assert reply.count == 10


async def test_a_thousand_polls(service: Service) -> None:
    """As many as calls are admitted, waiting and answered."""
    polls = [asyncio.create_task(service.fetch(1, wait=seconds(30), worker_id=f"w-{number}")) for number in range(500)]
    await eventually(lambda: len(service.server.engine._dispatcher._waiting.get("default", ())) == 500)

    await service.enqueue_many(500)

    jobs = [job for reply in await asyncio.gather(*polls) for job in reply]
    assert len({job.id for job in jobs}) == 500


async def test_heartbeats_with_many_jobs(service: Service) -> None:
    """Of a worker that believes to hold thousands."""
    reply = await service.stub.Heartbeat(
        worker_pb2.HeartbeatRequest(worker_id="worker-1", active_jobs=[f"job-{number}" for number in range(5000)])
    )

    assert len(reply.revoked_jobs) == 5000
