"""GET /openapi.json."""

from functools import cache

from ojs_grpc.bindings.http.call import Call
from ojs_grpc.bindings.http.route import Answer, Route
from ojs_grpc.codec.json_text import dump


class OpenApiHandlers:
    """The description of all endpoints, for programs that read OpenAPI."""

    def routes(self) -> list[Route]:
        """The endpoint."""
        return [Route("GET", "/openapi.json", self.show)]

    async def show(self, _: Call) -> Answer:
        """The document, which is the same for as long as the server runs."""
        return Answer(_text())


@cache
def _text() -> bytes:
    # A few megabytes that most servers are never asked for.
    from ojs_grpc.bindings.http.description.document import describe  # noqa: PLC0415

    return dump(describe())
