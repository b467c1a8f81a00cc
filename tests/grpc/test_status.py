"""The table from error to status, and the details that go with it (design section 7)."""

from collections.abc import Iterator

import grpc
import pytest
from google.rpc.error_details_pb2 import BadRequest, ErrorInfo, RetryInfo
from grpc import StatusCode
from grpc_status import rpc_status
from ojs_grpc_pb.v1 import job_pb2

from ojs_grpc import errors
from ojs_grpc.bindings.grpc.status import CODES, code_of, status_of, trailers_of
from ojs_grpc.errors import OJSError, Violation
from tests.grpc.service import Service, Status_
from tests.grpc.service import status_of as read_status

RULES = [Violation("type", "is required"), Violation("options.queue", "is odd")]

TABLE = {
    errors.OJSError: (errors.OJSError("no"), StatusCode.INTERNAL, "backend_error"),
    errors.InvalidRequest: (errors.InvalidRequest(RULES), StatusCode.INVALID_ARGUMENT, "invalid_request"),
    errors.InvalidPayload: (errors.InvalidPayload(RULES), StatusCode.INVALID_ARGUMENT, "invalid_payload"),
    errors.InvalidRetryPolicy: (errors.InvalidRetryPolicy(RULES), StatusCode.INVALID_ARGUMENT, "validation_error"),
    errors.PayloadTooLarge: (errors.PayloadTooLarge(RULES), StatusCode.RESOURCE_EXHAUSTED, "payload_too_large"),
    errors.SchemaViolation: (errors.SchemaViolation(RULES), StatusCode.INVALID_ARGUMENT, "schema_validation"),
    errors.NotFound: (errors.NotFound("dead_letter", "x"), StatusCode.NOT_FOUND, "not_found"),
    errors.JobNotFound: (errors.JobNotFound("x"), StatusCode.NOT_FOUND, "not_found"),
    errors.DuplicateJob: (errors.DuplicateJob("x"), StatusCode.ALREADY_EXISTS, "duplicate"),
    errors.InvalidState: (errors.InvalidState("x", "a", "b"), StatusCode.FAILED_PRECONDITION, "invalid_state"),
    errors.WorkflowEnded: (errors.WorkflowEnded("x", "failed"), StatusCode.FAILED_PRECONDITION, "invalid_state"),
    errors.SchemaExists: (errors.SchemaExists("urn:x"), StatusCode.FAILED_PRECONDITION, "invalid_state"),
    errors.QueueFull: (errors.QueueFull("mail", 10, 10), StatusCode.RESOURCE_EXHAUSTED, "queue_full"),
    errors.ServerBusy: (errors.ServerBusy(1.5), StatusCode.RESOURCE_EXHAUSTED, "rate_limited"),
    errors.ServerStopping: (errors.ServerStopping(), StatusCode.UNAVAILABLE, "backend_unavailable"),
    errors.Unsupported: (errors.Unsupported("no"), StatusCode.UNIMPLEMENTED, "unsupported"),
    errors.StoreError: (errors.StoreError("no"), StatusCode.INTERNAL, "backend_error"),
    errors.StoreUnavailable: (errors.StoreUnavailable("no", 2), StatusCode.UNAVAILABLE, "backend_unavailable"),
    errors.StoreTimeout: (errors.StoreTimeout("no"), StatusCode.UNAVAILABLE, "backend_timeout"),
}
"""An example of every class, and how it travels."""


def every_error(kind: type[OJSError] = OJSError) -> Iterator[type[OJSError]]:
    """The whole tree."""
    yield kind
    for child in kind.__subclasses__():
        if child.__module__ == errors.__name__:
            yield from every_error(child)


def read(error: OJSError, request_id: str = "req-1") -> Status_:
    """The status of an error as a client sees it."""
    status = status_of(error, request_id)
    return read_status(code_of(error), trailers_of(status, error))


def test_every_error_has_its_row() -> None:
    """A new class of errors needs a decision."""
    assert set(TABLE) == set(every_error())


@pytest.mark.parametrize("kind", list(every_error()), ids=lambda kind: kind.__name__)
def test_code_and_reason(kind: type[OJSError]) -> None:
    """The code, the reason, and whether to try again, for each class."""
    error, code, reason = TABLE[kind]

    seen = read(error)

    assert seen.code is code
    assert (seen.info.reason, seen.info.domain) == (reason, "openjobspec.org")
    assert seen.info.metadata["request_id"] == "req-1"
    assert seen.info.metadata["retryable"] == ("true" if error.retryable else "false")
    assert (seen.bad_request is not None) == isinstance(error, errors.InvalidRequest)
    assert (seen.retry is not None) == hasattr(error, "retry_after")


def test_retryable_errors() -> None:
    """What may go well another time, and nothing else."""
    retryable = {kind.__name__ for kind in every_error() if kind.retryable}
    assert retryable == {
        "QueueFull",
        "ServerBusy",
        "ServerStopping",
        "StoreError",
        "StoreUnavailable",
        "StoreTimeout",
    }


def test_no_code_is_left_over() -> None:
    """The table names no class that is not there."""
    assert set(CODES) <= set(every_error())


def test_details_travel() -> None:
    """Facts for machines are in the ErrorInfo, field rules in the BadRequest, delays in the RetryInfo."""
    state = read(errors.InvalidState("id-1", "completed", "active"))
    assert dict(state.info.metadata) == {
        "job_id": "id-1",
        "current_state": "completed",
        "expected_state": "active",
        "retryable": "false",
        "request_id": "req-1",
    }
    broken = read(errors.InvalidRequest(RULES)).bad_request
    assert broken is not None
    assert [(violation.field, violation.description) for violation in broken.field_violations] == RULES
    busy = read(errors.ServerBusy(1.5))
    assert busy.retry is not None
    assert busy.retry.retry_delay.ToMilliseconds() == 1500
    assert ("retry-after", "1.5") in busy.metadata


@pytest.mark.parametrize(
    "error",
    [
        errors.InvalidRequest([Violation(f"jobs[{number}].type", "is required") for number in range(10_000)]),
        errors.InvalidRequest([Violation("queues[0]" * 100, "ä" * 100_000)] * 100),
        errors.InvalidRequest([Violation("€" * 100_000, "must be" * 1000)]),
        errors.NotFound("job", "😀" * 100_000),
        errors.JobNotFound("\x01" * 100_000),
        errors.InvalidState("ä" * 100_000, "b" * 100_000, "😀" * 100_000, "ü" * 100_000),
        errors.PayloadTooLarge(RULES * 100, {f"fact-{number}": "😀" * 1000 for number in range(3)}),
    ],
    ids=lambda error: type(error).__name__,
)
def test_details_stay_below_four_kib(error: OJSError) -> None:
    """However many rules are broken and however long the names are; and all of it fits into trailers twice."""
    request_id = "r" * 128
    status = status_of(error, request_id)
    trailers = dict(trailers_of(status, error))

    assert len(trailers["grpc-status-details-bin"]) < 4096
    escaped = sum(1 if 0x20 <= byte < 0x7F else 3 for byte in status.message.encode())
    assert escaped + len(trailers["grpc-status-details-bin"]) * 4 / 3 < 7 * 1024
    seen = read(error, request_id)
    assert seen.info.metadata["request_id"] == request_id
    if isinstance(error, errors.InvalidRequest):
        assert seen.fields


def test_what_is_cut_is_still_text() -> None:
    """No half character at the cut, and a sign that there was more; what fits is left alone."""
    cut = status_of(errors.OJSError("aä" * 1000), "").message
    assert cut.endswith("…")
    assert cut.removesuffix("…") in "aä" * 1000
    assert status_of(errors.OJSError("ä" * 256), "").message == "ä" * 256


async def test_googles_own_reader_understands_it(service: Service) -> None:
    """`grpc_status` gives the details of a refused call; status and call say the same message."""
    with pytest.raises(grpc.aio.AioRpcError) as error:
        await service.stub.Enqueue(job_pb2.EnqueueRequest(type="Bad Type ä"))

    class Call:
        def trailing_metadata(self) -> object:
            return tuple(error.value.trailing_metadata())

        def code(self) -> grpc.StatusCode:
            return error.value.code()

        def details(self) -> str:
            return error.value.details() or ""

    status = rpc_status.from_call(Call())
    assert [detail.TypeName() for detail in status.details] == [
        kind.DESCRIPTOR.full_name for kind in (ErrorInfo, BadRequest)
    ]
    assert RetryInfo.DESCRIPTOR.full_name not in str(status)


async def test_a_huge_name_comes_back_as_a_status(service: Service) -> None:
    """Through a real channel: the status arrives, not gRPC's complaint about its size."""
    with pytest.raises(grpc.aio.AioRpcError) as error:
        await service.stub.GetJob(job_pb2.GetJobRequest(job_id="😀" * 100_000))

    assert read_status(error.value.code(), error.value.trailing_metadata()).info.reason == "not_found"


async def test_a_bug_is_an_internal_error_without_its_text(service: Service) -> None:
    """What nobody foresaw is answered as INTERNAL, says nothing of the inside, and the server goes on."""

    async def fail(*_: object) -> object:
        raise RuntimeError("secret")

    read_jobs, service.server.engine.jobs.get = service.server.engine.jobs.get, fail  # type: ignore[method-assign]
    with pytest.raises(grpc.aio.AioRpcError) as error:
        await service.get("x")
    service.server.engine.jobs.get = read_jobs  # type: ignore[method-assign]

    assert error.value.code() is StatusCode.INTERNAL
    assert "secret" not in str(error.value)
    assert read_status(error.value.code(), error.value.trailing_metadata()).info.reason == "backend_error"
    await service.enqueue()
