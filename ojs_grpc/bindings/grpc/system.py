"""Manifest, Health."""

from ojs_grpc_pb.v1 import service_pb2

from ojs_grpc.bindings.grpc.call import Call
from ojs_grpc.codec import json_text
from ojs_grpc.core.duration import to_timestamp
from ojs_grpc.operations.engine import Engine
from ojs_grpc.operations.system import manifest_document


class SystemServicer:
    """RPCs on the server itself."""

    engine: Engine
    draining: bool

    async def manifest(self, _request: service_pb2.ManifestRequest, _: Call) -> service_pb2.ManifestResponse:
        manifest = self.engine.system.manifest()
        return service_pb2.ManifestResponse(
            ojs_version=manifest.ojs_version,
            implementation=service_pb2.Implementation(
                name=manifest.name, version=manifest.version, language=manifest.language
            ),
            conformance_level=manifest.conformance_level,
            protocols=manifest.protocols,
            backend=manifest.backend,
            extensions=manifest.extensions,
            schema_validation=manifest.schema_validation,
            capabilities=manifest.capabilities,
            unique_job_strength=manifest.unique_job_strength,
            manifest_json=json_text.dump(manifest_document(manifest, self.engine.defaults.limits)).decode(),
        )

    async def health(self, _request: service_pb2.HealthRequest, _: Call) -> service_pb2.HealthResponse:
        report = await self.engine.system.health()
        status = service_pb2.HEALTH_STATUS_OK if report.healthy else service_pb2.HEALTH_STATUS_UNHEALTHY
        if self.draining:
            status = service_pb2.HEALTH_STATUS_DEGRADED
        response = service_pb2.HealthResponse(status=status, timestamp=to_timestamp(report.checked_at))
        response.details.update(
            {
                "backend": report.backend,
                "latency_ms": round(report.latency_ms, 3),
                "uptime_seconds": round(report.uptime_seconds, 3),
            }
        )
        if report.error:
            response.details["error"] = report.error
        return response
