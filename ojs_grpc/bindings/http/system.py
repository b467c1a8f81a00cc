"""Manifest and health."""

from collections.abc import Callable

from ojs_grpc.bindings.http.call import Call
from ojs_grpc.bindings.http.route import Answer, Route
from ojs_grpc.core.envelope import SPECVERSION
from ojs_grpc.operations.engine import Engine
from ojs_grpc.operations.system import HealthReport, manifest_document


class SystemHandlers:
    """Endpoints on the server itself.

    Args:
        is_draining: whether the server is about to stop.
    """

    def __init__(self, engine: Engine, is_draining: Callable[[], bool]) -> None:
        self._engine = engine
        self._is_draining = is_draining

    def routes(self) -> list[Route]:
        """Manifest, health as the spec has it, and two questions for whoever runs the server."""
        return [
            Route("GET", "/ojs/manifest", self.manifest),
            Route("GET", "/ojs/v1/health", self.health, vital=True),
            Route("GET", "/health", self.alive, vital=True),
            Route("GET", "/ready", self.ready, vital=True),
        ]

    async def manifest(self, _: Call) -> Answer:
        """What this server is and can do."""
        return Answer(manifest_document(self._engine.system.manifest(), self._engine.defaults.limits))

    async def health(self, _: Call) -> Answer:
        """Whether the store works, and how fast; 503 if it does not."""
        report = await self._engine.system.health()
        return Answer(self._document(report), 200 if report.healthy else 503)

    async def alive(self, _: Call) -> Answer:
        """Whether the process answers, whatever the store does: it does."""
        return Answer({"status": "ok"})

    async def ready(self, _: Call) -> Answer:
        """Whether calls should come here: the store works and the server is not about to stop; else 503."""
        report = await self._engine.system.health()
        ready = report.healthy and not self._is_draining()
        return Answer({"ready": ready, **self._document(report)}, 200 if ready else 503)

    def _document(self, report: HealthReport) -> dict[str, object]:
        if not report.healthy:
            status, backend = "error", {"status": "disconnected", "error": report.error}
        else:
            status, backend = "degraded" if self._is_draining() else "ok", {"status": "connected"}
        return {
            "status": status,
            "version": SPECVERSION,
            "uptime_seconds": int(report.uptime_seconds),
            "backend": {"type": report.backend, "latency_ms": round(report.latency_ms), **backend},
        }
