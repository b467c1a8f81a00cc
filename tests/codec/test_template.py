"""Jobs that something else makes, and what clients of protobuf say exactly."""

from typing import Any

import pytest
from google.protobuf.duration_pb2 import Duration
from google.protobuf.json_format import MessageToDict
from google.protobuf.timestamp_pb2 import Timestamp
from ojs_grpc_pb.v1.job_pb2 import BatchJobEntry, EnqueueOptions, EnqueueRequest, RateLimit, RetryPolicy, UniquePolicy
from ojs_grpc_pb.v1.service_pb2 import RegisterCronRequest
from ojs_grpc_pb.v1.workflow_pb2 import WorkflowStep

from ojs_grpc.codec.enqueue import read_enqueue
from ojs_grpc.codec.template import read_template, render_template, verify_entry, verify_exact
from ojs_grpc.errors import InvalidRequest, PayloadTooLarge
from tests.codec.documents import NOW

ID = "01970000-0000-7000-8000-000000000000"
LARGE = 2**53 + 1


def read(**document: Any) -> EnqueueRequest:  # noqa: ANN401 - any JSON value
    """The request of a job with these attributes."""
    return read_enqueue({"type": "a", "args": [], **document}, NOW)


def test_a_template() -> None:
    """What belongs to the thing that makes the jobs is not the job's; relative times stay relative."""
    document = {"id": "step", "name": "n", "type": "a", "args": [], "x": 1, "options": {"expires_at": "+PT1M"}}

    request = read_template(document, NOW, own=("name",))

    assert request.id == ""
    assert MessageToDict(request.ext) == {"x": 1}
    assert request.options.ttl.seconds == 60


def test_rendering_a_template() -> None:
    """In one form, whatever the message."""
    document = {
        "type": "a",
        "args": [LARGE],
        "meta": {"n": LARGE},
        "options": {
            "queue": "q",
            "x": LARGE,
            "priority": 3,
            "max_attempts": 0,
            "retry": {"max_attempts": 0, "initial_interval": "P1D"},
            "unique": {"keys": ["type"], "period": "P1D"},
            "timeout_ms": 1500,
            "ttl": "PT1M",
            "pending": True,
            "scheduled_at": "2030-01-01T00:00:00+01:00",
        },
        "schema": "urn:a",
        "y": LARGE,
    }
    request = read_template(document, NOW)
    step = WorkflowStep(
        type=request.type,
        args=request.args,
        options=request.options,
        exact=request.exact,
        schema=request.schema,
        ext=request.ext,
    )

    assert render_template(request) == render_template(step) == document


def test_the_least_of_a_template() -> None:
    """No options, no object for them."""
    assert render_template(EnqueueRequest(type="a")) == {"type": "a", "args": []}


# Exact texts from clients of protobuf


def test_digits_that_a_client_knows() -> None:
    """They are those of the double, before it lost some."""
    request = read(args=[LARGE], retry={"max_attempts": 0}, scheduled_at="2030-01-01T00:00:00+01:00")

    verify_exact(request)


@pytest.mark.parametrize(
    ("exact", "rule"),
    [
        ({"/args/0": "9007199254740995"}, "must say what the other fields say"),
        ({"/args/0": '"x"'}, "must say what the other fields say"),
        ({"/args/0": "9007199254740992"}, "must be kept only where it is needed"),
        ({"/args/0": " 9007199254740993"}, "must be kept only where it is needed"),
        ({"/args/0": "1e999"}, "must be the text of a JSON value"),
        ({"/args/0": ""}, "must be the text of a JSON value"),
        ({"/args/1": "1"}, "leads nowhere"),
        ({"/args/x": "1"}, "leads nowhere"),
        ({"/args/0/0": "1"}, "leads nowhere"),
        ({"/x/y": "1"}, "leads nowhere"),
        ({"": "{}"}, "leads nowhere"),
        ({"args": "[]"}, "leads nowhere"),
        ({"/type": '"b"'}, "must say what the other fields say"),
        ({"/type": "1"}, "is no such request: type: must be a string"),
        ({"/args": "[" * 100 + "]" * 100}, "is no such request: args: must not nest deeper"),
    ],
)
def test_digits_that_are_made_up(exact: dict[str, str], rule: str) -> None:
    """Else one protocol would show another job than the other."""
    request = EnqueueRequest(type="a", exact=exact)
    request.args.add(number_value=2.0**53)

    with pytest.raises(InvalidRequest, match=rule):
        verify_exact(request)


def test_a_broken_entry_of_a_list() -> None:
    """Its place is part of the error."""
    with pytest.raises(InvalidRequest, match=r'jobs\[1\]\.exact\["/x"\]: leads nowhere') as refusal:
        verify_entry(WorkflowStep(type="a", exact={"/x": "1"}), 1, "jobs")

    assert refusal.value.details == {"index": "1"}


def test_entries_without_such_texts() -> None:
    """Most have none."""
    verify_entry(BatchJobEntry(type="a"), 0, "jobs")


def test_a_request_that_breaks_other_rules() -> None:
    """It is refused for one of them, never the server's fault."""
    request = read(args=[LARGE], unique={"keys": ["type"]}, scheduled_at="2030-01-01T00:00:00+01:00")
    request.options.unique.on_conflict = 77  # type: ignore[assignment]
    request.options.unique.states.append(99)  # type: ignore[arg-type]
    request.options.delay_until.nanos = -5
    request.options.timeout.seconds = -5

    with pytest.raises(InvalidRequest):
        verify_exact(request)


@pytest.mark.parametrize("number", [float("nan"), float("inf")])
def test_a_number_that_json_cannot_say(number: float) -> None:
    """It is the client's fault wherever it stands."""
    request = read(args=[LARGE], retry={"max_attempts": 0})
    request.options.retry.backoff_coefficient = number

    with pytest.raises(InvalidRequest):
        verify_exact(request)


def test_texts_of_any_length() -> None:
    """What nobody keeps is not looked at, which would take long."""
    request = EnqueueRequest(type="a", exact={"/" * 3_000_000: "1"})

    with pytest.raises(PayloadTooLarge, match="exact"):
        verify_exact(request)
    with pytest.raises(InvalidRequest, match="leads nowhere"):
        verify_exact(EnqueueRequest(type="a", exact={"/" * 1000: "1"}))


OUT_OF_RANGE = Duration(seconds=1, nanos=10**9)


@pytest.mark.parametrize(
    ("options", "field"),
    [
        (EnqueueOptions(timeout=OUT_OF_RANGE), "options.timeout"),
        (EnqueueOptions(visibility_timeout=OUT_OF_RANGE), "options.visibility_timeout"),
        (EnqueueOptions(ttl=OUT_OF_RANGE), "options.ttl"),
        (EnqueueOptions(delay_until=Timestamp(nanos=-1)), "options.delay_until"),
        (EnqueueOptions(expires_at=Timestamp(seconds=10**15)), "options.expires_at"),
        (EnqueueOptions(retry=RetryPolicy(initial_interval=OUT_OF_RANGE)), "options.retry.initial_interval"),
        (EnqueueOptions(retry=RetryPolicy(max_interval=OUT_OF_RANGE)), "options.retry.max_interval"),
        (EnqueueOptions(unique=UniquePolicy(period=OUT_OF_RANGE)), "options.unique.period"),
        (EnqueueOptions(rate_limit=RateLimit(rate=RateLimit.Rate(limit=1, period=OUT_OF_RANGE))), "options.rate_limit"),
    ],
)
def test_times_that_are_none(options: EnqueueOptions, field: str) -> None:
    """What is wrong with the request itself is told by its own name."""
    for request in (
        EnqueueRequest(type="a", options=options, exact={"/meta": "{}"}),
        RegisterCronRequest(type="a", options=options, exact={"/meta": "{}"}),
    ):
        with pytest.raises(InvalidRequest) as caught:
            verify_exact(request)

        assert [name for name, _ in caught.value.violations if name.startswith(field)]
