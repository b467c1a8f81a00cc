"""The spec's primitives, chain, group and batch, compiled into steps (behaviour section 4.1).

They nest in each other:

    steps = chain([fetch, group([resize, tag]), batch([publish, index], on_failure=alert)])

where each name is a `WorkflowStep` with what the job needs; dependencies are given here, and ids to those without one.
"""

from collections.abc import Sequence
from typing import TypeAlias

from ojs_grpc_pb.v1.workflow_pb2 import WorkflowStep

from ojs_grpc.core.workflow.record import COMPLETE, FAILURE, SUCCESS

Part: TypeAlias = WorkflowStep | list[WorkflowStep]
"""A step, or what one of the functions here gave."""


def chain(parts: Sequence[Part]) -> list[WorkflowStep]:
    """One after another: each part begins when the one before it has completed."""
    steps: list[WorkflowStep] = []
    before: list[str] = []
    for part in _named(parts):
        for step in part:
            if not step.depends_on:
                step.depends_on.extend(before)
        before = _ends(part)
        steps += part
    return steps


def group(parts: Sequence[Part]) -> list[WorkflowStep]:
    """All at once."""
    return [step for part in _named(parts) for step in part]


def batch(
    parts: Sequence[Part],
    on_complete: WorkflowStep | None = None,
    on_success: WorkflowStep | None = None,
    on_failure: WorkflowStep | None = None,
) -> list[WorkflowStep]:
    """All at once, and then those callbacks whose condition holds.

    Raises:
        ValueError: there is no callback.
    """
    jobs = group(parts)
    before = _ends(jobs)
    callbacks = []
    for trigger, template in ((COMPLETE, on_complete), (SUCCESS, on_success), (FAILURE, on_failure)):
        if template is not None:
            callback = _copy(template, template.id or f"on_{trigger}")
            callback.trigger = trigger
            callback.depends_on.extend(before)
            callbacks.append(callback)
    if not callbacks:
        raise ValueError("a batch needs a callback")
    return jobs + callbacks


def _named(parts: Sequence[Part]) -> list[list[WorkflowStep]]:
    """Copies of the parts. Where the client gave no ids, the places of the parts do: `0`, `1.0`, `1.on_success`."""
    named = []
    for place, part in enumerate(parts):
        if isinstance(part, WorkflowStep):
            named.append([_copy(part, part.id or str(place))])
            continue
        copies = [_copy(step, f"{place}.{step.id}") for step in part]
        for step in copies:
            inner = [f"{place}.{parent}" for parent in step.depends_on]
            del step.depends_on[:]
            step.depends_on.extend(inner)
        named.append(copies)
    return named


def _copy(step: WorkflowStep, step_id: str) -> WorkflowStep:
    copy = WorkflowStep()
    copy.CopyFrom(step)
    copy.id = step_id
    return copy


def _ends(steps: Sequence[WorkflowStep]) -> list[str]:
    """The ids of the steps that what follows depends on: those on which no other depends.

    If all of them are for failures, none may fire, and what follows depends on the steps before them too.
    """
    needed = {parent for step in steps for parent in step.depends_on}
    leaves = [step for step in steps if step.id not in needed]
    ends = [step.id for step in leaves]
    if all(step.trigger == FAILURE for step in leaves):
        ends += dict.fromkeys(parent for step in leaves for parent in step.depends_on)
    return ends
