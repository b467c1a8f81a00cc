"""The model of the event log."""

from collections import defaultdict
from typing import NamedTuple

from ojs_grpc.core.events import NewEvent


class Told(NamedTuple):
    """An event without its place."""

    kind: int
    at: int
    attempt: int
    value: int
    detail: bytes


class Log:
    """The history of each job, queue, ...: of everything that is the subject of events."""

    def __init__(self) -> None:
        self.histories: defaultdict[bytes, list[Told]] = defaultdict(list)

    def tell(self, subject: bytes, told: Told) -> None:
        """Something happened to the subject."""
        self.histories[subject].append(told)

    def say(self, event: NewEvent, now: int) -> None:
        """Somebody has something to tell."""
        self.tell(event.subject, Told(event.kind, now, 0, 0, event.detail))
