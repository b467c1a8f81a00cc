"""The changing fields as bytes: what parses out of envelope, overlay and tail together is the job as it stands."""

from typing import Any

import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from hypothesis import given
from hypothesis import strategies as st
from ojs_grpc_pb.v1.job_pb2 import Job, JobError

from ojs_grpc.core import states
from ojs_grpc.core.duration import timestamp_ms, to_timestamp
from ojs_grpc.core.overlay import overlay

TIMES = st.integers(1, 253_402_300_799_999)
ENDS = {states.COMPLETED: "completed_at", states.CANCELLED: "cancelled_at", states.DISCARDED: "discarded_at"}
ENVELOPES = st.builds(
    Job,
    id=st.text(max_size=40),
    type=st.text(max_size=10),
    queue=st.text(max_size=10),
    priority=st.integers(-100, 100),
    max_attempts=st.integers(0, 100),
    created_at=TIMES.map(to_timestamp),
    scheduled_at=st.none() | st.builds(Timestamp, seconds=st.integers(0, 10**10), nanos=st.integers(0, 999_999_999)),
    tags=st.lists(st.text(max_size=3), max_size=3),
)
TAILS = st.builds(
    Job,
    errors=st.lists(st.builds(JobError, code=st.text(max_size=5), attempt=st.integers(0, 9)), max_size=3),
    retry_delay_ms=st.integers(0, 10**9),
    dead_letter=st.booleans(),
    completed_at=st.none() | TIMES.map(to_timestamp),
)


def parse(*parts: bytes) -> Job:
    """What a client sees."""
    return Job.FromString(b"".join(parts))


@given(
    ENVELOPES,
    TAILS,
    st.fixed_dictionaries(
        {"state": st.sampled_from(states.ALL), "due_at": TIMES},
        optional={
            "attempt": st.integers(0, 2**31 - 1),
            "lease": st.integers(0, 2**63 - 1),
            "worker_id": st.text(max_size=10),
            **dict.fromkeys(("enqueued_at", "started_at", "ended_at"), st.just(0) | TIMES),
        },
    ),
)
def test_the_parts_are_the_job(envelope: Job, tail: Job, fields: dict[str, Any]) -> None:
    """Nothing of the envelope or the tail is lost, and each changing field says what was given."""
    job = parse(envelope.SerializeToString(), overlay(**fields), tail.SerializeToString())

    expected = Job()
    expected.CopyFrom(envelope)
    state = expected.state = fields["state"]
    expected.attempt, expected.lease = fields.get("attempt", 0), fields.get("lease", 0)
    times = {name: fields.get(name, 0) for name in ("enqueued_at", "started_at")}
    if state == states.ACTIVE:
        times["lease_expires_at"] = fields["due_at"]
        expected.worker_id = fields.get("worker_id", "")
    elif state == states.RETRYABLE:
        times["next_attempt_at"] = fields["due_at"]
    elif state in ENDS:
        times[ENDS[state]] = fields.get("ended_at", 0)
    for name, ms in times.items():
        if ms:
            getattr(expected, name).CopyFrom(to_timestamp(ms))
    expected.MergeFrom(tail)
    assert job == expected


@given(st.sampled_from(states.ALL), st.sampled_from(states.ALL), TIMES, TIMES)
def test_a_later_overlay_overrides_an_earlier_one(before: int, after: int, earlier: int, later: int) -> None:
    """Also where the later value has zeros: a whole second, an attempt that was given back."""
    later = later - later % 1000 or 1000
    job = parse(
        overlay(before, attempt=3, lease=9, enqueued_at=earlier, started_at=earlier),
        overlay(after, attempt=1, lease=10, enqueued_at=later, started_at=later),
    )

    assert (job.state, job.attempt, job.lease) == (after, 1, 10)
    assert timestamp_ms(job.enqueued_at) == timestamp_ms(job.started_at) == later


@pytest.mark.parametrize("state", states.ALL)
def test_times_that_are_not_set_are_not_shown(state: int) -> None:
    """Zero is none."""
    job = parse(overlay(state, due_at=1000))

    shown = {field.name for field, _ in job.ListFields()} - {"state"}
    due = {states.ACTIVE: {"lease_expires_at"}, states.RETRYABLE: {"next_attempt_at"}}
    assert shown == due.get(state, set())


@pytest.mark.parametrize(("state", "field"), ENDS.items())
def test_the_end_shows_in_the_field_of_its_state(state: int, field: str) -> None:
    """And in no other."""
    job = parse(overlay(state, ended_at=1234))

    assert timestamp_ms(getattr(job, field)) == 1234
    assert [name for name in ENDS.values() if job.HasField(name)] == [field]  # type: ignore[arg-type]


def test_the_holder_shows_only_while_active() -> None:
    """Whoever had it last is nobody's business."""
    assert parse(overlay(states.ACTIVE, due_at=1, worker_id="worker-1")).worker_id == "worker-1"
    for state in set(states.ALL) - {states.ACTIVE}:
        assert parse(overlay(state, worker_id="worker-1")).worker_id == ""


def test_bytes_that_are_kept_are_kept_apart() -> None:
    """Two workers and two times in turn each get their own, although both are remembered."""
    for _round in range(2):
        for worker, at in (("a", 1000), ("b", 2000)):
            job = parse(overlay(states.ACTIVE, started_at=at, due_at=at + 1, worker_id=worker))
            assert (job.worker_id, timestamp_ms(job.started_at)) == (worker, at)
            assert timestamp_ms(job.lease_expires_at) == at + 1
