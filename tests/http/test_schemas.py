"""The registry of schemas over HTTP, and jobs that name one, over HTTP and gRPC."""

from typing import Any
from urllib.parse import quote

import grpc
import pytest
from google.protobuf.json_format import ParseDict
from google.protobuf.struct_pb2 import ListValue
from ojs_grpc_pb.v1.job_pb2 import EnqueueRequest

from tests.http.service import Web, error_of

URI = "urn:ojs:schema:email.send:v1"
SCHEMA = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "type": "array",
    "prefixItems": [{"type": "object", "properties": {"to": {"type": "string"}}, "required": ["to"]}],
}
DOCUMENT = {"uri": URI, "type": "email.send", "version": 1, "schema": SCHEMA}
CREATED_AT = "2025-06-15T15:06:40.000Z"
HEAD = {"uri": URI, "type": "email.send", "version": 1, "created_at": CREATED_AT}
SDK = {"ojs-version": "1.0"}


async def register(web: Web, **members: Any) -> dict[str, Any]:  # noqa: ANN401
    """Registers a schema that is new."""
    return dict(await web.post("/schemas", {**DOCUMENT, **members}, status=201))


# The registry


async def test_a_schema_is_registered(everywhere: Web) -> None:
    """Once; the same one again is no error, and another one under its name is."""
    answer = await register(everywhere)
    again = await everywhere.post("/schemas", DOCUMENT)

    assert answer == again == {"schema": HEAD}
    await error_of(everywhere, 409, "conflict", "POST", "/schemas", {**DOCUMENT, "version": 2})


@pytest.mark.parametrize("uri", [URI, "https://example.com/schemas/email?v=1#a", "urn:x:100%25"])
async def test_a_schema_is_found_by_its_uri(everywhere: Web, uri: str) -> None:
    """As a part of the path, percent-encoded by whatever rules."""
    await register(everywhere, uri=uri)

    whole = await everywhere.get(f"/schemas/{quote(uri, safe='')}")
    partly = await everywhere.get(f"/schemas/{quote(uri, safe=':/')}")

    assert whole == partly == {"schema": {**HEAD, "uri": uri, "schema": SCHEMA}}


async def test_schemas_are_listed(everywhere: Web) -> None:
    """A page at a time."""
    uris = [f"urn:x:{number}" for number in range(5)]
    for uri in uris:
        await register(everywhere, uri=uri)

    page = await everywhere.get("/schemas", limit=2, offset=2)

    assert page["schemas"] == [{**HEAD, "uri": uri} for uri in uris[2:4]]
    assert page["pagination"].pop("next_cursor")
    assert page["pagination"] == {"total": 5, "has_more": True, "limit": 2, "offset": 2}


async def test_a_schema_is_deleted(everywhere: Web) -> None:
    """For good; there is nothing to delete a second time."""
    await register(everywhere)

    answer = await everywhere.delete(f"/schemas/{URI}")

    assert answer == {"deleted": True, "uri": URI}
    for method in ("GET", "DELETE"):
        error = await error_of(everywhere, 404, "not_found", method, f"/schemas/{URI}")
        assert error["details"] == {"resource_type": "schema", "resource_id": URI}


@pytest.mark.parametrize("version", [3, "3", "1.2.0"])
async def test_sdks_get_versions_as_text(web: Web, version: Any) -> None:  # noqa: ANN401
    """One of them takes nothing else; others get what was said."""
    await register(web, version=version)

    assert (await web.get(f"/schemas/{URI}"))["schema"]["version"] == version
    assert (await web.get("/schemas", headers=SDK))["schemas"][0]["version"] == str(version)


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"uri": None}, "uri"),
        ({"uri": "no uri"}, "uri"),
        ({"type": None}, "type"),
        ({"version": 1.5}, "version"),
        ({"version": True}, "version"),
        ({"schema": None}, "schema"),
        ({"schema": []}, "schema"),
        ({"schema": {"type": "nonsense"}}, "schema"),
    ],
)
async def test_what_is_no_schema_is_refused(web: Web, change: dict[str, Any], field: str) -> None:
    """With the field; what is wrong with a schema itself has a name of its own."""
    error = await error_of(web, 400, "invalid_request", "POST", "/schemas", {**DOCUMENT, **change})

    assert error["details"]["field"] == field
    assert ("schema_error" in error["details"]) == (change == {"schema": {"type": "nonsense"}})
    assert (await web.get("/schemas"))["schemas"] == []


# Jobs


async def test_a_job_is_as_its_schema_says(everywhere: Web) -> None:
    """Or it is refused, with what is wrong and where."""
    await register(everywhere)
    job = await everywhere.enqueue("email.send", [{"to": "a@b"}], schema=URI)

    wrong = {"type": "email.send", "args": [{"to": 7}], "schema": URI}
    error = await error_of(everywhere, 400, "schema_validation", "POST", "/jobs", wrong)

    assert job["schema"] == URI
    assert error["details"]["schema"] == URI
    assert error["details"]["validation_errors"] == [{"path": "args[0].to", "message": '7 is not of type "string"'}]


async def test_a_batch_is_refused_for_one_job(everywhere: Web) -> None:
    """Nothing of it is stored."""
    await register(everywhere)
    jobs = [{"type": "email.send", "args": args, "schema": URI} for args in ([{"to": "a"}], [{}])]

    error = await error_of(everywhere, 400, "schema_validation", "POST", "/jobs/batch", {"jobs": jobs})

    assert (error["details"]["index"], error["details"]["field"]) == (1, "jobs[1].args[0]")
    assert await everywhere.fetch() == []


async def test_a_schema_that_nobody_registered_is_kept(web: Web) -> None:
    """And checks nothing."""
    job = await web.enqueue(args=[7], schema="urn:other")

    assert (await web.job(job["id"]))["schema"] == "urn:other"


async def test_grpc_checks_it_too(everywhere: Web) -> None:
    """Where a client of it names a schema."""
    await register(everywhere)
    args = ParseDict([{"to": 7}], ListValue()).values

    with pytest.raises(grpc.aio.AioRpcError) as refusal:
        await everywhere.grpc.stub.Enqueue(EnqueueRequest(type="email.send", args=args, schema=URI))

    assert refusal.value.code() is grpc.StatusCode.INVALID_ARGUMENT
