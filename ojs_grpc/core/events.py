"""What happened, as it is logged (behaviour section 18): a kind, whom it is about, and the details.

A store writes each event in the same atomic step as the change that it tells of. So that this costs next to nothing,
what is written is raw: `subject` is copied from the job's envelope, and the rest is what the store has at hand anyway.
`core.event_rendering` makes of it what subscribers get.
"""

import re
from collections.abc import Mapping
from enum import IntEnum
from types import MappingProxyType
from typing import Final, NamedTuple


class Kind(IntEnum):
    """Types of events. The numbers are stored: they never change."""

    JOB_ENQUEUED = 1
    JOB_STARTED = 2
    JOB_COMPLETED = 3
    JOB_FAILED = 4
    JOB_DISCARDED = 5
    JOB_RETRYING = 6
    JOB_CANCELLED = 7
    JOB_HEARTBEAT = 8
    JOB_SCHEDULED = 9
    JOB_EXPIRED = 10
    JOB_PROGRESS = 11
    QUEUE_PAUSED = 20
    QUEUE_RESUMED = 21
    WORKER_STARTED = 30
    WORKER_QUIET = 31
    WORKER_STOPPED = 32
    WORKER_HEARTBEAT = 33
    WORKFLOW_STARTED = 40
    WORKFLOW_STEP_COMPLETED = 41
    WORKFLOW_STEP_FAILED = 42
    WORKFLOW_COMPLETED = 43
    WORKFLOW_FAILED = 44
    WORKFLOW_CANCELLED = 45
    CRON_TRIGGERED = 50
    CRON_SKIPPED = 51
    DEAD_LETTER_ADDED = 60
    DEAD_LETTER_RETRIED = 61
    DEAD_LETTER_DELETED = 62


# Families whose name is one word; the other one is the dead letters.
_FAMILIES = ("job", "queue", "worker", "workflow", "cron")


def _name(kind: Kind) -> str:
    words = kind.name.lower()
    family, _, rest = words.partition("_")
    return f"{family}.{rest}" if family in _FAMILIES else "dead_letter." + words.removeprefix("dead_letter_")


_NAMES: Mapping[int, str] = MappingProxyType({kind: _name(kind) for kind in Kind})
_KINDS: Mapping[str, Kind] = MappingProxyType(
    {name: Kind(kind) for kind, name in _NAMES.items()} | {"job.dead": Kind.JOB_DISCARDED}
)


def name_of(kind: int) -> str:
    """The spec's name of a type of event, such as `job.completed`; empty for a number that is none."""
    return _NAMES.get(kind, "")


def kind_of(name: str) -> Kind | None:
    """The type of event of this name, or of this alias (behaviour section 18); None if there is none."""
    return _KINDS.get(name)


def kinds_of(pattern: str) -> frozenset[Kind]:
    """The types of events of this name, or of all names that begin as a pattern such as `job.*` does."""
    if pattern.endswith("*"):
        return frozenset(kind for name, kind in _KINDS.items() if name.startswith(pattern[:-1]))
    kind = kind_of(pattern)
    return frozenset() if kind is None else frozenset((kind,))


MOST_DETAIL_BYTES: Final = 65_536
"""A result that is larger is not part of its event: the log would keep a million of them beside the jobs' own."""


class JobEvent(NamedTuple):
    """Something that a decided change of a job tells of; the store adds the job's subject.

    Attributes:
        detail: the members of the event's `data` that are not in the subject: a serialised Struct.
    """

    kind: Kind
    detail: bytes = b""


class NewEvent(NamedTuple):
    """An event that is about no stored job, or about more than that.

    Attributes:
        key: events of one key stay in order: a queue, a workflow's id, a cron entry's name, a worker.
        subject: serialised fields of `Job` that say whom it is about (`queue`, `workflow_id`, ...); may be empty.
        detail: as in `JobEvent`.
    """

    kind: Kind
    key: str
    subject: bytes = b""
    detail: bytes = b""


class EventId(NamedTuple):
    """Where an event stands in the log, in numbers that fit into a UUIDv7.

    Attributes:
        time: ms since the epoch, below 2**48. May differ from the event's own time by the difference of two clocks.
        number: below 2**46.
        place: of the event among those written at once, below 2**20.
        partition: 0 to 255. Events of one partition are in order.
    """

    time: int
    number: int
    place: int
    partition: int


_ID = re.compile(r"evt_([0-9a-f]{8})-([0-9a-f]{4})-7([0-9a-f]{3})-([89ab][0-9a-f]{3})-([0-9a-f]{12})")
_VERSION = 7 << 76
_VARIANT = 2 << 62
_LOW_BITS = (1 << 62) - 1


def id_text(event: EventId) -> str:
    """The id as subscribers see it: `evt_` and a UUIDv7, whose free bits hold number, place and partition."""
    free = event.number << 28 | event.place << 8 | event.partition
    digits = f"{event.time << 80 | _VERSION | free >> 62 << 64 | _VARIANT | free & _LOW_BITS:032x}"
    return f"evt_{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"


def parse_id(text: str) -> EventId:
    """The id that a subscriber saw.

    Raises:
        ValueError: it is none; the message is the bare rule.
    """
    found = _ID.fullmatch(text)
    if found is None:
        raise ValueError("must be the id of an event: evt_ and a UUIDv7 in lower case")
    time_high, time_low, high, middle, low = found.groups()
    free = int(high, 16) << 62 | int(middle + low, 16) & _LOW_BITS
    return EventId(int(time_high + time_low, 16), free >> 28, free >> 8 & 0xFFFFF, free & 0xFF)


class StoredEvent(NamedTuple):
    """An event as a store gives it back.

    Attributes:
        at: when it happened, ms since the epoch.
        attempt: of job events: the job's attempt at that time.
        value: JOB_COMPLETED: how long the attempt took, in ms; JOB_HEARTBEAT: the new end of the lease; else 0.
        subject: the first bytes of the job's envelope (`NewJob.subject_size`), or what a `NewEvent` said.
        detail: JOB_ENQUEUED, JOB_SCHEDULED: empty. JOB_STARTED, JOB_HEARTBEAT: the worker's id in UTF-8.
            JOB_COMPLETED: the `tail` of the completion, fields of `Job`, if it has at most `MOST_DETAIL_BYTES`. All
            others: a serialised Struct.
    """

    id: EventId
    kind: int
    at: int
    attempt: int
    value: int
    subject: bytes
    detail: bytes
