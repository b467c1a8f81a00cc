"""Manifest and health over HTTP (wire sections 1.2 and 6)."""


import json
from unittest import mock

from ojs_grpc_pb.v1 import service_pb2

from ojs_grpc import __version__
from ojs_grpc.errors import StoreUnavailable
from tests.http.service import OJS, Web


async def test_the_manifest_says_what_the_server_is(everywhere: Web) -> None:
    """Whatever the store, with the types that clients rely on."""
    answer = await everywhere.client.get("/ojs/manifest")

    manifest = answer.json()
    assert answer.status_code == 200
    assert answer.headers["content-type"] == OJS
    assert manifest["specversion"] == manifest["ojs_version"] == "1.0"
    assert manifest["implementation"] == {"name": "ojs-grpc", "version": __version__, "language": "python"}
    assert manifest["conformance_level"] == 4
    assert manifest["protocols"] == ["http", "grpc"]
    assert manifest["backend"] == everywhere.grpc.store.name
    assert manifest["schema_validation"] is True
    assert {"urn:ojs:ext:admin-api", "urn:ojs:ext:events", "urn:ojs:ext:progress"} < {*manifest["extensions"]}
    assert all(type(able) is bool for able in manifest["capabilities"].values())
    assert all(type(name) is str for name in (*manifest["extensions"], *manifest["endpoints"].values()))


async def test_both_bindings_say_the_same(web: Web) -> None:
    """The manifest over gRPC holds this one."""
    manifest = (await web.client.get("/ojs/manifest")).json()

    over_grpc = await web.grpc.stub.Manifest(service_pb2.ManifestRequest())

    assert json.loads(over_grpc.manifest_json) == manifest
    assert list(over_grpc.protocols) == manifest["protocols"]


async def test_health(everywhere: Web) -> None:
    """With whole numbers, which is what some clients read."""
    health = await everywhere.get("/health")

    assert (health["status"], health["version"]) == ("ok", "1.0")
    assert health["backend"]["type"] == everywhere.grpc.store.name
    assert health["backend"]["status"] == "connected"
    assert type(health["uptime_seconds"]) is type(health["backend"]["latency_ms"]) is int


async def test_health_while_the_store_is_away(web: Web) -> None:
    """503 with the reason; the process is alive, and not ready."""
    with mock.patch.object(web.grpc.store, "ping", side_effect=StoreUnavailable("it is away")):
        health = await web.get("/health", status=503)
        ready = await web.client.get("/ready")
        alive = await web.client.get("/health")

    assert health["status"] == "error"
    assert (health["backend"]["status"], health["backend"]["error"]) == ("disconnected", "it is away")
    assert (ready.status_code, ready.json()["ready"]) == (503, False)
    assert alive.status_code == 200


async def test_ready(web: Web) -> None:
    """When the store works."""
    answer = await web.client.get("/ready")

    assert (answer.status_code, answer.json()["ready"]) == (200, True)
