"""How both stores walk through all jobs for `OperatorStore.jobs`: section by section, each an index of its own."""

import json
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Mapping, Sequence
from enum import IntEnum
from types import MappingProxyType
from typing import Final, NamedTuple

from ojs_grpc.core import states
from ojs_grpc.errors import InvalidRequest, Violation
from ojs_grpc.stores.ports import LISTED, JobFilter

LOOK_MOST: Final = 5000
"""Jobs that one page looks at; more than are in a page only where an index holds others too."""
_MAX_NUMBER = 2**63


class Section(IntEnum):
    """A part of the listing, in its order."""

    ACTIVE = 0
    IN_LINE = 1
    LIMITED = 2
    RETRYABLE = 3
    SCHEDULED = 4
    PENDING = 5
    DEAD = 6
    DISCARDED = 7
    CANCELLED = 8
    COMPLETED = 9


_SECTIONS: Mapping[int, Sequence[Section]] = MappingProxyType(
    {
        states.ACTIVE: (Section.ACTIVE,),
        states.AVAILABLE: (Section.IN_LINE, Section.LIMITED),
        states.RETRYABLE: (Section.RETRYABLE,),
        states.SCHEDULED: (Section.SCHEDULED,),
        states.PENDING: (Section.PENDING,),
        states.DISCARDED: (Section.DEAD, Section.DISCARDED),
        states.CANCELLED: (Section.CANCELLED,),
        states.COMPLETED: (Section.COMPLETED,),
    }
)


STATE_OF: Final[Mapping[Section, int]] = MappingProxyType(
    {section: state for state, sections in _SECTIONS.items() for section in sections}
)
"""The state of the jobs in a section."""


def sections(wanted: JobFilter) -> Sequence[Section]:
    """The sections that can hold what is wanted, in order."""
    wanted_states = (wanted.state,) if wanted.state else LISTED
    return [section for state in wanted_states for section in _SECTIONS[state]]


class Place(NamedTuple):
    """Where a job stands in the listing; also where one stood that is gone.

    Attributes:
        name: of the index, where a section has several: mostly the queue.
        mark, last: the order within it, by the store's own rules; before its beginning if `last` is empty.
    """

    section: int
    name: str = ""
    mark: int = 0
    last: str = ""

    def encode(self, wanted: JobFilter, total: int) -> str:
        """The place as a cursor, which remembers how many jobs there were."""
        return urlsafe_b64encode(json.dumps([*wanted, total, *self], separators=(",", ":")).encode()).decode()


def decode(cursor: str, wanted: JobFilter) -> tuple[Place, int | None]:
    """The place that a cursor stands for, and the total that it remembers; the beginning, and None, for an empty one.

    Raises:
        InvalidRequest: it is none, or one of another listing.
    """
    if not cursor:
        return Place(sections(wanted)[0]), None
    known = sections(wanted)
    try:
        queue, state, total, section, name, mark, last = json.loads(urlsafe_b64decode(cursor.encode()))
        _ = f"{name}{last}".encode()
    except (ValueError, TypeError, RecursionError):
        raise _malformed() from None
    if [type(part) for part in (total, section, name, mark, last)] != [int, int, str, int, str]:
        raise _malformed()
    if (queue, state) != wanted or section not in known or not -_MAX_NUMBER < mark < _MAX_NUMBER:
        raise _malformed()
    return Place(section, name, mark, last), total


def _malformed() -> InvalidRequest:
    return InvalidRequest([Violation("cursor", "must be a next_cursor of the same listing")])
