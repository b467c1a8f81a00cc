"""What the official SDKs, the command line and the admin UI send, and what they look for in the answers."""

import asyncio
import json
from typing import Any

import pytest

from tests.http.service import OJS, UNKNOWN_ID, Web, error_of

JSON = {"ojs-version": "1.0", "accept": OJS}
GO = {"ojs-version": "1.0.0-rc.1", "accept": OJS, "user-agent": "Go-http-client/1.1"}


async def said(web: Web, method: str, path: str, document: Any = None, **more: Any) -> Any:  # noqa: ANN401 - any JSON
    """An SDK's request."""
    return await web.send(method, path, document, headers=JSON, **more)


async def hold(web: Web, **options: Any) -> dict[str, Any]:  # noqa: ANN401 - any JSON
    """A job that a worker holds."""
    await web.enqueue(options=options)
    return await web.fetch_one()


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


async def test_enqueue_from_python(everywhere: Web) -> None:
    """All options, as they come back; `unique.key` are dimensions."""
    options = {
        "queue": "email",
        "priority": 7,
        "timeout_ms": 30000,
        "delay_until": "2031-01-01T00:00:00+02:00",
        "expires_at": "2032-01-01T00:00:00Z",
        "retry": {
            "max_attempts": 5,
            "initial_interval": "PT2S",
            "backoff_coefficient": 3.0,
            "max_interval": "PT1M",
            "jitter": False,
            "non_retryable_errors": ["auth.*"],
        },
        "unique": {"on_conflict": "ignore", "key": ["type", "queue"], "period": "PT1H", "states": ["scheduled"]},
        "tags": ["a", "b"],
    }
    attributes = {"type": "email.send", "args": [{"n": 2**53 + 1}], "meta": {"k": 1}, "schema": "urn:x"}
    request = {**attributes, "options": options}

    job = (await said(everywhere, "POST", "/jobs", request, status=201))["job"]

    retry, unique = options["retry"], options["unique"]
    assert isinstance(retry, dict)
    assert isinstance(unique, dict)
    assert job["args"] == [{"n": 2**53 + 1}]
    assert job["retry"] == {**retry, "backoff_coefficient": 3}
    assert {name: job["unique"][name] for name in unique} == unique
    assert (job["scheduled_at"], job["expires_at"]) == (options["delay_until"], options["expires_at"])
    assert (job["timeout_ms"], job["tags"], job["meta"], job["schema"]) == (30000, ["a", "b"], {"k": 1}, "urn:x")
    assert (await said(everywhere, "GET", f"/jobs/{job['id']}"))["job"] == job
    again = await said(everywhere, "POST", "/jobs", request)
    assert again["job"]["id"] == job["id"]


async def test_enqueue_from_go(everywhere: Web) -> None:
    """Durations in milliseconds, times with nanoseconds and a zone; `unique.key` are members of the arguments."""
    options = {
        "queue": "email",
        "delay_until": "2031-01-01T00:00:00.123456789+02:00",
        "retry": {"max_attempts": 5, "initial_interval_ms": 2000, "backoff_coefficient": 3, "max_interval_ms": 60000},
        "unique": {"key": ["to"], "period_ms": 3600000, "on_conflict": "replace_except_schedule"},
        "visibility_timeout_ms": 45000,
    }
    request = {"type": "email.send-now", "args": [{"to": "a"}], "options": options}

    job = (await said(everywhere, "POST", "/jobs", request, status=201))["job"]

    assert job["retry"]["initial_interval"] == "PT2S"
    assert job["retry"]["max_interval"] == "PT1M"
    assert job["unique"]["key"] == job["unique"]["args_keys"] == ["to"]
    assert job["unique"]["period"] == "PT1H"
    assert job["scheduled_at"] == options["delay_until"]
    assert job["visibility_timeout_ms"] == 45000


async def test_a_retry_policy_without_anything(web: Web) -> None:
    """The SDK for Go leaves out zeros: the defaults count."""
    job = (await said(web, "POST", "/jobs", {"type": "a.b", "args": [], "options": {"retry": {}}}, status=201))["job"]

    assert job["max_attempts"] == 3


@pytest.mark.parametrize("delay", ["2025-06-15T15:11:40.000Z", "PT5M", "+PT5M"])
async def test_delays_from_javascript(web: Web, delay: str) -> None:
    """What its users write for a delay is passed on, unless it is short for a duration."""
    request = {"type": "a.b", "args": [], "options": {"delay_until": delay}}

    job = (await said(web, "POST", "/jobs", request, status=201))["job"]

    assert (job["state"], job["scheduled_at"]) == ("scheduled", "2025-06-15T15:11:40.000Z")


async def test_seconds_are_left_out(web: Web) -> None:
    """The worker for JavaScript takes `timeout` for milliseconds, so SDKs see `timeout_ms` alone, everywhere."""
    request = {"type": "a.b", "args": [], "options": {"timeout_ms": 30000}}

    enqueued = (await said(web, "POST", "/jobs", request, status=201))["job"]
    batch = (await said(web, "POST", "/jobs/batch", {"jobs": [request]}, status=201))["jobs"]
    read = (await said(web, "GET", f"/jobs/{enqueued['id']}"))["job"]
    cancelled = (await said(web, "DELETE", f"/jobs/{enqueued['id']}"))["job"]
    fetched = (await said(web, "POST", "/workers/fetch", {"queues": ["default"], "worker_id": "w"}))["jobs"]

    for job in (enqueued, read, cancelled, *batch, *fetched):
        assert job["timeout_ms"] == 30000
        assert "timeout" not in job
    assert (await web.job(enqueued["id"]))["timeout"] == 30


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


@pytest.mark.parametrize(
    "beat",
    [
        {"active_jobs": ["{id}"], "visibility_timeout_ms": 30000},
        {"state": "running", "active_jobs": 1, "active_job_ids": ["{id}"]},
        {
            "state": "running",
            "active_jobs": 1,
            "active_job_ids": ["{id}"],
            "hostname": "unknown",
            "pid": 7,
            "queues": ["default"],
            "concurrency": 10,
            "labels": [],
        },
    ],
    ids=["python", "go", "javascript"],
)
async def test_heartbeats(web: Web, beat: dict[str, Any]) -> None:
    """Of each SDK; a job stays with its worker."""
    job = await hold(web, visibility_timeout_ms=1000)
    document = json.loads(json.dumps({"worker_id": "worker-1", **beat}).replace("{id}", job["id"]))

    answer = await said(web, "POST", "/workers/heartbeat", document)

    assert (answer["state"], answer["jobs_extended"]) == ("running", [job["id"]])


async def test_nacks_carry_what_their_sdk_knows(web: Web) -> None:
    """Details of each SDK stay with the attempt."""
    job = await hold(web)
    details = {"traceback": "Traceback ..."}
    error = {"code": "handler_error", "message": "m", "retryable": True, "details": details}

    await said(web, "POST", "/workers/nack", {"job_id": job["id"], "error": error})

    (attempt,) = (await web.job(job["id"]))["errors"]
    assert (attempt["code"], attempt["message"], attempt["details"]) == ("handler_error", "m", details)


async def test_no_handler(web: Web) -> None:
    """A job that nobody can handle is not tried again."""
    job = await hold(web)
    error = {"code": "handler_not_found", "message": "m", "retryable": False}

    await said(web, "POST", "/workers/nack", {"job_id": job["id"], "error": error})

    assert (await web.job(job["id"]))["state"] == "discarded"


async def test_an_address_with_a_slash_at_its_end(web: Web) -> None:
    """What runs on serverless platforms joins it with a path as it is."""
    job = await hold(web)

    ack = await web.client.post(f"http://{web.address}//ojs/v1/jobs/{job['id']}/ack")

    assert ack.status_code == 200
    assert (await web.job(job["id"]))["state"] == "completed"


async def test_callbacks_without_a_server(web: Web) -> None:
    """Handlers for serverless platforms acknowledge without a body, and fail with a text."""
    headers = {"content-type": "application/json"}
    done, failed = await hold(web), await hold(web)

    ack = await web.client.post(f"/ojs/v1/jobs/{done['id']}/ack", headers=headers)
    nack = await web.client.post(f"/ojs/v1/jobs/{failed['id']}/nack", headers=headers, content='{"error":"it broke"}')

    assert ack.status_code == nack.status_code == 200
    assert (await web.job(done["id"]))["state"] == "completed"
    assert (await web.job(failed["id"]))["error"]["message"] == "it broke"


@pytest.mark.parametrize(("percentage", "fraction"), [(50, 0.5), (33.3, 0.333), (0, 0), (100, 1)])
async def test_progress(web: Web, percentage: float, fraction: float) -> None:
    """In percent, and 0 to 1 where it is read."""
    job = await hold(web)
    report = {"job_id": job["id"], "percentage": percentage, "message": "half", "data": {"rows": 5}}

    await said(web, "POST", "/workers/progress", report)

    progress = await said(web, "GET", f"/jobs/{job['id']}/progress")
    assert (progress["progress"], progress["data"]) == (fraction, {"rows": 5})


@pytest.mark.parametrize(
    ("save", "path"),
    [("PUT", "/checkpoints"), ("POST", "/checkpoints"), ("POST", "/ojs/v1/checkpoints")],
    ids=["go", "python", "older"],
)
async def test_durable_jobs(everywhere: Web, save: str, path: str) -> None:
    """What a handler has done is read back when it runs again, and removed when it is through."""
    job = await hold(everywhere)
    place = f"{path}/{job['id']}"
    metadata = {"_replay_log": '[{"seq":0,"type":"random","result":"ab"}]', "attempt": "1"}

    first = await said(everywhere, "GET", f"{place}/resume")
    await said(everywhere, "DELETE", place)
    await said(everywhere, save, place, {"state": [1], "step_index": 1, "metadata": metadata})
    second = await said(everywhere, "GET", f"{place}/resume")
    await said(everywhere, "DELETE", place)

    assert first == await said(everywhere, "GET", f"{place}/resume") == {"has_checkpoint": False}
    assert second["has_checkpoint"] is True
    assert second["checkpoint"]["metadata"] == metadata


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


@pytest.mark.parametrize(
    "names", [("on_complete", "on_success", "on_failure"), ("on-complete", "on-success", "on-failure")]
)
async def test_batches_as_graphs(web: Web, names: tuple[str, str, str]) -> None:
    """Some SDKs send callbacks as steps, known by their ids: none runs that is for another outcome."""
    steps: list[dict[str, Any]] = [{"id": "step-0", "type": "a.b", "args": [], "depends_on": []}]
    steps += [{"id": name, "type": "a.c", "args": [name], "depends_on": ["step-0"]} for name in names]
    request = {"name": "b", "steps": steps}
    workflow = (await said(web, "POST", "/workflows", request, status=201))["workflow"]

    await web.ack(await web.fetch_one(), result={"n": 1})
    await web.grpc.run_duties()

    ran = await web.fetch(5)
    assert sorted(job["args"][0] for job in ran) == sorted(names[:2])
    read = (await said(web, "GET", f"/workflows/{workflow['id']}"))["workflow"]
    assert [step["id"] for step in read["steps"]] == ["step-0", *names]


async def test_retries_in_workflows_from_javascript(web: Web) -> None:
    """In workflows it does not translate its names."""
    retry = {
        "maxAttempts": 7,
        "initialInterval": "PT2S",
        "backoffCoefficient": 1.5,
        "maxInterval": "PT1M",
        "jitter": False,
        "nonRetryableErrors": ["x"],
        "onExhaustion": "dead_letter",
    }
    step = {"type": "a.b", "args": [], "options": {"retry": retry}}

    await said(web, "POST", "/workflows", {"type": "group", "jobs": [step]}, status=201)

    assert (await web.fetch_one())["retry"] == {
        "max_attempts": 7,
        "initial_interval": "PT2S",
        "backoff_coefficient": 1.5,
        "max_interval": "PT1M",
        "jitter": False,
        "non_retryable_errors": ["x"],
        "on_exhaustion": "dead_letter",
    }


async def test_results_of_steps(everywhere: Web) -> None:
    """Those of completed steps; the SDK for Go gets only objects, since it can read nothing else."""
    steps = [{"type": "a.b", "args": []} for _ in range(3)]
    workflow = await everywhere.post("/workflows", {"type": "group", "jobs": steps}, status=201)
    for result in ({"n": 1}, 2):
        await everywhere.ack(await everywhere.fetch_one(), result=result)
    await everywhere.grpc.run_duties()

    for_all = await said(everywhere, "GET", f"/workflows/{workflow['id']}")
    for_go = await everywhere.get(f"/workflows/{workflow['id']}", headers=GO)

    assert [step.get("result") for step in for_all["steps"]] == [{"n": 1}, 2, None]
    assert [step.get("result") for step in for_go["workflow"]["steps"]] == [{"n": 1}, None, None]
    assert "result" not in for_go["steps"][1]


@pytest.mark.parametrize(("result", "is_read"), [({"n": 1}, True), ({}, True), (7, False), (None, False), ([1], False)])
async def test_results_for_go(web: Web, result: Any, is_read: bool) -> None:  # noqa: ANN401, FBT001
    """Its SDK cannot read a job whose result is no object, so it gets the job without."""
    job = await hold(web)
    await web.ack(job, result=result)

    for_go = (await web.get(f"/jobs/{job['id']}", headers=GO))["job"]
    for_all = (await said(web, "GET", f"/jobs/{job['id']}"))["job"]

    assert for_all["result"] == result
    assert ("result" in for_go) == is_read


async def test_large_results_of_steps(web: Web) -> None:
    """What is too much for one answer is left to requests for the jobs."""
    steps = [{"type": "a.b", "args": []} for _ in range(6)]
    workflow = await web.post("/workflows", {"type": "group", "jobs": steps}, status=201)
    for _ in steps:
        await web.ack(await web.fetch_one(), result={"text": "x" * 1_000_000})
    await web.grpc.run_duties()

    read = await web.get(f"/workflows/{workflow['id']}")

    assert ["result" in step for step in read["steps"]] == [True] * 4 + [False] * 2


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
        lines = [line async for line, _ in _some(answer.aiter_lines(), 6)]

    assert answer.status_code == 200
    told = dict(line.split(": ", 1) for line in lines if ": " in line and not line.startswith("retry"))
    data = json.loads(told["data"])
    assert told["event"] == data["event"] == "job.started"
    assert told["id"] == data["id"]
    assert (data["job_id"], data["queue"], data["to"]) == (job["id"], "mail", "active")
    assert data["data"]["state"] == "active"


async def _some(lines: Any, count: int) -> Any:  # noqa: ANN401 - an iterator, an async generator
    seen = 0
    async for line in lines:
        seen += 1
        yield line, seen
        if seen == count:
            return


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


async def test_result(web: Web) -> None:
    """What there is of it, whatever the job's state."""
    job = await hold(web)

    before = await web.get(f"/jobs/{job['id']}/result")
    acked = await web.ack(job, result=[1, None])
    after = await web.get(f"/jobs/{job['id']}/result")

    assert before == {"job_id": job["id"], "state": "active"}
    expected = {"state": "completed", "result": [1, None], "completed_at": acked["completed_at"]}
    assert after == {"job_id": job["id"], **expected}
    await error_of(web, 404, "not_found", "GET", f"/jobs/{UNKNOWN_ID}/result")


async def test_result_of_a_failure(web: Web) -> None:
    """The error."""
    buried = await web.bury()

    result = await web.get(f"/jobs/{buried['id']}/result")

    assert (result["state"], result["error"]["code"]) == ("discarded", "boom")


async def test_wait_for_a_result(everywhere: Web) -> None:
    """The answer comes when the job has ended."""
    job = await hold(everywhere)
    waiting = asyncio.create_task(everywhere.get(f"/jobs/{job['id']}/result", wait="true", timeout=20))
    await asyncio.sleep(0.2)
    assert not waiting.done()

    await everywhere.ack(job, result={"n": 1})

    assert (await waiting)["result"] == {"n": 1}
    assert (await everywhere.get(f"/jobs/{job['id']}/result", wait="true"))["result"] == {"n": 1}


async def test_wait_in_vain(web: Web) -> None:
    """408 when the time is up; nothing is left of the wait."""
    job = await hold(web)

    error = await error_of(web, 408, "timeout", "GET", f"/jobs/{job['id']}/result", wait="true", timeout=0)

    assert error["retryable"] is True
    await error_of(web, 404, "not_found", "GET", f"/jobs/{UNKNOWN_ID}/result", wait="true")
