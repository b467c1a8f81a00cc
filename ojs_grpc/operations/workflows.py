"""Workflows: created with all their jobs, looked at, cancelled (behaviour section 4).

How they go on when a job ends is the business of `maintenance.workflow_advancer`.
"""

from collections.abc import Mapping, Sequence

from ojs_grpc_pb.v1.job_pb2 import Job
from ojs_grpc_pb.v1.workflow_pb2 import (
    WORKFLOW_STATE_CANCELLED,
    WORKFLOW_STATE_RUNNING,
    WORKFLOW_STEP_STATE_ACTIVE,
    WORKFLOW_STEP_STATE_COMPLETED,
    WORKFLOW_STEP_STATE_PENDING,
    CreateWorkflowRequest,
    Workflow,
    WorkflowState,
    WorkflowStepStatus,
)

from ojs_grpc.core import lifecycle, states
from ojs_grpc.core.duration import to_timestamp
from ojs_grpc.core.envelope import Defaults, EnvelopeReader, NewJob
from ojs_grpc.core.ids import is_id
from ojs_grpc.core.workflow import definition, events
from ojs_grpc.core.workflow.record import KIND, OPEN, RESULT_KIND, call_off, kept_results, show
from ojs_grpc.errors import DuplicateJob, NotFound, OJSError, StoreError, WorkflowEnded
from ojs_grpc.operations.alarm import Alarm
from ojs_grpc.operations.changes import Changes
from ojs_grpc.operations.listing import page_of
from ojs_grpc.operations.schemas import Schemas
from ojs_grpc.stores.ports import Document, Duplicates, Page, Store, Unit, Write

# As in `Changes`: nobody changes one workflow that often between a look and a write.
_ATTEMPTS = 20
# Jobs read or cancelled at once.
_CHUNK = 200
# Jobs read at once that are kept whole for a while.
_FEW = 50
_REASON_CHARS = 1000

_RELEASED = {WORKFLOW_STEP_STATE_PENDING, WORKFLOW_STEP_STATE_ACTIVE}
_RUNS_OR_ENDED = states.TERMINAL | {states.ACTIVE}


class Workflows:
    """Operations on workflows.

    Args:
        alarm: of the duty that looks after workflows that have ended.
    """

    def __init__(
        self, store: Store, changes: Changes, defaults: Defaults, schemas: Schemas, alarm: Alarm
    ) -> None:
        self._store = store
        self._changes = changes
        self._schemas = schemas
        self._alarm = alarm
        self._reader = EnvelopeReader(defaults)

    async def create(self, request: CreateWorkflowRequest, trace: Mapping[str, str]) -> Workflow:
        """Stores a workflow with all its jobs; those that depend on nothing may run at once.

        Args:
            trace: W3C trace context of the call, kept in the jobs' `meta`.

        Raises:
            InvalidRequest: or one of its kinds, with every broken rule; nothing was stored.
            DuplicateJob: a job that must be unique has a duplicate.
            QueueFull: a queue has no room for its jobs.
        """
        now = self._store.clock.now()
        workflow, jobs = definition.read(request, self._reader, now, trace)
        await self._schemas.check_each(request.steps, "steps")
        unit = Unit(
            jobs=jobs,
            writes=[Write(KIND, workflow.id, 0, workflow.SerializeToString())],
            events=[events.started(workflow)],
        )
        (outcome,) = await self._changes.commit([unit], now)
        if isinstance(outcome, Duplicates):
            raise _refused(outcome, jobs)
        if isinstance(outcome, OJSError):
            raise outcome
        if outcome is not None:
            raise StoreError(f"workflow {workflow.id} could not be stored")
        return workflow

    async def get(self, workflow_id: str) -> Workflow:
        """The workflow as it stands, each step as its job says.

        Raises:
            NotFound: there is no such workflow.
        """
        workflow = Workflow.FromString((await self._find(workflow_id)).data)
        now = self._store.clock.now()
        released = [step for step in workflow.steps if step.state in _RELEASED]
        for start in range(0, len(released), _CHUNK):
            chunk = released[start : start + _CHUNK]
            for step, job in zip(chunk, await _read(self._store, chunk), strict=True):
                if job is not None:
                    show(workflow, step, job.state, job, now)
        return workflow

    async def page(self, limit: int, cursor: str, state: WorkflowState.ValueType | None = None) -> Page[Workflow]:
        """Workflows, the oldest first, `limit` a page; their steps as they were kept, whatever the jobs do now.

        Args:
            state: only those in this state; to count them, this looks at all workflows.
        """
        if state is None:
            page = await self._store.list_documents(KIND, cursor, limit)
        else:
            page = await page_of(
                self._store, KIND, lambda found: Workflow.FromString(found.data).state == state, limit, cursor
            )
        return Page([Workflow.FromString(found.data) for found in page.rows], page.next_cursor, page.total)

    async def completed_jobs(self, workflow: Workflow, max_bytes: int) -> dict[str, bytes]:
        """The jobs of completed steps that are still there, by id; the first ones, up to `max_bytes` together."""
        steps = [step for step in workflow.steps if step.state == WORKFLOW_STEP_STATE_COMPLETED]
        jobs: dict[str, bytes] = {}
        room = max_bytes
        for start in range(0, len(steps), _FEW):
            ids = [step.job_id for step in steps[start : start + _FEW]]
            for job_id, data in zip(ids, await self._store.read(ids), strict=True):
                room -= len(data or b"")
                if room < 0:
                    return jobs
                if data is not None:
                    jobs[job_id] = data
        return jobs

    async def cancel(self, workflow_id: str, reason: str) -> Workflow:
        """Cancels a running workflow: no step begins any more, those that run may finish. The workflow afterwards.

        Args:
            reason: for people; a long one is cut.

        Raises:
            NotFound: there is no such workflow.
            WorkflowEnded: also when it is cancelled already.
        """
        for _ in range(_ATTEMPTS):
            document = await self._find(workflow_id)
            workflow = Workflow.FromString(document.data)
            if workflow.state != WORKFLOW_STATE_RUNNING:
                raise _not_running(workflow)
            now = self._store.clock.now()
            workflow.state = WORKFLOW_STATE_CANCELLED
            workflow.completed_at.CopyFrom(to_timestamp(now))
            # Due at once: should this server stop before the jobs are cancelled, another one goes on.
            first = Write(KIND, workflow_id, document.version, workflow.SerializeToString(), now)
            unit = Unit(
                writes=[first, *forget_results(workflow)],
                events=[events.cancelled(workflow, reason[:_REASON_CHARS])],
            )
            (outcome,) = await self._changes.commit([unit], now)
            if outcome is None:
                break
        else:
            raise StoreError(f"workflow {workflow_id} kept changing")
        cancelled = await cancel_jobs(self._store, self._changes, await self._find(workflow_id))
        self._alarm.advance(self._store.clock.now())
        return cancelled

    async def _find(self, workflow_id: str) -> Document:
        if not is_id(workflow_id):
            raise NotFound("workflow", workflow_id)
        (document,) = await self._store.documents(KIND, [workflow_id])
        if document is None:
            raise NotFound("workflow", workflow_id)
        return document


def forget_results(workflow: Workflow) -> list[Write]:
    """What removes the results that were kept for steps to come."""
    return [Write(RESULT_KIND, name, None, None) for name in kept_results(workflow)]


async def cancel_jobs(store: Store, changes: Changes, document: Document) -> Workflow:
    """Cancels the jobs of a cancelled workflow that do not run, and notes that this is done. The workflow afterwards.

    It may be done by several at once, and again after an interruption.
    """
    workflow = Workflow.FromString(document.data)
    steps = [step for step in workflow.steps if step.state in OPEN]
    for start in range(0, len(steps), _CHUNK):
        await _cancel_steps(store, changes, workflow, steps[start : start + _CHUNK])
    now = store.clock.now()
    # If it is outdated, another one has noted the same.
    done = Write(KIND, workflow.id, document.version, workflow.SerializeToString(), now)
    await changes.commit([Unit(writes=[done])], now)
    return workflow


async def _cancel_steps(
    store: Store, changes: Changes, workflow: Workflow, steps: Sequence[WorkflowStepStatus]
) -> None:
    for _ in range(_ATTEMPTS):
        jobs = list(zip(steps, await _read(store, steps), strict=True))
        waiting = [(step, job) for step, job in jobs if job is not None and job.state not in _RUNS_OR_ENDED]
        for step, job in jobs:
            if job is None or job.state == states.CANCELLED:
                call_off(step)
            elif job.state in _RUNS_OR_ENDED:
                show(workflow, step, job.state, job, store.clock.now())
        if not waiting:
            return
        # Looked at again, and found cancelled, or running if a worker was faster.
        await changes.apply([lifecycle.cancel(job, "its workflow was cancelled", workflow.id) for _, job in waiting])
        steps = [step for step, _ in waiting]


async def _read(store: Store, steps: Sequence[WorkflowStepStatus]) -> list[Job | None]:
    found = await store.read([step.job_id for step in steps])
    return [None if data is None else Job.FromString(data) for data in found]


def _refused(duplicates: Duplicates, jobs: Sequence[NewJob]) -> DuplicateJob:
    """The refusal for the first of these jobs that has a duplicate."""
    place = min(duplicates.jobs)
    existing, links = Job.FromString(duplicates.jobs[place]), jobs[place].links
    key = links.unique.fingerprint.hex() if links is not None and links.unique is not None else ""
    error = DuplicateJob(existing.id, states.state_name(existing.state), key)
    error.details["index"] = str(place)
    return error


def _not_running(workflow: Workflow) -> WorkflowEnded:
    state = WorkflowState.Name(workflow.state).removeprefix("WORKFLOW_STATE_").lower()
    return WorkflowEnded(workflow.id, state)
