"""Whoever waits for jobs: a stream, or one long poll. The dispatcher gives, the consumer takes."""

import asyncio
from collections import deque

from ojs_grpc.errors import OJSError
from ojs_grpc.stores.ports import Delivery

# Claimed for a stream but not yet written to its transport: enough to keep it busy, little to give back.
WINDOW = 256
_REFILL_AT = WINDOW * 3 // 4
_REFILL_BYTES = 1 << 20


class Consumer:
    """Somebody who waits for jobs of some queues: a stream, or one long poll.

    Args:
        queues: in strict order.
        worker_id: who gets the leases.
        capacity: jobs that may be leased through it at once.
        streaming: slots free again when jobs end; else each is used once.
    """

    def __init__(
        self, queues: tuple[str, ...], worker_id: str, capacity: int, visibility_ms: int, *, streaming: bool
    ) -> None:
        self.queues = queues
        self.worker_id = worker_id
        self.visibility_ms = visibility_ms
        self.streaming = streaming
        self.held: dict[str, int] = {}
        """Lease by id of every job that takes a slot."""
        self.claimed: deque[Delivery] = deque()
        """What is leased for this consumer and not yet taken by it."""
        self.closed = False
        self.asking = True
        self.passed_over = False
        """The store gave its slots nothing although there were jobs: its worker winds down. Asked again in a while."""
        self._capacity = capacity
        self._bytes = 0
        self._arrival: asyncio.Future[None] | None = None
        self.error: OJSError | None = None

    @property
    def free(self) -> int:
        """How many more jobs it may be given now."""
        if self.closed or self.passed_over or not self.runs_low:
            return 0
        if not self.streaming:
            # One claim fills one reply; what comes later might not fit into it.
            return 0 if self.held else self._capacity
        return min(self._capacity - len(self.held), WINDOW - len(self.claimed))

    @property
    def runs_low(self) -> bool:
        """Whether it has taken enough of what is claimed for it: streams are refilled in lots, not job by job."""
        return len(self.claimed) <= _REFILL_AT and self._bytes <= _REFILL_BYTES

    async def asked(self) -> None:
        """Returns when the store has answered what was asked on its behalf, once at least.

        Raises:
            OJSError: as `wait`.
        """
        while self.asking and not self.claimed:
            await self._wait_for_change()

    async def wait(self) -> None:
        """Returns when something is claimed for this consumer.

        Raises:
            OJSError: it was closed from the other side.
        """
        while self.error is not None or not self.claimed:
            await self._wait_for_change()

    def mark_asked(self) -> None:
        """See `asked`."""
        self.asking = False
        self._notify()

    def give(self, delivery: Delivery) -> None:
        """Puts a claimed job into a slot."""
        self.held[delivery.job_id] = delivery.lease
        self.claimed.append(delivery)
        self._bytes += len(delivery.job)
        self._notify()

    def take(self) -> Delivery:
        """Takes the oldest of what is claimed; there must be something."""
        delivery = self.claimed.popleft()
        self._bytes -= len(delivery.job)
        return delivery

    def end(self, error: OJSError) -> None:
        """Ends the waiting with an error."""
        self.error = error
        self._notify()

    async def _wait_for_change(self) -> None:
        if self.error is not None:
            raise self.error
        self._arrival = asyncio.get_running_loop().create_future()
        await self._arrival

    def _notify(self) -> None:
        if self._arrival is not None and not self._arrival.done():
            self._arrival.set_result(None)
