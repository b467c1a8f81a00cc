"""How far somebody has read the log of events, as a text that outlives this server."""

import re
from typing import Self

from ojs_grpc.core.events import EventId, id_text, parse_id

RULE = "must be the id of an event or a cursor of a page of events"

_START = EventId(0, 0, 0, 0)
# Of another partition: which, and the number and the place of the last event read there.
_TIE = re.compile(r"([0-9a-f]{2})\.([0-9a-f]{1,12})\.([0-9a-f]{1,5})")
_SEPARATOR = "~"
_MAX_TIES = 255


def event_in(cursor: str) -> str:
    """The id of the event that such a text begins with."""
    return cursor.partition(_SEPARATOR)[0]


class Bookmark:
    """A place in the log: behind an event.

    The id of an event says nothing about events of other partitions at the same time. So where some of these were read
    too, the text also says how far; else it is the event's id.
    """

    def __init__(self) -> None:
        self._last: EventId | None = None
        self._ties: dict[int, tuple[int, int]] = {}
        """Of other partitions: the last event read there, all of them at the time of the last one."""

    @classmethod
    def parse(cls, text: str) -> Self:
        """The place that such a text or the id of an event says; the beginning of the log if it is empty.

        Raises:
            ValueError: it is neither; the message is the bare rule.
        """
        bookmark = cls()
        if not text:
            return bookmark
        last, *ties = text.split(_SEPARATOR, _MAX_TIES + 1)
        found = [_TIE.fullmatch(tie) for tie in ties]
        if len(ties) > _MAX_TIES or not all(found):
            raise ValueError(RULE)
        try:
            bookmark._last = parse_id(last)
        except ValueError:
            raise ValueError(RULE) from None
        for match in filter(None, found):
            partition, number, place = (int(digits, 16) for digits in match.groups())
            bookmark._ties[partition] = (number, place)
        return bookmark

    @property
    def event(self) -> EventId:
        """The event to begin behind."""
        return self._last or _START

    def covers(self, event: EventId) -> bool:
        """Whether an event that a store gives behind `event` was read before."""
        if not self._ties:
            return False
        tie = self._ties.get(event.partition)
        return tie is not None and event.time == self.event.time and (event.number, event.place) <= tie

    def move(self, event: EventId) -> None:
        """The event was read."""
        last = self._last
        if last is None or event.time != last.time:
            if self._ties:
                self._ties.clear()
        elif event.partition != last.partition:
            self._ties[last.partition] = (last.number, last.place)
            self._ties.pop(event.partition, None)
        self._last = event

    def text(self) -> str:
        """The place as text; empty for the beginning of the log."""
        if self._last is None:
            return ""
        ties = (f"{partition:02x}.{number:x}.{place:x}" for partition, (number, place) in self._ties.items())
        return _SEPARATOR.join((id_text(self._last), *ties))
