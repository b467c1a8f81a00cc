"""StreamJobs: jobs flow to a worker as its slots free (behaviour section 6.5)."""

from collections.abc import AsyncIterator, Sequence

from ojs_grpc.core.limits import Limits
from ojs_grpc.errors import InvalidRequest, Violation
from ojs_grpc.operations.consumer import Consumer
from ojs_grpc.operations.delivery import check_demand
from ojs_grpc.operations.dispatcher import Dispatcher
from ojs_grpc.operations.worker_events import WorkerEvents
from ojs_grpc.stores.ports import Delivery


class JobStream(AsyncIterator[bytes]):
    """One open stream of serialised jobs. A job counts as delivered when the next one is asked for; so close it."""

    def __init__(self, dispatcher: Dispatcher, consumer: Consumer, worker_events: WorkerEvents) -> None:
        self._dispatcher = dispatcher
        self._consumer = consumer
        self._worker_events = worker_events
        self._on_its_way: Delivery | None = None

    async def __anext__(self) -> bytes:
        """The next job; says that the one before is with the worker.

        Raises:
            OJSError: the server ends the stream.
        """
        self._on_its_way = None
        consumer = self._consumer
        # A stream that was ended gives no more, whatever is claimed: that goes back.
        if consumer.error is not None or not consumer.claimed:
            await consumer.wait()
        self._on_its_way = delivery = consumer.take()
        if consumer.runs_low:
            self._dispatcher.refill(consumer)
        return delivery.job

    def close(self) -> None:
        """Ends the stream: what was leased and not delivered goes back at once. May be called twice."""
        if not self._consumer.closed:
            self._worker_events.closed(self._consumer.worker_id, self._consumer.queues)
        if self._on_its_way is not None:
            self._consumer.claimed.appendleft(self._on_its_way)
            self._on_its_way = None
        self._dispatcher.close(self._consumer)


class Streams:
    """Opens streams."""

    def __init__(self, dispatcher: Dispatcher, limits: Limits, worker_events: WorkerEvents) -> None:
        self._dispatcher = dispatcher
        self._limits = limits
        self._worker_events = worker_events

    def open(self, queues: Sequence[str], worker_id: str, max_concurrent: int, visibility_ms: int = 0) -> JobStream:
        """Starts a stream of jobs, at most `max_concurrent` (0: one) leased and not yet ended.

        Raises:
            InvalidRequest: no queues, no worker id, or a bad value.
        """
        check_demand(queues, worker_id, self._limits)
        if not worker_id:
            raise InvalidRequest([Violation("worker_id", "is required")])
        if max_concurrent < 0:
            raise InvalidRequest([Violation("max_concurrent", "must not be negative")])
        consumer = Consumer(tuple(queues), worker_id, max_concurrent or 1, visibility_ms, streaming=True)
        self._dispatcher.open(consumer)
        self._worker_events.opened(worker_id, consumer.queues, max_concurrent or 1)
        return JobStream(self._dispatcher, consumer, self._worker_events)
