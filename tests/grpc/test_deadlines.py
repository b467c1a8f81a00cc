"""The client's deadline, and the server's own patience."""

import asyncio
import time

import grpc
import pytest
from google.protobuf.duration_pb2 import Duration
from ojs_grpc_pb.v1 import job_pb2, worker_pb2

from tests.grpc.service import Service, eventually, hold, seconds


async def test_a_long_poll_answers_before_the_deadline(service: Service) -> None:
    """OK and empty, in time for the client to hear it, however long it was told to wait."""
    for wait in (None, seconds(3600), Duration(seconds=315_576_000_000)):
        start = time.monotonic()

        reply = await service.stub.Fetch(
            worker_pb2.FetchRequest(queues=["default"], worker_id="worker-1", wait=wait), timeout=0.4
        )

        assert not reply.jobs
        assert time.monotonic() - start >= 0.2


async def test_a_deadline_that_is_far_away_changes_nothing(service: Service) -> None:
    """The server's own time to wait holds."""
    service.server._grpc._servicer.long_poll_seconds = 0.02

    reply = await service.stub.Fetch(
        worker_pb2.FetchRequest(queues=["default"], worker_id="worker-1"), timeout=1_000_000
    )

    assert not reply.jobs


async def test_a_call_past_its_deadline_is_given_up(service: Service) -> None:
    """The client hears DEADLINE_EXCEEDED; the server stops working on it and frees its place."""
    started = asyncio.Event()
    ended = asyncio.Event()

    async def hang(*_: object) -> object:
        started.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()
        raise AssertionError

    service.server.engine.jobs.get = hang  # type: ignore[method-assign]

    with pytest.raises(grpc.aio.AioRpcError) as error:
        await service.stub.GetJob(job_pb2.GetJobRequest(job_id="x"), timeout=0.05)

    assert error.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    assert started.is_set()
    await eventually(ended.is_set)


async def test_a_fetch_past_its_deadline_leases_nothing(service: Service) -> None:
    """A claim that comes too late is undone."""
    _, go_on = hold(service, "claim")
    job = await service.enqueue()
    with pytest.raises(grpc.aio.AioRpcError) as error:
        await service.stub.Fetch(worker_pb2.FetchRequest(queues=["default"], worker_id="worker-1"), timeout=0.05)
    assert error.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    await eventually(lambda: not service.server.engine._dispatcher._waiting)

    go_on.set()

    again = await service.fetch_one(worker_id="worker-2", wait=seconds(5))
    assert (again.id, again.attempt) == (job.id, 1)


async def test_a_wait_of_zero_answers_at_once(service: Service) -> None:
    """With what is there."""
    await service.enqueue()

    assert len(await service.fetch(5)) == 1
    assert await service.fetch(5) == []
