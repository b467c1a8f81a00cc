"""`grpc.health.v1`, whose watches do not outlive the server."""

import asyncio
from typing import Any

import grpc
from grpc_health.v1 import health, health_pb2

_LAST_WORD_SECONDS = 0.05


class HealthServicer(health.aio.HealthServicer):
    """gRPC's own, but that its watches end when the server stops: an open one would hold it for the whole grace."""

    def __init__(self) -> None:
        super().__init__()
        self._stopping = asyncio.Event()

    async def Watch(
        self, request: health_pb2.HealthCheckRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> None:
        """Streams the status; ends with UNAVAILABLE after `stop`."""
        watching = asyncio.create_task(super().Watch(request, context))
        stopping = asyncio.create_task(self._stopping.wait())
        try:
            await asyncio.wait({watching, stopping}, return_when=asyncio.FIRST_COMPLETED)
            # The watcher is about to hear the last status.
            await asyncio.wait({watching}, timeout=_LAST_WORD_SECONDS)
        finally:
            watching.cancel()
            stopping.cancel()
            await asyncio.gather(watching, stopping, return_exceptions=True)
        await context.abort(grpc.StatusCode.UNAVAILABLE, "the server is stopping")

    async def stop(self) -> None:
        """Says NOT_SERVING for ever, and ends the watches."""
        await self.enter_graceful_shutdown()
        self._stopping.set()
