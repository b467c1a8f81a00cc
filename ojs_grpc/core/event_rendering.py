"""From the log to subscribers: a stored event as the `ojs.v1.Event` that the spec describes (behaviour section 18).

Written as bytes: an event is rendered once for all its subscribers, and nobody here reads it again.
"""

import re
from functools import lru_cache

from google.protobuf.struct_pb2 import Value
from ojs_grpc_pb.v1.events_pb2 import Event
from ojs_grpc_pb.v1.job_pb2 import Job

from ojs_grpc.core.duration import timestamp_ms
from ojs_grpc.core.events import Kind, StoredEvent, id_text, name_of
from ojs_grpc.core.members import member, number_member, text_member, time_member
from ojs_grpc.core.wire import bytes_field, timestamp_field

KEEPALIVE = "stream.keepalive"
GAP = "stream.gap"

WRAPPED_RESULT = "ojs.value"
"""The one member of a result that is no object, for clients that know only `Job.result` (design section 7)."""

_WORKFLOW_KINDS = range(Kind.WORKFLOW_STARTED, Kind.WORKFLOW_CANCELLED + 1)
_TRACEPARENT = re.compile(r"[0-9a-f]{2}-([0-9a-f]{32})-")


def subject_of(event: StoredEvent) -> Job:
    """Whom the event is about."""
    return Job.FromString(event.subject)


def render(event: StoredEvent, subject: Job) -> bytes:
    """The event as a serialised `ojs.v1.Event`.

    Args:
        event: of a kind that `name_of` knows.
        subject: as `subject_of` gives it.
    """
    parts = [
        bytes_field(Event.ID_FIELD_NUMBER, id_text(event.id).encode()),
        _type_field(event.kind),
        timestamp_field(Event.TIMESTAMP_FIELD_NUMBER, event.at),
        bytes_field(Event.DATA_FIELD_NUMBER, _data(event, subject)),
    ]
    if subject.id:
        parts.append(bytes_field(Event.JOB_ID_FIELD_NUMBER, subject.id.encode()))
    if subject.type:
        parts.append(bytes_field(Event.JOB_TYPE_FIELD_NUMBER, subject.type.encode()))
    if subject.queue:
        parts.append(bytes_field(Event.QUEUE_FIELD_NUMBER, subject.queue.encode()))
    if subject.workflow_id:
        parts.append(bytes_field(Event.WORKFLOW_ID_FIELD_NUMBER, subject.workflow_id.encode()))
    return b"".join(parts)


def keepalive(now: int) -> bytes:
    """What a stream says when it has had nothing to say for long. It is not in the log, so it has no id."""
    return _notice(KEEPALIVE, now, b"")


def gap(missed: int, after: str, now: int) -> bytes:
    """What stands in a stream for events that were lost because their subscriber was slow. It has no id either.

    Args:
        missed: how many.
        after: the id of the last event before them, empty if there was none in this stream.
    """
    return _notice(GAP, now, number_member("missed", missed) + text_member("after", after))


def _notice(type_: str, now: int, data: bytes) -> bytes:
    return (
        bytes_field(Event.TYPE_FIELD_NUMBER, type_.encode())
        + timestamp_field(Event.TIMESTAMP_FIELD_NUMBER, now)
        + bytes_field(Event.DATA_FIELD_NUMBER, data)
    )


def _data(event: StoredEvent, subject: Job) -> bytes:
    """The members of `data`: whom it is about, and what the kind of event says besides."""
    data = b""
    if subject.type:
        data += _short_member("job_type", subject.type)
    if subject.queue:
        data += _short_member("queue", subject.queue)
    if subject.workflow_id and event.kind in _WORKFLOW_KINDS:
        data += text_member("workflow_id", subject.workflow_id)
    if event.kind == Kind.JOB_ENQUEUED:
        data += _priority(subject) + _scheduled_at(subject)
    elif event.kind == Kind.JOB_SCHEDULED:
        data += _scheduled_at(subject)
    elif event.kind == Kind.JOB_STARTED:
        data += _holder(event)
    elif event.kind == Kind.JOB_HEARTBEAT:
        data += _holder(event) + time_member("visible_until", event.value)
    elif event.kind == Kind.JOB_COMPLETED:
        data += number_member("duration_ms", event.value) + _attempt(event.attempt) + _result(event.detail)
    else:
        data += event.detail
    return data + _trace(subject)


def _priority(subject: Job) -> bytes:
    return number_member("priority", subject.priority) if subject.priority else b""


def _scheduled_at(subject: Job) -> bytes:
    if not subject.HasField("scheduled_at"):
        return b""
    return time_member("scheduled_at", timestamp_ms(subject.scheduled_at))


def _holder(event: StoredEvent) -> bytes:
    return _short_member("worker_id", event.detail.decode()) + _attempt(event.attempt)


def _result(tail: bytes) -> bytes:
    """The result of a completion, of whatever type; nothing if there is none."""
    if not tail:
        return b""
    job = Job.FromString(tail)
    if job.HasField("result_value"):
        return member("result", job.result_value.SerializeToString())
    if not job.HasField("result"):
        return b""
    if list(job.result.fields) == [WRAPPED_RESULT]:
        return member("result", job.result.fields[WRAPPED_RESULT].SerializeToString())
    return member("result", bytes_field(Value.STRUCT_VALUE_FIELD_NUMBER, job.result.SerializeToString()))


def _trace(subject: Job) -> bytes:
    if subject.trace_id:
        return text_member("trace_id", subject.trace_id)
    if "traceparent" in subject.meta.fields:
        # A producer's own `meta` may hold anything under this name.
        found = _TRACEPARENT.match(subject.meta.fields["traceparent"].string_value)
        if found is not None:
            return text_member("trace_id", found[1])
    return b""


# Types of jobs, queues and workers are few, and the bound keeps a client that invents them from filling memory.
@lru_cache(maxsize=4096)
def _short_member(name: str, text: str) -> bytes:
    return text_member(name, text)


@lru_cache(maxsize=64)
def _attempt(attempt: int) -> bytes:
    return number_member("attempt", attempt)


@lru_cache(maxsize=64)
def _type_field(kind: int) -> bytes:
    return bytes_field(Event.TYPE_FIELD_NUMBER, name_of(kind).encode())
