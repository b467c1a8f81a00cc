"""Manifest, Health, grpc.health.v1 and reflection."""

import asyncio
import json
from typing import Any

import grpc
import pytest
from google.protobuf import json_format
from google.protobuf.descriptor_pb2 import FileDescriptorProto
from google.protobuf.descriptor_pool import DescriptorPool
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from ojs_grpc_pb.v1 import service_pb2

from ojs_grpc import __version__
from ojs_grpc.core.duration import timestamp_ms
from ojs_grpc.errors import StoreUnavailable
from tests.clock import START
from tests.grpc.service import Service, patience

SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING


async def test_the_manifest_says_what_this_is(everywhere: Service, scheme: str) -> None:
    """Name, version, level, protocols and store."""
    manifest = await everywhere.stub.Manifest(service_pb2.ManifestRequest())

    assert manifest == service_pb2.ManifestResponse(
        ojs_version="1.0",
        implementation=service_pb2.Implementation(name="ojs-grpc", version=__version__, language="python"),
        conformance_level=4,
        protocols=["grpc"],
        backend=scheme,
        extensions=[
            "unique-jobs:strong",
            "urn:ojs:ext:backpressure",
            "urn:ojs:ext:dead-letter",
            "urn:ojs:ext:events",
            "urn:ojs:ext:payload-limits",
            "urn:ojs:ext:rate-limiting",
        ],
        capabilities={
            "batch_enqueue": True,
            "cron": True,
            "cron_jobs": True,
            "dead_letter": True,
            "delayed_jobs": True,
            "job_ttl": True,
            "pause_resume": True,
            "priority_queues": True,
            "rate_limiting": True,
            "schema_validation": True,
            "unique_jobs": True,
            "workflows": True,
        },
        unique_job_strength="strong",
        schema_validation=True,
        manifest_json=manifest.manifest_json,
    )
    assert json.loads(manifest.manifest_json)["capabilities"] == dict(manifest.capabilities)


async def test_health_is_ok_while_the_store_works(everywhere: Service, scheme: str) -> None:
    """With the store's name and latency, at the store's time."""
    health = await everywhere.stub.Health(service_pb2.HealthRequest())

    assert health.status == service_pb2.HEALTH_STATUS_OK
    assert timestamp_ms(health.timestamp) == START
    details = json_format.MessageToDict(health.details)
    assert details["backend"] == scheme
    assert 0 <= details["latency_ms"] < 1000
    assert 0 <= details["uptime_seconds"] < 60
    assert "error" not in details


async def test_health_tells_of_an_outage(service: Service) -> None:
    """An answer, not an error: unhealthy, and why."""
    _break(service)

    health = await service.stub.Health(service_pb2.HealthRequest())

    assert health.status == service_pb2.HEALTH_STATUS_UNHEALTHY
    assert health.details["error"] == "the disk is gone"


async def test_health_does_not_wait_for_a_store_that_hangs(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    """It gives up after a while."""

    async def hang() -> None:
        await asyncio.Event().wait()

    monkeypatch.setattr("ojs_grpc.operations.system._PROBE_TIMEOUT_SECONDS", 0.02)
    service.store.ping = hang

    health = await service.stub.Health(service_pb2.HealthRequest())

    assert health.status == service_pb2.HEALTH_STATUS_UNHEALTHY


@pytest.mark.parametrize("name", ["", "ojs.v1.OJSService"])
async def test_the_standard_health_follows_the_store(service: Service, name: str) -> None:
    """SERVING, NOT_SERVING during an outage, SERVING again; for the server and for the service."""
    stub = health_pb2_grpc.HealthStub(service.channel)
    request = health_pb2.HealthCheckRequest(service=name)
    assert (await stub.Check(request)).status == SERVING
    watch = stub.Watch(request)
    assert (await watch.read()).status == SERVING
    system, ping = service.server.engine.system, service.store.ping

    _break(service)
    await system.health()
    async with patience():
        assert (await watch.read()).status == NOT_SERVING
    assert (await stub.Check(request)).status == NOT_SERVING

    service.store.ping = ping
    await system.health()
    async with patience():
        assert (await watch.read()).status == SERVING
    watch.cancel()


@pytest.mark.usefixtures("quick_ticks")
async def test_the_store_is_watched_without_being_asked(service: Service) -> None:
    """Once a second the server looks by itself."""
    watch = health_pb2_grpc.HealthStub(service.channel).Watch(health_pb2.HealthCheckRequest())
    assert (await watch.read()).status == SERVING

    _break(service)

    async with patience():
        assert (await watch.read()).status == NOT_SERVING
    watch.cancel()


async def test_an_unknown_service_has_no_health(service: Service) -> None:
    """NOT_FOUND, as the health protocol wants it."""
    with pytest.raises(grpc.aio.AioRpcError) as error:
        await health_pb2_grpc.HealthStub(service.channel).Check(health_pb2.HealthCheckRequest(service="other"))

    assert error.value.code() is grpc.StatusCode.NOT_FOUND


async def test_a_client_that_stops_watching(service: Service) -> None:
    """Leaves nothing behind: the server goes on, and stops in no time."""
    for _ in range(3):
        watch = health_pb2_grpc.HealthStub(service.channel).Watch(health_pb2.HealthCheckRequest())
        await watch.read()
        watch.cancel()

    await service.enqueue()


async def test_reflection_lists_the_services(service: Service) -> None:
    """What grpcurl shows."""
    reply = await _reflect(service, list_services="")

    names = {entry.name for entry in reply.list_services_response.service}
    assert {"ojs.v1.OJSService", "grpc.health.v1.Health"} <= names


async def test_reflection_describes_every_method(service: Service) -> None:
    """A client without our files learns from the server all that it needs to call it."""
    files: dict[str, FileDescriptorProto] = {}
    wanted = [{"file_containing_symbol": "ojs.v1.OJSService"}]
    while wanted:
        reply = await _reflect(service, **wanted.pop())
        for data in reply.file_descriptor_response.file_descriptor_proto:
            file = FileDescriptorProto.FromString(data)
            files[file.name] = file
            wanted += [{"file_by_filename": name} for name in file.dependency if name not in files]

    pool = DescriptorPool()
    _add(pool, files, "ojs/v1/service.proto")
    described = pool.FindServiceByName("ojs.v1.OJSService")
    ours = service_pb2.DESCRIPTOR.services_by_name["OJSService"]
    assert [(method.name, method.input_type.full_name, method.server_streaming) for method in described.methods] == [
        (method.name, method.input_type.full_name, method.server_streaming) for method in ours.methods
    ]
    assert pool.FindMessageTypeByName("ojs.v1.Job").fields_by_name["lease"].number == 1012


def _break(service: Service) -> None:
    async def fail() -> None:
        raise StoreUnavailable("the disk is gone")

    service.store.ping = fail


async def _reflect(service: Service, **request: Any) -> Any:  # noqa: ANN401
    stub = reflection_pb2_grpc.ServerReflectionStub(service.channel)
    call = stub.ServerReflectionInfo(iter([reflection_pb2.ServerReflectionRequest(**request)]))
    async with patience():
        (reply,) = [reply async for reply in call]
    return reply


def _add(pool: DescriptorPool, files: dict[str, FileDescriptorProto], name: str) -> None:
    for dependency in files[name].dependency:
        _add(pool, files, dependency)
    pool.Add(files[name])
