"""Workflows on a store, the duty that lets them go on, and workers that do what a test says.

A step's job is in the queue of the step's id, so that a test picks it by name.
"""

from typing import Any

from google.protobuf.json_format import MessageToDict
from google.protobuf.struct_pb2 import Struct
from ojs_grpc_pb.v1.job_pb2 import EnqueueOptions, Job, JobError
from ojs_grpc_pb.v1.workflow_pb2 import (
    CreateWorkflowRequest,
    Workflow,
    WorkflowState,
    WorkflowStep,
    WorkflowStepState,
)

from ojs_grpc.core import lifecycle
from ojs_grpc.core.envelope import Defaults
from ojs_grpc.core.events import Kind
from ojs_grpc.core.limits import Limits
from ojs_grpc.core.wire import bytes_field
from ojs_grpc.core.workflow.record import KIND, RESULT_KIND
from ojs_grpc.maintenance.workflow_advancer import WorkflowAdvancer
from ojs_grpc.operations.alarm import Alarm
from ojs_grpc.operations.changes import Changes
from ojs_grpc.operations.schemas import Schemas
from ojs_grpc.operations.workflows import Workflows
from ojs_grpc.stores.ports import EventCursor, Store
from tests.store.building import LIMITS, ack, middle, take

RETENTION_MS = 86_400_000


def step(step_id: str, *depends_on: str, trigger: str = "", **options: Any) -> WorkflowStep:  # noqa: ANN401 - as EnqueueOptions takes them
    """A step whose job is in a queue of its own."""
    return WorkflowStep(
        id=step_id,
        type="test.step",
        depends_on=depends_on,
        trigger=trigger,
        options=EnqueueOptions(**{"queue": step_id, "max_attempts": 1, **options}),
    )


class Rig:
    """What a server has for workflows.

    Attributes:
        due: hears of jobs that are due later.
    """

    def __init__(self, store: Store) -> None:
        self.store = store
        self.due = Alarm()
        self.alarm = Alarm()
        self.changes = Changes(store, lambda _: None, self.due, Alarm())
        self.workflows = Workflows(store, self.changes, Defaults(), Schemas(store, Limits()), self.alarm)
        self.advancer = WorkflowAdvancer(store, self.changes, RETENTION_MS, self.alarm)

    async def create(self, *steps: WorkflowStep, name: str = "w") -> Workflow:
        """Creates a workflow."""
        return await self.workflows.create(CreateWorkflowRequest(name=name, steps=steps), {})

    async def advance(self) -> None:
        """Lets the duty do all that there is to do now."""
        for _ in range(100):
            next_at = await self.advancer.run_once()
            resting = next_at is None or next_at > self.store.clock.now()
            # What the duty cancels itself ends too.
            if resting and not (await self.store.endings(1)).endings:
                return
        raise AssertionError("the duty never rests")

    async def start(self, step_id: str) -> Job:
        """A worker takes the step's job; there must be one."""
        (delivery,) = await take(self.store, 1, step_id)
        return Job.FromString(delivery.job)

    async def complete(self, *step_ids: str, result: dict[str, Any] | None = None) -> None:
        """Workers take the steps' jobs, and complete them one after another; the duty is not called."""
        for step_id in step_ids:
            job = await self.start(step_id)
            await self.finish(job, result)

    async def finish(self, job: Job, result: dict[str, Any] | None = None) -> None:
        """The holder completes the job."""
        tail = b""
        if result is not None:
            message = Struct()
            message.update(result)
            tail = bytes_field(Job.RESULT_FIELD_NUMBER, message.SerializeToString())
        assert await ack(self.store, job.id, lease=job.lease, tail=tail) is None

    async def fail(self, step_id: str) -> None:
        """A worker takes the step's job, and fails it."""
        job = await self.start(step_id)
        error = JobError(code="boom", message="it broke")
        failed = lifecycle.fail(job, error, self.store.clock.now(), middle, LIMITS)
        assert await self.store.apply([failed], self.store.clock.now()) != [None]

    async def cancel_job(self, job_id: str) -> None:
        """Somebody cancels a job."""
        await self.changes.change(job_id, lifecycle.cancel)

    async def states(self, workflow_id: str) -> dict[str, str]:
        """How the steps stand, as a client sees it."""
        return step_states(await self.workflows.get(workflow_id))

    async def state(self, workflow_id: str) -> str:
        """How the workflow stands."""
        return state_of(await self.workflows.get(workflow_id))

    async def job(self, workflow: Workflow, step_id: str) -> Job:
        """The job of a step, as it stands."""
        (job_id,) = (step.job_id for step in workflow.steps if step.id == step_id)
        (data,) = await self.store.read([job_id])
        assert data is not None
        return Job.FromString(data)

    async def kept_results(self) -> int:
        """How many results are kept for steps to come."""
        return len((await self.store.list_documents(RESULT_KIND, "", 1000)).rows)

    async def is_kept(self, workflow_id: str) -> bool:
        """Whether the workflow is still there."""
        return await self.store.documents(KIND, [workflow_id]) != [None]

    async def told(self, cursor: EventCursor) -> list[tuple[str, dict[str, Any]]]:
        """What was told of workflows since then: the kinds, and the members that say more than whom it is about."""
        page = await self.store.events(cursor, 1000)
        return [
            (Kind(event.kind).name.removeprefix("WORKFLOW_").lower(), MessageToDict(Struct.FromString(event.detail)))
            for event in page.events
            if Kind(event.kind).name.startswith("WORKFLOW_")
        ]


def step_states(workflow: Workflow) -> dict[str, str]:
    """How the steps stand, by their ids."""
    prefix = "WORKFLOW_STEP_STATE_"
    return {step.id: WorkflowStepState.Name(step.state).removeprefix(prefix).lower() for step in workflow.steps}


def state_of(workflow: Workflow) -> str:
    """How the workflow stands."""
    return WorkflowState.Name(workflow.state).removeprefix("WORKFLOW_STATE_").lower()


def context_of(job: Job) -> dict[str, Any]:
    """What the job found of the steps before it, without the prefix."""
    meta = MessageToDict(job.meta)
    return {name.removeprefix("ojs.parent_"): value for name, value in meta.items() if name.startswith("ojs.parent_")}
