"""Limits on what runs at once and how often something starts, and bounds on what a queue holds."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import grpc
import pytest
from ojs_grpc_pb.v1 import job_pb2
from ojs_grpc_pb.v1.job_pb2 import EnqueueBatchRequest, EnqueueOptions, Job, RateLimit

from ojs_grpc.core.duration import to_timestamp
from tests.clock import START, FakeClock
from tests.grpc.service import SECOND, Service, ids, objects, patience, refused, run_service, seconds


def one_at_once(key: str = "") -> RateLimit:
    """A limit of one active job."""
    return RateLimit(key=key, concurrency=1)


def rate(limit: int, period_s: float = 1) -> RateLimit.Rate:
    """So many in so many seconds."""
    return RateLimit.Rate(limit=limit, period=seconds(period_s))


async def claimed(service: Service, *queues: str) -> int:
    """How many jobs there are to claim now; they are completed at once."""
    jobs = await service.fetch(100, *queues)
    for job in jobs:
        await service.ack(job)
    return len(jobs)


# How many run at once


async def _lose_its_lease(service: Service, _: Job) -> None:
    await service.advance(1800 * SECOND)


async def _cancel(service: Service, job: Job) -> None:
    await service.stub.CancelJob(job_pb2.CancelJobRequest(job_id=job.id))


async def _release(service: Service, job: Job) -> None:
    await service.nack(job, requeue=True)


ENDS: dict[str, Callable[[Service, Job], Awaitable[Any]]] = {
    "ack": Service.ack,
    "nack": Service.nack,
    "release": _release,
    "cancel": _cancel,
    "lost lease": _lose_its_lease,
}


@pytest.mark.parametrize("end", ENDS)
async def test_a_running_job_holds_its_place_until_it_ends(everywhere: Service, end: str) -> None:
    """However it ends: nothing leaks."""
    await everywhere.enqueue_many(3, rate_limit=one_at_once())
    (running,) = await everywhere.fetch(5)
    assert await everywhere.fetch(5) == []

    await ENDS[end](everywhere, running)

    assert len(await everywhere.fetch(5)) == 1
    assert await everywhere.fetch(5) == []


async def test_a_key_is_shared_by_queues(everywhere: Service) -> None:
    """Whatever else the jobs are; a job without the key is not concerned."""
    for queue in ("a", "b", "c"):
        await everywhere.enqueue(queue=queue, rate_limit=one_at_once("api"))
    free = await everywhere.enqueue(queue="c", rate_limit=one_at_once("other"))

    (first,) = await everywhere.fetch(5, "b")

    assert ids(await everywhere.fetch(5, "a", "b", "c")) == [free.id]
    await everywhere.ack(first)
    assert len(await everywhere.fetch(5, "a", "b", "c")) == 1


async def test_without_a_key_each_queue_has_its_own(everywhere: Service) -> None:
    """So two queues run one each."""
    for queue in ("a", "a", "b", "b"):
        await everywhere.enqueue(queue=queue, rate_limit=one_at_once())

    assert [job.queue for job in await everywhere.fetch(5, "a", "b")] == ["a", "b"]


async def test_the_next_job_in_line_passes_a_limited_one(everywhere: Service) -> None:
    """Also one of lower priority; when the limit ends, the passed ones come first again."""
    limited = await everywhere.enqueue_many(3, priority=5, rate_limit=one_at_once("k"))
    free = await everywhere.enqueue_many(2)

    first, *others = await everywhere.fetch(2)
    assert [first.id, *ids(others)] == [limited[0].id, free[0].id]
    await everywhere.ack(first)

    assert ids(await everywhere.fetch(2)) == [limited[1].id, free[1].id]


async def test_a_waiting_worker_hears_of_the_end_of_a_limit(everywhere: Service) -> None:
    """At once, in a stream and in a long poll."""
    await everywhere.enqueue_many(3, rate_limit=one_at_once())
    stream = everywhere.stream(5)
    await everywhere.ack(await stream.next())
    second = await stream.next()
    stream.cancel()
    poll = asyncio.create_task(everywhere.fetch(1, wait=seconds(9)))

    await everywhere.ack(second)

    async with patience():
        (third,) = await poll
    assert third.id != second.id


# How often one starts


async def test_a_rate_slides(everywhere: Service) -> None:
    """No more than so many within any time of that length: no double burst around the end of one."""
    await everywhere.enqueue_many(20, rate_limit=RateLimit(rate=rate(2, 10)))

    assert await claimed(everywhere) == 2
    await everywhere.advance(6 * SECOND)
    assert await claimed(everywhere) == 0
    await everywhere.advance(4 * SECOND)
    assert await claimed(everywhere) == 2
    await everywhere.advance(9 * SECOND + 999)
    assert await claimed(everywhere) == 0
    await everywhere.advance(1)
    assert await claimed(everywhere) == 2


async def test_starts_count_one_by_one(everywhere: Service) -> None:
    """Each gives its place free when it is old enough itself."""
    await everywhere.enqueue_many(9, rate_limit=RateLimit(rate=rate(2, 10)))
    for _ in range(2):
        (job,) = await everywhere.fetch(1)
        await everywhere.ack(job)
        await everywhere.advance(4 * SECOND)
    assert await claimed(everywhere) == 0

    await everywhere.advance(2 * SECOND)
    assert await claimed(everywhere) == 1
    await everywhere.advance(4 * SECOND)
    assert await claimed(everywhere) == 1


async def test_a_throttle_spaces_evenly(everywhere: Service) -> None:
    """Four a second is one every quarter."""
    await everywhere.enqueue_many(9, rate_limit=RateLimit(throttle=rate(4)))

    for _ in range(3):
        assert await claimed(everywhere) == 1
        await everywhere.advance(249)
        assert await claimed(everywhere) == 0
        await everywhere.advance(1)


async def test_a_retry_counts_again(everywhere: Service) -> None:
    """Every claim does."""
    await everywhere.enqueue(rate_limit=RateLimit(rate=rate(1, 60)))
    await everywhere.nack(await everywhere.fetch_one())
    await everywhere.advance(10 * SECOND)
    assert await everywhere.fetch() == []

    await everywhere.advance(50 * SECOND)

    assert (await everywhere.fetch_one()).attempt == 2


async def test_a_waiting_stream_goes_on_when_the_time_has_come(everywhere: Service) -> None:
    """The duty that looks after due jobs looks after limits too."""
    await everywhere.enqueue_many(2, rate_limit=RateLimit(rate=rate(1, 5)))
    stream = everywhere.stream(5)
    await stream.next()
    assert await everywhere.fetch() == []

    await everywhere.advance(5 * SECOND)

    await stream.next()
    stream.cancel()


async def test_a_limit_in_meta(everywhere: Service) -> None:
    """What clients without the field say: the queue's own limit by the second, or anything else the field says."""
    await everywhere.enqueue_many(3, meta=objects({"ojs.rate_limit": {"max_per_second": 1}}))
    assert await claimed(everywhere) == 1
    await everywhere.advance(999)
    assert await claimed(everywhere) == 0
    await everywhere.advance(1)
    assert await claimed(everywhere) == 1

    said = objects({"ojs.rate_limit": {"key": "k", "concurrency": 1, "rate": {"limit": 5, "period": "PT1M"}}})
    jobs = await everywhere.enqueue_many(2, queue="other", meta=said)
    assert jobs[0].meta == said
    assert len(await everywhere.fetch(5, "other")) == 1


# What operators set


async def test_a_queues_own_limit(clock: FakeClock, url: str) -> None:
    """For the jobs that say nothing and those that say more; the strictest wins."""
    async with run_service(clock, url, queues="q:concurrency=2,rate=3/60s; *:concurrency=1") as service:
        await service.enqueue_many(9, queue="q")
        running = await service.fetch(9, "q")
        assert len(running) == 2
        for job in running:
            await service.ack(job)
        assert len(await service.fetch(9, "q")) == 1

        for queue in ("a", "a", "b", "b"):
            await service.enqueue(queue=queue)
        assert [job.queue for job in await service.fetch(9, "a", "b")] == ["a", "b"]


async def test_a_jobs_limit_beside_the_queues(clock: FakeClock, url: str) -> None:
    """Both have to allow it."""
    async with run_service(clock, url, queues="default:concurrency=3") as service:
        await service.enqueue_many(2, rate_limit=one_at_once("k"))
        await service.enqueue_many(5)

        jobs = await service.fetch(9)

        assert [job.HasField("rate_limit") for job in jobs] == [True, False, False]


# Bounded queues


async def test_a_full_queue_refuses(clock: FakeClock, url: str) -> None:
    """RESOURCE_EXHAUSTED with the time after which to try again; nothing is stored, and other queues go on."""
    async with run_service(clock, url, queues="q:max_depth=2") as service:
        await service.enqueue_many(2, queue="q")

        with refused(grpc.StatusCode.RESOURCE_EXHAUSTED, "queue_full") as caught:
            await service.enqueue(queue="q")

        facts = caught.info.metadata
        assert (facts["queue"], facts["depth"], facts["max_depth"], facts["retryable"]) == ("q", "2", "2", "true")
        assert caught.status.retry is not None
        assert caught.status.retry.retry_delay.ToMilliseconds() > 0
        await service.enqueue(queue="other")
        assert await service.counts() == {"q": 2, "other": 1}


async def test_a_batch_fits_or_does_not(clock: FakeClock, url: str) -> None:
    """As a whole, also where only one of its queues is full."""
    async with run_service(clock, url, queues="q:max_depth=3") as service:
        await service.enqueue(queue="q")
        batch = EnqueueBatchRequest()
        for queue in ("other", "q", "q", "q"):
            batch.jobs.add(type="a", options=EnqueueOptions(queue=queue))

        with refused(grpc.StatusCode.RESOURCE_EXHAUSTED, "queue_full"):
            await service.stub.EnqueueBatch(batch)
        assert await service.counts() == {"q": 1}
        del batch.jobs[-1]
        await service.stub.EnqueueBatch(batch)

        assert await service.counts() == {"q": 3, "other": 1}


async def test_what_counts_as_depth(clock: FakeClock, url: str) -> None:
    """Jobs that wait for a worker or for a time; what is active, pending or finished takes no room."""
    async with run_service(clock, url, queues="*:max_depth=2") as service:
        later = to_timestamp(START + 60 * SECOND)
        await service.enqueue(delay_until=later)
        await service.enqueue(pending=True)
        await service.enqueue(max_attempts=2)
        with refused(grpc.StatusCode.RESOURCE_EXHAUSTED, "queue_full"):
            await service.enqueue(delay_until=later)

        running = await service.fetch_one()
        await service.enqueue()
        await service.nack(running)
        with refused(grpc.StatusCode.RESOURCE_EXHAUSTED, "queue_full") as caught:
            await service.enqueue()

        assert caught.info.metadata["depth"] == "3"
