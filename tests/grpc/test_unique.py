"""Jobs that must be unique: what counts as the same, for how long, and what happens to the second."""

import asyncio
from typing import Any

import grpc
import pytest
from ojs_grpc_pb.v1 import job_pb2, queue_pb2
from ojs_grpc_pb.v1.job_pb2 import BatchJobEntry, EnqueueBatchRequest, EnqueueOptions, EnqueueRequest, Job, UniquePolicy

from ojs_grpc.core import states
from ojs_grpc.core.duration import timestamp_ms, to_timestamp
from ojs_grpc.core.unique import IGNORE, REJECT, REPLACE, REPLACE_EXCEPT_SCHEDULE
from tests.clock import START, FakeClock
from tests.grpc.service import (
    SECOND,
    Service,
    ids,
    refused,
    refused_or_done,
    run_service,
    seconds,
    value,
    wrong_state,
)

LATER = START + 60 * SECOND


def policy(action: int = REJECT, *keys: str, **more: Any) -> UniquePolicy:  # noqa: ANN401
    """A policy; by type alone, unless keys are given."""
    return UniquePolicy(key=keys, on_conflict=action, **more)  # type: ignore[arg-type]


def duplicate() -> Any:  # noqa: ANN401
    """The call in this block meets a duplicate, and its policy refuses it."""
    return refused(grpc.StatusCode.ALREADY_EXISTS, "duplicate")


async def send(service: Service, *args: Any, metadata: Any = None, **options: Any) -> tuple[Job, str]:  # noqa: ANN401
    """Enqueues a job; the job answered, and what the metadata says of duplicates."""
    request = EnqueueRequest(type="a", args=map(value, args), options=EnqueueOptions(**options))
    call = service.stub.Enqueue(request, metadata=metadata)
    return (await call).job, dict(await call.trailing_metadata()).get("x-ojs-deduplicated", "")


def entry(number: int, action: int, **options: Any) -> BatchJobEntry:  # noqa: ANN401
    """An entry of a batch, unique by its argument."""
    options = EnqueueOptions(unique=policy(action, "args"), **options)
    return BatchJobEntry(type="a", args=[value(number)], options=options)


async def send_batch(service: Service, *entries: BatchJobEntry, **defaults: Any) -> tuple[list[Job], str]:  # noqa: ANN401
    """Enqueues a batch, as `send`."""
    request = EnqueueBatchRequest(jobs=entries, default_options=EnqueueOptions(**defaults))
    call = service.stub.EnqueueBatch(request)
    return list((await call).jobs), dict(await call.trailing_metadata()).get("x-ojs-deduplicated", "")


async def test_a_dead_letter_with_a_living_twin(everywhere: Service) -> None:
    """Does not start over; once the twin is finished, it does."""
    dead = await everywhere.bury(unique=policy())
    twin = await everywhere.enqueue(unique=policy())
    request = queue_pb2.RetryDeadLetterRequest(job_id=dead.id)

    with duplicate() as caught:
        await everywhere.stub.RetryDeadLetter(request)

    assert caught.info.metadata["existing_job_id"] == twin.id
    assert (await everywhere.get(dead.id)).dead_letter
    await everywhere.ack(await everywhere.fetch_one())
    assert (await everywhere.stub.RetryDeadLetter(request)).job.state == states.AVAILABLE


# The four actions


async def test_reject(everywhere: Service) -> None:
    """ALREADY_EXISTS, with the job that is there, its state and the key; nothing is stored."""
    first, told = await send(everywhere, unique=policy())
    assert told == ""

    with duplicate() as caught:
        await send(everywhere, "other arguments", unique=policy())

    facts = caught.info.metadata
    assert (facts["existing_job_id"], facts["existing_job_state"]) == (first.id, "available")
    assert len(facts["unique_key"]) == 64
    assert await everywhere.get(first.id) == first
    assert await everywhere.counts() == {"default": 1}


async def test_ignore(everywhere: Service) -> None:
    """The answer is the job that is there, as it stands, and the metadata say so; nothing is stored."""
    first, _ = await send(everywhere, 1, unique=policy(IGNORE))
    running = await everywhere.fetch_one()

    second, told = await send(everywhere, 2, unique=policy(IGNORE))

    assert second == running
    assert (second.id, told) == (first.id, "true")
    assert await everywhere.counts() == {"default": 0}


async def test_replace(everywhere: Service) -> None:
    """The job that is there is cancelled, the new one is stored under an id of its own."""
    first, _ = await send(everywhere, 1, unique=policy())

    second, told = await send(everywhere, 2, unique=policy(REPLACE))

    assert (second.state, told) == (job_pb2.JOB_STATE_AVAILABLE, "")
    assert (await everywhere.get(first.id)).state == job_pb2.JOB_STATE_CANCELLED
    assert ids(await everywhere.fetch(5)) == [second.id]


@pytest.mark.parametrize("own", [None, LATER + SECOND])
async def test_replace_except_schedule(everywhere: Service, own: int | None) -> None:
    """The new job keeps the time for which the old one was scheduled, and runs then."""
    first, _ = await send(everywhere, unique=policy(), delay_until=to_timestamp(LATER))

    delay = {} if own is None else {"delay_until": to_timestamp(own)}
    second, _ = await send(everywhere, unique=policy(REPLACE_EXCEPT_SCHEDULE), **delay)

    assert (second.state, timestamp_ms(second.scheduled_at)) == (job_pb2.JOB_STATE_SCHEDULED, LATER)
    assert await everywhere.get(second.id) == second
    assert (await everywhere.get(first.id)).state == job_pb2.JOB_STATE_CANCELLED
    await everywhere.advance(60 * SECOND)
    assert ids(await everywhere.fetch(5)) == [second.id]


async def test_replace_except_schedule_of_a_job_without_a_time(everywhere: Service) -> None:
    """Is a replacement like any other."""
    first, _ = await send(everywhere, unique=policy())

    second, _ = await send(everywhere, unique=policy(REPLACE_EXCEPT_SCHEDULE), delay_until=to_timestamp(LATER))

    assert timestamp_ms(second.scheduled_at) == LATER
    assert (await everywhere.get(first.id)).state == job_pb2.JOB_STATE_CANCELLED


async def test_a_running_job_is_replaced(everywhere: Service) -> None:
    """Its worker's report is refused from then on, and the slot of its stream is free for the new job."""
    stream = everywhere.stream(1)
    await send(everywhere, 1, unique=policy())
    running = await stream.next()

    second, _ = await send(everywhere, 2, unique=policy(REPLACE))

    assert (await stream.next()).id == second.id
    with wrong_state():
        await everywhere.ack(running)
    assert (await everywhere.get(running.id)).state == job_pb2.JOB_STATE_CANCELLED
    stream.cancel()


async def test_who_is_told_in_front(service: Service) -> None:
    """A client that sends a request id gets the word on duplicates in the initial metadata too."""
    await send(service, unique=policy())
    request = EnqueueRequest(type="a", options=EnqueueOptions(unique=policy(IGNORE)))

    call = service.stub.Enqueue(request, metadata=(("x-ojs-request-id", "mine"),))

    assert dict(await call.initial_metadata())["x-ojs-deduplicated"] == "true"
    await call


# What counts as the same


async def test_a_plain_job_never_conflicts(everywhere: Service) -> None:
    """Neither as the one that is there nor as the new one."""
    await send(everywhere)
    await send(everywhere, unique=policy())
    await send(everywhere)

    assert await everywhere.counts() == {"default": 3}


async def test_by_type_in_all_queues(everywhere: Service) -> None:
    """Unless the queue is part of it."""
    for number in range(8):
        await send(everywhere, queue=f"queue-{number}", unique=policy(REJECT, "queue"))
    first, _ = await send(everywhere, queue="one", unique=policy())

    second, told = await send(everywhere, queue="two", unique=policy(IGNORE))
    assert (second.id, told) == (first.id, "true")
    third, _ = await send(everywhere, queue="three", unique=policy(REPLACE))

    assert (await everywhere.get(first.id)).state == job_pb2.JOB_STATE_CANCELLED
    assert (await everywhere.fetch_one("one", "two", "three")).id == third.id


async def test_by_arguments(everywhere: Service) -> None:
    """However their members are ordered and their text is composed."""
    first, _ = await send(everywhere, {"b": "caf\u00e9", "a": [1, None]}, unique=policy(REJECT, "args"))
    await send(everywhere, {"b": "cafe", "a": [1, None]}, unique=policy(REJECT, "args"))

    second, _ = await send(everywhere, {"a": [1.0, None], "b": "cafe\u0301"}, unique=policy(IGNORE, "args"))

    assert second.id == first.id


async def test_by_selected_members(service: Service) -> None:
    """Of the arguments and of meta."""
    more = policy(IGNORE, "args", "meta", args_keys=["user"], meta_keys=["tenant"])
    sent = [
        (await send(service, {"user": user, "at": at}, meta={"tenant": tenant, "at": at}, unique=more))[0].id
        for at, (user, tenant) in enumerate([(1, "a"), (1, "a"), (2, "a"), (1, "b"), (2, "a")])
    ]

    assert sent == [sent[0], sent[0], sent[2], sent[3], sent[2]]
    assert len(set(sent)) == 3


# How long


async def test_a_period_counts_from_the_first_job(everywhere: Service) -> None:
    """Refused until its end; then accepted, although the first one is still waiting; refusals prolong nothing."""
    more = policy(period=seconds(2))
    await send(everywhere, unique=more)
    for _ in range(2):
        everywhere.clock.advance(999)
        with duplicate():
            await send(everywhere, unique=more)
    everywhere.clock.advance(1)
    with duplicate():
        await send(everywhere, unique=more)

    everywhere.clock.advance(1)
    await send(everywhere, unique=more)

    assert await everywhere.counts() == {"default": 2}
    with duplicate():
        await send(everywhere, unique=more)


async def test_a_finished_job_gives_its_place_free(everywhere: Service) -> None:
    """By default; not before, in whatever state it is."""
    await send(everywhere, unique=policy())
    job = await everywhere.fetch_one()
    with duplicate() as caught:
        await send(everywhere, unique=policy())
    assert caught.info.metadata["existing_job_state"] == "active"
    await everywhere.nack(job)
    with duplicate() as caught:
        await send(everywhere, unique=policy())
    assert caught.info.metadata["existing_job_state"] == "retryable"

    await everywhere.stub.CancelJob(job_pb2.CancelJobRequest(job_id=job.id))
    await send(everywhere, unique=policy())

    assert await everywhere.counts() == {"default": 1}


async def test_the_states_of_the_new_policy_count(everywhere: Service) -> None:
    """A finished job can be one that counts; a waiting one can be one that does not."""
    await send(everywhere, unique=policy())
    await everywhere.ack(await everywhere.fetch_one())

    with duplicate() as caught:
        await send(everywhere, unique=policy(states=[states.COMPLETED]))
    assert caught.info.metadata["existing_job_state"] == "completed"
    await send(everywhere, unique=policy())
    await send(everywhere, unique=policy(states=[states.ACTIVE]))

    assert await everywhere.counts() == {"default": 2}


async def test_a_retry_is_never_checked_again(everywhere: Service) -> None:
    """What was once accepted goes on, whatever came in between."""
    more = policy(states=[states.AVAILABLE])
    first, _ = await send(everywhere, unique=more)
    running = await everywhere.fetch_one()
    await send(everywhere, unique=more)

    await everywhere.nack(running)
    await everywhere.advance(60 * SECOND)

    assert await everywhere.counts() == {"default": 2}
    assert (await everywhere.get(first.id)).state == job_pb2.JOB_STATE_AVAILABLE


# At the same time


@pytest.mark.parametrize("action", [REJECT, IGNORE, REPLACE])
async def test_of_a_hundred_at_once_one_lives(everywhere: Service, action: int) -> None:
    """Whatever happens to the others."""
    calls = [send(everywhere, number, unique=policy(action)) for number in range(100)]

    if action == REJECT:
        outcomes = [await refused_or_done(call) for call in asyncio.as_completed(calls)]
        assert sorted(outcomes) == ["done", *["duplicate"] * 99]
    else:
        answers = await asyncio.gather(*calls)
        told = [deduplicated for _, deduplicated in answers].count("true")
        assert len({job.id for job, _ in answers}) == 100 - told
        assert told == (99 if action == IGNORE else 0)

    assert await everywhere.counts() == {"default": 1}


async def test_a_storm_of_replacements(service: Service) -> None:
    """Each replaces the one before it; nobody is turned away because too many do it."""
    answers = await asyncio.gather(*[send(service, number, unique=policy(REPLACE)) for number in range(400)])

    living = [job.id for job, _ in answers if (await service.get(job.id)).state == job_pb2.JOB_STATE_AVAILABLE]
    assert len({job.id for job, _ in answers}) == 400
    assert ids(await service.fetch(5)) == living
    assert len(living) == 1


# In batches


async def test_equal_jobs_in_a_batch_are_refused(everywhere: Service) -> None:
    """All or nothing; the index is that of the later one."""
    with duplicate() as caught:
        await send_batch(everywhere, entry(1, REJECT), entry(2, REJECT), entry(1, REJECT))

    assert caught.info.metadata["index"] == "2"
    assert await everywhere.counts() == {}


async def test_a_batch_with_a_duplicate_is_refused(everywhere: Service) -> None:
    """Also if others in it would be replaced or ignored."""
    ignored, replaced, kept = (await send_batch(everywhere, *(entry(number, REJECT) for number in range(3))))[0]

    with duplicate() as caught:
        await send_batch(everywhere, entry(0, IGNORE), entry(1, REPLACE), entry(9, REJECT), entry(2, REJECT))

    assert (caught.info.metadata["index"], caught.info.metadata["existing_job_id"]) == ("3", kept.id)
    for job in (ignored, replaced, kept):
        assert (await everywhere.get(job.id)).state == job_pb2.JOB_STATE_AVAILABLE
    assert await everywhere.counts() == {"default": 3}


async def test_each_job_of_a_batch_has_its_own_way(everywhere: Service) -> None:
    """Ignored, replaced, and new ones, in one step and in the order of the request."""
    ignored, replaced = (await send_batch(everywhere, entry(0, REJECT), entry(1, REJECT)))[0]

    batch = [entry(9, REJECT), entry(1, REPLACE), entry(0, IGNORE), entry(9, IGNORE), BatchJobEntry(type="a")]
    jobs, told = await send_batch(everywhere, *batch)

    assert told == "true"
    assert [job.id for job in jobs[2:4]] == [ignored.id, jobs[0].id]
    assert (await everywhere.get(replaced.id)).state == job_pb2.JOB_STATE_CANCELLED
    assert ids(await everywhere.fetch(9)) == [ignored.id, jobs[0].id, jobs[1].id, jobs[4].id]


async def test_a_common_policy(everywhere: Service) -> None:
    """In the options that a batch's entries share; an entry's own counts instead."""
    entries = [BatchJobEntry(type="a", args=[value(number)]) for number in (1, 2, 1)]

    jobs, told = await send_batch(everywhere, *entries, entry(2, REPLACE), unique=policy(IGNORE, "args"))

    assert told == "true"
    assert ids(jobs) == [jobs[0].id, jobs[3].id, jobs[0].id, jobs[3].id]
    assert await everywhere.counts() == {"default": 2}


# Together with the rest


async def test_a_repeated_call_gets_the_same_answer(everywhere: Service) -> None:
    """Under an idempotency key, the word on duplicates included, whatever has become of the job since."""
    first, _ = await send(everywhere, 1, unique=policy())
    key = (("x-ojs-idempotency-key", "again"),)
    answer = await send(everywhere, 2, unique=policy(IGNORE), metadata=key)
    await everywhere.ack(await everywhere.fetch_one())

    assert await send(everywhere, 2, unique=policy(IGNORE), metadata=key) == answer == (first, "true")
    assert await everywhere.counts() == {"default": 0}


async def test_a_repeated_call_is_no_duplicate_of_itself(everywhere: Service) -> None:
    """The key comes first."""
    key = (("x-ojs-idempotency-key", "again"),)
    answer = await send(everywhere, unique=policy(), metadata=key)

    assert await send(everywhere, unique=policy(), metadata=key) == answer
    with duplicate():
        await send(everywhere, unique=policy())


async def test_a_full_queue_has_room_for_what_takes_none(clock: FakeClock, url: str) -> None:
    """A job that is ignored, and one that takes the place of another; a new one is refused."""
    async with run_service(clock, url, queues="default:max_depth=1") as service:
        first, _ = await send(service, 1, unique=policy(REJECT, "args"))

        assert (await send(service, 1, unique=policy(IGNORE, "args")))[0].id == first.id
        await send(service, 1, unique=policy(REPLACE, "args"))
        with refused(grpc.StatusCode.RESOURCE_EXHAUSTED, "queue_full"):
            await send(service, 2, unique=policy(REPLACE, "args"))

        assert await service.counts() == {"default": 1}
