"""The one table from error to HTTP status and code (wire section 3)."""

import pytest

from ojs_grpc import errors
from ojs_grpc.bindings.http.status import (
    BodyTooLarge,
    MethodNotAllowed,
    StillWaiting,
    UnknownPath,
    UnsupportedCompression,
    entry_of,
    error_document,
    error_headers,
)
from ojs_grpc.errors import OJSError, Violation

BROKEN = [Violation("field", "must be otherwise")]
ERRORS: dict[type[OJSError], tuple[OJSError, int, str, str]] = {
    OJSError: (OJSError("no"), 500, "backend_error", "BACKEND_ERROR"),
    errors.InvalidRequest: (errors.InvalidRequest(BROKEN), 400, "invalid_request", "INVALID_PAYLOAD"),
    errors.InvalidPayload: (errors.InvalidPayload(BROKEN), 400, "invalid_payload", "INVALID_PAYLOAD"),
    errors.InvalidRetryPolicy: (
        errors.InvalidRetryPolicy(BROKEN), 422, "validation_error", "INVALID_RETRY_POLICY"
    ),
    errors.PayloadTooLarge: (errors.PayloadTooLarge(BROKEN), 413, "payload_too_large", "PAYLOAD_TOO_LARGE"),
    errors.SchemaViolation: (errors.SchemaViolation(BROKEN), 400, "schema_validation", "SCHEMA_VALIDATION_FAILED"),
    errors.NotFound: (errors.NotFound("cron", "x"), 404, "not_found", "NOT_FOUND"),
    errors.JobNotFound: (errors.JobNotFound("x"), 404, "not_found", "NOT_FOUND"),
    errors.DuplicateJob: (errors.DuplicateJob("x"), 409, "duplicate", "DUPLICATE_JOB"),
    errors.InvalidState: (
        errors.InvalidState("x", "active", "pending"), 409, "conflict", "INVALID_STATE_TRANSITION"
    ),
    errors.WorkflowEnded: (
        errors.WorkflowEnded("x", "completed"), 409, "conflict", "INVALID_STATE_TRANSITION"
    ),
    errors.SchemaExists: (errors.SchemaExists("x"), 409, "conflict", "INVALID_STATE_TRANSITION"),
    errors.QueueFull: (errors.QueueFull("q", 2, 1), 429, "queue_full", "QUEUE_FULL"),
    errors.ServerBusy: (errors.ServerBusy(1), 429, "rate_limited", "RATE_LIMITED"),
    errors.ServerStopping: (errors.ServerStopping(), 503, "backend_unavailable", "BACKEND_UNAVAILABLE"),
    errors.Unsupported: (errors.Unsupported("no"), 422, "unsupported", "UNSUPPORTED_FEATURE"),
    errors.StoreError: (errors.StoreError("no"), 500, "backend_error", "BACKEND_ERROR"),
    errors.StoreUnavailable: (errors.StoreUnavailable("no"), 503, "backend_unavailable", "BACKEND_UNAVAILABLE"),
    errors.StoreTimeout: (errors.StoreTimeout("no"), 504, "backend_timeout", "BACKEND_TIMEOUT"),
    UnknownPath: (UnknownPath("/x"), 404, "not_found", "NOT_FOUND"),
    MethodNotAllowed: (MethodNotAllowed("PUT", ["GET"]), 405, "method_not_allowed", "METHOD_NOT_ALLOWED"),
    StillWaiting: (StillWaiting("x"), 408, "timeout", "REQUEST_TIMEOUT"),
    UnsupportedCompression: (
        UnsupportedCompression(BROKEN), 400, "unsupported_compression", "UNSUPPORTED_COMPRESSION"
    ),
    BodyTooLarge: (BodyTooLarge(BROKEN), 413, "payload_too_large", "PAYLOAD_TOO_LARGE"),
}


def subclasses(kind: type[OJSError]) -> set[type[OJSError]]:
    """The class, and all that derive from it."""
    return {kind}.union(*(subclasses(child) for child in kind.__subclasses__()))


def test_the_list_above_is_whole() -> None:
    """Every error there is has its line."""
    assert {kind for kind in subclasses(OJSError) if kind.__module__.startswith("ojs_grpc")} == set(ERRORS)


@pytest.mark.parametrize("kind", ERRORS, ids=lambda kind: kind.__name__)
def test_an_error(kind: type[OJSError]) -> None:
    """Its status, its code, its name in the catalogue."""
    error, status, code, canonical = ERRORS[kind]

    body = error_document(error, "req_1")["error"]

    assert (entry_of(error).status, body["code"], body["canonical_code"]) == (status, code, canonical)
    assert body["type"] == code
    assert (body["message"], body["retryable"], body["request_id"]) == (error.message, error.retryable, "req_1")
    assert body["ojs_code"].startswith("OJS-")


@pytest.mark.parametrize("kind", ERRORS, ids=lambda kind: kind.__name__)
def test_what_is_refused_for_now_says_until_when(kind: type[OJSError]) -> None:
    """429 and 503 always do (wire section 1.1)."""
    error, status, _, _ = ERRORS[kind]

    assert (b"retry-after" in dict(error_headers(error))) == (status in {429, 503, 504})


@pytest.mark.parametrize(
    ("field", "canonical"),
    [
        ("type", "INVALID_JOB_TYPE"),
        ("jobs[3].type", "INVALID_JOB_TYPE"),
        ("options.queue", "INVALID_QUEUE"),
        ("steps[0].options.queue", "INVALID_QUEUE"),
        ("args[0].x", "INVALID_ARGS"),
        ("options.meta", "INVALID_METADATA"),
        ("expression", "INVALID_CRON_EXPRESSION"),
        ("jobs", "INVALID_PAYLOAD"),
        ("anything", "INVALID_PAYLOAD"),
    ],
)
def test_the_catalogue_tells_fields_apart(field: str, canonical: str) -> None:
    """By the first rule that is broken."""
    error = errors.InvalidRequest([Violation(field, "must be otherwise"), Violation("type", "must be otherwise")])

    body = error_document(error, "")["error"]

    assert (body["code"], body["canonical_code"]) == ("invalid_request", canonical)
    assert body["details"]["validation_errors"][0] == {"path": field, "message": "must be otherwise"}


def test_a_meta_that_is_too_large() -> None:
    """It has a code of its own."""
    error = errors.PayloadTooLarge([Violation("jobs[1].options.meta", "must be less")], {"index": "1"})

    body = error_document(error, "")["error"]

    assert (body["code"], body["ojs_code"]) == ("metadata_too_large", "OJS-1010")
    assert body["details"]["index"] == 1


def test_very_many_violations() -> None:
    """The first hundred are enough."""
    error = errors.InvalidRequest([Violation(f"a[{number}]", "must be otherwise") for number in range(1000)])

    assert len(error_document(error, "")["error"]["details"]["validation_errors"]) == 100
