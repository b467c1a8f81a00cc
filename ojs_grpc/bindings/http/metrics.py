"""GET /metrics."""

import asyncio

from ojs_grpc.bindings.http.call import Call
from ojs_grpc.bindings.http.route import Answer, Route
from ojs_grpc.operations.engine import Engine


class MetricsHandlers:
    """The figures of this process and of its store, for Prometheus."""

    def __init__(self, engine: Engine) -> None:
        # Its library would make every start slower, also where HTTP is off.
        from ojs_grpc.telemetry import prometheus  # noqa: PLC0415

        self._engine = engine
        self._prometheus = prometheus
        self._turn = asyncio.Lock()

    def routes(self) -> list[Route]:
        """The endpoint."""
        return [Route("GET", "/metrics", self.show, vital=True)]

    async def show(self, _: Call) -> Answer:
        """Answers also while the store does not work, and then says so."""
        # One after the other: no limit on calls holds here, and many queues are much work.
        async with self._turn:
            present = await self._engine.figures.present()
            # Text for many queues takes a while, in which others have their turn.
            text = await asyncio.to_thread(self._prometheus.render, self._engine.recorder.copy(), present)
        return Answer(text, media=self._prometheus.CONTENT_TYPE)
