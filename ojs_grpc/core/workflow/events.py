"""What a workflow tells (behaviour section 18, `workflow.*`)."""

from functools import lru_cache
from typing import NamedTuple

from ojs_grpc_pb.v1.job_pb2 import Job
from ojs_grpc_pb.v1.workflow_pb2 import WORKFLOW_STEP_STATE_CANCELLED, Workflow, WorkflowStepStatus

from ojs_grpc.core.duration import timestamp_ms
from ojs_grpc.core.events import Kind, NewEvent
from ojs_grpc.core.members import number_member, object_member, text_member
from ojs_grpc.core.wire import bytes_field


class _Error(NamedTuple):
    code: str
    message: str


def started(workflow: Workflow) -> NewEvent:
    """It was created, and its first jobs may run."""
    return _event(Kind.WORKFLOW_STARTED, workflow, _about(workflow))


def step_completed(workflow: Workflow, step: WorkflowStepStatus, job: Job | None, remaining: int) -> NewEvent:
    """A step is completed, and so many have not ended.

    Args:
        job: the step's job, as far as it is still there.
    """
    detail = (
        _about(workflow)
        + _step(step)
        + number_member("duration_ms", _duration_ms(step))
        + number_member("steps_remaining", remaining)
    )
    return _event(Kind.WORKFLOW_STEP_COMPLETED, workflow, detail, _subject(step, job))


def step_failed(workflow: Workflow, step: WorkflowStepStatus, job: Job | None, remaining: int) -> NewEvent:
    """A step has failed for good, or somebody cancelled its job."""
    detail = (
        _about(workflow) + _step(step) + number_member("steps_remaining", remaining) + _error_member(step, job)
    )
    return _event(Kind.WORKFLOW_STEP_FAILED, workflow, detail, _subject(step, job))


def completed(workflow: Workflow) -> NewEvent:
    """All steps have ended, and no failure is unanswered."""
    took = number_member("duration_ms", timestamp_ms(workflow.completed_at) - timestamp_ms(workflow.created_at))
    return _event(Kind.WORKFLOW_COMPLETED, workflow, _about(workflow) + took)


def failed(workflow: Workflow, step: WorkflowStepStatus, job: Job | None) -> NewEvent:
    """All steps have ended, and this one's failure is the reason why the workflow has failed."""
    detail = (
        _about(workflow)
        + text_member("failed_step_id", step.id)
        + text_member("failed_step_type", step.type)
        + _error_member(step, job)
    )
    return _event(Kind.WORKFLOW_FAILED, workflow, detail)


def cancelled(workflow: Workflow, reason: str) -> NewEvent:
    """Somebody cancelled it."""
    return _event(Kind.WORKFLOW_CANCELLED, workflow, _about(workflow) + text_member("reason", reason))


def _event(kind: Kind, workflow: Workflow, detail: bytes, subject: bytes = b"") -> NewEvent:
    workflow_id = workflow.id
    subject += bytes_field(Job.WORKFLOW_ID_FIELD_NUMBER, workflow_id.encode())
    return NewEvent(kind, workflow_id, subject, detail)


def _about(workflow: Workflow) -> bytes:
    return _name_and_size(workflow.name, len(workflow.steps))


def _step(step: WorkflowStepStatus) -> bytes:
    return text_member("step_id", step.id) + _type(step.type)


def _subject(step: WorkflowStepStatus, job: Job | None) -> bytes:
    where = job.queue if job is not None else ""
    return bytes_field(Job.ID_FIELD_NUMBER, step.job_id.encode()) + _type_and_queue(step.type, where)


# The steps of a workflow are told of one after another, and their jobs are much alike.


@lru_cache(maxsize=128)
def _name_and_size(name: str, total_steps: int) -> bytes:
    return text_member("workflow_name", name) + number_member("total_steps", total_steps)


@lru_cache(maxsize=1024)
def _type(step_type: str) -> bytes:
    return text_member("step_type", step_type)


@lru_cache(maxsize=1024)
def _type_and_queue(job_type: str, queue: str) -> bytes:
    return Job(type=job_type, queue=queue).SerializeToString()


def _duration_ms(step: WorkflowStepStatus) -> int:
    if not step.HasField("started_at"):
        return 0
    start, end = step.started_at, step.completed_at
    return (end.seconds - start.seconds) * 1000 + (end.nanos - start.nanos) // 1_000_000


def _error_member(step: WorkflowStepStatus, job: Job | None) -> bytes:
    error = _error(step, job)
    return object_member("error", text_member("code", error.code) + text_member("message", error.message))


def _error(step: WorkflowStepStatus, job: Job | None) -> _Error:
    """Why the step failed."""
    if step.state == WORKFLOW_STEP_STATE_CANCELLED:
        return _Error("cancelled", "the job was cancelled")
    if job is not None and job.errors and job.HasField("completed_at"):
        return _Error(job.errors[-1].code, job.errors[-1].message)
    if job is not None and job.HasField("discarded_at"):
        return _Error("expired", "no worker took the job within its time to live")
    return _Error("discarded", "the job was discarded")
