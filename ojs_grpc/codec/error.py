"""Errors of attempts in JSON (wire sections 2.6 and 4.6)."""

from collections.abc import Mapping
from typing import Any, Final

from google.protobuf.struct_pb2 import Value
from ojs_grpc_pb.v1.job_pb2 import JobError

from ojs_grpc.codec import exact as exact_texts
from ojs_grpc.codec import values
from ojs_grpc.codec.json_text import dump_text
from ojs_grpc.codec.members import Members
from ojs_grpc.codec.times import read_timestamp, timestamp_text
from ojs_grpc.core.kept_error import BACKTRACE
from ojs_grpc.errors import InvalidRequest, Violation

_KNOWN: Final = frozenset(
    ("code", "type", "message", "retryable", "attempt", "occurred_at", "backtrace", "details"),
)
_ABSENT: Final = Value()


def read_error(document: Any, field: str = "error") -> JobError:  # noqa: ANN401 - whatever a client sent
    """A reported error; `attempt` and `occurred_at` are the server's, and not read.

    Raises:
        InvalidRequest: with every broken rule.
        PayloadTooLarge: it nests too deep.
    """
    if type(document) is not dict:
        raise InvalidRequest([Violation(field, "must be an object")])
    members = Members(document, field)
    code, type_ = members.text("code") or "", members.text("type") or ""
    error = JobError(code=code or type_, message=members.text("message") or "", retryable=members.truth("retryable"))
    exact: dict[str, str] = {}
    _read_backtrace(members, error, exact)
    details = members.object("details")
    members.finish()
    if details is not None:
        error.details.CopyFrom(values.read_struct(details, f"{field}.details", "/details", exact))
        error.details.SetInParent()
    if unknown := {name: value for name, value in document.items() if name not in _KNOWN}:
        error.ext.MergeFromString(values.unknown_bytes(unknown, field, exact))
    # What follows from the rest need not be said.
    if type_ and type_ != _type(error):
        error.type = type_
    error.exact.update(exact)
    return error


def read_attempt(document: Any, field: str) -> JobError:  # noqa: ANN401 - whatever a server sent
    """An error as a server tells of it: `attempt` and `occurred_at` are read too.

    Raises:
        As `read_error`.
    """
    error = read_error(document, field)
    members = Members(document, field)
    error.attempt = members.whole("attempt", low=0) or 0
    occurred_at = members.text("occurred_at")
    if occurred_at is not None:
        try:
            error.occurred_at.CopyFrom(read_timestamp(occurred_at))
        except ValueError as broken:
            members.refuse("occurred_at", str(broken))
    members.finish()
    return error


def render_error(error: JobError) -> dict[str, Any]:
    """The error as an object, with `type`, `code` and `message` in any case."""
    document = _render(error)
    if error.exact:
        exact_texts.apply(document, error.exact.items())
    return document


def verify_exact(error: JobError) -> None:
    """Checks what a client says in `exact`.

    Raises:
        InvalidRequest: it says something else than the other fields.
    """
    exact_texts.verify(error, lambda: _render(error), _read_again)


def _read_again(document: dict[str, Any]) -> tuple[bytes, Mapping[str, str]]:
    error = read_error(document)
    found = dict(error.exact)
    error.ClearField("exact")
    return error.SerializeToString(deterministic=True), found


def _read_backtrace(members: Members, error: JobError, exact: dict[str, str]) -> None:
    """The frames as lines. A client may send the lines themselves."""
    if type(members.members.get("backtrace")) is str:
        error.backtrace = members.members["backtrace"]
        return
    frames = members.texts("backtrace") or []
    error.backtrace = "\n".join(frames)
    if frames and frames != error.backtrace.split("\n"):
        exact[BACKTRACE] = dump_text(frames)


def _render(error: JobError) -> dict[str, Any]:
    type_ = error.type or _type(error)
    document: dict[str, Any] = {"code": error.code or type_, "type": type_, "message": error.message}
    if error.HasField("retryable"):
        document["retryable"] = error.retryable
    if error.attempt:
        document["attempt"] = error.attempt
    if error.HasField("occurred_at"):
        document["occurred_at"] = timestamp_text(error.occurred_at)
    if error.backtrace:
        document["backtrace"] = error.backtrace.split("\n")
    if error.HasField("details"):
        document["details"] = values.render_struct(error.details)
    if error.HasField("ext"):
        for name, value in error.ext.fields.items():
            if name not in _KNOWN:
                document[name] = values.render_value(value)
    return document


def _type(error: JobError) -> str:
    """The type of an error that does not say it in so many words."""
    # Only get(): a protobuf map grows an empty entry when a missing key is indexed.
    get = error.details.fields.get
    details = get("ojs.type", _ABSENT).string_value or get("error_class", _ABSENT).string_value
    return details or error.code
