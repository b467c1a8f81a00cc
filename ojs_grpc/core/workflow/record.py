"""What is kept of a workflow: one `ojs.v1.Workflow`, as a document, and the results that later steps wait for.

In a stored record a step is waiting, pending (its job was released, and may run) or ended. A step that ended on its
own has `completed_at`; one that never got its turn is cancelled and has none.
"""

from typing import Final

from google.protobuf.timestamp_pb2 import Timestamp
from ojs_grpc_pb.v1.job_pb2 import Job
from ojs_grpc_pb.v1.workflow_pb2 import (
    WORKFLOW_STATE_CANCELLED,
    WORKFLOW_STATE_COMPLETED,
    WORKFLOW_STATE_FAILED,
    WORKFLOW_STEP_STATE_ACTIVE,
    WORKFLOW_STEP_STATE_CANCELLED,
    WORKFLOW_STEP_STATE_COMPLETED,
    WORKFLOW_STEP_STATE_FAILED,
    WORKFLOW_STEP_STATE_PENDING,
    WORKFLOW_STEP_STATE_WAITING,
    Workflow,
    WorkflowStepState,
    WorkflowStepStatus,
)

from ojs_grpc.core import states
from ojs_grpc.core.duration import to_timestamp

KIND: Final = "workflow"
"""The kind of document that holds the record of a workflow, under its id."""
RESULT_KIND: Final = "workflow_result"
"""The kind of document that holds a step's result: a serialised `Value`."""

TERMINAL: Final = frozenset({WORKFLOW_STATE_COMPLETED, WORKFLOW_STATE_FAILED, WORKFLOW_STATE_CANCELLED})
ENDED: Final = frozenset(
    {WORKFLOW_STEP_STATE_COMPLETED, WORKFLOW_STEP_STATE_FAILED, WORKFLOW_STEP_STATE_CANCELLED}
)
OPEN: Final = frozenset({WORKFLOW_STEP_STATE_WAITING, WORKFLOW_STEP_STATE_PENDING})
"""Step states that only a workflow has that goes on, or that is being cancelled."""

CHAIN: Final = "chain"
GROUP: Final = "group"
BATCH: Final = "batch"
DAG: Final = "dag"
KINDS: Final = (CHAIN, GROUP, BATCH, DAG)

SUCCESS: Final = "success"
FAILURE: Final = "failure"
COMPLETE: Final = "complete"
TRIGGERS: Final = (SUCCESS, FAILURE, COMPLETE)

_STEP_STATES: dict[int, WorkflowStepState.ValueType] = {
    states.ACTIVE: WORKFLOW_STEP_STATE_ACTIVE,
    states.COMPLETED: WORKFLOW_STEP_STATE_COMPLETED,
    states.CANCELLED: WORKFLOW_STEP_STATE_CANCELLED,
    states.DISCARDED: WORKFLOW_STEP_STATE_FAILED,
}


def result_name(workflow_id: str, job_id: str) -> str:
    """The name of the document with a step's result."""
    return f"{workflow_id}/{job_id}"


def kept_results(workflow: Workflow) -> list[str]:
    """The names of all documents with results of its steps that there may be."""
    if workflow.type == CHAIN:
        return []
    parents = {parent for step in workflow.steps for parent in step.depends_on}
    return [
        result_name(workflow.id, step.job_id)
        for step in workflow.steps
        if step.state == WORKFLOW_STEP_STATE_COMPLETED and step.id in parents
    ]


def step_state(job_state: int) -> WorkflowStepState.ValueType:
    """What a step is whose job was released and is now in this state."""
    return _STEP_STATES.get(job_state, WORKFLOW_STEP_STATE_PENDING)


def show(workflow: Workflow, step: WorkflowStepStatus, job_state: int, job: Job | None, now: int) -> None:
    """Makes the step, and the workflow's start, say what its job says.

    Args:
        job: the job as far as it is still there.
        now: when the job ended, if it ended and does not say so itself.
    """
    step.state = step_state(job_state)
    if job is not None and job.HasField("started_at"):
        started_at = job.started_at
        step.started_at.CopyFrom(started_at)
        if not workflow.HasField("started_at") or _earlier(started_at, workflow.started_at):
            workflow.started_at.CopyFrom(started_at)
    if step.state in ENDED:
        step.completed_at.CopyFrom(_ended_at(job) or to_timestamp(now))


def call_off(step: WorkflowStepStatus) -> None:
    """The step's turn will never come."""
    step.state = WORKFLOW_STEP_STATE_CANCELLED


def never_ran(step: WorkflowStepStatus) -> bool:
    """Whether the step was called off, rather than cancelled by somebody."""
    return step.state == WORKFLOW_STEP_STATE_CANCELLED and not step.HasField("completed_at")


def _earlier(one: Timestamp, other: Timestamp) -> bool:
    return (one.seconds, one.nanos) < (other.seconds, other.nanos)


def _ended_at(job: Job | None) -> Timestamp | None:
    if job is None:
        return None
    if job.HasField("completed_at"):
        return job.completed_at
    if job.HasField("cancelled_at"):
        return job.cancelled_at
    return job.discarded_at if job.HasField("discarded_at") else None
