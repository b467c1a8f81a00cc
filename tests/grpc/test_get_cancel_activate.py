"""GetJob, CancelJob, ActivateJob."""

import asyncio

import pytest
from ojs_grpc_pb.v1 import job_pb2

from ojs_grpc.core.duration import timestamp_ms, to_timestamp
from tests.clock import START
from tests.grpc.service import SECOND, STRANGE_IDS, Service, not_found, refused_or_done, seconds, wrong_state
from tests.grpc.test_nack import STATES, job_in


async def cancel(service: Service, job_id: str) -> job_pb2.Job:
    """Cancels a job."""
    return (await service.stub.CancelJob(job_pb2.CancelJobRequest(job_id=job_id, reason="tested"))).job


async def activate(service: Service, job_id: str) -> job_pb2.Job:
    """Activates a job."""
    return (await service.stub.ActivateJob(job_pb2.ActivateJobRequest(job_id=job_id))).job


async def test_an_unknown_job(everywhere: Service) -> None:
    """Not found, for each of the three, and whatever stands in the place of an id."""
    for job_id in STRANGE_IDS:
        for call in (everywhere.get(job_id), cancel(everywhere, job_id), activate(everywhere, job_id)):
            with not_found() as caught:
                await call
            assert caught.info.metadata["resource_type"] == "job"


async def test_due_jobs_show_as_available_without_a_fetch(service: Service) -> None:
    """What time changes is seen in GetJob."""
    job = await service.enqueue(delay_until=to_timestamp(START + SECOND))

    await service.advance(SECOND)

    assert (await service.get(job.id)).state == job_pb2.JOB_STATE_AVAILABLE


@pytest.mark.parametrize("state", ["scheduled", "pending", "available", "active", "retryable"])
async def test_what_is_not_finished_can_be_cancelled(everywhere: Service, state: str) -> None:
    """Cancelled with its time, without `completed_at`, and never delivered again."""
    job = await job_in(everywhere, state)
    everywhere.clock.advance(5)

    cancelled = await cancel(everywhere, job.id)

    assert cancelled.state == job_pb2.JOB_STATE_CANCELLED
    assert timestamp_ms(cancelled.cancelled_at) == START + 5
    assert not cancelled.HasField("completed_at")
    assert not cancelled.HasField("next_attempt_at")
    assert not cancelled.HasField("lease_expires_at")
    assert cancelled.errors == job.errors
    assert await everywhere.get(job.id) == cancelled
    await everywhere.advance(3600 * SECOND)
    assert await everywhere.fetch() == []
    assert await everywhere.get(job.id) == cancelled


@pytest.mark.parametrize("state", ["completed", "cancelled", "discarded"])
async def test_what_is_finished_cannot_be_cancelled(everywhere: Service, state: str) -> None:
    """Nor cancelled twice."""
    job = await job_in(everywhere, state)

    with wrong_state() as caught:
        await cancel(everywhere, job.id)

    assert caught.info.metadata["current_state"] == state
    assert caught.info.metadata["expected_state"] == "scheduled or pending or available or active or retryable"
    assert await everywhere.get(job.id) == job


async def test_cancels_at_once(everywhere: Service) -> None:
    """One succeeds, the others meet a cancelled job."""
    job = await everywhere.enqueue()

    outcomes = await asyncio.gather(*(refused_or_done(cancel(everywhere, job.id)) for _ in range(5)))

    assert sorted(outcomes) == ["done", *["invalid_state"] * 4]


async def test_cancel_and_ack_at_once(everywhere: Service) -> None:
    """One of them wins, and the job shows it."""
    await everywhere.enqueue()
    job = await everywhere.fetch_one()

    outcomes = await asyncio.gather(refused_or_done(cancel(everywhere, job.id)), refused_or_done(everywhere.ack(job)))

    assert sorted(outcomes) == ["done", "invalid_state"]
    state = job_pb2.JOB_STATE_CANCELLED if outcomes[0] == "done" else job_pb2.JOB_STATE_COMPLETED
    assert (await everywhere.get(job.id)).state == state


async def test_a_pending_job_waits_for_its_activation(everywhere: Service) -> None:
    """However long; then it is available, from then on."""
    job = await everywhere.enqueue(pending=True)
    assert job.state == job_pb2.JOB_STATE_PENDING
    await everywhere.advance(3600 * SECOND)
    assert await everywhere.fetch() == []
    assert not (await everywhere.get(job.id)).HasField("enqueued_at")

    active = await activate(everywhere, job.id)

    assert active.state == job_pb2.JOB_STATE_AVAILABLE
    assert timestamp_ms(active.enqueued_at) == START + 3600 * SECOND
    assert (await everywhere.fetch_one()).id == job.id


async def test_an_activated_job_reaches_a_waiting_stream(everywhere: Service) -> None:
    """At once."""
    stream = everywhere.stream(1)
    await stream.opened()
    job = await everywhere.enqueue(pending=True)

    await activate(everywhere, job.id)

    assert (await stream.next()).id == job.id


@pytest.mark.parametrize("state", [state for state in STATES if state != "pending"])
async def test_only_a_pending_job_can_be_activated(service: Service, state: str) -> None:
    """In every other state it is refused, and nothing changes."""
    job = await job_in(service, state)

    with wrong_state() as caught:
        await activate(service, job.id)

    assert caught.info.metadata["current_state"] == state
    assert caught.info.metadata["expected_state"] == "pending"
    assert await service.get(job.id) == job


async def test_a_pending_job_expires(service: Service) -> None:
    """Its time to live counts from the enqueue."""
    job = await service.enqueue(pending=True, ttl=seconds(5))

    await service.advance(5 * SECOND)

    assert (await service.get(job.id)).state == job_pb2.JOB_STATE_DISCARDED
