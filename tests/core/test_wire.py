"""Fields as bytes: protobuf's own parser reads what was meant, and a later field overrides an earlier one."""

import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from google.protobuf.wrappers_pb2 import BytesValue, UInt64Value
from hypothesis import given
from hypothesis import strategies as st
from ojs_grpc_pb.v1.job_pb2 import Job, JobState

from ojs_grpc.core.duration import EARLIEST_MS, LATEST_MS, to_timestamp
from ojs_grpc.core.wire import bytes_field, timestamp_field, varint, varint_field

TIMES = st.integers(EARLIEST_MS, LATEST_MS) | st.integers(-2000, 2000) | st.integers(-5, 5).map(lambda s: s * 1000)
TIMESTAMPS = st.builds(Timestamp, seconds=st.integers(-(10**9), 10**9), nanos=st.integers(0, 999_999_999))
TIMESTAMP_FIELDS = [field.name for field in Job.DESCRIPTOR.fields if field.message_type is Timestamp.DESCRIPTOR]
# Where the encoding gets a byte longer.
LENGTHS = [0, 1, 127, 128, 16_383, 16_384, 2_097_151, 2_097_152]


def number_of(name: str) -> int:
    """The number of a field of Job."""
    return Job.DESCRIPTOR.fields_by_name[name].number


# Numbers


@given(st.integers(1, 2**64 - 1) | st.integers(1, 70_000))
def test_a_varint_is_written_as_protobuf_writes_it(value: int) -> None:
    """Byte by byte, in the shortest form."""
    assert b"\x08" + varint(value) == UInt64Value(value=value).SerializeToString()


def test_a_varint_is_right_where_it_grows() -> None:
    """Around each power of two, which includes each step in length."""
    values = [2**bits + more for bits in range(64) for more in (-1, 0, 1)]

    assert [UInt64Value.FromString(b"\x08" + varint(value)).value for value in values] == values


@pytest.mark.parametrize("value", [-1, -128, -(2**63), 2**64])
def test_a_number_outside_64_bits_is_refused(value: int) -> None:
    """A negative number would otherwise be written as some other one, or never end."""
    with pytest.raises(ValueError, match="from 0 to 2"):
        varint(value)
    with pytest.raises(ValueError, match="from 0 to 2"):
        varint_field(1, value)


@given(st.integers(0, 2**31 - 1))
def test_a_number_field_is_read_back(value: int) -> None:
    """In fields below 16, from 16 on, and among ours above 1000."""
    job = Job.FromString(varint_field(8, value) + varint_field(1007, value))

    assert (job.attempt, job.retry_delay_ms) == (value, value)


def test_a_zero_overrides() -> None:
    """Release and dead letter retry set numbers back to zero."""
    stored = Job(attempt=3, state=JobState.JOB_STATE_ACTIVE).SerializeToString()

    job = Job.FromString(stored + varint_field(8, 0) + varint_field(6, 0))

    assert (job.attempt, job.state) == (0, JobState.JOB_STATE_UNSPECIFIED)


# Strings and messages


@pytest.mark.parametrize("length", LENGTHS)
def test_bytes_of_any_length_are_written_as_protobuf_writes_them(length: int) -> None:
    """The length before the bytes grows with them."""
    data = b"x" * length

    assert bytes_field(1, data) == (BytesValue(value=data).SerializeToString() or b"\x0a\x00")


@given(st.text(), st.text())
def test_a_string_overrides(earlier: str, later: str) -> None:
    """The later text replaces the earlier one, the empty text too."""
    stored = Job(worker_id=earlier, trace_id=earlier).SerializeToString()

    job = Job.FromString(stored + bytes_field(1006, later.encode()) + bytes_field(23, later.encode()))

    assert (job.worker_id, job.trace_id) == (later, later)


def test_a_message_field_merges() -> None:
    """Repeated entries append, as in the envelope's own field."""
    stored = Job(tags=["a"]).SerializeToString()

    assert list(Job.FromString(stored + bytes_field(22, b"b")).tags) == ["a", "b"]


# Points in time


@pytest.mark.parametrize("name", TIMESTAMP_FIELDS)
def test_each_timestamp_of_a_job_can_be_written(name: str) -> None:
    """Tags of one and of two bytes lead to the right field, and to no other."""
    job = Job.FromString(timestamp_field(number_of(name), 1_763_783_000_123))

    assert [(field.name, value) for field, value in job.ListFields()] == [(name, to_timestamp(1_763_783_000_123))]


@given(TIMES, TIMESTAMPS)
def test_a_timestamp_overrides_whatever_stood_there(ms: int, earlier: Timestamp) -> None:
    """Seconds and nanos are replaced both, also where the new ones are zero or before 1970."""
    stored = Job(scheduled_at=earlier, id="kept").SerializeToString()

    job = Job.FromString(stored + timestamp_field(16, ms))

    assert job == Job(scheduled_at=to_timestamp(ms), id="kept")


@given(st.sampled_from([0, 1000, -1000, 60_000]), TIMES)
def test_the_last_of_several_timestamps_counts(first: int, last: int) -> None:
    """Overlays may be written over overlays."""
    job = Job.FromString(timestamp_field(1013, first) + timestamp_field(1013, last) + timestamp_field(14, first))

    assert job == Job(lease_expires_at=to_timestamp(last), created_at=to_timestamp(first))


@pytest.mark.parametrize("ms", [LATEST_MS, LATEST_MS + 1, LATEST_MS * 10, EARLIEST_MS, EARLIEST_MS - 1, -(10**20)])
def test_a_timestamp_beyond_the_range_becomes_its_end(ms: int) -> None:
    """The bytes never hold a time that a reader cannot print."""
    assert Job.FromString(timestamp_field(14, ms)).created_at == to_timestamp(ms)
