"""Jobs as the official SDKs send them, and as they read them again."""

from typing import Any

import pytest

from tests.http.sdk import GO, said
from tests.http.service import Web


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


@pytest.mark.parametrize(("result", "is_read"), [({"n": 1}, True), ({}, True), (7, False), (None, False), ([1], False)])
async def test_results_for_go(web: Web, result: Any, is_read: bool) -> None:  # noqa: ANN401, FBT001
    """Its SDK cannot read a job whose result is no object, so it gets the job without."""
    job = await web.hold_job()
    await web.ack(job, result=result)

    for_go = (await web.get(f"/jobs/{job['id']}", headers=GO))["job"]
    for_all = (await said(web, "GET", f"/jobs/{job['id']}"))["job"]

    assert for_all["result"] == result
    assert ("result" in for_go) == is_read
