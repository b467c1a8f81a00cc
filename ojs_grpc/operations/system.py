"""Manifest and health (behaviour section 22, wire sections 1.2 and 6)."""

import asyncio
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import NamedTuple

from ojs_grpc import __version__
from ojs_grpc.core.envelope import SPECVERSION
from ojs_grpc.errors import OJSError
from ojs_grpc.stores.ports import Store

CONFORMANCE_LEVEL = 4

_PROBE_SECONDS = 1.0
_PROBE_TIMEOUT_SECONDS = 2.0


_CAPABILITIES = MappingProxyType(
    {
        "batch_enqueue": True,
        "cron_jobs": True,
        "dead_letter": True,
        "delayed_jobs": True,
        "job_ttl": True,
        "pause_resume": True,
        "priority_queues": True,
        "rate_limiting": True,
        "schema_validation": False,
        "unique_jobs": True,
        "workflows": True,
    }
)
_EXTENSIONS = (
    "urn:ojs:ext:backpressure",
    "urn:ojs:ext:dead-letter",
    "urn:ojs:ext:rate-limiting",
    # The manifest of the gRPC binding has no other place for it that every client knows (behaviour section 23, row 32).
    "unique-jobs:strong",
)


@dataclass(frozen=True, slots=True)
class Manifest:
    """What this server is and can do; the same on every binding."""

    backend: str
    ojs_version: str = SPECVERSION
    name: str = "ojs-grpc"
    version: str = __version__
    language: str = "python"
    conformance_level: int = CONFORMANCE_LEVEL
    protocols: tuple[str, ...] = ("grpc",)
    capabilities: Mapping[str, bool] = field(default_factory=lambda: _CAPABILITIES)
    extensions: tuple[str, ...] = _EXTENSIONS
    unique_job_strength: str = "strong"
    schema_validation: bool = False


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

    def manifest(self) -> Manifest:
        """What this server is and can do."""
        return Manifest(backend=self._store.name)

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
