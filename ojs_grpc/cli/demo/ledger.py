"""What producer and workers have seen, counted while it happens."""

import asyncio
import time
from collections import Counter

from ojs_grpc.cli.demo.plan import KINDS


class Ledger:
    """Counts by kind, and the times between which it all happened.

    Attributes:
        ids: of the enqueued jobs, by kind, in order.
        stale_leases: of jobs whose first worker died, the lease that it held.
        refused: how many reports under a stale lease the server refused.
        verified: jobs that were read at the end and are as they should be.
        finished: set when every job has come to its end.
    """

    def __init__(self, jobs: int) -> None:
        self.jobs = jobs
        self.ids: dict[str, list[str]] = {kind.name: [] for kind in KINDS}
        self.delivered: Counter[str] = Counter()
        self.completed: Counter[str] = Counter()
        self.retried: Counter[str] = Counter()
        self.dead: Counter[str] = Counter()
        self.cancelled: Counter[str] = Counter()
        self.verified: Counter[str] = Counter()
        self.stale_leases: dict[str, int] = {}
        self.refused = 0
        self.finished = asyncio.Event()
        self.started_at = time.perf_counter()
        self.enqueued_at = 0.0
        self.working_at = 0.0
        self.plain_done_at = 0.0
        self.finished_at = 0.0

    @property
    def enqueued(self) -> int:
        """Jobs that are stored."""
        return sum(map(len, self.ids.values()))

    @property
    def ended(self) -> int:
        """Jobs that came to their end."""
        return self.completed.total() + self.dead.total() + self.cancelled.total()

    def complete(self, kind: str) -> None:
        """A worker's success was taken note of."""
        self.completed[kind] += 1
        if kind == "plain" and self.completed[kind] == len(self.ids[kind]):
            self.plain_done_at = time.perf_counter()
        self.check()

    def check(self) -> None:
        """Sets `finished` if that is so."""
        if self.ended >= self.jobs:
            self.finished_at = time.perf_counter()
            self.finished.set()
