"""CreateWorkflow, GetWorkflow, CancelWorkflow, and workflows through the whole service (behaviour section 4)."""

import asyncio
from collections.abc import Sequence
from typing import Any

import grpc
import pytest
from google.protobuf.json_format import MessageToDict
from ojs_grpc_pb.v1 import job_pb2, workflow_pb2
from ojs_grpc_pb.v1.job_pb2 import EnqueueOptions, Job
from ojs_grpc_pb.v1.workflow_pb2 import Workflow, WorkflowStep

from tests.grpc.service import STRANGE_IDS, Service, invalid, objects, patience, refused, seconds, struct

WAIT = seconds(10)


def step(step_id: str, *depends_on: str, **options: Any) -> WorkflowStep:  # noqa: ANN401 - as EnqueueOptions takes them
    """A step whose job is in a queue of its own."""
    return WorkflowStep(
        id=step_id,
        type="test.step",
        depends_on=depends_on,
        options=EnqueueOptions(**{"queue": step_id.replace("_", "-"), "max_attempts": 1, **options}),
    )


async def create(service: Service, *steps: WorkflowStep) -> Workflow:
    """Creates a workflow."""
    return (await service.stub.CreateWorkflow(workflow_pb2.CreateWorkflowRequest(name="w", steps=steps))).workflow


async def get(service: Service, workflow_id: str) -> Workflow:
    """The workflow as it stands."""
    return (await service.stub.GetWorkflow(workflow_pb2.GetWorkflowRequest(workflow_id=workflow_id))).workflow


async def cancel(service: Service, workflow_id: str, reason: str = "") -> Workflow:
    """Cancels the workflow."""
    request = workflow_pb2.CancelWorkflowRequest(workflow_id=workflow_id, reason=reason)
    return (await service.stub.CancelWorkflow(request)).workflow


async def ended(service: Service, workflow_id: str) -> Workflow:
    """The workflow once it has ended."""
    async with patience():
        while True:
            workflow = await get(service, workflow_id)
            if workflow.state != workflow_pb2.WORKFLOW_STATE_RUNNING:
                return workflow
            await asyncio.sleep(0.002)


def states(workflow: Workflow) -> Sequence[str]:
    """How its steps stand, in order."""
    prefix = "WORKFLOW_STEP_STATE_"
    return [workflow_pb2.WorkflowStepState.Name(step.state).removeprefix(prefix) for step in workflow.steps]


def results(job: Job) -> list[Any]:
    """What a job found of the steps before it."""
    found: list[Any] = MessageToDict(job.meta)["ojs.parent_results"]
    return found


async def test_a_chain(everywhere: Service) -> None:
    """Each step is there for a waiting worker when the one before is acknowledged, and finds the earlier results."""
    created = await create(everywhere, step("a"), step("b", "a"), step("c", "b"))
    assert created.type == "chain"
    assert states(created) == ["PENDING", "WAITING", "WAITING"]

    await everywhere.ack(await everywhere.fetch_one("a"), result=struct(report=1))
    second = await everywhere.fetch_one("b", wait=WAIT)
    assert second.workflow_id == created.id
    assert results(second) == [{"report": 1.0}]
    await everywhere.ack(second, result_value={"string_value": "plain"})
    third = await everywhere.fetch_one("c", wait=WAIT)
    assert results(third) == [{"report": 1.0}, "plain"]
    await everywhere.ack(third)

    workflow = await ended(everywhere, created.id)
    assert workflow.state == workflow_pb2.WORKFLOW_STATE_COMPLETED
    assert states(workflow) == ["COMPLETED"] * 3
    assert workflow.HasField("started_at")
    assert workflow.HasField("completed_at")


async def test_a_chain_stops_on_failure(everywhere: Service) -> None:
    """What would come after is cancelled."""
    created = await create(everywhere, step("a"), step("b", "a"), step("c", "b"))

    await everywhere.nack(await everywhere.fetch_one("a"))

    workflow = await ended(everywhere, created.id)
    assert workflow.state == workflow_pb2.WORKFLOW_STATE_FAILED
    assert states(workflow) == ["FAILED", "CANCELLED", "CANCELLED"]
    assert (await everywhere.get(created.steps[2].job_id)).state == job_pb2.JOB_STATE_CANCELLED


@pytest.mark.parametrize("succeeds", [True, False])
async def test_a_batch_of_an_official_client(everywhere: Service, succeeds: bool) -> None:  # noqa: FBT001 - a parameter of the test
    """Callbacks by their ids: the right two of three fire, and the workflow is completed after them."""
    names = ["on_complete", "on_success", "on_failure"]
    created = await create(everywhere, step("a"), step("b"), *(step(name, "a", "b") for name in names))
    assert created.type == "batch"

    await everywhere.ack(await everywhere.fetch_one("a"))
    last = await everywhere.fetch_one("b")
    await (everywhere.ack(last) if succeeds else everywhere.nack(last))

    for queue in ("on-complete", "on-success" if succeeds else "on-failure"):
        await everywhere.ack(await everywhere.fetch_one(queue, wait=WAIT))
    workflow = await ended(everywhere, created.id)
    assert workflow.state == workflow_pb2.WORKFLOW_STATE_COMPLETED
    assert states(workflow)[3:] == (["COMPLETED", "CANCELLED"] if succeeds else ["CANCELLED", "COMPLETED"])


async def test_a_stream_gets_the_steps(service: Service) -> None:
    """One after another, as they are released."""
    created = await create(service, *(step(f"s{n}", *([f"s{n - 1}"] if n else []), queue="q") for n in range(5)))
    jobs = service.stream(1, "q")

    for expected in created.steps:
        job = await jobs.next()
        assert job.id == expected.job_id
        await service.ack(job)

    assert (await ended(service, created.id)).state == workflow_pb2.WORKFLOW_STATE_COMPLETED
    jobs.cancel()


async def test_a_waiting_step_is_not_activated_by_hand(service: Service) -> None:
    """Its workflow does that."""
    created = await create(service, step("a"), step("b", "a"))

    with refused(grpc.StatusCode.FAILED_PRECONDITION, "invalid_state"):
        await service.stub.ActivateJob(job_pb2.ActivateJobRequest(job_id=created.steps[1].job_id))


async def test_cancel(everywhere: Service) -> None:
    """What runs may finish, and nothing comes after it."""
    created = await create(everywhere, step("a"), step("b", "a"), step("c"))
    running = await everywhere.fetch_one("a")

    cancelled = await cancel(everywhere, created.id, "no need")

    assert cancelled.state == workflow_pb2.WORKFLOW_STATE_CANCELLED
    assert states(cancelled) == ["ACTIVE", "CANCELLED", "CANCELLED"]
    await everywhere.ack(running)
    await everywhere.run_duties()
    assert await everywhere.fetch(3, "a", "b", "c") == []
    assert states(await get(everywhere, created.id)) == ["COMPLETED", "CANCELLED", "CANCELLED"]
    with refused(grpc.StatusCode.FAILED_PRECONDITION, "invalid_state") as caught:
        await cancel(everywhere, created.id)
    assert caught.info.metadata["current_state"] == "cancelled"


@pytest.mark.parametrize(
    ("steps", "fields"),
    [
        ([], ["steps"]),
        ([step("a", "b"), step("b", "a")], ["steps[0].depends_on"]),
        ([step("a"), step("b", "x")], ["steps[1].depends_on[0]"]),
        (
            [step("a"), step("b", "a", meta=objects({"ojs.workflow.trigger": "never"}))],
            ['steps[1].options.meta["ojs.workflow.trigger"]'],
        ),
        ([step("a"), step("b", "a", queue="Q", priority=101)], ["steps[1].options.queue", "steps[1].options.priority"]),
    ],
)
async def test_bad_workflows(service: Service, steps: list[WorkflowStep], fields: list[str]) -> None:
    """Every broken rule is named, and nothing is stored."""
    with invalid() as caught:
        await create(service, *steps)

    assert caught.fields == fields
    assert await service.counts() == {}


@pytest.mark.parametrize("strange", STRANGE_IDS)
async def test_unknown_workflows(service: Service, strange: str) -> None:
    """Are not found."""
    for call in (get, cancel):
        with refused(grpc.StatusCode.NOT_FOUND, "not_found") as caught:
            await call(service, strange)
        assert caught.info.metadata["resource_type"] == "workflow"
