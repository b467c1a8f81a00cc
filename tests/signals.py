"""A `Signals` that writes down what a store tells, for tests to look at or wait for."""

import asyncio
from collections.abc import Callable, Sequence

# Far more than a signal needs: it ends a test that would hang, and no passing test waits for it.
_PATIENCE_S = 5


class RecordingSignals:
    """Keeps every signal.

    Attributes:
        queues: the queues that may have jobs, in the order heard.
        jobs: the jobs that were taken away, in the order heard.
        endings: how often it was said that jobs of workflows ended.
    """

    def __init__(self) -> None:
        self.queues: list[str] = []
        self.jobs: list[str] = []
        self.endings = 0
        self._changed = asyncio.Event()

    def ready(self, queues: Sequence[str]) -> None:
        """Writes the queues down."""
        self.queues.extend(queues)
        self._changed.set()

    def released(self, job_ids: Sequence[str]) -> None:
        """Writes the jobs down."""
        self.jobs.extend(job_ids)
        self._changed.set()

    def ended(self) -> None:
        """Counts."""
        self.endings += 1
        self._changed.set()

    def clear(self) -> None:
        """Forgets what was heard so far."""
        self.queues.clear()
        self.jobs.clear()
        self.endings = 0

    async def until_ready(self, queue: str) -> None:
        """Returns when the queue was, or is, said to have jobs."""
        await self._until(lambda: queue in self.queues, f"queue {queue!r} was not signalled, only {self.queues}")

    async def until_released(self, job_id: str) -> None:
        """Returns when the job was, or is, said to be taken away."""
        await self._until(lambda: job_id in self.jobs, f"job {job_id} was not signalled, only {self.jobs}")

    async def _until(self, heard: Callable[[], bool], complaint: str) -> None:
        try:
            async with asyncio.timeout(_PATIENCE_S):
                while not heard():
                    self._changed.clear()
                    await self._changed.wait()
        except TimeoutError:
            raise AssertionError(complaint) from None
