"""Nack: release, retry, discard or dead letter (behaviour section 2.3)."""

import asyncio
from typing import Any

import pytest
from ojs_grpc_pb.v1 import job_pb2, queue_pb2, worker_pb2
from ojs_grpc_pb.v1.job_pb2 import JobError, RetryPolicy

from ojs_grpc.core.duration import timestamp_ms, to_timestamp
from tests.clock import START
from tests.grpc.service import (
    SECOND,
    STRANGE_IDS,
    Service,
    ids,
    invalid,
    nested,
    not_found,
    objects,
    refused_or_done,
    seconds,
    struct,
    too_large,
    wrong_state,
)

STATES = ("scheduled", "pending", "available", "active", "completed", "retryable", "cancelled", "discarded")
STEADY = RetryPolicy(jitter=False)


async def test_a_failed_attempt_is_retried_after_its_delay(everywhere: Service) -> None:
    """Retryable until its time, available then; the same delay is shown until the end."""
    await everywhere.enqueue(retry=STEADY)
    job = await everywhere.fetch_one()

    reply = await everywhere.nack(job)

    assert reply.state == job_pb2.JOB_STATE_RETRYABLE
    assert timestamp_ms(reply.next_attempt_at) == START + 1 * SECOND
    waiting = await everywhere.get(job.id)
    assert (waiting.state, waiting.attempt, waiting.retry_delay_ms) == (job_pb2.JOB_STATE_RETRYABLE, 1, 1000)
    assert waiting.next_attempt_at == reply.next_attempt_at
    await everywhere.advance(1 * SECOND - 1)
    assert await everywhere.fetch() == []
    await everywhere.advance(1)
    again = await everywhere.fetch_one()
    assert (again.id, again.attempt, again.retry_delay_ms) == (job.id, 2, 1000)
    assert again.lease > job.lease
    assert not again.HasField("next_attempt_at")


async def test_delays_grow_and_the_last_failure_is_final(everywhere: Service) -> None:
    """1 s, 2 s, and the third of three attempts discards; it is no dead letter unless asked for."""
    await everywhere.enqueue(retry=STEADY)
    delays = []
    for _ in range(2):
        job = await everywhere.fetch_one()
        reply = await everywhere.nack(job)
        delays.append(timestamp_ms(reply.next_attempt_at) - everywhere.clock.now())
        await everywhere.advance(delays[-1])
    assert delays == [1000, 2000]

    reply = await everywhere.nack(await everywhere.fetch_one())

    assert reply.state == job_pb2.JOB_STATE_DISCARDED
    assert not reply.HasField("next_attempt_at")
    dead = await everywhere.get(job.id)
    assert (dead.attempt, [error.attempt for error in dead.errors]) == (3, [1, 2, 3])
    assert timestamp_ms(dead.completed_at) == timestamp_ms(dead.discarded_at) == everywhere.clock.now()
    assert not dead.dead_letter
    assert (await everywhere.stub.ListDeadLetter(queue_pb2.ListDeadLetterRequest())).total_count == 0


@pytest.mark.parametrize(
    ("error", "outcome", "dead"),
    [
        (JobError(code="boom"), "RETRYABLE", False),
        (JobError(code="boom", retryable=True), "RETRYABLE", False),
        (JobError(code="boom", retryable=False), "DISCARDED", True),
        (JobError(code="Fatal"), "DISCARDED", True),
        (JobError(code="auth.token.expired"), "DISCARDED", True),
        (JobError(code="auth"), "RETRYABLE", False),
        (JobError(code="handler_error", details=struct(error_class="Fatal")), "DISCARDED", True),
        (JobError(code="DISCARD"), "DISCARDED", False),
        (JobError(code="FAIL"), "DISCARDED", False),
        (JobError(code="DEAD_LETTER"), "DISCARDED", True),
        (JobError(code="RETRY"), "RETRYABLE", False),
        (JobError(code="boom", details=objects({"ojs.response": "DEAD_LETTER"})), "DISCARDED", True),
        (JobError(code="boom", details=objects({"ojs.response": "DISCARD"})), "DISCARDED", False),
        (JobError(), "RETRYABLE", False),
    ],
    ids=lambda case: str(case).replace("\n", " ")[:40] if isinstance(case, JobError) else str(case),
)
async def test_outcomes(service: Service, error: JobError, outcome: str, dead: bool) -> None:  # noqa: FBT001
    """What the handler says beats the policy; a non-retryable error takes the path of exhaustion."""
    policy = RetryPolicy(non_retryable_errors=["Fatal", "auth.*"], on_exhaustion="dead_letter")
    await service.enqueue(retry=policy)
    job = await service.fetch_one()

    reply = await service.nack(job, error=error)

    assert job_pb2.JobState.Name(reply.state) == f"JOB_STATE_{outcome}"
    after = await service.get(job.id)
    assert (after.dead_letter, after.attempt, len(after.errors)) == (dead, 1, 1)
    assert after.errors[0].code == error.code


@pytest.mark.parametrize("handler", ["DISCARD", "DEAD_LETTER"])
async def test_the_handlers_word_beats_the_policy(service: Service, handler: str) -> None:
    """DEAD_LETTER lists the job although its policy says discard, and the other way round."""
    opposite = {"DISCARD": "dead_letter", "DEAD_LETTER": "discard"}[handler]
    await service.enqueue(retry=RetryPolicy(on_exhaustion=opposite))

    await service.nack(await service.fetch_one(), handler)

    listed = await service.stub.ListDeadLetter(queue_pb2.ListDeadLetterRequest())
    assert listed.total_count == (handler == "DEAD_LETTER")


async def test_a_release_costs_nothing(everywhere: Service) -> None:
    """Available at once, the attempt given back, behind those of its priority, the old lease stale."""
    await everywhere.enqueue()
    job = await everywhere.fetch_one()
    other = await everywhere.enqueue()
    everywhere.clock.advance(10)

    reply = await everywhere.stub.Nack(worker_pb2.NackRequest(job_id=job.id, lease=job.lease, requeue=True))

    assert reply.state == job_pb2.JOB_STATE_AVAILABLE
    assert not reply.HasField("next_attempt_at")
    back = await everywhere.get(job.id)
    assert (back.attempt, len(back.errors), timestamp_ms(back.enqueued_at)) == (0, 0, START + 10)
    jobs = await everywhere.fetch(5)
    assert ids(jobs) == [other.id, job.id]
    assert jobs[1].attempt == 1
    assert jobs[1].lease > job.lease


async def test_a_release_may_say_why(service: Service) -> None:
    """An error that comes with it is kept."""
    await service.enqueue()
    job = await service.fetch_one()

    await service.nack(job, "shutdown", requeue=True)

    back = await service.get(job.id)
    assert [(error.code, error.attempt) for error in back.errors] == [("shutdown", 1)]


async def test_an_error_is_kept_as_reported(service: Service) -> None:
    """But for attempt and time, which the server knows better."""
    await service.enqueue()
    job = await service.fetch_one()
    service.clock.advance(77)
    error = JobError(code="db.down", message="no\nroute", retryable=True, attempt=99, backtrace="a\nb")
    error.details.CopyFrom(struct(host="x", n=[1]))
    error.occurred_at.FromSeconds(5)

    await service.nack(job, error=error)

    (kept,) = (await service.get(job.id)).errors
    assert (kept.attempt, timestamp_ms(kept.occurred_at)) == (1, START + 77)
    for field in ("attempt", "occurred_at"):
        kept.ClearField(field)  # type: ignore[arg-type]
        error.ClearField(field)  # type: ignore[arg-type]
    assert kept == error


async def test_the_latest_ten_errors_are_kept(service: Service) -> None:
    """Of fifteen failures, the last ten, oldest first."""
    await service.enqueue(retry=RetryPolicy(max_attempts=20, jitter=False, max_interval=seconds(1)))
    for number in range(15):
        job = await service.fetch_one()
        await service.nack(job, f"error-{number}")
        await service.advance(1 * SECOND)

    errors = (await service.get(job.id)).errors

    assert [error.code for error in errors] == [f"error-{number}" for number in range(5, 15)]
    assert [error.attempt for error in errors] == list(range(6, 16))


async def test_a_stale_lease_and_another_worker_are_refused(everywhere: Service) -> None:
    """As for an ack: nothing changes."""
    await everywhere.enqueue(visibility_timeout=seconds(1))
    first = await everywhere.fetch_one()
    await everywhere.advance(1 * SECOND)
    with wrong_state():
        await everywhere.nack(first)
    second = await everywhere.fetch_one()

    with wrong_state():
        await everywhere.nack(first)
    with wrong_state():
        await everywhere.stub.Nack(
            worker_pb2.NackRequest(job_id=first.id, worker_id="worker-2", error=JobError(code="boom"))
        )
    with wrong_state():
        await everywhere.stub.Nack(
            worker_pb2.NackRequest(job_id=first.id, error=JobError(code="boom")),
            metadata=(("x-ojs-lease", str(first.lease)),),
        )

    assert await everywhere.get(second.id) == second
    await everywhere.stub.Nack(worker_pb2.NackRequest(job_id=second.id, error=JobError(code="boom")))


@pytest.mark.parametrize("state", [state for state in STATES if state != "active"])
async def test_only_an_active_job_can_fail(service: Service, state: str) -> None:
    """In every other state the nack is refused, and names the state."""
    job = await job_in(service, state)

    with wrong_state() as caught:
        await service.stub.Nack(worker_pb2.NackRequest(job_id=job.id, error=JobError(code="boom")))

    assert caught.info.metadata["current_state"] == state
    assert await service.get(job.id) == job


async def test_nack_and_ack_at_once(everywhere: Service) -> None:
    """One of them counts."""
    for _ in range(5):
        await everywhere.enqueue(max_attempts=1)
        job = await everywhere.fetch_one()

        reports = (everywhere.ack(job), everywhere.nack(job), everywhere.nack(job))
        outcomes = await asyncio.gather(*map(refused_or_done, reports))

        assert sorted(outcomes) == ["done", "invalid_state", "invalid_state"]


@pytest.mark.parametrize(
    ("error", "field"),
    [
        (None, "error"),
        (JobError(details=struct(x=float("nan"))), "error.details"),
    ],
)
async def test_a_bad_error_is_refused(service: Service, error: JobError | None, field: str) -> None:
    """The job stays with its worker."""
    await service.enqueue()
    job = await service.fetch_one()

    with invalid() as caught:
        await service.nack(job, error=error)

    assert caught.fields == [field]
    assert await service.get(job.id) == job


async def test_details_nest_thirty_deep(service: Service) -> None:
    """30 within each other are kept, 31 refused."""
    await service.enqueue()
    job = await service.fetch_one()
    with too_large():
        await service.nack(job, error=JobError(code="x", details=objects({"a": nested(31)})))

    await service.nack(job, error=JobError(code="x", details=objects({"a": nested(30, "object")})))

    assert (await service.get(job.id)).errors[0].details.fields["a"] == nested(30, "object")


async def test_a_huge_error_is_cut(service: Service) -> None:
    """A worker's long message never keeps it from reporting; what is kept is bounded, and valid text."""
    await service.enqueue()
    job = await service.fetch_one()
    error = JobError(code="c" * 1000, message="ä" * 100_000, backtrace="b" * 100_000, details=struct(x="x" * 100_000))

    await service.nack(job, error=error)

    (kept,) = (await service.get(job.id)).errors
    assert (len(kept.code), kept.message, len(kept.backtrace)) == (255, "ä" * 5000, 10_000)
    assert not kept.HasField("details")


async def test_an_unknown_job(everywhere: Service) -> None:
    """Not found."""
    for job_id in STRANGE_IDS:
        with not_found():
            await everywhere.stub.Nack(worker_pb2.NackRequest(job_id=job_id, error=JobError(code="boom")))


async def job_in(service: Service, state: str) -> job_pb2.Job:
    """A job in this state."""
    options: dict[str, Any] = {}
    if state == "scheduled":
        options["delay_until"] = to_timestamp(service.clock.now() + SECOND)
    if state == "pending":
        options["pending"] = True
    job = await service.enqueue(max_attempts=1 if state == "discarded" else 2, **options)
    if state in ("active", "completed", "discarded", "retryable"):
        job = await service.fetch_one()
    if state == "completed":
        await service.ack(job)
    elif state in ("discarded", "retryable"):
        await service.nack(job)
    elif state == "cancelled":
        await service.stub.CancelJob(job_pb2.CancelJobRequest(job_id=job.id))
    job = await service.get(job.id)
    assert job_pb2.JobState.Name(job.state) == f"JOB_STATE_{state.upper()}"
    return job
