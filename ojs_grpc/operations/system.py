"""Manifest and health (behaviour section 22, wire sections 1.2 and 6)."""

import asyncio
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, NamedTuple

from ojs_grpc import __version__
from ojs_grpc.core.envelope import SPECVERSION
from ojs_grpc.core.limits import Limits
from ojs_grpc.errors import OJSError
from ojs_grpc.stores.ports import Store

CONFORMANCE_LEVEL = 4
GRPC, HTTP = "grpc", "http"

_PROBE_SECONDS = 1.0
_PROBE_TIMEOUT_SECONDS = 2.0


_CAPABILITIES = MappingProxyType(
    {
        "batch_enqueue": True,
        # As the admin UI has it.
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
    }
)
_EXTENSIONS = (
    "urn:ojs:ext:backpressure",
    "urn:ojs:ext:dead-letter",
    "urn:ojs:ext:payload-limits",
    "urn:ojs:ext:rate-limiting",
    # The manifest of the gRPC binding has no other place for it that every client knows (behaviour section 23, row 32).
    "unique-jobs:strong",
)
# Served by the HTTP binding alone.
_HTTP_EXTENSIONS = ("urn:ojs:ext:admin-api", "urn:ojs:ext:durable-execution", "urn:ojs:ext:progress")
# Served unless nothing is logged.
_EVENTS = "urn:ojs:ext:events"


@dataclass(frozen=True, slots=True)
class Manifest:
    """What this server is and can do; the same on every binding."""

    backend: str
    ojs_version: str = SPECVERSION
    name: str = "ojs-grpc"
    version: str = __version__
    language: str = "python"
    conformance_level: int = CONFORMANCE_LEVEL
    protocols: tuple[str, ...] = (GRPC,)
    capabilities: Mapping[str, bool] = field(default_factory=lambda: _CAPABILITIES)
    extensions: tuple[str, ...] = _EXTENSIONS
    unique_job_strength: str = "strong"
    schema_validation: bool = True


def manifest_document(manifest: Manifest, limits: Limits) -> dict[str, Any]:
    """The manifest as JSON (wire section 6)."""
    return {
        "specversion": SPECVERSION,
        "ojs_version": manifest.ojs_version,
        "implementation": {"name": manifest.name, "version": manifest.version, "language": manifest.language},
        "conformance_level": manifest.conformance_level,
        "conformance_tier": "runtime",
        "protocols": list(manifest.protocols),
        "backend": manifest.backend,
        "capabilities": dict(manifest.capabilities),
        "extensions": list(manifest.extensions),
        "schema_validation": manifest.schema_validation,
        "unique_job_strength": manifest.unique_job_strength,
        "endpoints": {"base_url": "/ojs/v1", "manifest": "/ojs/manifest", "health": "/ojs/v1/health"},
        "payload_limits": {
            "max_envelope_bytes": limits.envelope_bytes,
            "max_meta_bytes": limits.meta_bytes,
            "max_queue_name_bytes": limits.queue_chars,
            "max_job_type_bytes": limits.type_bytes,
            "max_batch_jobs": limits.batch_jobs,
            "max_request_bytes": limits.request_bytes,
            "supported_compression": [],
            "external_references": True,
            "chunking": False,
            "per_queue_limits": False,
        },
    }


class HealthReport(NamedTuple):
    """Whether the store works, and how fast it answered.

    Attributes:
        error: why it does not work; empty if it does.
    """

    healthy: bool
    backend: str
    latency_ms: float
    uptime_seconds: float
    checked_at: int
    error: str = ""


class System:
    """What the server knows of itself. Watches the store once a second while it runs."""

    def __init__(self, store: Store, on_change: Callable[[bool], None] = lambda _: None) -> None:
        self._store = store
        self._started = time.monotonic()
        self.on_change = on_change
        """Called when the store stops working, and when it works again."""
        self._healthy = True
        self._protocols: tuple[str, ...] = (GRPC,)

    def serve(self, protocol: str) -> None:
        """Has the manifest say that this protocol is served too."""
        self._protocols = tuple(name for name in (HTTP, GRPC) if name in {protocol, *self._protocols})

    def manifest(self) -> Manifest:
        """What this server is and can do."""
        extensions = [*_EXTENSIONS]
        if HTTP in self._protocols:
            extensions += _HTTP_EXTENSIONS
        if self._store.log_events:
            extensions.append(_EVENTS)
        return Manifest(backend=self._store.name, protocols=self._protocols, extensions=tuple(sorted(extensions)))

    async def health(self) -> HealthReport:
        """Asks the store now."""
        start = time.perf_counter()
        error = ""
        try:
            async with asyncio.timeout(_PROBE_TIMEOUT_SECONDS):
                await self._store.ping()
        except OJSError as problem:
            error = problem.message
        except TimeoutError:
            error = "the store does not answer"
        self._note(healthy=not error)
        return HealthReport(
            healthy=not error,
            backend=self._store.name,
            latency_ms=(time.perf_counter() - start) * 1000,
            uptime_seconds=time.monotonic() - self._started,
            checked_at=self._store.clock.now(),
            error=error,
        )

    async def watch(self) -> None:
        """Looks at the store once a second, for ever."""
        while True:
            await self.health()
            await asyncio.sleep(_PROBE_SECONDS)

    def _note(self, *, healthy: bool) -> None:
        if healthy != self._healthy:
            self._healthy = healthy
            self.on_change(healthy)
