"""What a stopping server does, in which order (behaviour section 19, design section 5)."""

import asyncio
import time

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from ojs_grpc_pb.v1 import job_pb2, worker_pb2

from ojs_grpc.errors import StoreUnavailable
from ojs_grpc.stores.ports import Completion
from tests.clock import FakeClock
from tests.grpc.service import (
    Service,
    eventually,
    hold,
    hold_claims,
    patience,
    refused,
    run_service,
    seconds,
    slow_reader,
)

SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING


async def test_health_says_so_before_anything_else_ends(service: Service) -> None:
    """A watcher hears NOT_SERVING while the streams are still open."""
    heard = asyncio.Event()
    order: list[str] = []
    end_streams = service.server.engine.end_streams

    def note_end() -> None:
        order.append("streams end")
        end_streams()

    async def watch() -> None:
        call = health_pb2_grpc.HealthStub(service.channel).Watch(health_pb2.HealthCheckRequest())
        assert (await call.read()).status == SERVING
        heard.set()
        assert (await call.read()).status == NOT_SERVING
        with pytest.raises(grpc.aio.AioRpcError) as error:
            await call.read()
        assert error.value.code() is grpc.StatusCode.UNAVAILABLE

    service.server.engine.end_streams = note_end  # type: ignore[method-assign]
    shut = service.server._grpc._health.stop

    async def note_health() -> None:
        await shut()
        order.append("not serving")

    service.server._grpc._health.stop = note_health  # type: ignore[method-assign]
    watching = asyncio.create_task(watch())
    await heard.wait()

    await service.server.stop(5)

    async with patience():
        await watching
    assert order == ["not serving", "streams end"]


async def test_open_streams_and_watches_do_not_hold_the_server(service: Service) -> None:
    """With a long grace and nothing but streams open, a stop takes no time."""
    stream = service.stream(5)
    await stream.opened()
    watch = health_pb2_grpc.HealthStub(service.channel).Watch(health_pb2.HealthCheckRequest())
    await watch.read()
    start = time.monotonic()

    await service.server.stop(30)

    assert time.monotonic() - start < 5
    status = await stream.ended()
    assert (status.code, status.info.reason) == (grpc.StatusCode.UNAVAILABLE, "backend_unavailable")
    assert status.retry is not None


async def test_a_waiting_poll_ends_at_once(service: Service) -> None:
    """UNAVAILABLE: another server may have what it waits for."""
    poll = asyncio.create_task(service.fetch(1, wait=seconds(30)))
    await service.until_a_poll_waits()

    stopping = asyncio.create_task(service.server.stop(30))

    with refused(grpc.StatusCode.UNAVAILABLE, "backend_unavailable"):
        async with patience():
            await poll
    await stopping


async def test_a_unary_call_under_way_finishes(service: Service) -> None:
    """An enqueue that the store is still working on is answered."""
    started, go_on = hold(service, "insert")
    call = asyncio.create_task(service.enqueue())
    await started.wait()
    stopping = asyncio.create_task(service.server.stop(30))
    await eventually(lambda: service.server._grpc._servicer.draining)
    assert not stopping.done()

    go_on.set()

    assert (await call).state == job_pb2.JOB_STATE_AVAILABLE
    await stopping


async def test_the_grace_is_an_end(service: Service) -> None:
    """A call that does not finish is cut off when the grace is over."""
    started, _ = hold(service, "insert")
    call = asyncio.create_task(service.enqueue())
    await started.wait()

    async with patience():
        await service.server.stop(0.05)

    with pytest.raises(grpc.aio.AioRpcError) as error:
        await call
    assert error.value.code() in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED)


async def test_what_was_delivered_stays_leased(clock: FakeClock, url: str, scheme: str) -> None:
    """Whoever has a job may finish it through another server; only what was not written goes back."""
    if scheme == "memory":
        pytest.skip("nothing outlives a server on memory:")
    async with run_service(clock, url) as service:
        await service.enqueue()
        job = await service.stream(5).next()
        await service.server.stop(5)

    async with run_service(clock, url) as service:
        assert (await service.get(job.id)).state == job_pb2.JOB_STATE_ACTIVE
        await service.ack(job)


@pytest.mark.parametrize("kind", ["stream", "poll"])
async def test_what_a_claim_gives_during_the_stop_goes_back(
    clock: FakeClock, url: str, scheme: str, kind: str
) -> None:
    """A claim is on its way when the server stops: its jobs are available again, at no cost."""
    if scheme == "memory":
        pytest.skip("nothing outlives a server on memory:")
    async with run_service(clock, url) as service:
        claimed, go_on = hold_claims(service)
        if kind == "stream":
            await service.stream(5).opened()
        else:
            request = worker_pb2.FetchRequest(queues=["default"], worker_id="worker-1", count=5, wait=seconds(30))
            poll = service.stub.Fetch(request)
            await service.until_a_poll_waits()
        jobs = await service.enqueue_many(3)
        async with patience():
            await claimed.wait()
        stopping = asyncio.create_task(service.server.stop(0))
        await eventually(lambda: service.server.engine._dispatcher._stopping)
        await asyncio.sleep(0.02)

        go_on.set()

        async with patience():
            await stopping
        if kind == "poll":
            with pytest.raises(grpc.aio.AioRpcError):
                await poll

    async with run_service(clock, url) as service:
        now = [await service.get(job.id) for job in jobs]
        assert {(job.state, job.attempt) for job in now} == {(job_pb2.JOB_STATE_AVAILABLE, 0)}


async def test_what_is_not_yet_written_goes_back(clock: FakeClock, url: str, scheme: str) -> None:
    """Jobs in line for a client that does not read are available when the server is gone."""
    if scheme == "memory":
        pytest.skip("nothing outlives a server on memory:")
    async with run_service(clock, url) as service:
        jobs = [await service.enqueue("test.job", "x" * 300_000) for _ in range(8)]
        async with slow_reader(service) as slow:
            await slow.stream(10).opened()

            async def all_leased() -> bool:
                return await service.counts() == {"default": 0}

            await eventually(all_leased)
            await service.server.stop(0.1)

    async with run_service(clock, url) as service:
        now = [await service.get(job.id) for job in jobs]
        assert {(job.state, job.attempt) for job in now} == {(job_pb2.JOB_STATE_AVAILABLE, 0)}


async def test_a_stop_after_a_stop_is_none(service: Service) -> None:
    """Nothing happens, nothing fails."""
    await service.server.stop(0)

    await service.server.stop(0)


async def test_a_stop_during_an_outage_ends_soon(service: Service) -> None:
    """A store that fails does not hold the server."""
    stream = service.stream(5)
    await stream.opened()
    failed = asyncio.Event()

    async def fail(*_: object) -> object:
        failed.set()
        raise StoreUnavailable("gone")

    service.store.claim = service.store.unanswered = service.store.apply = fail
    service.server.engine.ready(["default"])
    await failed.wait()
    start = time.monotonic()

    await service.server.stop(30)

    assert time.monotonic() - start < 3


async def test_a_late_completion_elsewhere_is_no_problem(everywhere: Service) -> None:
    """A job that another process finished while its stream here ends is left alone."""
    await everywhere.enqueue()
    stream = everywhere.stream(1)
    job = await stream.next()
    await everywhere.store.complete([Completion(job.id, job.lease, "", b"")], everywhere.clock.now())

    async with patience():
        await everywhere.server.stop(5)

    assert (await stream.ended()).code is grpc.StatusCode.UNAVAILABLE
