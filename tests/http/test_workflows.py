"""Workflows over HTTP (wire section 1.2)."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any
from unittest import mock

import pytest
from ojs_grpc_pb.v1.workflow_pb2 import CreateWorkflowRequest, GetWorkflowRequest, WorkflowStep

from tests.http.service import UNKNOWN_ID, Web, error_of

End = Callable[[Web, str], Awaitable[None]]


def job(queue: str, **members: Any) -> dict[str, Any]:  # noqa: ANN401 - any JSON
    """A job in a queue of its own, tried once."""
    return {"type": "test.step", "args": [], "options": {"queue": queue, "retry": {"max_attempts": 1}}, **members}


CHAIN = {"type": "chain", "name": "c", "steps": [job("a"), job("b")]}
GROUP = {"type": "group", "jobs": [job("a"), job("b")]}
BATCH = {
    "type": "batch",
    "jobs": [job("a"), job("b")],
    "callbacks": {"on_success": job("s"), "on_failure": job("f"), "on_complete": job("c")},
}


async def create(web: Web, document: dict[str, Any]) -> dict[str, Any]:
    """Creates a workflow."""
    return dict((await web.post("/workflows", document, status=201))["workflow"])


async def complete(web: Web, queue: str, result: Any = None) -> None:  # noqa: ANN401 - any JSON
    """A worker completes the job of a queue."""
    await web.ack(await web.fetch_one(queue), result=result)
    await web.grpc.run_duties()


async def fail(web: Web, queue: str) -> None:
    """A worker fails the job of a queue, for good."""
    await web.nack(await web.fetch_one(queue))
    await web.grpc.run_duties()


async def look(web: Web, workflow: dict[str, Any]) -> dict[str, Any]:
    """The workflow as it stands."""
    return dict((await web.get(f"/workflows/{workflow['id']}"))["workflow"])


async def test_create(everywhere: Web) -> None:
    """It runs at once; the answer says where it is, and says it twice, since clients look in two places."""
    answer = await everywhere.client.post("/ojs/v1/workflows", json=CHAIN)

    document = answer.json()
    workflow = document.pop("workflow")
    assert answer.status_code == 201
    assert answer.headers["location"] == f"/ojs/v1/workflows/{workflow['id']}"
    assert document == workflow
    assert (workflow["type"], workflow["name"], workflow["state"]) == ("chain", "c", "running")
    assert [step["state"] for step in workflow["steps"]] == ["pending", "waiting"]
    assert (workflow["steps_total"], workflow["steps_completed"]) == (2, 0)
    assert await look(everywhere, workflow) == workflow


async def test_the_jobs_of_a_workflow(web: Web) -> None:
    """Are there from the start, each with its workflow."""
    workflow = await create(web, CHAIN)

    jobs = [await web.job(step["job_id"]) for step in workflow["steps"]]

    assert [job["state"] for job in jobs] == ["available", "pending"]
    assert {job["workflow_id"] for job in jobs} == {workflow["id"]}


async def test_a_chain(everywhere: Web) -> None:
    """One after another, with the results of those before."""
    workflow = await create(everywhere, CHAIN)

    assert await everywhere.fetch(1, "b") == []
    await complete(everywhere, "a", result={"report_id": "r-1"})
    second = await everywhere.fetch_one("b")
    running = await look(everywhere, workflow)
    await everywhere.ack(second)
    await everywhere.grpc.run_duties()

    assert second["parent_results"] == [{"report_id": "r-1"}]
    assert (running["state"], running["steps_completed"]) == ("running", 1)
    assert [step["state"] for step in running["steps"]] == ["completed", "active"]
    done = await look(everywhere, workflow)
    assert (done["state"], done["steps_completed"], done["metadata"]["completed_count"]) == ("completed", 2, 2)
    assert done["completed_at"] == done["metadata"]["completed_at"]


async def test_a_chain_that_breaks(web: Web) -> None:
    """What comes after the failure never runs."""
    workflow = await create(web, CHAIN)

    await fail(web, "a")

    failed = await look(web, workflow)
    assert failed["state"] == "failed"
    assert [step["state"] for step in failed["steps"]] == ["failed", "cancelled"]
    assert failed["metadata"]["failed_count"] == 1


async def test_a_group(web: Web) -> None:
    """All at once; one failure keeps no other from running."""
    workflow = await create(web, GROUP)

    await fail(web, "b")
    between = await look(web, workflow)
    await complete(web, "a")

    assert (between["type"], between["state"], between["jobs_total"]) == ("group", "running", 2)
    done = await look(web, workflow)
    assert (done["state"], done["jobs_completed"]) == ("failed", 1)


@pytest.mark.parametrize(("end", "fires", "completed"), [(complete, "s", 2), (fail, "f", 1)])
async def test_a_batch(everywhere: Web, end: End, fires: str, completed: int) -> None:
    """Its callbacks run when all jobs have ended, those whose condition holds."""
    workflow = await create(everywhere, BATCH)

    await complete(everywhere, "a")
    assert await everywhere.fetch(9, "s", "f", "c") == []
    await end(everywhere, "b")
    fired = await everywhere.fetch(9, "s", "f", "c")
    for each in fired:
        await everywhere.ack(each)
    await everywhere.grpc.run_duties()

    assert (workflow["jobs_total"], sorted(workflow["callbacks"])) == (2, ["on_complete", "on_failure", "on_success"])
    assert [each["queue"] for each in fired] == [fires, "c"]
    done = await look(everywhere, workflow)
    assert (done["state"], done["jobs_completed"]) == ("completed", completed)


async def test_a_batch_as_the_clients_for_go_and_python_send_it(web: Web) -> None:
    """As steps, of which the last one is a callback by its id, or by an option."""
    first = {"id": "job-0", "type": "t", "args": [], "depends_on": []}
    go = {"id": "on-failure", "type": "t", "args": [], "depends_on": ["job-0"]}
    python = {**go, "id": "on_failure", "options": {"callback_type": "on_failure"}}

    for callback in (go, python):
        workflow = await create(web, {"name": "w", "steps": [first, callback]})

        assert (workflow["type"], workflow["steps_total"]) == ("batch", 1)
        assert workflow["callbacks"]["on_failure"]["id"] == callback["id"]
        assert "options" not in await web.job(workflow["steps"][1]["job_id"])


async def test_steps_that_depend_on_each_other(web: Web) -> None:
    """In any way that comes to an end."""
    steps = [job("a", id="a"), job("b", id="b"), job("c", id="c", depends_on=["a", "b"])]

    workflow = await create(web, {"name": "join", "steps": steps})
    await complete(web, "a")
    assert await web.fetch(1, "c") == []
    await complete(web, "b")

    assert workflow["type"] == "dag"
    assert [(step["id"], step["depends_on"]) for step in workflow["steps"]] == [("a", []), ("b", []), ("c", ["a", "b"])]
    assert len(await web.fetch(1, "c")) == 1


async def test_parts_that_nest(web: Web) -> None:
    """A group within a chain: what follows waits for all of it."""
    inner = {"type": "group", "jobs": [job("b"), job("c")]}
    workflow = await create(web, {"type": "chain", "steps": [job("a"), inner, job("d")]})

    for queue in ("a", "b"):
        await complete(web, queue)
    assert await web.fetch(1, "d") == []
    await complete(web, "c")
    await complete(web, "d")

    assert (await look(web, workflow))["state"] == "completed"


async def test_what_the_jobs_keep(web: Web) -> None:
    """All that was sent, and the options of the workflow where a step says nothing else."""
    first = {"type": "t", "args": [2**53 + 1], "x_team": "blue", "options": {"queue": "own"}}
    document = {"type": "group", "jobs": [first, {"type": "t", "args": []}], "options": {"queue": "all", "priority": 3}}

    workflow = await create(web, document)

    own, other = [await web.job(step["job_id"]) for step in workflow["steps"]]
    assert (own["args"], own["x_team"], own["queue"], own["priority"]) == ([2**53 + 1], "blue", "own", 3)
    assert (other["queue"], other["priority"]) == ("all", 3)


async def test_others_have_their_turn_while_a_large_one_is_read(web: Web) -> None:
    """Others' heartbeats come in between."""
    step = {"type": "a", "args": [[0.5] * 10_000]}
    with mock.patch.object(asyncio, "sleep", side_effect=asyncio.sleep) as slept:
        await web.post("/workflows", {"type": "group", "jobs": [step] * 30}, status=201)

    assert slept.call_count >= 10


async def test_the_trace_of_the_call(web: Web) -> None:
    """Is kept with the jobs."""
    parent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"

    answer = await web.post("/workflows", GROUP, status=201, headers={"traceparent": parent})

    assert (await web.job(answer["steps"][0]["job_id"]))["meta"]["traceparent"] == parent


async def test_workflows_of_the_other_binding(web: Web) -> None:
    """Are the same: what one creates, the other shows."""
    stub = web.grpc.stub
    request = CreateWorkflowRequest(name="g", type="group", steps=[WorkflowStep(id="only", type="t")])
    over_grpc = (await stub.CreateWorkflow(request)).workflow
    over_http = await create(web, BATCH)

    shown = await look(web, {"id": over_grpc.id})
    found = (await stub.GetWorkflow(GetWorkflowRequest(workflow_id=over_http["id"]))).workflow

    assert (shown["name"], shown["type"], shown["steps"][0]["id"]) == ("g", "group", "only")
    assert [step.trigger for step in found.steps] == ["", "", "complete", "success", "failure"]


@pytest.mark.parametrize(
    ("document", "field"),
    [
        ({"type": "chain", "steps": []}, "steps"),
        ({"type": "group", "jobs": []}, "jobs"),
        ({"name": "w"}, "steps"),
        ({"type": "saga", "steps": [job("a")]}, "type"),
        ({"type": "group", "jobs": [job("a"), job("b"), job("c", type="Bad")]}, "jobs[2].type"),
        ({**BATCH, "callbacks": {"on_success": job("s", type="Bad")}}, "callbacks.on_success.type"),
        ({**BATCH, "callbacks": {}}, "callbacks"),
        ({"steps": [job("a", id="a", depends_on=["x"])]}, "steps[0].depends_on[0]"),
        ({"steps": [job("a", id="a", depends_on=["b"]), job("b", id="b", depends_on=["a"])]}, "steps[0].depends_on"),
        ({"steps": [job("a", id="a"), job("b", id="a")]}, "steps[1].id"),
    ],
)
async def test_what_breaks_a_rule(web: Web, document: dict[str, Any], field: str) -> None:
    """Is refused by the field's name, as the client wrote it; nothing is stored."""
    error = await error_of(web, 400, "invalid_request", "POST", "/workflows", document)

    assert error["message"].startswith(f"{field}: ")
    assert (await web.get("/queues"))["queues"] == []


async def test_a_bad_retry_policy(web: Web) -> None:
    """Is refused as at an enqueue."""
    broken = job("a", options={"retry": {"max_attempts": -1}})

    await error_of(web, 422, "validation_error", "POST", "/workflows", {"type": "group", "jobs": [broken]})


async def test_no_document(web: Web) -> None:
    """Is refused."""
    await error_of(web, 400, "invalid_payload", "POST", "/workflows")


@pytest.mark.parametrize("method", ["DELETE", "POST"])
async def test_cancel(everywhere: Web, method: str) -> None:
    """What runs may finish, what waits never runs; the answer says how far it came."""
    steps = {"type": "chain", "steps": [job("a"), job("b"), job("c"), job("d")]}
    workflow = await create(everywhere, steps)
    await complete(everywhere, "a")
    running = await everywhere.fetch_one("b")
    everywhere.clock.advance(1000)

    path = f"/workflows/{workflow['id']}"
    if method == "DELETE":
        answer = await everywhere.delete(path, reason="enough")
    else:
        answer = await everywhere.post(f"{path}/cancel", {"reason": "enough"})

    cancelled = answer.pop("workflow")
    assert answer == cancelled
    assert cancelled["state"] == "cancelled"
    assert cancelled["cancelled_at"] == cancelled["metadata"]["cancelled_at"] == "2025-06-15T15:06:41.000Z"
    assert (cancelled["steps_cancelled"], cancelled["steps_already_completed"]) == (2, 1)
    assert [step["state"] for step in cancelled["steps"]] == ["completed", "active", "cancelled", "cancelled"]
    await everywhere.ack(running)
    assert await everywhere.fetch(9, "c", "d") == []


async def test_cancel_what_has_ended(web: Web) -> None:
    """Is a conflict, also if it was cancelled."""
    workflow = await create(web, GROUP)
    await web.delete(f"/workflows/{workflow['id']}")

    error = await error_of(web, 409, "conflict", "DELETE", f"/workflows/{workflow['id']}")

    assert error["details"]["current_state"] == "cancelled"


@pytest.mark.parametrize("workflow_id", [UNKNOWN_ID, "x", "wf_1"])
async def test_what_is_not_there(web: Web, workflow_id: str) -> None:
    """Is not found."""
    for method, path in (("GET", ""), ("DELETE", ""), ("POST", "/cancel")):
        error = await error_of(web, 404, "not_found", method, f"/workflows/{workflow_id}{path}")
        assert error["details"] == {"resource_type": "workflow", "resource_id": workflow_id}
