"""What the official SDKs look for in answers of every kind: types, errors, pages, events."""

import json

import pytest

from tests.http.sdk import GO, JSON, said
from tests.http.service import OJS, UNKNOWN_ID, Web, error_of


@pytest.mark.parametrize("version", ["1.0", "1.0.0-rc.1"])
async def test_media_type(web: Web, version: str) -> None:
    """One SDK reads JSON only from a type that has `application/json` in it; the type is still the spec's."""
    answer = await web.client.get("/ojs/manifest", headers={"ojs-version": version, "accept": OJS, "content-type": OJS})

    assert answer.headers["content-type"] == f'{OJS}; profile="application/json"'


async def test_manifest_types(web: Web) -> None:
    """Flat, as the SDK for Go decodes it."""
    manifest = (await web.client.get("/ojs/manifest", headers=GO)).json()

    assert all(isinstance(value, bool) for value in manifest["capabilities"].values())
    assert manifest["capabilities"]["cron"]
    assert all(isinstance(value, str) for value in [*manifest["extensions"], *manifest["endpoints"].values()])


async def test_health_types(web: Web) -> None:
    """Whole numbers, as the SDK for Go decodes them."""
    health = await said(web, "GET", "/health")

    assert type(health["uptime_seconds"]) is type(health["backend"]["latency_ms"]) is int


async def test_errors_are_objects_in_an_object(web: Web) -> None:
    """Each SDK picks its exception by the status or the code, and shows what the details name."""
    request = {"type": "a.b", "args": [1], "options": {"unique": {"key": ["type"], "on_conflict": "reject"}}}
    job = (await said(web, "POST", "/jobs", request, status=201))["job"]

    duplicate = await error_of(web, 409, "duplicate", "POST", "/jobs", request, headers=JSON)
    missing = await error_of(web, 404, "not_found", "GET", f"/jobs/{UNKNOWN_ID}", headers=JSON)
    await said(web, "DELETE", f"/jobs/{job['id']}")
    conflict = await error_of(web, 409, "conflict", "DELETE", f"/jobs/{job['id']}", headers=JSON)

    assert duplicate["details"]["existing_job_id"] == job["id"]
    assert (missing["details"]["resource_type"], missing["details"]["resource_id"]) == ("job", UNKNOWN_ID)
    assert all(error["request_id"] for error in (duplicate, missing, conflict))


async def test_queue_stats(web: Web) -> None:
    """The queue is a name; the SDK for JavaScript looks for the figures at the top."""
    await web.enqueue(options={"queue": "mail"})

    stats = await said(web, "GET", "/queues/mail/stats")

    assert (stats["queue"], stats["name"], stats["status"], stats["paused"]) == ("mail", "mail", "active", False)
    assert stats["available"] == stats["stats"]["available"] == 1
    assert isinstance(stats["computed_at"], str)


async def test_pages_by_number(web: Web) -> None:
    """The SDK for JavaScript counts pages."""
    for name in ("a", "b", "c"):
        await said(web, "POST", "/cron", {"name": name, "cron": "0 9 * * *", "type": "a.b", "args": []}, status=201)

    page = await said(web, "GET", "/cron", page=2, per_page=2)

    assert [entry["name"] for entry in page["cron_jobs"]] == ["c"]
    assert (page["pagination"]["page"], page["pagination"]["per_page"], page["pagination"]["total"]) == (2, 2, 3)


async def test_no_limit(web: Web) -> None:
    """The SDK for Go sends zeros for what its caller leaves out."""
    await web.bury()

    page = await said(web, "GET", "/dead-letter", limit=0, offset=0)

    assert len(page["jobs"]) == 1
    assert (page["pagination"]["limit"], page["pagination"]["offset"]) == (50, 0)


async def test_attempts_of_dead_letters(web: Web) -> None:
    """The SDK for JavaScript has a name of its own for them."""
    await web.bury()

    (letter,) = (await said(web, "GET", "/dead-letter"))["jobs"]

    assert letter["total_attempts"] == letter["attempt"] == 1


@pytest.mark.parametrize("uri", ["urn:ojs:schema:a.b:v1", "https://example.com/schemas/a?b=c#d"])
async def test_schemas(web: Web, uri: str) -> None:
    """Versions are texts, and addresses stand in paths with every special character escaped."""
    place = f"/schemas/{uri.replace('%', '%25').replace('/', '%2F').replace('?', '%3F').replace('#', '%23')}"
    schema = {"type": "array"}
    request = {"uri": uri, "type": "a.b", "version": "1.0.0", "schema": schema}

    registered = (await said(web, "POST", "/schemas", request, status=201))["schema"]
    read = (await said(web, "GET", place))["schema"]
    await said(web, "DELETE", place)

    assert (registered["version"], read["uri"], read["schema"]) == ("1.0.0", uri, schema)
    await error_of(web, 404, "not_found", "GET", place, headers=JSON)


async def test_subscribe(web: Web) -> None:
    """Each SDK asks for a channel; what it hands on has a type, an id and an object."""
    job = await web.enqueue(options={"queue": "mail"})
    headers = {"accept": "text/event-stream", "cache-control": "no-cache"}
    url = f"/ojs/v1/events/stream?channel=job%3A{job['id']}"

    async with web.client.stream("GET", url, headers=headers) as answer:
        await web.fetch_one("mail")
        lines = answer.aiter_lines()
        first = [await anext(lines) for _ in range(6)]

    assert answer.status_code == 200
    told = dict(line.split(": ", 1) for line in first if ": " in line and not line.startswith("retry"))
    data = json.loads(told["data"])
    assert told["event"] == data["event"] == "job.started"
    assert told["id"] == data["id"]
    assert (data["job_id"], data["queue"], data["to"]) == (job["id"], "mail", "active")
    assert data["data"]["state"] == "active"
