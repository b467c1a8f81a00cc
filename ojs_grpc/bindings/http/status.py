"""The one table from error to HTTP status and code, and the body that goes with it (wire sections 1.5 and 3).

Handlers never choose a status for an error: they raise.
"""

import math
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple

from ojs_grpc import errors
from ojs_grpc.bindings.http.call import RawHeaders

_DOCS = "https://openjobspec.org/docs/errors#"
_MAX_VIOLATIONS = 100


class UnknownPath(errors.OJSError):
    """No endpoint has this path."""

    code = "not_found"

    def __init__(self, path: str) -> None:
        super().__init__(f"there is nothing at {path[:200]}", {"resource_type": "endpoint", "resource_id": path[:200]})


class MethodNotAllowed(errors.OJSError):
    """The path has endpoints, but none of this method. `allowed` are the methods of those it has."""

    code = "method_not_allowed"

    def __init__(self, method: str, allowed: Sequence[str]) -> None:
        self.allowed = ", ".join(allowed)
        super().__init__(f"{method} is not allowed here, only {self.allowed}", {"allowed": self.allowed})


class UnsupportedCompression(errors.InvalidRequest):
    """The body is compressed."""

    code = "unsupported_compression"


class BodyTooLarge(errors.PayloadTooLarge):
    """The body is over its limit, and was not read to its end."""


class StillWaiting(errors.OJSError):
    """The job has not ended in the time that the caller gave it."""

    code = "timeout"
    retryable = True

    def __init__(self, job_id: str) -> None:
        super().__init__(f"job {job_id} has not ended yet", {"job_id": job_id})


class Entry(NamedTuple):
    """What an error is over HTTP.

    Attributes:
        status: the HTTP status.
        canonical: the name in the spec's catalogue of errors, and `number` the number there.
        code: if it differs from the error's own.
    """

    status: int
    canonical: str
    number: int
    code: str = ""


# The most special class that an error is an instance of counts.
ENTRIES: Mapping[type[errors.OJSError], Entry] = MappingProxyType(
    {
        errors.InvalidRequest: Entry(400, "INVALID_PAYLOAD", 1000),
        errors.InvalidRetryPolicy: Entry(422, "INVALID_RETRY_POLICY", 1006),
        errors.PayloadTooLarge: Entry(413, "PAYLOAD_TOO_LARGE", 1009),
        errors.SchemaViolation: Entry(400, "SCHEMA_VALIDATION_FAILED", 1008),
        UnsupportedCompression: Entry(400, "UNSUPPORTED_COMPRESSION", 1017),
        errors.NotFound: Entry(404, "NOT_FOUND", 3000),
        UnknownPath: Entry(404, "NOT_FOUND", 3000),
        MethodNotAllowed: Entry(405, "METHOD_NOT_ALLOWED", 1000),
        StillWaiting: Entry(408, "REQUEST_TIMEOUT", 2002),
        errors.DuplicateJob: Entry(409, "DUPLICATE_JOB", 3001),
        errors.InvalidState: Entry(409, "INVALID_STATE_TRANSITION", 1005, "conflict"),
        errors.WorkflowEnded: Entry(409, "INVALID_STATE_TRANSITION", 4006, "conflict"),
        errors.QueueFull: Entry(429, "QUEUE_FULL", 6001),
        errors.ServerBusy: Entry(429, "RATE_LIMITED", 6000),
        errors.ServerStopping: Entry(503, "BACKEND_UNAVAILABLE", 2001),
        errors.Unsupported: Entry(422, "UNSUPPORTED_FEATURE", 7000),
        errors.StoreUnavailable: Entry(503, "BACKEND_UNAVAILABLE", 2001),
        errors.StoreTimeout: Entry(504, "BACKEND_TIMEOUT", 2002),
        errors.OJSError: Entry(500, "BACKEND_ERROR", 2000),
    }
)

# What the catalogue says more exactly, by the first part of the field that breaks a rule.
_OF_FIELD = MappingProxyType(
    {
        "type": ("INVALID_JOB_TYPE", 1001),
        "queue": ("INVALID_QUEUE", 1002),
        "args": ("INVALID_ARGS", 1003),
        "meta": ("INVALID_METADATA", 1004),
        "expression": ("INVALID_CRON_EXPRESSION", 1007),
    }
)
_OF_STATE = MappingProxyType(
    {"completed": ("JOB_ALREADY_COMPLETED", 3002), "cancelled": ("JOB_ALREADY_CANCELLED", 3003)}
)
_HINTS = MappingProxyType(
    {
        "not_found": "Check the id or the name: finished jobs are deleted after their retention, and paths begin with "
        "/ojs/v1.",
        "method_not_allowed": "The Allow header names the methods that this path has.",
        "duplicate": "The job that is there already is named in the details.",
        "conflict": "Read the resource for its present state before trying again.",
        "invalid_payload": "Send a JSON object, encoded in UTF-8.",
        "payload_too_large": "Keep large data elsewhere, and put a reference into the job.",
        "unsupported": "This server speaks version 1.0 of the specification.",
        "unsupported_compression": "Send the body without Content-Encoding.",
        "rate_limited": "Try again after the seconds in Retry-After.",
        "queue_full": "Try again after the seconds in Retry-After.",
        "backend_unavailable": "Try again after the seconds in Retry-After.",
    }
)


def entry_of(error: errors.OJSError) -> Entry:
    """The row of the table for an error."""
    return next(ENTRIES[kind] for kind in type(error).__mro__ if kind in ENTRIES)


def error_document(error: errors.OJSError, request_id: str) -> dict[str, Any]:
    """The body for an error."""
    entry = entry_of(error)
    code = _code_of(error, entry)
    canonical, number = _catalogued(error, entry)
    docs = _DOCS + code
    body = {
        "code": code,
        "type": code,
        "message": error.message,
        "retryable": error.retryable,
        "details": _details(error),
        "request_id": request_id,
        "docs_url": docs,
        "doc_url": docs,
        "canonical_code": canonical,
        "ojs_code": f"OJS-{number}",
    }
    if hint := _HINTS.get(code):
        body["hint"] = hint
    return {"error": body}


def error_headers(error: errors.OJSError) -> RawHeaders:
    """What the headers say of an error."""
    headers: RawHeaders = []
    retry_after = getattr(error, "retry_after", None)
    if retry_after is not None:
        headers.append((b"retry-after", b"%d" % max(1, math.ceil(retry_after))))
    if isinstance(error, MethodNotAllowed):
        headers.append((b"allow", error.allowed.encode()))
    if isinstance(error, BodyTooLarge):
        headers.append((b"connection", b"close"))
    return headers


def _code_of(error: errors.OJSError, entry: Entry) -> str:
    if isinstance(error, errors.PayloadTooLarge) and _first_field(error) == "meta":
        return "metadata_too_large"
    return entry.code or error.code


def _catalogued(error: errors.OJSError, entry: Entry) -> tuple[str, int]:
    """Name and number in the catalogue, as exact as it can be."""
    if isinstance(error, errors.PayloadTooLarge):
        return ("METADATA_TOO_LARGE", 1010) if _first_field(error) == "meta" else (entry.canonical, entry.number)
    if type(error) is errors.InvalidRequest:
        return _OF_FIELD.get(_first_field(error), (entry.canonical, entry.number))
    if isinstance(error, errors.InvalidState) and not isinstance(error, errors.WorkflowEnded):
        return _OF_STATE.get(error.details.get("current_state", ""), (entry.canonical, entry.number))
    return entry.canonical, entry.number


def _first_field(error: errors.InvalidRequest) -> str:
    """The attribute whose rule is broken first: `queue` for `jobs[3].options.queue`."""
    if not error.violations:
        return ""
    parts = [part.partition("[")[0] for part in error.violations[0].field.split(".")]
    return next((part for part in parts if part not in {"jobs", "steps", "options", "default_options"}), "")


def _details(error: errors.OJSError) -> dict[str, Any]:
    details: dict[str, Any] = dict(error.details)
    if "index" in details:
        details["index"] = int(details["index"])
    if isinstance(error, errors.InvalidRequest) and error.violations:
        details["field"], details["validation"] = error.violations[0]
        details["validation_errors"] = [
            {"path": field, "message": rule} for field, rule in error.violations[:_MAX_VIOLATIONS]
        ]
    return details
