"""Every RPC of the service is there."""

import grpc
import pytest
from google.protobuf.message_factory import GetMessageClass
from ojs_grpc_pb.v1 import service_pb2

from ojs_grpc.bindings.grpc.handlers import Handlers
from tests.grpc.service import PATIENCE_S, Service, patience, refused_or_done

METHODS = {method.name: method for method in service_pb2.DESCRIPTOR.services_by_name["OJSService"].methods}


def test_there_are_26() -> None:
    """Those of the spec, and ActivateJob."""
    assert len(METHODS) == 26


@pytest.mark.parametrize("name", sorted(METHODS))
async def test_each_is_there(service: Service, name: str) -> None:
    """An empty request is answered or refused, but not as missing."""
    path = f"/ojs.v1.OJSService/{name}"
    request = GetMessageClass(METHODS[name].input_type)().SerializeToString()
    if METHODS[name].server_streaming:
        assert await _opened_or_refused(service.channel.unary_stream(path)(request)) in ("done", "invalid_request")
    else:
        call = service.channel.unary_unary(path)(request, timeout=PATIENCE_S)
        assert await refused_or_done(call) in ("done", "invalid_request", "not_found")


async def test_another_service_is_unknown(service: Service) -> None:
    """The answer is UNIMPLEMENTED, and gRPC's own."""
    for path in ("/ojs.v1.OJSService/Nothing", "/other.Service/Enqueue", "/"):
        with pytest.raises(grpc.aio.AioRpcError) as error:
            await service.channel.unary_unary(path)(b"")
        assert error.value.code() is grpc.StatusCode.UNIMPLEMENTED


def test_handlers_are_looked_up_by_their_whole_path(service: Service) -> None:
    """Once for all calls, not put together for each."""
    handlers = Handlers(service.server._grpc._servicer, 1)
    assert set(handlers._by_path) == {f"/ojs.v1.OJSService/{name}" for name in METHODS}


async def _opened_or_refused(call: "grpc.aio.UnaryStreamCall[bytes, bytes]") -> str:
    async with patience():
        # An open stream has said so, and says nothing else yet.
        if await call.initial_metadata() and not call.done():
            call.cancel()
            return "done"
        return await refused_or_done(call.read())
