"""What the workers of the official SDKs send, and what they look for in the answers."""

import json
from typing import Any

import pytest

from tests.http.sdk import said
from tests.http.service import Web


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
    job = await web.hold_job(visibility_timeout_ms=1000)
    document = json.loads(json.dumps({"worker_id": "worker-1", **beat}).replace("{id}", job["id"]))

    answer = await said(web, "POST", "/workers/heartbeat", document)

    assert (answer["state"], answer["jobs_extended"]) == ("running", [job["id"]])


async def test_nacks_carry_what_their_sdk_knows(web: Web) -> None:
    """Details of each SDK stay with the attempt."""
    job = await web.hold_job()
    details = {"traceback": "Traceback ..."}
    error = {"code": "handler_error", "message": "m", "retryable": True, "details": details}

    await said(web, "POST", "/workers/nack", {"job_id": job["id"], "error": error})

    (attempt,) = (await web.job(job["id"]))["errors"]
    assert (attempt["code"], attempt["message"], attempt["details"]) == ("handler_error", "m", details)


async def test_no_handler(web: Web) -> None:
    """A job that nobody can handle is not tried again."""
    job = await web.hold_job()
    error = {"code": "handler_not_found", "message": "m", "retryable": False}

    await said(web, "POST", "/workers/nack", {"job_id": job["id"], "error": error})

    assert (await web.job(job["id"]))["state"] == "discarded"


async def test_an_address_with_a_slash_at_its_end(web: Web) -> None:
    """What runs on serverless platforms joins it with a path as it is."""
    job = await web.hold_job()

    ack = await web.client.post(f"http://{web.address}//ojs/v1/jobs/{job['id']}/ack")

    assert ack.status_code == 200
    assert (await web.job(job["id"]))["state"] == "completed"


async def test_callbacks_without_a_server(web: Web) -> None:
    """Handlers for serverless platforms acknowledge without a body, and fail with a text."""
    headers = {"content-type": "application/json"}
    done, failed = await web.hold_job(), await web.hold_job()

    ack = await web.client.post(f"/ojs/v1/jobs/{done['id']}/ack", headers=headers)
    nack = await web.client.post(f"/ojs/v1/jobs/{failed['id']}/nack", headers=headers, content='{"error":"it broke"}')

    assert ack.status_code == nack.status_code == 200
    assert (await web.job(done["id"]))["state"] == "completed"
    assert (await web.job(failed["id"]))["error"]["message"] == "it broke"


@pytest.mark.parametrize(("percentage", "fraction"), [(50, 0.5), (33.3, 0.333), (0, 0), (100, 1)])
async def test_progress(web: Web, percentage: float, fraction: float) -> None:
    """In percent, and 0 to 1 where it is read."""
    job = await web.hold_job()
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
    job = await everywhere.hold_job()
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
