"""What the command line and the admin UI send, and what they look for in the answers."""

from tests.http.sdk import said
from tests.http.service import Web, error_of


async def test_the_command_line_looks_at_the_top(web: Web) -> None:
    """It is no SDK by its headers."""
    request = {"type": "a.b", "args": [1], "options": {"queue": "cli", "priority": 5, "max_attempts": 4}}

    enqueued = await web.post("/jobs", request, status=201)
    batch = await web.post("/jobs/batch", {"jobs": [request, request]}, status=201)
    read = await web.get(f"/jobs/{enqueued['id']}")
    cancelled = await web.delete(f"/jobs/{enqueued['id']}")
    steps = [{"id": "a", "type": "a.b", "args": []}]
    workflow = await web.post("/workflows", {"name": "w", "steps": steps}, status=201)
    called_off = await web.delete(f"/workflows/{workflow['id']}")

    facts = ("type", "queue", "state", "priority", "attempt", "max_attempts")
    assert [read[fact] for fact in facts] == ["a.b", "cli", "available", 5, 0, 4]
    assert (batch["enqueued"], batch["failed"]) == (2, 0)
    assert (cancelled["state"], cancelled["previous_state"]) == ("cancelled", "available")
    assert "id" not in await said(web, "GET", f"/jobs/{enqueued['id']}")
    assert (called_off["state"], called_off["cancelled_steps"]) == ("cancelled", 1)


async def test_cron_from_the_command_line(everywhere: Web) -> None:
    """It names no arguments, and pauses and resumes."""
    template = {"type": "a.b", "options": {"queue": "cli"}}
    entry = {"name": "tick", "expression": "*/5 * * * *", "job_template": template}

    await everywhere.post("/cron", entry, status=201)
    read = await everywhere.get("/cron/tick")
    paused = await everywhere.post("/cron/tick/pause")
    resumed = await everywhere.post("/cron/tick/resume")

    assert (read["name"], read["expression"], read["job_template"]["args"]) == ("tick", "*/5 * * * *", [])
    assert (paused["enabled"], resumed["enabled"]) == (False, True)
    await error_of(everywhere, 404, "not_found", "POST", "/cron/tock/pause")


async def test_crons_in_the_admin_ui(everywhere: Web) -> None:
    """It has a path and names of its own for them."""
    entry = {"name": "tick", "cron": "*/5 * * * *", "type": "a.b", "args": [], "options": {"queue": "mail"}}
    await everywhere.post("/cron", entry, status=201)
    await everywhere.post("/cron", {**entry, "name": "tock", "options": {}}, status=201)

    page = await everywhere.get("/crons", page=1, per_page=25)
    changed = await everywhere.send("PATCH", "/crons/tick", {"enabled": False})
    read = await everywhere.get("/crons/tick")
    await everywhere.delete("/crons/tick")

    assert [(item["id"], item["schedule"], item["queue"]) for item in page["items"]] == [
        ("tick", "*/5 * * * *", "mail"),
        ("tock", "*/5 * * * *", "default"),
    ]
    assert (page["pagination"]["page"], page["pagination"]["per_page"], page["pagination"]["total"]) == (1, 25, 2)
    assert changed == read
    assert (read["id"], read["enabled"]) == ("tick", False)
    await error_of(everywhere, 404, "not_found", "GET", "/crons/tick")


async def test_list_of_workflows(everywhere: Web) -> None:
    """In short, the oldest first, under both names that are looked for."""
    ids = []
    for name in ("a", "b", "c"):
        request = {"name": name, "type": "group", "jobs": [{"type": "a.b", "args": [name]}]}
        ids.append((await everywhere.post("/workflows", request, status=201))["id"])
    await everywhere.delete(f"/workflows/{ids[1]}")

    everything = await everywhere.get("/workflows", limit=25)
    page = await everywhere.get("/workflows", page=2, per_page=1, state="active")
    cancelled = await everywhere.get("/workflows", state="cancelled")

    assert everything["workflows"] == everything["items"]
    assert [row["id"] for row in everything["items"]] == ids
    assert everything["total"] == everything["pagination"]["total"] == 3
    row = everything["items"][0]
    assert (row["name"], row["state"], row["steps_total"], row["step_count"]) == ("a", "running", 1, 1)
    assert "steps" not in row
    assert ([row["id"] for row in page["items"]], page["total"]) == ([ids[2]], 2)
    assert (page["pagination"]["page"], page["pagination"]["has_more"]) == (2, False)
    assert ([row["id"] for row in cancelled["items"]], cancelled["total"]) == ([ids[1]], 1)
    assert (await everywhere.get("/workflows", state="pending"))["items"] == []
    await error_of(everywhere, 400, "invalid_request", "GET", "/workflows", state="odd")


async def test_many_workflows_in_one_state(web: Web) -> None:
    """Pages by cursor pass over the others."""
    ids = []
    for number in range(5):
        request = {"type": "group", "jobs": [{"type": "a.b", "args": []}]}
        ids.append((await web.post("/workflows", request, status=201))["id"])
        if number % 2:
            await web.delete(f"/workflows/{ids[-1]}")

    first = await web.get("/workflows", state="running", limit=2)
    cursor = first["pagination"]["next_cursor"]
    second = await web.get("/workflows", state="running", limit=2, cursor=cursor)

    assert [row["id"] for page in (first, second) for row in page["workflows"]] == ids[::2]
    assert (first["total"], second["total"], second["pagination"]["has_more"]) == (3, 3, False)
