"""A job in JSON (wire section 2.1): as servers answer it, and as clients read it."""

from collections.abc import Callable
from functools import lru_cache
from typing import Any, Final

from google.protobuf.duration_pb2 import Duration
from google.protobuf.struct_pb2 import Struct, Value
from ojs_grpc_pb.v1.job_pb2 import EnqueueRequest, Job, JobState, RetryPolicy

from ojs_grpc.codec import exact as exact_texts
from ojs_grpc.codec.enqueue import read_enqueue
from ojs_grpc.codec.error import read_attempt, render_error
from ojs_grpc.codec.json_text import parse_value
from ojs_grpc.codec.members import Members
from ojs_grpc.codec.policies import render_rate_limit, render_retry, render_unique
from ojs_grpc.codec.result import RESULT, read_result, render_result
from ojs_grpc.codec.times import read_timestamp, time_text, timestamp_text
from ojs_grpc.codec.values import read_value, render_read, render_struct, render_value
from ojs_grpc.core import states
from ojs_grpc.core.attributes import KNOWN, SYSTEM
from ojs_grpc.core.duration import duration_ms
from ojs_grpc.core.envelope import DEFAULT_QUEUE, SPECVERSION, NewJob, job_bytes
from ojs_grpc.core.event_rendering import WRAPPED_RESULT
from ojs_grpc.core.lifecycle import PARENT_RESULTS
from ojs_grpc.core.options import TRACE_ID

_KEPT_BYTES: Final = 256
_MAX_INT64: Final = (1 << 63) - 1
_STATES: Final = {states.state_name(state): JobState.ValueType(state) for state in states.ALL}
_POINTERS_OF_TIMES: Final = {"/scheduled_at": "scheduled_at", "/expires_at": "expires_at"}
_SYSTEM_TIMES: Final = (
    *("created_at", "enqueued_at", "started_at", "completed_at", "cancelled_at", "discarded_at"),
    *("next_attempt_at", "lease_expires_at"),
)


# Options that are messages, and the names that they have in a job.
_MESSAGES: Final = {
    "meta": "meta",
    "retry": "retry_policy",
    "unique": "unique_policy",
    "rate_limit": "rate_limit",
    "delay_until": "scheduled_at",
    "expires_at": "expires_at",
    "timeout": "timeout",
    "visibility_timeout": "visibility_timeout",
}


def render_job(job: Job | bytes) -> dict[str, Any]:
    """The job as a document, which is the caller's to change.

    Args:
        job: the message, or serialised.
    """
    if isinstance(job, bytes):
        job = Job.FromString(job)
    document: dict[str, Any] = {
        "specversion": SPECVERSION,
        "id": "",
        "type": "",
        "queue": DEFAULT_QUEUE,
        "args": [],
        "meta": {},
        "priority": 0,
        "attempt": 0,
        "max_attempts": 0,
    }
    for descriptor, value in job.ListFields():
        number = descriptor.number
        if number in _PLAIN:
            document[_PLAIN[number]] = value
        elif number in _TIMESTAMPS:
            document[_TIMESTAMPS[number]] = timestamp_text(value)
        else:
            _OTHERS[number](document, value)
    if job.meta.fields:
        _settle_meta(document)
    if job.errors and job.state != states.COMPLETED and job.attempt:
        document["error"] = dict(document["errors"][-1])
    if job.exact:
        exact_texts.apply(document, [item for item in job.exact.items() if _still_holds(job, *item)])
    return document


def render_new(job: NewJob, type_: str, args: list[Any], stored_at: int) -> dict[str, Any]:
    """A job that was just stored, as `render_job` has it; what it holds is not the caller's to change.

    It is the answer to every enqueue. What follows from the options is the same for many jobs, and kept.

    Args:
        type_, args: as the request had them.
        stored_at: ms since the epoch.
    """
    if not job.common:
        return render_job(job_bytes(job, stored_at))
    document = _kept_common(job.common).copy()
    document["id"] = job.id
    document["type"] = type_
    document["args"] = render_read(args)
    document["state"] = states.state_name(job.state)
    document["created_at"] = time_text(job.created_at)
    if job.state == states.AVAILABLE:
        document["enqueued_at"] = time_text(stored_at)
    return document


@lru_cache(maxsize=1024)
def _kept_common(fields: bytes) -> dict[str, Any]:
    return render_job(fields)


def read_job(document: dict[str, Any]) -> Job:
    """The message of a job that `render_job` rendered.

    Raises:
        InvalidRequest: with every broken rule.
        PayloadTooLarge: it nests too deep.
    """
    members = Members(document)
    said = {name: value for name, value in document.items() if name not in SYSTEM}
    job = _from_request(read_enqueue(said, 0))
    state = members.required_text("state")
    if state in _STATES:
        job.state = _STATES[state]
    elif state:
        members.refuse("state", f"must be one of {', '.join(_STATES)}")
    job.attempt = members.whole("attempt", low=0) or 0
    job.worker_id, job.workflow_id = members.text("worker_id") or "", members.text("workflow_id") or ""
    job.retry_delay_ms = members.whole("retry_delay_ms", low=0, high=_MAX_INT64) or 0
    job.lease = members.whole("lease", low=0, high=_MAX_INT64) or 0
    job.dead_letter = members.truth("dead_letter") or False
    for name in _SYSTEM_TIMES:
        _read_time(members, name, job)
    for index, error in enumerate(members.array("errors") or ()):
        job.errors.append(read_attempt(error, f"errors[{index}]"))
    _read_result(document, job)
    parents = members.array("parent_results")
    if parents is not None:
        exact: dict[str, str] = {}
        value = read_value(parents, "parent_results", "/parent_results", exact)
        job.meta.fields[PARENT_RESULTS].CopyFrom(value)
        job.exact.update(exact)
    members.finish()
    return job


def _settle_meta(document: dict[str, Any]) -> None:
    """What the server keeps in `meta`, and JSON shows elsewhere or not at all."""
    meta = document["meta"]
    if "workflow_id" in document and type(meta.get(PARENT_RESULTS)) is list:
        document["parent_results"] = meta.pop(PARENT_RESULTS)
    if "trace_id" in document and meta.get(TRACE_ID) == document["trace_id"]:
        del document["trace_id"]


def _still_holds(job: Job, pointer: str, text: str) -> bool:
    """Whether a text of `exact` is about what the job has now: a job may take over another one's `scheduled_at`."""
    name = _POINTERS_OF_TIMES.get(pointer)
    if name is None:
        return True
    try:
        return bool(read_timestamp(parse_value(text)) == getattr(job, name))
    except (ValueError, TypeError):
        return False


def _render_retry(policy: RetryPolicy) -> dict[str, Any]:
    # Most jobs of a producer have the same policy; and few have one as large as the limit.
    data = policy.SerializeToString()
    return render_retry(policy) if len(data) > _KEPT_BYTES or policy.non_retryable_errors else {**_kept_retry(data)}


@lru_cache(maxsize=1024)
def _kept_retry(data: bytes) -> dict[str, Any]:
    return render_retry(RetryPolicy.FromString(data))


def _render_timeout(name: str) -> Callable[[dict[str, Any], Duration], None]:
    def render(document: dict[str, Any], value: Duration) -> None:
        ms = duration_ms(value)
        document[f"{name}_ms"] = ms
        if ms % 1000 == 0:
            document[name] = ms // 1000

    return render


def _render_result(document: dict[str, Any], value: Struct) -> None:
    document[RESULT] = render_result(value, None)


def _render_result_value(document: dict[str, Any], value: Value) -> None:
    document[RESULT] = render_value(value)


def _render_ext(document: dict[str, Any], ext: Struct) -> None:
    for name, value in ext.fields.items():
        if name not in KNOWN or name == "options":
            document[name] = render_value(value)


def _ignore(document: dict[str, Any], value: Any) -> None:  # noqa: ANN401
    """`exact` is applied when everything else is there."""


def _rendered(name: str, render: Callable[[Any], Any]) -> Callable[[dict[str, Any], Any], None]:
    def add(document: dict[str, Any], value: Any) -> None:  # noqa: ANN401
        document[name] = render(value)

    return add


# How each field is rendered, by number: as it is, as a time, or by a function that adds it to the document.
_PLAIN: Final = {
    Job.DESCRIPTOR.fields_by_name[name].number: name
    for name in (
        *("specversion", "id", "type", "queue", "priority", "attempt", "max_attempts", "trace_id", "workflow_id"),
        *("worker_id", "retry_delay_ms", "lease", "dead_letter", "schema"),
    )
}
_TIMESTAMPS: Final = {
    Job.DESCRIPTOR.fields_by_name[name].number: name for name in ("scheduled_at", "expires_at", *_SYSTEM_TIMES)
}
# In the order of their numbers, as they come: `result_value` after `result`, which it wins over.
_OTHERS: Final[dict[int, Callable[[dict[str, Any], Any], None]]] = {
    Job.ARGS_FIELD_NUMBER: _rendered("args", lambda args: [render_value(arg) for arg in args]),
    Job.META_FIELD_NUMBER: _rendered("meta", render_struct),
    Job.STATE_FIELD_NUMBER: _rendered("state", states.state_name),
    Job.RETRY_POLICY_FIELD_NUMBER: _rendered("retry", _render_retry),
    Job.UNIQUE_POLICY_FIELD_NUMBER: _rendered("unique", render_unique),
    Job.RESULT_FIELD_NUMBER: _render_result,
    Job.ERRORS_FIELD_NUMBER: _rendered("errors", lambda errors: [render_error(error) for error in errors]),
    Job.TIMEOUT_FIELD_NUMBER: _render_timeout("timeout"),
    Job.VISIBILITY_TIMEOUT_FIELD_NUMBER: _render_timeout("visibility_timeout"),
    Job.TAGS_FIELD_NUMBER: _rendered("tags", list),
    Job.RESULT_VALUE_FIELD_NUMBER: _render_result_value,
    Job.RATE_LIMIT_FIELD_NUMBER: _rendered("rate_limit", render_rate_limit),
    Job.EXACT_FIELD_NUMBER: _ignore,
    Job.EXT_FIELD_NUMBER: _render_ext,
}


def _from_request(request: EnqueueRequest) -> Job:
    """What a client said of a job, as fields of the job."""
    options = request.options
    job = Job(
        specversion=SPECVERSION,
        id=request.id,
        type=request.type,
        args=request.args,
        queue=options.queue,
        priority=options.priority,
        max_attempts=options.max_attempts,
        trace_id=options.trace_id or options.meta.fields.get(TRACE_ID, Value()).string_value,
        tags=options.tags,
        schema=request.schema,
        exact=request.exact,
    )
    for ours, theirs in _MESSAGES.items():
        if options.HasField(ours):  # type: ignore[arg-type]
            getattr(job, theirs).SetInParent()
            getattr(job, theirs).CopyFrom(getattr(options, ours))
    if request.HasField("ext"):
        job.ext.CopyFrom(request.ext)
    return job


def _read_time(members: Members, name: str, job: Job) -> None:
    said = members.text(name)
    if said is not None:
        try:
            time = read_timestamp(said)
        except ValueError as error:
            members.refuse(name, str(error))
        else:
            getattr(job, name).SetInParent()
            getattr(job, name).CopyFrom(time)


def _read_result(document: dict[str, Any], job: Job) -> None:
    """The result, in both of its fields if it is no object."""
    result, result_value, exact = read_result(document)
    if result_value is not None:
        job.result_value.CopyFrom(result_value)
        job.result.fields[WRAPPED_RESULT].CopyFrom(result_value)
    elif result is not None:
        job.result.SetInParent()
        job.result.CopyFrom(result)
    job.exact.update(exact)
