"""RPCs of levels that this server does not reach."""

import grpc
import pytest
from google.protobuf.message_factory import GetMessageClass
from ojs_grpc_pb.v1 import service_pb2

from ojs_grpc.bindings.grpc.handlers import Handlers
from tests.grpc.service import PATIENCE_S, Service, refused, refused_or_done

METHODS = {method.name: method for method in service_pb2.DESCRIPTOR.services_by_name["OJSService"].methods}
LEVELS = {
    **dict.fromkeys(("RegisterCron", "UnregisterCron", "ListCron"), 2),
    **dict.fromkeys(("CreateWorkflow", "GetWorkflow", "CancelWorkflow"), 3),
    **dict.fromkeys(("QueueStats", "PauseQueue", "ResumeQueue", "StreamEvents"), 4),
}
THERE = {
    *("Manifest", "Health", "Enqueue", "EnqueueBatch", "GetJob", "CancelJob", "ActivateJob", "Fetch", "StreamJobs"),
    *("Ack", "Nack", "Heartbeat", "ListQueues", "ListDeadLetter", "RetryDeadLetter", "DeleteDeadLetter"),
}


def test_every_method_is_there_or_missing() -> None:
    """None is forgotten."""
    assert set(METHODS) == set(LEVELS) | THERE


@pytest.mark.parametrize("name", list(LEVELS))
async def test_a_missing_method_names_its_level(service: Service, name: str) -> None:
    """UNIMPLEMENTED, with the level for machines."""
    path = f"/ojs.v1.OJSService/{name}"
    with refused(grpc.StatusCode.UNIMPLEMENTED, "unsupported") as caught:
        if METHODS[name].server_streaming:
            await service.channel.unary_stream(path)(b"", timeout=PATIENCE_S).read()
        else:
            await service.channel.unary_unary(path)(b"", timeout=PATIENCE_S)

    assert caught.info.metadata["required_level"] == str(LEVELS[name])
    assert caught.info.metadata["retryable"] == "false"


@pytest.mark.parametrize("name", sorted(THERE))
async def test_the_others_are_there(service: Service, name: str) -> None:
    """An empty request is answered or refused, but not as missing."""
    path = f"/ojs.v1.OJSService/{name}"
    request = GetMessageClass(METHODS[name].input_type)().SerializeToString()
    if METHODS[name].server_streaming:
        call = service.channel.unary_stream(path)(request, timeout=PATIENCE_S).read()
    else:
        call = service.channel.unary_unary(path)(request, timeout=PATIENCE_S)

    assert await refused_or_done(call) in ("done", "invalid_request", "not_found")


async def test_the_message_says_the_level(service: Service) -> None:
    """For people."""
    with pytest.raises(grpc.aio.AioRpcError) as error:
        await service.raw("ListCron", b"")

    assert error.value.details() == "ListCron needs conformance level 2"


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
