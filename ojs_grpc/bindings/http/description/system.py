"""The server itself."""

from ojs_grpc.bindings.http.description.operation import Noun, Operation
from ojs_grpc.bindings.http.description.schemas import (
    answered,
    any_object,
    array,
    constant,
    mapping,
    one_of,
    ref,
    text,
    truth,
    whole,
)

_HEALTH = answered(
    {
        "status": one_of("ok", "degraded", "error", description="`degraded` while the server is about to stop."),
        "version": constant("1.0"),
        "uptime_seconds": whole(),
        "backend": answered(
            {"type": text(), "status": one_of("connected", "disconnected"), "latency_ms": whole()},
            {"error": text()},
        ),
    }
)
_MANIFEST = answered(
    {
        "specversion": constant("1.0"),
        "ojs_version": constant("1.0"),
        "implementation": answered({"name": text(), "version": text(), "language": text()}),
        "conformance_level": whole(0, 4),
        "protocols": array(one_of("http", "grpc")),
        "backend": text(),
        "capabilities": mapping(truth()),
        "extensions": array(text()),
        "endpoints": mapping(text()),
        "payload_limits": any_object(),
    }
)

NOUN = Noun(
    "system",
    "What the server is, and how it is.",
    [
        Operation("manifest", "GET", "/ojs/manifest", "What the server is and can do", {200: ref("Manifest")}),
        Operation(
            "health", "GET", "/ojs/v1/health", "Whether the store works", {200: ref("Health"), 503: ref("Health")}
        ),
        Operation("alive", "GET", "/health", "Whether the process answers", {200: answered({"status": text()})}),
        Operation(
            "ready",
            "GET",
            "/ready",
            "Whether requests should be sent here",
            {200: ref("Readiness"), 503: ref("Readiness")},
        ),
        Operation("metrics", "GET", "/metrics", "Figures for Prometheus", {200: text()}, text="text/plain"),
        Operation("openapi", "GET", "/openapi.json", "This document", {200: any_object()}),
    ],
    {
        "Manifest": _MANIFEST,
        "Health": _HEALTH,
        "Readiness": {"allOf": [ref("Health"), answered({"ready": truth()})]},
    },
)
