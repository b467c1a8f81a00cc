"""What the official test suite needs of a server, and nobody else should have (wire section 1.6)."""

from ojs_grpc.bindings.http.call import Call
from ojs_grpc.bindings.http.route import Answer, Route
from ojs_grpc.operations.engine import Engine


class ConformanceHandlers:
    """Endpoints for the suite."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def routes(self) -> list[Route]:
        """Tests begin with an empty store."""
        return [Route("POST", "/ojs/v1/admin/reset", self.reset)]

    async def reset(self, _: Call) -> Answer:
        """Forgets everything that is stored."""
        await self._engine.reset()
        return Answer({"reset": True})
