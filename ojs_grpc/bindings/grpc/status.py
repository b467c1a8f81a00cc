"""The one table from error to gRPC status, and the details that go with it (design section 7, wire section 3).

Handlers never choose a code. Every status carries an ErrorInfo; broken rules a BadRequest; what may be tried again at a
known time a RetryInfo. All of it stays below the 8 KiB that HTTP/2 peers accept as trailers.
"""

from collections.abc import Iterator

import grpc
from google.protobuf.any_pb2 import Any
from google.protobuf.message import Message
from google.rpc.error_details_pb2 import BadRequest, ErrorInfo, RetryInfo
from google.rpc.status_pb2 import Status

from ojs_grpc import errors

DOMAIN = "openjobspec.org"
_DETAILS_KEY = "grpc-status-details-bin"
_RETRY_AFTER_KEY = "retry-after"

# The most special class that an error is an instance of counts.
CODES: dict[type[errors.OJSError], grpc.StatusCode] = {
    errors.InvalidRequest: grpc.StatusCode.INVALID_ARGUMENT,
    errors.PayloadTooLarge: grpc.StatusCode.RESOURCE_EXHAUSTED,
    errors.NotFound: grpc.StatusCode.NOT_FOUND,
    errors.DuplicateJob: grpc.StatusCode.ALREADY_EXISTS,
    errors.InvalidState: grpc.StatusCode.FAILED_PRECONDITION,
    errors.QueueFull: grpc.StatusCode.RESOURCE_EXHAUSTED,
    errors.ServerBusy: grpc.StatusCode.RESOURCE_EXHAUSTED,
    errors.ServerStopping: grpc.StatusCode.UNAVAILABLE,
    errors.Unsupported: grpc.StatusCode.UNIMPLEMENTED,
    errors.StoreUnavailable: grpc.StatusCode.UNAVAILABLE,
    errors.OJSError: grpc.StatusCode.INTERNAL,
}

# In bytes of UTF-8; together less than 4 KiB. The message travels a second time, with three characters for each byte
# that is not plain ASCII.
_MESSAGE_BYTES = 512
_FACT_BYTES = 128
_RULE_BYTES = 200
_RULES_BYTES = 2000


def code_of(error: errors.OJSError) -> grpc.StatusCode:
    """The status code for an error."""
    return next(CODES[kind] for kind in type(error).__mro__ if kind in CODES)


def status_of(error: errors.OJSError, request_id: str) -> Status:
    """The whole status for an error."""
    status = Status(code=code_of(error).value[0], message=_cut(error.message, _MESSAGE_BYTES))
    for detail in _details(error, request_id):
        packed = Any()
        packed.Pack(detail)
        status.details.append(packed)
    return status


def trailers_of(status: Status, error: errors.OJSError) -> tuple[tuple[str, str | bytes], ...]:
    """The metadata by which a status' details travel, and the seconds after which to try again."""
    trailers: tuple[tuple[str, str | bytes], ...] = ((_DETAILS_KEY, status.SerializeToString()),)
    retry_after = getattr(error, "retry_after", None)
    if retry_after is not None:
        trailers += ((_RETRY_AFTER_KEY, f"{retry_after:g}"),)
    return trailers


def _details(error: errors.OJSError, request_id: str) -> Iterator[Message]:
    facts = {key: _cut(value, _FACT_BYTES) for key, value in error.details.items()}
    facts["retryable"] = "true" if error.retryable else "false"
    facts["request_id"] = request_id
    yield ErrorInfo(reason=error.code, domain=DOMAIN, metadata=facts)
    if isinstance(error, errors.InvalidRequest):
        yield _bad_request(error)
    retry_after = getattr(error, "retry_after", None)
    if retry_after is not None:
        info = RetryInfo()
        info.retry_delay.FromMilliseconds(round(retry_after * 1000))
        yield info


def _bad_request(error: errors.InvalidRequest) -> BadRequest:
    """As many of the broken rules as have room, the first ones."""
    message = BadRequest()
    for field, rule in error.violations:
        message.field_violations.add(field=_cut(field, _RULE_BYTES), description=_cut(rule, _RULE_BYTES))
        if message.ByteSize() > _RULES_BYTES:
            del message.field_violations[-1]
            break
    return message


def _cut(text: str, size: int) -> str:
    if len(text) * 4 <= size or len(data := text.encode()) <= size:
        return text
    return data[: size - len("…".encode())].decode(errors="ignore") + "…"
