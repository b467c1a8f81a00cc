"""ListDeadLetter, RetryDeadLetter, DeleteDeadLetter (behaviour section 10)."""

import asyncio

import pytest
from ojs_grpc_pb.v1 import job_pb2, queue_pb2

from ojs_grpc.core.duration import timestamp_ms
from tests.clock import START
from tests.grpc.service import STRANGE_IDS, Service, ids, invalid, not_found, refused_or_done, struct, wrong_state
from tests.grpc.test_get_cancel_activate import cancel
from tests.grpc.test_nack import STATES, job_in


async def test_a_dead_letter_is_listed_whole(everywhere: Service) -> None:
    """With all that the producer said, and every error."""
    dead = await everywhere.bury("mails", meta=struct(tenant="t"))

    page = await listed(everywhere)

    assert list(page.jobs) == [dead]
    assert (page.total_count, page.next_cursor) == (1, "")
    assert (dead.state, dead.dead_letter, dead.meta) == (job_pb2.JOB_STATE_DISCARDED, True, struct(tenant="t"))
    assert timestamp_ms(dead.discarded_at) == START
    assert [error.code for error in dead.errors] == ["boom"]


async def test_only_what_asked_for_it_is_listed(service: Service) -> None:
    """Discarded, cancelled and expired jobs are not."""
    for state in ("discarded", "cancelled", "completed"):
        await job_in(service, state)

    assert (await listed(service)).total_count == 0


async def test_pages_by_queue_and_age(service: Service) -> None:
    """Oldest first within a queue; one queue alone, or all by name; each once."""
    buried = {queue: [] for queue in ("b", "a")}
    for queue in ("b", "a", "b", "a", "b"):
        buried[queue].append((await service.bury(queue)).id)
        service.clock.advance(1)

    assert await _walk(service, "", 2) == [*buried["a"], *buried["b"]]
    assert await _walk(service, "b", 2) == buried["b"]
    assert await _walk(service, "b", 1) == buried["b"]
    assert await _walk(service, "nothing", 2) == []
    assert (await listed(service, queue="a", limit=1)).total_count == 2
    assert (await listed(service, limit=1)).total_count == 5


async def test_a_cursor_survives_what_happens_meanwhile(service: Service) -> None:
    """The job it points at is deleted; the next page goes on behind it."""
    buried = [await service.bury() for _ in range(4)]
    page = await listed(service, limit=2)
    assert ids(page.jobs) == ids(buried[:2])
    await delete(service, buried[1].id)

    rest = await listed(service, limit=2, cursor=page.next_cursor)

    assert ids(rest.jobs) == ids(buried[2:])


async def test_a_page_fits_into_a_reply(service: Service) -> None:
    """Large dead letters come in several pages, whatever the limit."""
    buried = []
    policy = job_pb2.RetryPolicy(max_attempts=1, on_exhaustion="dead_letter")
    for _ in range(5):
        await service.enqueue("a", "x" * 1_000_000, retry=policy)
        job = await service.fetch_one()
        await service.nack(job)
        buried.append(job.id)

    page = await listed(service)

    assert len(page.jobs) == 3
    assert page.total_count == 5
    assert await _walk(service, "", 0) == buried


async def test_a_retried_dead_letter_starts_over(everywhere: Service) -> None:
    """Same id, attempt 0, its errors kept, no longer listed; it may run, fail and die again."""
    dead = await everywhere.bury()
    everywhere.clock.advance(100)

    again = await retry(everywhere, dead.id)

    assert (again.id, again.state, again.attempt) == (dead.id, job_pb2.JOB_STATE_AVAILABLE, 0)
    assert again.errors == dead.errors
    assert timestamp_ms(again.enqueued_at) == START + 100
    for gone in ("completed_at", "discarded_at"):
        assert not again.HasField(gone)  # type: ignore[arg-type]
    assert not again.dead_letter
    assert (await listed(everywhere)).total_count == 0
    job = await everywhere.fetch_one()
    assert (job.attempt, job.lease > dead.lease) == (1, True)
    await everywhere.nack(job, "again")
    (dead_again,) = (await listed(everywhere)).jobs
    assert [error.code for error in dead_again.errors] == ["boom", "again"]


async def test_the_last_holder_of_a_dead_letter_has_lost_it(everywhere: Service) -> None:
    """After a retry, its lease proves nothing, although the attempt is counted anew."""
    await everywhere.enqueue(retry=job_pb2.RetryPolicy(max_attempts=1, on_exhaustion="dead_letter"))
    job = await everywhere.fetch_one()
    await everywhere.nack(job)
    await retry(everywhere, job.id)

    with wrong_state():
        await everywhere.ack(job)
    await everywhere.fetch_one()
    with wrong_state():
        await everywhere.ack(job)


async def test_a_retried_dead_letter_reaches_a_waiting_stream(everywhere: Service) -> None:
    """At once."""
    dead = await everywhere.bury()
    stream = everywhere.stream(1)
    await stream.opened()

    await retry(everywhere, dead.id)

    assert (await stream.next()).id == dead.id


async def test_a_deleted_dead_letter_is_gone(everywhere: Service) -> None:
    """For GetJob too, and its id is free."""
    dead = await everywhere.bury(id="01970000-0000-7000-8000-0000000000aa")

    await delete(everywhere, dead.id)

    assert (await listed(everywhere)).total_count == 0
    with not_found():
        await everywhere.get(dead.id)
    with not_found():
        await delete(everywhere, dead.id)
    await everywhere.enqueue(id=dead.id)


@pytest.mark.parametrize("state", [state for state in STATES if state != "pending"])
async def test_what_is_no_dead_letter_is_not_found(service: Service, state: str) -> None:
    """Neither retried nor deleted, and nothing changes."""
    job = await job_in(service, state)

    for call in (retry(service, job.id), delete(service, job.id)):
        with not_found() as caught:
            await call
        assert caught.info.metadata["resource_type"] == "dead_letter"
    assert await service.get(job.id) == job


async def test_an_unknown_job(everywhere: Service) -> None:
    """Not found."""
    for job_id in STRANGE_IDS:
        for call in (retry(everywhere, job_id), delete(everywhere, job_id)):
            with not_found():
                await call


async def test_retries_at_once(everywhere: Service) -> None:
    """One starts the job over, the others find no dead letter."""
    dead = await everywhere.bury()

    outcomes = await asyncio.gather(*(refused_or_done(retry(everywhere, dead.id)) for _ in range(5)))

    assert sorted(outcomes) == ["done", *["not_found"] * 4]


async def test_a_dead_letter_cannot_be_cancelled(service: Service) -> None:
    """It is finished."""
    dead = await service.bury()
    with wrong_state():
        await cancel(service, dead.id)


@pytest.mark.parametrize(
    ("fields", "field"), [({"limit": -1}, "limit"), ({"queue": "Bad"}, "queue"), ({"queue": "q" * 129}, "queue")]
)
async def test_a_bad_request_is_refused(service: Service, fields: dict[str, object], field: str) -> None:
    """The violation names the field."""
    with invalid() as caught:
        await listed(service, **fields)

    assert caught.fields == [field]


async def test_a_cursor_that_is_none(everywhere: Service) -> None:
    """Is refused, or read as a place to go on from; never a failure of the server."""
    await everywhere.bury()

    for cursor in ("x", "\0", "ä", "====", "1:", ":1", "9" * 30, "a b", "{}", "[1,2]", "MTIz"):
        for queue in ("", "default"):
            outcome = await refused_or_done(listed(everywhere, queue=queue, cursor=cursor))
            assert outcome in ("invalid_request", "done")


async def listed(service: Service, **fields: object) -> queue_pb2.ListDeadLetterResponse:
    """A page of dead letters."""
    return await service.stub.ListDeadLetter(queue_pb2.ListDeadLetterRequest(**fields))  # type: ignore[arg-type]


async def retry(service: Service, job_id: str) -> job_pb2.Job:
    """Starts a dead letter over."""
    return (await service.stub.RetryDeadLetter(queue_pb2.RetryDeadLetterRequest(job_id=job_id))).job


async def delete(service: Service, job_id: str) -> None:
    """Deletes a dead letter."""
    await service.stub.DeleteDeadLetter(queue_pb2.DeleteDeadLetterRequest(job_id=job_id))


async def _walk(service: Service, queue: str, limit: int) -> list[str]:
    seen, cursor = [], ""
    while True:
        page = await listed(service, queue=queue, limit=limit, cursor=cursor)
        seen += ids(page.jobs)
        cursor = page.next_cursor
        if not cursor:
            return seen
