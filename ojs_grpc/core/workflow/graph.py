"""The shape of a workflow: which of its steps are callbacks, what kind of workflow it is, and cycles."""

from collections import deque
from collections.abc import Mapping, Sequence

from ojs_grpc_pb.v1.workflow_pb2 import WorkflowStep

from ojs_grpc.core.workflow.record import BATCH, CHAIN, COMPLETE, DAG, FAILURE, GROUP, SUCCESS

Parents = Mapping[str, Sequence[str]]
"""The ids that each id depends on, all of them known."""

# What the official SDKs call the callbacks of a batch (behaviour section 4.1).
_CALLBACK_IDS = {
    f"on{separator}{name}": trigger
    for separator in "_-"
    for name, trigger in (("complete", COMPLETE), ("success", SUCCESS), ("failure", FAILURE))
}


def infer_callbacks(steps: Sequence[WorkflowStep], said: Mapping[str, str]) -> dict[str, str]:
    """The triggers of all callbacks by step id: those that say so, and those that are known by their id.

    The latter depend on all steps that are no callbacks, and nothing depends on them.

    Args:
        said: the triggers that steps say, by their ids.
    """
    needed = {parent for step in steps for parent in step.depends_on}
    guessed = {
        step.id: _CALLBACK_IDS[step.id]
        for step in steps
        if step.id in _CALLBACK_IDS and step.id not in said and step.id not in needed and step.depends_on
    }
    parents = {step.id: set(step.depends_on) for step in steps if step.id in guessed}
    # A step that turns out to be an ordinary one is one more that the others have to depend on.
    while guessed:
        ordinary = {step.id for step in steps if step.id not in guessed and step.id not in said}
        wrong = [step_id for step_id in guessed if not parents[step_id] >= ordinary]
        if not wrong:
            break
        for step_id in wrong:
            del guessed[step_id]
    return {**said, **guessed}


def kind_of(parents: Parents, callbacks: Mapping[str, str]) -> str:
    """What the steps are together: a chain, a group, a batch or any other DAG."""
    if callbacks:
        return DAG if any(parents[name] for name in parents if name not in callbacks) else BATCH
    edges = [parent for ids in parents.values() for parent in ids]
    if len(edges) == len(parents) - 1 == len(set(edges)) and all(len(ids) < 2 for ids in parents.values()):
        return CHAIN
    return DAG if edges else GROUP


def find_cycle(parents: Parents) -> list[str]:
    """Some steps that depend on each other in a circle, the first one again at the end; empty if there are none."""
    rest = _without_order(parents)
    if not rest:
        return []
    # Every step left depends on one that is left: going on from step to step must come back.
    step_id, seen = next(iter(rest)), set()
    while step_id not in seen:
        seen.add(step_id)
        step_id = next(parent for parent in parents[step_id] if parent in rest)
    return _shortest_way_back(step_id, parents)


def _without_order(parents: Parents) -> dict[str, None]:
    """The steps that are left when those are taken away, again and again, that depend on nothing that is left."""
    dependents: dict[str, list[str]] = {step_id: [] for step_id in parents}
    open_parents = {step_id: len(ids) for step_id, ids in parents.items()}
    for step_id, ids in parents.items():
        for parent in ids:
            dependents[parent].append(step_id)
    ready = [step_id for step_id, count in open_parents.items() if not count]
    for step_id in ready:
        del open_parents[step_id]
        for dependent in dependents[step_id]:
            open_parents[dependent] -= 1
            if not open_parents[dependent]:
                ready.append(dependent)
    return dict.fromkeys(open_parents)


def _shortest_way_back(start: str, parents: Parents) -> list[str]:
    came_from: dict[str, str] = {}
    queue = deque([start])
    while start not in came_from:
        step_id = queue.popleft()
        for parent in parents[step_id]:
            if parent not in came_from:
                came_from[parent] = step_id
                queue.append(parent)
    way = [start]
    while len(way) == 1 or way[-1] != start:
        way.append(came_from[way[-1]])
    return way
