"""Workflows as the official SDKs send them, and as they read them again."""

from typing import Any

import pytest

from tests.http.sdk import GO, said
from tests.http.service import Web


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


async def test_large_results_of_steps(web: Web) -> None:
    """What is too much for one answer is left to requests for the jobs."""
    steps = [{"type": "a.b", "args": []} for _ in range(6)]
    workflow = await web.post("/workflows", {"type": "group", "jobs": steps}, status=201)
    for _ in steps:
        await web.ack(await web.fetch_one(), result={"text": "x" * 1_000_000})
    await web.grpc.run_duties()

    read = await web.get(f"/workflows/{workflow['id']}")

    assert ["result" in step for step in read["steps"]] == [True] * 4 + [False] * 2
