"""What a workflow in JSON consists of: jobs, and the spec's primitives around them (behaviour section 4.1).

There are two forms. In the one, steps name those they depend on. In the other, a chain, a group or a batch says how its
parts depend on each other; a part is a job or a primitive again. A primitive whose steps say themselves what they
depend on is of the first form.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple

from ojs_grpc_pb.v1.workflow_pb2 import WorkflowStep

from ojs_grpc.codec.members import Members
from ojs_grpc.core.workflow import primitives
from ojs_grpc.core.workflow.definition import MAX_CALLBACKS, MAX_STEPS
from ojs_grpc.core.workflow.record import BATCH, CHAIN, DAG, GROUP
from ojs_grpc.errors import InvalidRequest, Violation

_PRIMITIVES: Final = (CHAIN, GROUP, BATCH)
_PARTS: Final = ("steps", "jobs", "tasks")
# In the order in which `primitives.batch` puts them.
_CALLBACKS: Final = ("on_complete", "on_success", "on_failure")
# Primitives within each other, the outermost included. Each level costs another look at all dependencies.
_MAX_LEVELS: Final = 4
_MAX_JOBS: Final = MAX_STEPS + MAX_CALLBACKS
_MANY_VIOLATIONS: Final = 100


class Job(NamedTuple):
    """A job in the document, and where it stands."""

    field: str
    document: dict[str, Any]


class Outline(NamedTuple):
    """A primitive with its parts, or a DAG with its steps.

    Attributes:
        kind: chain, group, batch or dag.
        field: where its parts stand.
        callbacks: by their names, in the order of the names above.
    """

    kind: str
    field: str
    parts: Sequence["Job | Outline"]
    callbacks: Mapping[str, Job]

    @property
    def nests(self) -> bool:
        """Whether primitives are among the parts."""
        return any(isinstance(part, Outline) for part in self.parts)

    def jobs(self) -> Iterator[Job]:
        """All jobs, in the order of the steps that they become."""
        for part in self.parts:
            if isinstance(part, Outline):
                yield from part.jobs()
            else:
                yield part
        yield from self.callbacks.values()

    def compose(self, steps: Iterator[WorkflowStep]) -> list[WorkflowStep]:
        """The steps of the whole.

        Args:
            steps: what became of `jobs`.
        """
        parts = [part.compose(steps) if isinstance(part, Outline) else next(steps) for part in self.parts]
        if self.kind == CHAIN:
            return primitives.chain(parts)
        if self.kind == BATCH:
            return primitives.batch(parts, **{name: next(steps) for name in self.callbacks})
        if self.kind == GROUP:
            return primitives.group(parts)
        return [step for step in parts if isinstance(step, WorkflowStep)]


def read_outline(document: dict[str, Any]) -> Outline:
    """The outline of a workflow.

    Raises:
        InvalidRequest: it has none, too many steps, or nests too deep.
    """
    return _Reader().read(document, DAG if _names_dependencies(document) else document["type"])


class _Reader:
    """Reads one outline. Begins no part once there are too many of them, or too many mistakes."""

    def __init__(self) -> None:
        self._broken: list[Violation] = []
        self._count = 0

    def read(self, document: dict[str, Any], kind: str) -> Outline:
        outline = self._outline(document, "", kind, 1)
        if self._count > _MAX_JOBS:
            rule = f"must be at most {MAX_STEPS} in all, and {MAX_CALLBACKS} callbacks besides"
            raise InvalidRequest([Violation(outline.field, rule)])
        if self._broken:
            raise InvalidRequest(self._broken)
        return outline

    def _outline(self, document: dict[str, Any], field: str, kind: str, level: int) -> Outline:
        members = Members(document, field, self._broken)
        said = members.name_of(*_PARTS)
        name = said or ("steps" if kind in (CHAIN, DAG) else "jobs")
        parts = members.array(*_PARTS)
        if not said or parts == []:
            members.refuse(name, "needs at least one")
        if level > _MAX_LEVELS:
            members.refuse(name, f"nests deeper than {_MAX_LEVELS} levels")
            parts = None
        read: list[Job | Outline] = []
        for place, part in enumerate(parts or ()):
            if self._count > _MAX_JOBS or len(self._broken) > _MANY_VIOLATIONS:
                break
            read.append(self._part(part, f"{members.path(name)}[{place}]", kind, level))
        callbacks = _read_callbacks(members, kind)
        self._count += len(callbacks)
        return Outline(kind, members.path(name), read, callbacks)

    def _part(self, part: Any, field: str, kind: str, level: int) -> Job | Outline:  # noqa: ANN401 - any JSON value
        if type(part) is not dict:
            self._broken.append(Violation(field, "must be an object"))
            return Job(field, {})
        # A job's type may have the name of a primitive; its members tell.
        if kind != DAG and part.get("type") in _PRIMITIVES and any(name in part for name in _PARTS):
            return self._outline(part, field, part["type"], level + 1)
        self._count += 1
        if kind != DAG and part.get("depends_on"):
            rule = f"must not be set within a {kind} that has callbacks or nests"
            self._broken.append(Violation(f"{field}.depends_on", rule))
        return Job(field, part)


def _read_callbacks(members: Members, kind: str) -> dict[str, Job]:
    said, grouped = members, members.object("callbacks")
    if grouped is None and members.name_of("callbacks"):
        return {}
    if grouped is not None:
        said = Members(grouped, members.path("callbacks"), members.broken)
        for name in sorted(grouped.keys() - set(_CALLBACKS))[:_MANY_VIOLATIONS]:
            said.refuse(name, f"is none of {', '.join(_CALLBACKS)}")
    callbacks = {name: Job(said.path(name), said.object(name) or {}) for name in _CALLBACKS if said.name_of(name)}
    if kind == BATCH and not callbacks:
        members.refuse("callbacks", f"needs one of {', '.join(_CALLBACKS)}")
    elif kind != BATCH and callbacks:
        members.refuse("callbacks", f"must not be set: a {kind} has none, only a batch has")
    return callbacks


def _names_dependencies(document: dict[str, Any]) -> bool:
    """Whether the document is of the form in which steps say what they depend on."""
    if document.get("type") not in _PRIMITIVES:
        return True
    if any(document.get(name) for name in ("callbacks", *_CALLBACKS)):
        return False
    lists = [document[name] for name in _PARTS if type(document.get(name)) is list]
    return any(type(part) is dict and part.get("depends_on") for parts in lists for part in parts)
