"""Cron entries over HTTP (wire section 1.2)."""

from typing import Any

import pytest
from ojs_grpc_pb.v1.job_pb2 import EnqueueOptions
from ojs_grpc_pb.v1.service_pb2 import ListCronRequest, RegisterCronRequest

from tests.http.service import Web, error_of

HOUR = 3_600_000
NEXT_HOUR = "2025-06-15T16:00:00.000Z"


def entry(name: str | None = "report", **members: Any) -> dict[str, Any]:  # noqa: ANN401 - any JSON
    """An entry that runs at every full hour."""
    return {"name": name, "cron": "0 * * * *", "type": "report.make", "args": [], **members}


async def test_register(everywhere: Web) -> None:
    """The entry comes back with what the server adds, under both names that clients know."""
    answer = await everywhere.post("/cron", entry(options={"queue": "reports"}, meta={"team": "blue"}), status=201)

    job = {"type": "report.make", "args": [], "options": {"queue": "reports"}, "meta": {"team": "blue"}}
    assert answer["cron"] == answer["cron_job"] == {
        **job,
        "name": "report",
        "expression": "0 * * * *",
        "cron": "0 * * * *",
        "timezone": "UTC",
        "job_template": job,
        "overlap_policy": "skip",
        "enabled": True,
        "status": "active",
        "run_count": 0,
        "next_run_at": NEXT_HOUR,
        "last_run_at": None,
        "created_at": "2025-06-15T15:06:40.000Z",
    }


async def test_register_as_the_official_suite_does(web: Web) -> None:
    """With an `expression` and a `job_template`; the entry is the same."""
    job = {"type": "report.make", "args": [], "options": {"queue": "reports"}}
    template = {"name": "b", "expression": "0 * * * *", "job_template": job}

    plain = await web.post("/cron", entry("a", options=job["options"]), status=201)
    suite = await web.post("/cron", template, status=201)

    assert suite["cron"] == plain["cron"] | {"name": "b"}


async def test_register_again(everywhere: Web) -> None:
    """Replaces the entry, which keeps its history."""
    first = await everywhere.post("/cron", entry(), status=201)
    everywhere.clock.advance(1000)

    second = await everywhere.post("/cron", entry(cron="30 * * * *", overlap_policy="cancel"), status=200)

    assert second["cron"]["expression"] == "30 * * * *"
    assert second["cron"]["overlap_policy"] == "cancel_previous"
    assert second["cron"]["created_at"] == first["cron"]["created_at"]
    assert (await everywhere.get("/cron"))["count"] == 1


async def test_jobs_are_made(everywhere: Web) -> None:
    """As the entry says, in every detail."""
    await everywhere.post("/cron", entry(args=[2**53 + 1], x_team="blue", schema="urn:x"), status=201)

    await everywhere.grpc.advance(HOUR)

    job = await everywhere.fetch_one()
    assert (job["type"], job["args"], job["x_team"], job["schema"]) == ("report.make", [2**53 + 1], "blue", "urn:x")
    assert job["meta"]["cron_name"] == "report"
    answer = (await everywhere.get("/cron/report"))["cron"]
    assert (answer["run_count"], answer["last_run_at"]) == (1, "2025-06-15T16:06:40.000Z")


async def test_entries_of_the_other_binding(web: Web) -> None:
    """Are the same: what one registers, the other lists."""
    stub = web.grpc.stub
    options = EnqueueOptions(queue="reports", priority=3)
    await stub.RegisterCron(RegisterCronRequest(name="grpc", cron="@daily", type="t", options=options))
    await web.post("/cron", entry("http", args=[2**53 + 1]), status=201)

    over_http = {cron["name"]: cron for cron in (await web.get("/cron"))["crons"]}
    over_grpc = {cron.name: cron for cron in (await stub.ListCron(ListCronRequest())).entries}

    assert over_http["grpc"]["options"] == {"queue": "reports", "priority": 3}
    assert over_http["grpc"]["args"] == []
    assert dict(over_grpc["http"].exact) == {"/args/0": str(2**53 + 1)}


@pytest.mark.parametrize(
    ("document", "field"),
    [
        (entry("Bad Name"), "name"),
        (entry(name=None), "name"),
        (entry(cron="* * * * * * *"), "cron"),
        (entry(cron="61 * * * *"), "cron"),
        ({"name": "a", "expression": "61 * * * *", "job_template": {"type": "t", "args": []}}, "expression"),
        ({"name": "a", "expression": "0 * * * *", "job_template": {"type": "T", "args": []}}, "job_template.type"),
        (entry(cron=None), "cron"),
        (entry(timezone="+02:00"), "timezone"),
        (entry(overlap_policy="queue"), "overlap_policy"),
        (entry(type="Bad"), "type"),
        (entry(args=None), "args"),
        (entry(options={"scheduled_at": "2030-01-01T00:00:00Z"}), "options.scheduled_at"),
        (entry(delay_until="2030-01-01T00:00:00Z"), "delay_until"),
    ],
)
async def test_what_breaks_a_rule(web: Web, document: dict[str, Any], field: str) -> None:
    """Is refused by the field's name, as the client wrote it; nothing is stored."""
    error = await error_of(web, 400, "invalid_request", "POST", "/cron", document)

    assert error["message"].startswith(f"{field}: ")
    assert (await web.get("/cron"))["crons"] == []


async def test_a_bad_retry_policy(web: Web) -> None:
    """Is refused as at an enqueue."""
    for max_attempts in (-1, "x"):
        document = entry(options={"retry": {"max_attempts": max_attempts}})
        error = await error_of(web, 422, "validation_error", "POST", "/cron", document)
        assert "max_attempts" in error["message"]


async def test_no_document(web: Web) -> None:
    """Is refused."""
    await error_of(web, 400, "invalid_payload", "POST", "/cron")


async def test_list(everywhere: Web) -> None:
    """By name, under both names that clients know."""
    for name in ("c", "a", "b"):
        await everywhere.post("/cron", entry(name), status=201)

    answer = await everywhere.get("/cron")

    assert [cron["name"] for cron in answer["crons"]] == ["a", "b", "c"]
    assert answer["cron_jobs"] == answer["crons"]
    assert answer["count"] == answer["total"] == 3
    assert answer["pagination"] == {"total": 3, "has_more": False, "limit": 50, "offset": 0}


@pytest.mark.parametrize(
    ("query", "names"),
    [
        ({"limit": 2}, ["e0", "e1"]),
        ({"limit": 2, "offset": 3}, ["e3", "e4"]),
        ({"page": 2, "per_page": 2}, ["e2", "e3"]),
        ({"limit": 2, "cursor": "e2"}, ["e3", "e4"]),
        ({"enabled": "true"}, ["e0", "e2", "e4"]),
        ({"enabled": "false"}, ["e1", "e3"]),
        ({"enabled": "true", "limit": 1, "offset": 1}, ["e2"]),
        ({"enabled": "true", "limit": 1, "cursor": "e2"}, ["e4"]),
        ({"enabled": "false", "offset": 5}, []),
    ],
)
async def test_pages(web: Web, query: dict[str, Any], names: list[str]) -> None:
    """By offset, page or cursor, of all entries, or of those that are enabled or not."""
    for number in range(5):
        await web.post("/cron", entry(f"e{number}", enabled=number % 2 == 0), status=201)

    answer = await web.get("/cron", **query)

    last = {"true": "e4", "false": "e3"}.get(query.get("enabled", ""), "e4")
    assert [cron["name"] for cron in answer["crons"]] == names
    assert answer["count"] == len(names)
    assert answer["pagination"]["total"] == {"true": 3, "false": 2}.get(query.get("enabled", ""), 5)
    assert answer["pagination"]["has_more"] == (names[-1:] not in ([], [last]))


async def test_a_filter_that_is_none(web: Web) -> None:
    """Is refused."""
    await error_of(web, 400, "invalid_request", "GET", "/cron", enabled="maybe")


async def test_disable_and_enable(everywhere: Web) -> None:
    """A disabled entry has no next run, and makes no jobs."""
    await everywhere.post("/cron", entry(), status=201)

    disabled = await everywhere.send("PATCH", "/cron/report", {"enabled": False})
    await everywhere.grpc.advance(HOUR)
    enabled = await everywhere.send("PATCH", "/cron/report", {"enabled": True})

    assert disabled["cron"] == disabled["cron_job"]
    facts = ("enabled", "status", "next_run_at")
    assert [disabled["cron"][fact] for fact in facts] == [False, "disabled", None]
    assert [enabled["cron"][fact] for fact in facts] == [True, "active", "2025-06-15T17:00:00.000Z"]
    assert await everywhere.fetch() == []
    assert await everywhere.get("/cron/report") == enabled


@pytest.mark.parametrize(
    ("document", "field"),
    [
        ({}, "enabled"),
        ({"enabled": "no"}, "enabled"),
        ({"enabled": None}, "enabled"),
        ({"enabled": True, "cron": "x"}, "cron"),
    ],
)
async def test_what_cannot_be_changed(web: Web, document: dict[str, Any], field: str) -> None:
    """Is refused by name."""
    await web.post("/cron", entry(), status=201)

    error = await error_of(web, 400, "invalid_request", "PATCH", "/cron/report", document)

    assert error["message"].startswith(f"{field}: ")


async def test_unregister(everywhere: Web) -> None:
    """The entry is handed back, and gone."""
    registered = (await everywhere.post("/cron", entry(), status=201))["cron"]

    answer = await everywhere.delete("/cron/report")

    assert answer == {"cron": registered, "cron_job": registered, "deleted": True, "name": "report"}
    assert (await everywhere.get("/cron"))["crons"] == []


@pytest.mark.parametrize("name", ["none", "Bad%20Name", "a%2Fb"])
async def test_what_is_not_there(web: Web, name: str) -> None:
    """Is not found, whatever it is called."""
    for method, document in (("GET", None), ("DELETE", None), ("PATCH", {"enabled": True})):
        error = await error_of(web, 404, "not_found", method, f"/cron/{name}", document)
        assert error["details"]["resource_type"] == "cron"
