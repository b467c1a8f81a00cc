"""Fetch: leases jobs, in order, never more than asked, and waits for the first one."""

import asyncio
import time
from typing import Any

import pytest
from ojs_grpc_pb.v1 import job_pb2, worker_pb2

from ojs_grpc.core.duration import timestamp_ms, to_timestamp
from ojs_grpc.core.limits import Limits
from tests.clock import START
from tests.grpc.service import SECOND, Service, eventually, hold_claims, ids, invalid, patience, seconds, struct


async def test_a_fetched_job_is_active_and_leased(everywhere: Service) -> None:
    """The reply shows attempt, holder, lease and its end, and all that the producer said."""
    await everywhere.enqueue(
        "mail.send", 42, {"to": "x"}, meta=struct(tenant="a"), tags=["t"], priority=7, visibility_timeout=seconds(60)
    )
    everywhere.clock.advance(250)

    job = await everywhere.fetch_one()

    assert (job.state, job.attempt, job.worker_id, job.max_attempts) == (job_pb2.JOB_STATE_ACTIVE, 1, "worker-1", 3)
    assert job.lease > 0
    assert timestamp_ms(job.started_at) == START + 250
    assert timestamp_ms(job.enqueued_at) == timestamp_ms(job.created_at) == START
    assert timestamp_ms(job.lease_expires_at) == START + 250 + 60 * SECOND
    assert (job.type, job.priority, list(job.tags), job.meta) == ("mail.send", 7, ["t"], struct(tenant="a"))
    assert [arg.WhichOneof("kind") for arg in job.args] == ["number_value", "struct_value"]
    assert await everywhere.get(job.id) == job


async def test_order_is_priority_then_arrival(everywhere: Service) -> None:
    """Higher priorities come first; equal ones in the order in which they became available."""
    low, first, second, high = [await everywhere.enqueue(priority=priority) for priority in (-5, 0, 0, 9)]

    assert ids(await everywhere.fetch(10)) == ids([high, first, second, low])


async def test_queues_are_asked_in_the_callers_order(everywhere: Service) -> None:
    """All of the first queue, whatever the priorities, before the second."""
    urgent = await everywhere.enqueue(queue="b", priority=100)
    plain = await everywhere.enqueue(queue="a")

    assert ids(await everywhere.fetch(10, "a", "b")) == ids([plain, urgent])


async def test_no_more_than_count(service: Service) -> None:
    """At most `count` jobs; zero means one."""
    await service.enqueue_many(5)

    assert len(await service.fetch(0)) == 1
    assert len(await service.fetch(3)) == 3
    assert len(await service.fetch(3)) == 1
    assert await service.fetch(3) == []


async def test_two_workers_never_get_the_same_job(everywhere: Service) -> None:
    """Fetches at the same time share the jobs out."""
    jobs = await everywhere.enqueue_many(40)

    replies = await asyncio.gather(*(everywhere.fetch(5, worker_id=f"worker-{number}") for number in range(8)))

    assert sorted(ids([job for reply in replies for job in reply])) == sorted(ids(jobs))


async def test_waits_for_the_first_job(everywhere: Service) -> None:
    """A fetch of an empty queue answers as soon as there is a job."""
    poll = asyncio.create_task(everywhere.fetch(5, wait=seconds(30)))
    await everywhere.until_a_poll_waits()

    job = await everywhere.enqueue()

    async with patience():
        assert ids(await poll) == [job.id]


async def test_waits_for_a_scheduled_job(service: Service) -> None:
    """What becomes due while a fetch waits is given to it."""
    await service.enqueue(delay_until=to_timestamp(service.clock.now() + 5 * SECOND))
    poll = asyncio.create_task(service.fetch(1, wait=seconds(30)))

    await service.advance(5 * SECOND)

    async with patience():
        assert len(await poll) == 1


async def test_an_empty_answer_is_an_empty_list(service: Service) -> None:
    """Nothing there within the time to wait: OK, and no jobs."""
    assert await service.fetch(5, wait=seconds(0.01)) == []


async def test_waits_as_long_as_the_server_says(service: Service) -> None:
    """Without `wait` the server's own time holds, which is 2 s."""
    assert service.server._grpc._servicer.long_poll_seconds == 2.0
    service.server._grpc._servicer.long_poll_seconds = 0.02

    reply = await service.stub.Fetch(worker_pb2.FetchRequest(queues=["default"], worker_id="worker-1"))

    assert not reply.jobs


async def test_visibility_of_the_fetch_beats_that_of_the_job(service: Service) -> None:
    """Precedence: fetch, job, server (which says 1800 s)."""
    await service.enqueue(visibility_timeout=seconds(60))
    await service.enqueue(visibility_timeout=seconds(60))
    await service.enqueue()

    by_fetch = await service.fetch_one(visibility_timeout=seconds(5))
    by_job, by_server = await service.fetch(2)

    leases = [timestamp_ms(job.lease_expires_at) - START for job in (by_fetch, by_job, by_server)]
    assert leases == [5 * SECOND, 60 * SECOND, 1800 * SECOND]


async def test_an_ended_lease_makes_the_job_available(everywhere: Service) -> None:
    """At once, without backoff; the attempt counts, and the error says what happened."""
    await everywhere.enqueue(visibility_timeout=seconds(3))
    first = await everywhere.fetch_one()

    await everywhere.advance(3 * SECOND - 1)
    assert (await everywhere.get(first.id)).state == job_pb2.JOB_STATE_ACTIVE
    await everywhere.advance(1)

    waiting = await everywhere.get(first.id)
    assert (waiting.state, waiting.attempt) == (job_pb2.JOB_STATE_AVAILABLE, 1)
    assert [(error.code, error.attempt) for error in waiting.errors] == [("visibility_timeout", 1)]
    second = await everywhere.fetch_one(worker_id="worker-2")
    assert (second.id, second.attempt) == (first.id, 2)
    assert second.lease > first.lease


async def test_a_job_that_kills_its_workers_is_discarded(everywhere: Service) -> None:
    """When the last attempt's lease ends, the job is exhausted, not given out for ever."""
    await everywhere.enqueue(max_attempts=2, visibility_timeout=seconds(3))
    for _ in range(2):
        job = await everywhere.fetch_one()
        await everywhere.advance(3 * SECOND)

    assert await everywhere.fetch() == []
    job = await everywhere.get(job.id)
    assert (job.state, job.attempt, len(job.errors)) == (job_pb2.JOB_STATE_DISCARDED, 2, 2)
    assert job.HasField("completed_at")
    assert job.HasField("discarded_at")


async def test_a_job_that_runs_too_long_fails(everywhere: Service) -> None:
    """The execution timeout is a failed attempt with backoff, however often its worker beats."""
    await everywhere.enqueue(timeout=seconds(2), retry=job_pb2.RetryPolicy(jitter=False))
    job = await everywhere.fetch_one()
    everywhere.clock.advance(1 * SECOND)
    await everywhere.stub.Heartbeat(worker_pb2.HeartbeatRequest(id=job.id, worker_id="worker-1"))

    await everywhere.advance(1 * SECOND)

    job = await everywhere.get(job.id)
    assert job.state == job_pb2.JOB_STATE_RETRYABLE
    assert timestamp_ms(job.next_attempt_at) == START + 3 * SECOND
    (error,) = job.errors
    assert error.code == "timeout"
    assert error.details == struct(timeout_kind="execution", limit_seconds=2, elapsed_seconds=2)


async def test_a_job_past_its_ttl_is_not_given(everywhere: Service) -> None:
    """Not at its time to live, even before the duty has discarded it; a millisecond earlier it is."""
    late = await everywhere.enqueue(ttl=seconds(1))
    everywhere.clock.advance(1 * SECOND)
    assert await everywhere.fetch() == []
    await everywhere.run_duties()

    expired = await everywhere.get(late.id)
    assert expired.state == job_pb2.JOB_STATE_DISCARDED
    assert not expired.HasField("completed_at")
    assert not expired.dead_letter

    timely = await everywhere.enqueue(ttl=seconds(1))
    everywhere.clock.advance(1 * SECOND - 1)
    assert ids(await everywhere.fetch()) == [timely.id]


async def test_a_reply_fits_into_what_stock_clients_take(service: Service) -> None:
    """Only as many jobs as 3.5 MiB hold are leased; the rest stays available."""
    for _ in range(6):
        await service.enqueue("test.job", "x" * 1_000_000)

    jobs = await service.fetch(6)

    assert len(jobs) == 3
    assert sum(job.ByteSize() for job in jobs) <= Limits().reply_bytes
    assert await service.counts() == {"default": 3}


@pytest.mark.parametrize("state", [worker_pb2.WORKER_STATE_QUIET, worker_pb2.WORKER_STATE_TERMINATE])
async def test_a_worker_that_winds_down_gets_nothing(
    everywhere: Service, state: worker_pb2.WorkerState.ValueType
) -> None:
    """Quiet and terminate workers receive nothing, others do; running again, they receive."""
    await everywhere.enqueue()
    await everywhere.stub.Heartbeat(worker_pb2.HeartbeatRequest(worker_id="worker-1", current_state=state))

    assert await everywhere.fetch() == []

    await everywhere.stub.Heartbeat(worker_pb2.HeartbeatRequest(worker_id="worker-1"))
    assert len(await everywhere.fetch()) == 1


@pytest.mark.parametrize(
    ("request_", "field"),
    [
        (worker_pb2.FetchRequest(), "queues"),
        (worker_pb2.FetchRequest(queues=["default", "Bad"]), "queues[1]"),
        (worker_pb2.FetchRequest(queues=[""]), "queues[0]"),
        (worker_pb2.FetchRequest(queues=["x" * 129]), "queues[0]"),
        (worker_pb2.FetchRequest(queues=["a"] * 257), "queues"),
        (worker_pb2.FetchRequest(queues=["a"], count=-1), "count"),
        (worker_pb2.FetchRequest(queues=["a"], worker_id="x" * 256), "worker_id"),
        (worker_pb2.FetchRequest(queues=["a"], wait=seconds(-1)), "wait"),
        (worker_pb2.FetchRequest(queues=["a"], visibility_timeout=seconds(-1)), "visibility_timeout"),
    ],
)
async def test_a_bad_request_is_refused(service: Service, request_: worker_pb2.FetchRequest, field: str) -> None:
    """The violation names the field."""
    with invalid() as caught:
        await service.stub.Fetch(request_)

    assert caught.fields == [field]


async def test_a_worker_needs_no_name(everywhere: Service) -> None:
    """Stock clients may fetch and ack without saying who they are."""
    await everywhere.enqueue()
    (job,) = await everywhere.fetch(worker_id="")

    assert job.worker_id == ""
    await everywhere.stub.Ack(worker_pb2.AckRequest(job_id=job.id))
    assert (await everywhere.get(job.id)).state == job_pb2.JOB_STATE_COMPLETED


async def test_a_client_that_left_while_jobs_were_claimed_costs_no_attempt(everywhere: Service) -> None:
    """The client goes away between claim and reply: the jobs are available again at once."""
    (job,) = await everywhere.enqueue_many(1)
    claimed, go_on = hold_claims(everywhere)
    call = everywhere.stub.Fetch(worker_pb2.FetchRequest(queues=["default"], worker_id="worker-1", wait=seconds(30)))
    async with patience():
        await claimed.wait()

    call.cancel()
    await eventually(lambda: not everywhere.server.engine._dispatcher._waiting)
    go_on.set()

    await eventually(lambda: _is_available(everywhere, job.id))
    again = await everywhere.fetch_one(worker_id="worker-2")
    assert (again.id, again.attempt, len(again.errors)) == (job.id, 1, 0)


async def test_a_client_that_left_before_the_reply_was_written_costs_no_attempt(service: Service) -> None:
    """The same, one step later: the jobs are in the reply, and the reply is not on its way."""
    job = await service.enqueue()
    fetch = service.server.engine.delivery.fetch

    async def fetch_and_lose(*arguments: Any) -> Any:  # noqa: ANN401
        jobs = await fetch(*arguments)
        call.cancel()
        # The server's transport hears of it while the handler goes on without a break.
        time.sleep(0.05)  # noqa: ASYNC251
        return jobs

    service.server.engine.delivery.fetch = fetch_and_lose  # type: ignore[method-assign]
    call = service.stub.Fetch(worker_pb2.FetchRequest(queues=["default"], worker_id="worker-1"))

    with pytest.raises(asyncio.CancelledError):
        await call

    await eventually(lambda: _is_available(service, job.id))
    assert (await service.get(job.id)).attempt == 0


async def test_a_reply_that_arrived_keeps_its_leases(everywhere: Service) -> None:
    """A client that closes its connection after the reply keeps the jobs until the leases end."""
    await everywhere.enqueue()
    job = await everywhere.fetch_one()
    await everywhere.channel.close()

    await asyncio.sleep(0.05)

    (stored,) = await everywhere.store.read([job.id])
    assert job_pb2.Job.FromString(stored).state == job_pb2.JOB_STATE_ACTIVE


async def _is_available(service: Service, job_id: str) -> bool:
    return (await service.get(job_id)).state == job_pb2.JOB_STATE_AVAILABLE

