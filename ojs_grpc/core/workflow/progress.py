"""How a workflow goes on when its jobs end: whose turn it is, whose turn will never come, and how it all ends.

The decision is a pure one, from the record and the endings to the next record (behaviour section 4.3). It costs one
pass over the dependencies, however many endings there are.
"""

from collections.abc import Iterator

from ojs_grpc_pb.v1.job_pb2 import Job
from ojs_grpc_pb.v1.workflow_pb2 import (
    WORKFLOW_STATE_COMPLETED,
    WORKFLOW_STATE_FAILED,
    WORKFLOW_STEP_STATE_COMPLETED,
    WORKFLOW_STEP_STATE_PENDING,
    WORKFLOW_STEP_STATE_WAITING,
    Workflow,
    WorkflowStepStatus,
)

from ojs_grpc.core.duration import timestamp_ms, to_timestamp
from ojs_grpc.core.workflow.record import COMPLETE, ENDED, FAILURE, call_off, never_ran, show


class Progress:
    """A running workflow that takes note of endings. Steps are named by their place in it.

    Attributes:
        workflow: the record, which becomes the next one.
        ready: steps whose turn has come; they stay waiting until `release`.
        called_off: steps whose turn will never come, and whose jobs wait.
        parents, dependents: the places of the steps that each one depends on, and that depend on it.
        remaining: how many steps have not ended.
    """

    def __init__(self, workflow: Workflow) -> None:
        self.workflow = workflow
        self.steps = list(workflow.steps)
        self.ready: dict[int, None] = {}
        self.called_off: list[int] = []
        places = {step.id: place for place, step in enumerate(self.steps)}
        self.parents = [[places[parent] for parent in step.depends_on] for step in self.steps]
        self.dependents: list[list[int]] = [[] for _ in self.steps]
        for place, parents in enumerate(self.parents):
            for parent in parents:
                self.dependents[parent].append(place)
        self.remaining = len(self.steps)
        self._by_job = {step.job_id: place for place, step in enumerate(self.steps)}
        self._open_parents = [len(parents) for parents in self.parents]
        self._completed_parents = [0] * len(self.steps)
        self._failed_parents = [0] * len(self.steps)
        for place, step in enumerate(self.steps):
            if step.state in ENDED:
                self._count(place)
        # Left over when there was more to release than one step of work may do.
        for place, step in enumerate(self.steps):
            if step.state == WORKFLOW_STEP_STATE_WAITING and not self._open_parents[place]:
                self.ready[place] = None

    def find(self, job_id: str) -> int | None:
        """The step whose job this is, unless it has ended."""
        place = self._by_job.get(job_id)
        return None if place is None or self.steps[place].state in ENDED else place

    def end(self, place: int, job_state: int, job: Job | None, now: int) -> None:
        """The job of a step that has not ended has ended.

        Args:
            job_state: how.
            job: the job, as far as it is still there.
        """
        show(self.workflow, self.steps[place], job_state, job, now)
        self.ready.pop(place, None)
        ended = [place]
        for at in ended:
            for dependent in self._count(at):
                if self.steps[dependent].state != WORKFLOW_STEP_STATE_WAITING:
                    continue
                if not self._may_run(dependent):
                    call_off(self.steps[dependent])
                    self.called_off.append(dependent)
                    ended.append(dependent)
                elif not self._open_parents[dependent]:
                    self.ready[dependent] = None

    def release(self, place: int) -> None:
        """A ready step's job may run from now on."""
        del self.ready[place]
        self.steps[place].state = WORKFLOW_STEP_STATE_PENDING

    def take_called_off(self) -> list[int]:
        """The steps called off since this was asked last."""
        taken, self.called_off = self.called_off, []
        return taken

    def finish(self, now: int) -> WorkflowStepStatus | None:
        """All steps have ended, so the workflow has.

        It has failed if a step failed that no callback comes after: a callback answers for all that happened before it.

        Returns:
            The first such step, if there is one.
        """
        failed = min(self._unanswered_failures(), key=lambda step: timestamp_ms(step.completed_at), default=None)
        self.workflow.state = WORKFLOW_STATE_COMPLETED if failed is None else WORKFLOW_STATE_FAILED
        self.workflow.completed_at.CopyFrom(to_timestamp(now))
        return failed

    def _count(self, place: int) -> list[int]:
        """Tells the dependents of a step that it has ended; who they are."""
        step = self.steps[place]
        self.remaining -= 1
        completed = step.state == WORKFLOW_STEP_STATE_COMPLETED
        # A callback that does not fire is no failure.
        failed = not completed and not (step.trigger and never_ran(step))
        for dependent in self.dependents[place]:
            self._open_parents[dependent] -= 1
            self._completed_parents[dependent] += completed
            self._failed_parents[dependent] += failed
        return self.dependents[place]

    def _may_run(self, place: int) -> bool:
        """Whether the step's condition holds, or still may when the rest of its parents have ended."""
        trigger = self.steps[place].trigger
        if trigger == COMPLETE:
            return True
        if trigger == FAILURE:
            return self._failed_parents[place] > 0 or self._open_parents[place] > 0
        if self._failed_parents[place]:
            return False
        return self._completed_parents[place] > 0 or self._open_parents[place] > 0

    def _unanswered_failures(self) -> Iterator[WorkflowStepStatus]:
        answered: set[int] = set()
        answering = [place for place, step in enumerate(self.steps) if step.trigger]
        for place in answering:
            before = set(self.parents[place]) - answered
            answered |= before
            answering += before
        for place, step in enumerate(self.steps):
            if place not in answered and step.state != WORKFLOW_STEP_STATE_COMPLETED and not never_ran(step):
                yield step
