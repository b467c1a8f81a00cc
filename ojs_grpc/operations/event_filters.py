"""Which events a subscriber wants (behaviour section 18)."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from ojs_grpc_pb.v1.job_pb2 import Job

from ojs_grpc.core.events import kinds_of
from ojs_grpc.core.ids import is_id
from ojs_grpc.core.limits import Limits
from ojs_grpc.core.validation import queues_rules, type_info
from ojs_grpc.errors import InvalidRequest, Violation

_MAX_ENTRIES = 256
_MAX_KEYS = 256
_MAX_ID_CHARS = 255

_ANY_KIND = frozenset({0})

Key = tuple[str, str, str, int]
"""Job, workflow, queue and kind; what does not matter is empty or 0."""


@dataclass(frozen=True, slots=True)
class Filters:
    """An event must pass all of them.

    Attributes:
        queues: those of the subject; empty for any, also for none.
        job_types: likewise.
        kinds: None for any.
        job_id, workflow_id: empty for any.
    """

    queues: frozenset[str] = frozenset()
    job_types: frozenset[str] = frozenset()
    kinds: frozenset[int] | None = None
    job_id: str = ""
    workflow_id: str = ""

    def pass_kind(self, kind: int) -> bool:
        """Whether an event of this kind may be wanted: what can be told without its subject."""
        return self.kinds is None or kind in self.kinds

    def pass_event(self, kind: int, subject: Job) -> bool:
        """Whether the event is wanted."""
        return (
            (not self.job_id or self.job_id == subject.id)
            and (not self.workflow_id or self.workflow_id == subject.workflow_id)
            and (self.kinds is None or kind in self.kinds)
            and (not self.queues or subject.queue in self.queues)
            and (not self.job_types or subject.type in self.job_types)
        )

    def index_keys(self) -> Iterator[Key]:
        """Where an index keeps whoever has these filters: where few other events stand, and in not too many places."""
        if self.job_id:
            yield (self.job_id, "", "", 0)
        elif self.workflow_id:
            yield ("", self.workflow_id, "", 0)
        else:
            kinds = self.kinds
            if kinds is None or len(kinds) * len(self.queues) > _MAX_KEYS:
                kinds = _ANY_KIND
            for queue in self.queues or ("",):
                for kind in kinds:
                    yield ("", "", queue, kind)


def event_keys(kind: int, subject: Job) -> Iterator[Key]:
    """Where those stand in the index who may want the event; each of them once."""
    queue = subject.queue
    yield ("", "", "", 0)
    yield ("", "", "", kind)
    if queue:
        yield ("", "", queue, 0)
        yield ("", "", queue, kind)
    if subject.id:
        yield (subject.id, "", "", 0)
    if subject.workflow_id:
        yield ("", subject.workflow_id, "", 0)


def read_filters(
    queues: Sequence[str],
    event_types: Sequence[str],
    job_id: str,
    workflow_id: str,
    limits: Limits,
    job_types: Sequence[str] = (),
) -> Filters:
    """Filters as a caller says them; a type of event that nobody knows matches nothing, `job.*` all of its family.

    Raises:
        InvalidRequest: too many entries, a bad name of a queue or of a type of jobs, or no job's or workflow's id.
    """
    broken = queues_rules(queues, _MAX_ENTRIES, limits)
    if len(event_types) > _MAX_ENTRIES:
        broken.append(Violation("event_types", f"must be at most {_MAX_ENTRIES}"))
    if len(job_types) > _MAX_ENTRIES:
        broken.append(Violation("job_types", f"must be at most {_MAX_ENTRIES}"))
    for name in job_types:
        rule, _ = type_info(name, limits)
        if rule:
            broken.append(Violation("job_types", rule))
    if job_id and not is_id(job_id):
        broken.append(Violation("job_id", "must be a UUIDv7 in lower case"))
    if len(workflow_id) > _MAX_ID_CHARS:
        broken.append(Violation("workflow_id", f"must be at most {_MAX_ID_CHARS} characters"))
    if broken:
        raise InvalidRequest(broken)
    kinds = frozenset(kind for name in event_types for kind in kinds_of(name))
    return Filters(
        frozenset(queues), frozenset(job_types), kinds if event_types else None, job_id, workflow_id
    )
