"""From the servicer's methods to gRPC handlers: parsing, metadata, errors, in one place and on bytes.

Handlers get raw bytes: a request that does not parse gets a documented status instead of gRPC's INTERNAL, and replies
that are bytes already are passed through. What gRPC calls interceptors would cost a coroutine each a call.
"""

import re
from collections.abc import AsyncIterator, Awaitable, Callable
from time import perf_counter
from typing import Any, NoReturn

import grpc
import structlog
from google.protobuf.descriptor import MethodDescriptor
from google.protobuf.message import DecodeError, Message
from google.protobuf.message_factory import GetMessageClass
from ojs_grpc_pb.v1 import service_pb2

from ojs_grpc.bindings.grpc.call import Call, Context
from ojs_grpc.bindings.grpc.servicer import Servicer
from ojs_grpc.bindings.grpc.status import code_of, status_of, trailers_of
from ojs_grpc.errors import InvalidPayload, OJSError, PayloadTooLarge, ServerBusy, StoreError, Violation

log = structlog.get_logger(__name__)

SERVICE = service_pb2.DESCRIPTOR.services_by_name["OJSService"]

_BUSY_RETRY_SECONDS = 1.0
_OK = grpc.StatusCode.OK.name
_CANCELLED = grpc.StatusCode.CANCELLED.name
_INTERNAL = grpc.StatusCode.INTERNAL.name


class Handlers(grpc.GenericRpcHandler):
    """The handlers of all RPCs.

    Args:
        max_calls: unary calls under way at once; more are refused. Streams don't count.
    """

    def __init__(self, servicer: Servicer, max_calls: int) -> None:
        self._servicer = servicer
        self._max_calls = max_calls
        self._calls = 0
        self._request_bytes = servicer.engine.defaults.limits.request_bytes
        self._clock = servicer.engine.store.clock
        self._recorder = servicer.engine.recorder
        self._by_path = {f"/{SERVICE.full_name}/{method.name}": self._handler(method) for method in SERVICE.methods}

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> "grpc.RpcMethodHandler[Any, Any] | None":
        """The handler for a path; None for a path that is not ours."""
        return self._by_path.get(handler_call_details.method)

    def _handler(self, method: MethodDescriptor) -> "grpc.RpcMethodHandler[Any, Any]":
        request_class = GetMessageClass(method.input_type)
        implementation = getattr(self._servicer, _snake_case(method.name))
        if method.server_streaming:
            return grpc.unary_stream_rpc_method_handler(self._streaming(method.name, implementation, request_class))
        return grpc.unary_unary_rpc_method_handler(self._unary(method.name, implementation, request_class))

    def _unary(
        self,
        name: str,
        implementation: Callable[[Any, Call], Awaitable[Message | bytes]],
        request_class: type[Message],
    ) -> Callable[[bytes, Context], Awaitable[bytes]]:
        async def handle(data: bytes, context: Context) -> bytes:
            start, code = perf_counter(), _CANCELLED
            call = Call(context, self._clock.now())
            if self._calls >= self._max_calls:
                await self._refuse(name, call)
            self._calls += 1
            try:
                response = await implementation(self._parse(request_class, data), call)
                code = _OK
            except OJSError as error:
                code = code_of(error).name
                await _abort(call, error)
            except Exception as error:  # noqa: BLE001 - a bug; the server goes on
                code = _INTERNAL
                await _abort_unexpected(call, error)
            finally:
                self._calls -= 1
                self._recorder.call("grpc", name, code, perf_counter() - start)
            context.set_trailing_metadata(call.answer_metadata)
            if call.has_request_id:
                # Sending it costs a fifth of a call, so only who asks for it pays; the others find it in the trailers.
                await call.open()
            return response if isinstance(response, bytes) else response.SerializeToString()

        return handle

    def _streaming(
        self,
        name: str,
        implementation: Callable[[Any, Call], Awaitable[AsyncIterator[bytes]]],
        request_class: type[Message],
    ) -> Callable[[bytes, Context], AsyncIterator[bytes]]:
        async def handle(data: bytes, context: Context) -> AsyncIterator[bytes]:
            start, code = perf_counter(), _CANCELLED
            call = Call(context, self._clock.now())
            context.set_trailing_metadata(call.answer_metadata)
            try:
                messages = await implementation(self._parse(request_class, data), call)
                # A stream may be quiet for long: the client learns at once that it is open.
                await context.send_initial_metadata(call.answer_metadata)
                async for message in messages:
                    yield message
                code = _OK
            except OJSError as error:
                code = code_of(error).name
                await _abort(call, error)
            except Exception as error:  # noqa: BLE001 - a bug; the server goes on
                code = _INTERNAL
                await _abort_unexpected(call, error)
            finally:
                self._recorder.call("grpc", name, code, perf_counter() - start)

        return handle

    async def _refuse(self, name: str, call: Call) -> NoReturn:
        error = ServerBusy(_BUSY_RETRY_SECONDS)
        self._recorder.call("grpc", name, code_of(error).name, 0.0)
        await _abort(call, error)

    def _parse(self, request_class: type[Message], data: bytes) -> Message:
        if len(data) > self._request_bytes:
            raise PayloadTooLarge([Violation("request", f"must be at most {self._request_bytes} bytes")])
        try:
            return request_class.FromString(data)
        except DecodeError:
            name = request_class.DESCRIPTOR.full_name
            raise InvalidPayload([Violation("request", f"is no valid {name} in protobuf's binary form")]) from None


async def _abort(call: Call, error: OJSError) -> NoReturn:
    if isinstance(error, StoreError):
        log.warning("call failed", request_id=call.request_id, code=error.code, error=error.message)
    status = status_of(error, call.request_id)
    await call.context.abort(
        code_of(error), status.message, trailers_of(status, error) + call.answer_metadata
    )


async def _abort_unexpected(call: Call, error: Exception) -> NoReturn:
    log.error("unexpected error", request_id=call.request_id, exc_info=error)
    await _abort(call, OJSError("internal error"))


def _snake_case(name: str) -> str:
    return re.sub(r"(?<!^)(?=[A-Z])", "_", name).lower()
