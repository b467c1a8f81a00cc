"""What stands now, where a `Recorder` says what has happened."""

from collections.abc import Mapping
from typing import NamedTuple


class QueueFigures(NamedTuple):
    """A queue as it stands.

    Attributes:
        jobs: how many it holds, by the name of their state.
        completed: how many were completed since it exists.
    """

    paused: bool
    jobs: Mapping[str, int]
    completed: int


class Present(NamedTuple):
    """The store and this process as they stand.

    Attributes:
        store: its name.
        store_up: whether it works.
        job_streams, event_streams: how many are open in this process.
        leases: how many jobs those streams hold.
        queues: by name, as far as they are known.
        all_queues: how many there are, known or not; None if the store does not say.
    """

    store: str
    store_up: bool
    job_streams: int
    event_streams: int
    leases: int
    queues: Mapping[str, QueueFigures]
    all_queues: int | None
