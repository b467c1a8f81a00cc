"""Jobs as servers answer them."""

from typing import Any

import pytest
from google.protobuf.duration_pb2 import Duration
from google.protobuf.struct_pb2 import Value
from google.protobuf.timestamp_pb2 import Timestamp
from ojs_grpc_pb.v1.job_pb2 import Job, JobError, RateLimit, RetryPolicy, UniquePolicy

from ojs_grpc.codec import job as job_module
from ojs_grpc.codec.job import read_job, render_job
from ojs_grpc.core import states
from ojs_grpc.core.attributes import KNOWN
from ojs_grpc.errors import InvalidRequest

ID = "01970000-0000-7000-8000-000000000000"
TIME = Timestamp(seconds=1_893_456_000)
TEXT = "2030-01-01T00:00:00.000Z"
PLAIN = {
    "specversion": "1.0",
    "id": ID,
    "type": "a",
    "queue": "default",
    "args": [],
    "meta": {},
    "priority": 0,
    "state": "available",
    "attempt": 0,
    "max_attempts": 3,
    "created_at": TEXT,
    "enqueued_at": TEXT,
}


def job(**fields: Any) -> Job:  # noqa: ANN401 - any field
    """A job that was just enqueued, with these fields beside or instead."""
    least: dict[str, Any] = {
        "id": ID,
        "type": "a",
        "queue": "default",
        "specversion": "1.0",
        "state": states.AVAILABLE,
        "max_attempts": 3,
        "created_at": TIME,
        "enqueued_at": TIME,
    }
    return Job(**{**least, **fields})


def rendered(**fields: Any) -> dict[str, Any]:  # noqa: ANN401 - any field
    """What such a job has more than a plain one."""
    document = render_job(job(**fields))
    return {name: value for name, value in document.items() if name not in PLAIN or PLAIN[name] != value}


def test_the_least_that_a_job_shows() -> None:
    """Zeros and empty values among it; whether it is a message or its bytes."""
    assert render_job(job()) == render_job(job().SerializeToString()) == PLAIN


def test_every_field_has_its_place() -> None:
    """A new field of the message cannot be forgotten."""
    numbers = {field.number for field in Job.DESCRIPTOR.fields}

    assert numbers == {*job_module._PLAIN, *job_module._TIMESTAMPS, *job_module._OTHERS}


@pytest.mark.parametrize("state", states.ALL)
def test_states(state: int) -> None:
    """In lower case."""
    assert render_job(job(state=state))["state"] == states.state_name(state)


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"priority": -5}, {"priority": -5}),
        ({"timeout": Duration(seconds=2)}, {"timeout_ms": 2000, "timeout": 2}),
        ({"timeout": Duration(nanos=1)}, {"timeout_ms": 1}),
        ({"visibility_timeout": Duration(seconds=1, nanos=500_000_000)}, {"visibility_timeout_ms": 1500}),
        ({"scheduled_at": TIME}, {"scheduled_at": TEXT}),
        ({"tags": ["a"]}, {"tags": ["a"]}),
        ({"schema": "urn:a"}, {"schema": "urn:a"}),
        ({"retry_policy": RetryPolicy()}, {"retry": {}}),
        ({"retry_policy": RetryPolicy(max_attempts=5, jitter=False)}, {"retry": {"max_attempts": 5, "jitter": False}}),
        ({"unique_policy": UniquePolicy(key=["type"])}, {"unique": {"keys": ["type"]}}),
        ({"rate_limit": RateLimit(concurrency=1)}, {"rate_limit": {"concurrency": 1}}),
        ({"workflow_id": ID, "worker_id": "w", "lease": 7}, {"workflow_id": ID, "worker_id": "w", "lease": 7}),
        ({"retry_delay_ms": 5, "next_attempt_at": TIME}, {"retry_delay_ms": 5, "next_attempt_at": TEXT}),
        ({"lease_expires_at": TIME, "dead_letter": True}, {"lease_expires_at": TEXT, "dead_letter": True}),
        ({"cancelled_at": TIME, "discarded_at": TIME}, {"cancelled_at": TEXT, "discarded_at": TEXT}),
        ({"result_value": Value(number_value=0)}, {"result": 0}),
        ({"result_value": Value(null_value="NULL_VALUE")}, {"result": None}),
        ({"trace_id": "t"}, {"trace_id": "t"}),
    ],
)
def test_attributes(fields: dict[str, Any], expected: dict[str, Any]) -> None:
    """Each is there only if it is set."""
    assert rendered(**fields) == expected


def test_both_fields_of_a_result() -> None:
    """The one that can say anything wins."""
    done = job(result_value=Value(string_value="x"))
    done.result.update({"ojs.value": "y"})

    assert render_job(done)["result"] == "x"


def test_the_trace() -> None:
    """It is not said twice."""
    same, other = job(trace_id="t"), job(trace_id="t")
    same.meta.update({"trace_id": "t"})
    other.meta.update({"trace_id": "u"})

    assert "trace_id" not in render_job(same)
    assert render_job(other)["trace_id"] == "t"


def test_the_last_error() -> None:
    """It stands alone too, until the job succeeds or starts over."""
    errors = [JobError(code="a", attempt=1), JobError(code="b", attempt=2)]

    failed = rendered(errors=errors, attempt=2)
    assert [error["code"] for error in failed["errors"]] == ["a", "b"]
    assert failed["error"] == {"code": "b", "type": "b", "message": "", "attempt": 2}
    for fields in ({"attempt": 2, "state": states.COMPLETED}, {"attempt": 0}):
        document = rendered(errors=errors, **fields)
        assert "error" not in document
        assert len(document["errors"]) == 2


def test_what_a_step_gets_from_those_before() -> None:
    """It is an attribute, and not in `meta`."""
    step = job(workflow_id=ID)
    step.meta.update({"ojs.parent_results": [1, None], "ojs.parent_step_ids": ["x", "y"]})

    document = render_job(step)

    assert document["parent_results"] == [1, None]
    assert document["meta"] == {"ojs.parent_step_ids": ["x", "y"]}


def test_what_only_looks_like_that() -> None:
    """In a job of no workflow it is the client's."""
    alone = job()
    alone.meta.update({"ojs.parent_results": [1]})

    assert render_job(alone)["meta"] == {"ojs.parent_results": [1]}


def test_attributes_that_nobody_knows() -> None:
    """They never take the place of one that is known."""
    strange = job()
    strange.ext.update({"x": None, "options": {"y": 1}, **dict.fromkeys(KNOWN - {"options"}, "z")})

    assert render_job(strange) == {**PLAIN, "x": None, "options": {"y": 1}}


def test_exact_texts() -> None:
    """They come last, and what leads nowhere is ignored."""
    large = job(exact={"/args/0": "9007199254740993", "/result/x": "1", "/max_attempts": "0", "/retry": "{"})
    large.args.add(number_value=2.0**53)

    document = render_job(large)

    assert document == {**PLAIN, "args": [2**53 + 1], "max_attempts": 0}


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ('"2030-01-01T01:00:00+01:00"', "2030-01-01T01:00:00+01:00"),
        ('"2031-01-01T00:00:00Z"', TEXT),
        ("5", TEXT),
        ('"soon"', TEXT),
        ("{", TEXT),
    ],
)
def test_a_text_of_a_time(text: str, shown: str) -> None:
    """A job that took over another one's time does not show the text of its own."""
    document = render_job(job(scheduled_at=TIME, expires_at=TIME, exact={"/scheduled_at": text, "/expires_at": text}))

    assert (document["scheduled_at"], document["expires_at"]) == (shown, shown)


def test_documents_are_the_callers() -> None:
    """Changing one changes no other."""
    policies = {"retry_policy": RetryPolicy(max_attempts=5, non_retryable_errors=["a"])}

    first = render_job(job(**policies))
    first["retry"]["max_attempts"] = 7
    first["retry"]["non_retryable_errors"].append("b")
    plain = render_job(job(retry_policy=RetryPolicy(max_attempts=5)))
    plain["retry"]["max_attempts"] = 7

    assert render_job(job(**policies))["retry"] == {"max_attempts": 5, "non_retryable_errors": ["a"]}
    assert render_job(job(retry_policy=RetryPolicy(max_attempts=5)))["retry"] == {"max_attempts": 5}


# Reading


@pytest.mark.parametrize(
    ("member", "value"),
    [
        ("state", "gone"),
        ("state", None),
        ("attempt", -1),
        ("lease", 2**63),
        ("created_at", "now"),
        ("errors", {}),
        ("args", None),
        ("dead_letter", 1),
        ("parent_results", {}),
        ("worker_id", 5),
    ],
)
def test_an_answer_that_is_no_job(member: str, value: object) -> None:
    """It is refused, by the field."""
    with pytest.raises(InvalidRequest) as refusal:
        read_job({**PLAIN, member: value})

    assert [field for field, _ in refusal.value.violations] == [member]


def test_reading_a_step() -> None:
    """What it got from the steps before it is where the engine keeps it."""
    document = {**PLAIN, "workflow_id": ID, "parent_results": [2**53 + 1, None], "meta": {"a": 1}}

    read = read_job(document)

    assert sorted(read.meta.fields) == ["a", "ojs.parent_results"]
    assert render_job(read) == document


def test_reading_exact_texts() -> None:
    """They are found again."""
    document = {**PLAIN, "args": [2**53 + 1], "scheduled_at": "2030-01-01T01:00:00+01:00", "result": {"n": 2**53 + 1}}

    read = read_job(document)

    assert read.exact == {
        "/args/0": "9007199254740993",
        "/scheduled_at": '"2030-01-01T01:00:00+01:00"',
        "/result/n": "9007199254740993",
    }
    assert render_job(read) == document
