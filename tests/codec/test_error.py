"""Errors of attempts."""

from typing import Any

import pytest
from google.protobuf.json_format import MessageToDict
from google.protobuf.timestamp_pb2 import Timestamp
from hypothesis import given, settings
from ojs_grpc_pb.v1.job_pb2 import JobError

from ojs_grpc.codec.error import read_attempt, read_error, render_error, verify_exact
from ojs_grpc.core.kept_error import trim_error
from ojs_grpc.core.limits import Limits
from ojs_grpc.errors import InvalidRequest, PayloadTooLarge
from tests.codec.documents import ERRORS

LARGE = 2**53 + 1


def there_and_back(document: dict[str, Any]) -> dict[str, Any]:
    """The error as it comes back."""
    return render_error(read_error(document))


def test_an_error() -> None:
    """Each member has its field."""
    error = read_error(
        {
            "code": "handler_error",
            "type": "SmtpError",
            "message": "no",
            "retryable": False,
            "backtrace": ["a", "b"],
            "details": {"n": LARGE},
            "x": [LARGE],
            "attempt": 7,
            "occurred_at": "2030-01-01T00:00:00Z",
        }
    )

    assert error.exact == {"/details/n": str(LARGE), "/x/0": str(LARGE)}
    error.ClearField("exact")
    assert MessageToDict(error) == {
        "code": "handler_error",
        "type": "SmtpError",
        "message": "no",
        "retryable": False,
        "backtrace": "a\nb",
        "details": {"n": float(LARGE)},
        "ext": {"x": [float(LARGE)]},
    }


@pytest.mark.parametrize(
    "document",
    [
        {"code": "a", "type": "B", "message": "m", "retryable": True},
        {"code": "a", "type": "a", "message": "m", "details": {"error_class": "B", "n": LARGE}},
        {"code": "a", "type": "C", "message": "m", "details": {"ojs.type": "B", "error_class": "D"}},
        {"code": "a", "type": "a", "message": "m", "backtrace": ["a\nb", "c"], "x": None, "y": {"z": [-0.0, LARGE]}},
        {"code": "a", "type": "a", "message": "", "details": {}},
    ],
)
def test_what_a_worker_says_comes_back(document: dict[str, Any]) -> None:
    """All of it."""
    assert there_and_back(document) == document


@pytest.mark.parametrize(
    ("document", "type_", "code"),
    [
        ({"code": "a"}, "a", "a"),
        ({"type": "B"}, "B", "B"),
        ({"code": "a", "details": {"error_class": "B"}}, "B", "a"),
        ({"code": "a", "details": {"ojs.type": "B", "error_class": "C"}}, "B", "a"),
        ({"message": "m"}, "", ""),
    ],
)
def test_type_and_code(document: dict[str, Any], type_: str, code: str) -> None:
    """Each stands in for the other."""
    rendered = there_and_back(document)

    assert (rendered["type"], rendered["code"]) == (type_, code)
    assert "message" in rendered


@pytest.mark.parametrize(
    ("document", "violation"),
    [
        (None, ("error", "must be an object")),
        ("boom", ("error", "must be an object")),
        ({"code": 5}, ("error.code", "must be a string")),
        ({"message": {}}, ("error.message", "must be a string")),
        ({"retryable": "no"}, ("error.retryable", "must be true or false")),
        ({"backtrace": [1]}, ("error.backtrace", "must be an array of strings")),
        ({"details": "x"}, ("error.details", "must be an object")),
    ],
)
def test_broken_rules(document: object, violation: tuple[str, str]) -> None:
    """Each names the member and the rule."""
    with pytest.raises(InvalidRequest) as refusal:
        read_error(document)

    assert refusal.value.violations == (violation,)


@pytest.mark.parametrize("name", ["details", "x"])
def test_what_nests_too_deep(name: str) -> None:
    """It is too large."""
    value: Any = {}
    for _ in range(40):
        value = {"a": value}

    with pytest.raises(PayloadTooLarge, match=f"error.{name}: must not nest"):
        read_error({name: value})


def test_the_lines_of_a_backtrace() -> None:
    """A client may send them as they are."""
    assert there_and_back({"code": "a", "backtrace": "a\nb"})["backtrace"] == ["a", "b"]


def test_a_backtrace_that_was_cut() -> None:
    """The frames as they were said are no longer what is kept."""
    error = read_error({"code": "a", "backtrace": ["a\nb", "c" * 100]})

    trimmed = trim_error(error, Limits(backtrace_chars=5))

    assert render_error(trimmed)["backtrace"] == ["a", "b", "c"]


def test_many_frames() -> None:
    """The first 50 are kept, however many lines each has."""
    lines = trim_error(read_error({"code": "a", "backtrace": "x\n" * 60}), Limits())
    frames = trim_error(read_error({"code": "a", "backtrace": ["x\ny"] * 60}), Limits())

    assert render_error(lines)["backtrace"] == ["x"] * 50
    assert render_error(frames)["backtrace"] == ["x\ny"] * 50
    verify_exact(frames)


def test_many_lines_of_frames_that_were_cut() -> None:
    """They count as frames."""
    trimmed = trim_error(read_error({"code": "a", "backtrace": ["x\n" * 400] * 50}), Limits())

    assert render_error(trimmed)["backtrace"] == ["x"] * 50


def test_what_the_server_adds() -> None:
    """A client can read it."""
    document = {"code": "a", "type": "a", "message": "", "attempt": 2, "occurred_at": "2030-01-01T00:00:00.000Z"}

    error = read_attempt(document, "errors[0]")

    assert (error.attempt, error.occurred_at) == (2, Timestamp(seconds=1_893_456_000))
    assert render_error(error) == document
    with pytest.raises(InvalidRequest, match=r"errors\[0\].occurred_at: must be a time"):
        read_attempt({**document, "occurred_at": "now"}, "errors[0]")


def test_members_that_shadow() -> None:
    """What the spec knows wins."""
    error = JobError(code="a")
    error.ext.update({"code": "b", "retryable": "perhaps", "attempt": "one", "x": 1})

    assert render_error(error) == {"code": "a", "type": "a", "message": "", "x": 1}


@given(ERRORS)
@settings(max_examples=50)
def test_errors_there_and_back(error: JobError) -> None:
    """Whatever a client of protobuf reports."""
    assert read_attempt(render_error(error), "error") == error


def test_digits_that_a_client_knows() -> None:
    """They are believed if they fit."""
    error = read_error({"code": "a", "type": "B", "details": {"n": LARGE}, "backtrace": ["a\nb"], "x": LARGE})

    verify_exact(JobError())
    verify_exact(error)
    error.exact["/details/n"] = "5"
    with pytest.raises(InvalidRequest, match="must say what the other fields say"):
        verify_exact(error)
