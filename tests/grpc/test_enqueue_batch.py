"""EnqueueBatch: many jobs in one call, all of them or none."""

import asyncio
from typing import Any
from unittest import mock

import grpc
import pytest
from ojs_grpc_pb.v1 import job_pb2
from ojs_grpc_pb.v1.job_pb2 import BatchJobEntry, EnqueueBatchRequest, EnqueueOptions, RetryPolicy

from ojs_grpc.core.duration import timestamp_ms, to_timestamp
from ojs_grpc.core.wire import bytes_field
from ojs_grpc.operations.jobs import CallContext
from tests.clock import START
from tests.grpc.service import SECOND, Service, ids, invalid, refused, seconds, struct, too_large, value


async def send(service: Service, *entries: BatchJobEntry, **defaults: Any) -> job_pb2.EnqueueBatchResponse:  # noqa: ANN401
    """Sends a batch."""
    options = EnqueueOptions(**defaults) if defaults else None
    return await service.stub.EnqueueBatch(EnqueueBatchRequest(jobs=entries, default_options=options))


def entry(type_: str = "a", **options: Any) -> BatchJobEntry:  # noqa: ANN401
    """An entry of a batch."""
    return BatchJobEntry(type=type_, options=EnqueueOptions(**options) if options else None)


async def test_a_batch_is_stored_in_its_order(everywhere: Service) -> None:
    """The reply has all jobs, in order; fetching gives them in order; queues may differ."""
    reply = await send(everywhere, *(entry(f"type-{number}") for number in range(5)), entry(queue="other"))

    assert reply.count == len(reply.jobs) == 6
    assert not reply.errors
    assert [job.type for job in reply.jobs] == [*(f"type-{number}" for number in range(5)), "a"]
    assert ids(await everywhere.fetch(10)) == ids(reply.jobs[:5])
    assert await everywhere.fetch(10, "other")
    for job in reply.jobs:
        assert (await everywhere.get(job.id)).type == job.type


async def test_defaults_fill_what_an_entry_leaves_out(service: Service) -> None:
    """Field by field: the entry wins where it says something, `meta` merges by member, lists replace."""
    reply = await send(
        service,
        entry(),
        entry(queue="own", priority=5, tags=["own"], meta=struct(a="own", c=3), retry=RetryPolicy(jitter=False)),
        queue="common",
        priority=1,
        tags=["x", "y"],
        meta=struct(a="common", b=2),
        retry=RetryPolicy(max_attempts=7),
        timeout=seconds(9),
    )

    plain, own = reply.jobs
    assert (plain.queue, plain.priority, list(plain.tags), plain.max_attempts) == ("common", 1, ["x", "y"], 7)
    assert plain.meta == struct(a="common", b=2)
    assert (own.queue, own.priority, list(own.tags), own.max_attempts) == ("own", 5, ["own"], 3)
    assert own.meta == struct(a="own", b=2, c=3)
    assert own.retry_policy == RetryPolicy(jitter=False)
    assert plain.timeout == own.timeout == seconds(9)


async def test_an_entrys_shorthand_beats_the_common_policy(service: Service) -> None:
    """`max_attempts` of the entry counts, the rest of the batch's policy stays."""
    reply = await send(service, entry(max_attempts=2), retry=RetryPolicy(max_attempts=7, jitter=False))

    (job,) = reply.jobs
    assert job.max_attempts == 2
    assert not job.retry_policy.jitter


async def test_a_shorthand_makes_no_policy(service: Service) -> None:
    """Without a policy in the batch, the job shows none."""
    reply = await send(service, entry(max_attempts=2), queue="common")

    assert not reply.jobs[0].HasField("retry_policy")


async def test_an_entrys_ttl_beats_the_common_expiry(service: Service) -> None:
    """Two ways to say the same: the entry's counts."""
    reply = await send(service, entry(ttl=seconds(5)), entry(), expires_at=to_timestamp(START + 60 * SECOND))

    assert [timestamp_ms(job.expires_at) - START for job in reply.jobs] == [5 * SECOND, 60 * SECOND]


async def test_states_may_differ_within_a_batch(everywhere: Service) -> None:
    """Available, scheduled and pending jobs at once."""
    later = to_timestamp(START + SECOND)
    reply = await send(everywhere, entry(), entry(delay_until=later), entry(pending=True))

    names = [job_pb2.JobState.Name(job.state) for job in reply.jobs]
    assert names == ["JOB_STATE_AVAILABLE", "JOB_STATE_SCHEDULED", "JOB_STATE_PENDING"]
    assert await everywhere.counts() == {"default": 1}


@pytest.mark.parametrize(
    ("bad", "field"),
    [
        (entry("Bad"), "jobs[2].type"),
        (entry(queue="Bad"), "jobs[2].options.queue"),
        (BatchJobEntry(type="a", id="bad"), "jobs[2].id"),
        (BatchJobEntry(type="a", args=[value([float("nan")])]), "jobs[2].args"),
        (BatchJobEntry(), "jobs[2].type"),
        (entry(unique=job_pb2.UniquePolicy(key=["x"])), "jobs[2].options.unique.key"),
        (entry(rate_limit=job_pb2.RateLimit()), "jobs[2].options.rate_limit"),
    ],
)
async def test_one_bad_entry_fails_the_batch(everywhere: Service, bad: BatchJobEntry, field: str) -> None:
    """Nothing is stored, and the index is in the field's path and in the details."""
    with invalid() as caught:
        await send(everywhere, entry(), entry(), bad, entry())

    assert caught.fields == [field]
    assert caught.info.metadata["index"] == "2"
    assert await everywhere.counts() == {}


async def test_a_bad_default_is_found(service: Service) -> None:
    """At the first entry that it applies to."""
    with invalid() as caught:
        await send(service, entry(queue="fine"), entry(), queue="Bad")

    assert caught.fields == ["jobs[1].options.queue"]


async def test_a_bad_policy_in_a_batch(service: Service) -> None:
    """With the reason that a single enqueue would have."""
    with invalid("validation_error") as caught:
        await send(service, entry(), entry(retry=RetryPolicy(max_attempts=-1)))

    assert caught.fields == ["jobs[1].options.retry.max_attempts"]


async def test_an_entry_over_a_limit(service: Service) -> None:
    """Nothing of the batch is stored."""
    with too_large() as caught:
        await send(service, entry(), BatchJobEntry(type="a", args=[value("x" * (1 << 20))]))

    assert caught.fields == ["jobs[1].args"]
    assert caught.info.metadata["index"] == "1"
    assert await service.counts() == {}


async def test_an_empty_batch_is_refused(service: Service) -> None:
    """There is nothing to do."""
    with invalid() as caught:
        await send(service)

    assert caught.fields == ["jobs"]


async def test_ten_thousand_jobs_are_the_most(service: Service) -> None:
    """One more is too large."""
    with too_large() as caught:
        await send(service, *[entry()] * 10_001)
    assert caught.fields == ["jobs"]
    assert await service.counts() == {}

    reply = await send(service, *[entry()] * 10_000)

    assert reply.count == len(reply.jobs) == 10_000
    assert await service.counts() == {"default": 10_000}


async def test_default_options_count_for_every_job(service: Service) -> None:
    """A request of 70 KB would else be 700 MB of jobs."""
    with too_large() as caught:
        await send(service, *[entry()] * 10_000, meta=struct(note="x" * 65_000))

    assert caught.fields == ["jobs"]
    assert await service.counts() == {}


async def test_what_nobody_knows_in_default_options(service: Service) -> None:
    """It is not copied for every job, which would take minutes."""
    unknown = bytes_field(60_000, b"x" * 10_000_000)
    common = EnqueueOptions.FromString(EnqueueOptions(queue="q").SerializeToString() + unknown)
    jobs = [BatchJobEntry(type="a", options=EnqueueOptions(priority=1))] * 1000

    async with asyncio.timeout(10):
        reply = await service.stub.EnqueueBatch(EnqueueBatchRequest(jobs=jobs, default_options=common))

    assert reply.count == 1000


async def test_others_have_their_turn_while_a_large_batch_is_read(service: Service) -> None:
    """Its arguments are looked through, and more so when the jobs have to be unique."""
    large = BatchJobEntry(type="a", args=[value([0.5] * 10_000)])
    batch = EnqueueBatchRequest(jobs=[large] * 9)
    jobs = service.server.engine.jobs
    turns = 0
    reading = asyncio.create_task(jobs.enqueue_batch(batch, CallContext()))
    with mock.patch.object(jobs, "_submit", side_effect=[None]) as submitted:
        while not submitted.called:
            turns += 1
            await asyncio.sleep(0)
    await reading

    assert turns >= 3


async def test_a_taken_id_fails_the_batch(everywhere: Service) -> None:
    """Taken by a stored job, or twice within the batch: nothing else is stored."""
    taken = await everywhere.enqueue(id="01970000-0000-7000-8000-000000000001")
    fresh = "01970000-0000-7000-8000-000000000002"
    for pair in ((fresh, taken.id), (fresh, fresh)):
        with refused(grpc.StatusCode.ALREADY_EXISTS, "duplicate") as caught:
            await send(everywhere, entry(), *(BatchJobEntry(type="a", id=id_) for id_ in pair))
        assert caught.info.metadata["existing_job_id"] == pair[1]

    assert await everywhere.counts() == {"default": 1}


async def test_a_large_reply_leaves_out_the_payload(service: Service) -> None:
    """Stock clients refuse replies above 4 MiB, and the jobs are stored: they come without args and meta."""
    entries = [BatchJobEntry(type="a", args=[value("x" * 500_000)], options=EnqueueOptions(meta=struct(a=1)))] * 10

    reply = await send(service, *entries)

    assert reply.count == len(reply.jobs) == 10
    assert not reply.jobs[0].args
    assert not reply.jobs[0].HasField("meta")
    stored = await service.get(reply.jobs[9].id)
    assert len(stored.args[0].string_value) == 500_000


async def test_the_reply_stays_readable_even_without_payload(service: Service) -> None:
    """Long names and many tags alone can be more than 4 MiB; the ids always come back."""
    options = {"queue": "q" * 128, "tags": [f"{number:0255}" for number in range(20)]}

    reply = await send(service, *[entry("t" * 255)] * 2000, **options)

    assert reply.count == len(reply.jobs) == 2000
    stored = await service.get(reply.jobs[1999].id)
    assert (stored.type, len(stored.tags)) == ("t" * 255, 20)
    assert reply.jobs[1999].state == job_pb2.JOB_STATE_AVAILABLE
