"""The registry of JSON schemas (wire section 1.2)."""

from typing import Any

from ojs_grpc.bindings.http.call import Call
from ojs_grpc.bindings.http.pagination import pagination, read_page, read_paging
from ojs_grpc.bindings.http.route import Answer, Body, Route
from ojs_grpc.codec.members import Members, is_whole
from ojs_grpc.codec.times import time_text
from ojs_grpc.operations.engine import Engine
from ojs_grpc.operations.schemas import Registered

_FIRST_VERSION = 1


class SchemasHandlers:
    """Endpoints on schemas."""

    def __init__(self, engine: Engine) -> None:
        self._schemas = engine.schemas

    def routes(self) -> list[Route]:
        """The endpoints."""
        return [
            Route("GET", "/ojs/v1/schemas", self.list),
            Route("POST", "/ojs/v1/schemas", self.register, Body.REQUIRED),
            Route("GET", "/ojs/v1/schemas/{uri:path}", self.get),
            Route("DELETE", "/ojs/v1/schemas/{uri:path}", self.delete),
        ]

    async def list(self, call: Call) -> Answer:
        """Schemas by URI, without their text."""
        paging = read_paging(call)
        page = await read_page(paging, self._schemas.list)
        cursor = page.next_cursor
        return Answer(
            {
                "schemas": [_head(registered, call) for registered in page.rows],
                "pagination": pagination(page.total, has_more=bool(cursor), next_cursor=cursor, paging=paging),
            }
        )

    async def register(self, call: Call) -> Answer:
        """Registers a schema; one that is registered already is no error."""
        members = Members(call.document)
        uri = members.required_text("uri")
        type_ = members.required_text("type")
        version = _version(members)
        schema = members.object("schema")
        if schema is None and "schema" not in {field for field, _ in members.broken}:
            members.refuse("schema", "is required")
        members.finish()
        registered, is_new = await self._schemas.register(uri, type_, version, schema or {})
        return Answer({"schema": _head(registered, call)}, 201 if is_new else 200)

    async def get(self, call: Call) -> Answer:
        """A schema and its text."""
        registered = await self._schemas.get(call.path["uri"])
        return Answer({"schema": {**_head(registered, call), "schema": registered.schema}})

    async def delete(self, call: Call) -> Answer:
        """Removes a schema."""
        uri = call.path["uri"]
        await self._schemas.delete(uri)
        return Answer({"deleted": True, "uri": uri})


def _version(members: Members) -> int | str:
    """A number or a text: the spec and its SDKs differ."""
    version = members.members.get("version")
    if version is None:
        return _FIRST_VERSION
    if isinstance(version, str):
        return version
    if is_whole(version) and version >= 0:
        return int(version)
    members.refuse("version", "must be a whole number or a string")
    return _FIRST_VERSION


def _head(registered: Registered, call: Call) -> dict[str, Any]:
    """A schema as listed. SDKs take versions as texts, and the one for Go nothing else."""
    return {
        "uri": registered.uri,
        "type": registered.type,
        "version": str(registered.version) if call.is_sdk else registered.version,
        "created_at": time_text(registered.created_at),
    }
