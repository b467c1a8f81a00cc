"""GET /openapi.json: a valid document, which describes every endpoint and no other."""

import re
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest
from openapi_spec_validator import OpenAPIV31SpecValidator

from ojs_grpc.bindings.http.description.document import describe
from ojs_grpc.bindings.http.handlers import all_routes
from ojs_grpc.bindings.http.route import Body
from ojs_grpc.core.envelope import Defaults
from ojs_grpc.operations.engine import Engine
from ojs_grpc.stores import open_store
from ojs_grpc.telemetry.recorder import Recorder
from tests.http.service import Web


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    """The document."""
    return describe()


def operations(document: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Method, path and description of each operation."""
    for path, item in document["paths"].items():
        for method, operation in item.items():
            if method != "parameters":
                yield method.upper(), path, operation


def references(node: Any) -> Iterator[str]:  # noqa: ANN401 - any JSON value
    """All that a part of the document refers to."""
    if isinstance(node, dict):
        if isinstance(node.get("$ref"), str):
            yield node["$ref"]
        for member in node.values():
            yield from references(member)
    elif isinstance(node, list):
        for item in node:
            yield from references(item)


async def test_it_is_served(web: Web) -> None:
    """As JSON, the same as it is made."""
    answer = await web.client.get("/openapi.json")

    assert answer.status_code == 200
    assert answer.json() == describe()


def test_it_is_valid(document: dict[str, Any]) -> None:
    """As the specification of OpenAPI 3.1 has it."""
    OpenAPIV31SpecValidator(document).validate()


def test_it_describes_all_endpoints(document: dict[str, Any]) -> None:
    """And no other; those that only the official suite needs are not described."""
    engine = Engine(open_store("memory:"), Defaults(), Recorder())
    served = all_routes(engine, lambda: False, conformance=False)
    # How a parameter is matched is nothing to tell.
    routes = {(route.method, re.sub(":path}", "}", route.path)): route for route in served}
    described = {(method, path): operation for method, path, operation in operations(document)}

    assert described.keys() - routes.keys() == set()
    assert routes.keys() - described.keys() == set()
    bodies = {place: operation.get("requestBody", {}).get("required") for place, operation in described.items()}
    kinds = {None: Body.NONE, False: Body.OPTIONAL, True: Body.REQUIRED}
    assert {place: kinds[required] for place, required in bodies.items()} == {
        place: route.body for place, route in routes.items()
    }


def test_every_operation_has_a_name_of_its_own(document: dict[str, Any]) -> None:
    """For clients that are generated."""
    names = Counter(operation["operationId"] for _, _, operation in operations(document))

    assert [name for name, count in names.items() if count > 1] == []


def test_nothing_is_described_in_vain(document: dict[str, Any]) -> None:
    """Every component is referred to."""
    components = {f"#/components/{kind}/{name}" for kind, named in document["components"].items() for name in named}

    assert components == set(references(document))


def test_every_error_has_the_same_body(document: dict[str, Any]) -> None:
    """Whatever the endpoint, and with what every answer has."""
    for _, _, operation in operations(document):
        for status, response in operation["responses"].items():
            if int(status) >= 400 and status != "503":
                assert response["$ref"].startswith("#/components/responses/")
    for response in document["components"]["responses"].values():
        assert {schema["schema"]["$ref"] for schema in response["content"].values()} == {"#/components/schemas/Error"}
        assert {"X-Request-Id", "OJS-Version"} <= response["headers"].keys()
