"""Queues: listed, counted, paused and resumed (behaviour section 11)."""

from typing import NamedTuple

from google.protobuf.struct_pb2 import Struct
from ojs_grpc_pb.v1.job_pb2 import Job

from ojs_grpc.core.events import Kind, NewEvent
from ojs_grpc.core.limits import Limits
from ojs_grpc.core.statistics import Recent, recent
from ojs_grpc.core.validation import queue_rule
from ojs_grpc.errors import InvalidRequest, Violation
from ojs_grpc.stores.ports import Page, QueueFacts, QueueRow, Store

_DEFAULT_LIMIT = 100
_MAX_LIMIT = 1000
_UNSEEN = QueueFacts(
    paused=False, available=0, active=0, scheduled=0, retryable=0, discarded=0, completed=0, minutes=()
)


class QueueStats(NamedTuple):
    """A queue's figures: as it stands, and of late."""

    facts: QueueFacts
    recent: Recent


class Queues:
    """Operations on queues."""

    def __init__(self, store: Store, limits: Limits) -> None:
        self._store = store
        self._limits = limits

    async def list(self, limit: int, cursor: str) -> Page[QueueRow]:
        """Queues by name, `limit` a page (0: 100; at most 1,000).

        Raises:
            InvalidRequest: a negative limit.
        """
        return await self._store.queues(cursor, page_size(limit, _DEFAULT_LIMIT, _MAX_LIMIT))

    async def stats(self, queue: str) -> QueueStats:
        """A queue's figures; all zero for one that has never been seen (behaviour section 24, trap 47).

        Raises:
            InvalidRequest: no queue can have this name.
        """
        self._check_name(queue)
        now = self._store.clock.now()
        facts = await self._store.queue_facts(queue, now) or _UNSEEN
        return QueueStats(facts, recent(facts.minutes, now))

    async def pause(self, queue: str) -> None:
        """Stops delivery from a queue, also from one that has never been seen; it goes on taking jobs.

        What is active stays so, and what becomes due becomes available. Nothing changes if it is paused already.

        Raises:
            InvalidRequest: no queue can have this name.
        """
        await self._set_paused(queue, Kind.QUEUE_PAUSED)

    async def resume(self, queue: str) -> None:
        """Starts delivery again, in the order that the jobs had; nothing changes if the queue is not paused.

        Raises:
            InvalidRequest: no queue can have this name.
        """
        await self._set_paused(queue, Kind.QUEUE_RESUMED)

    async def _set_paused(self, queue: str, kind: Kind) -> None:
        self._check_name(queue)
        detail = Struct()
        detail["queue"] = queue
        event = NewEvent(kind, queue, Job(queue=queue).SerializeToString(), detail.SerializeToString())
        await self._store.set_paused(queue, kind is Kind.QUEUE_PAUSED, event, self._store.clock.now())

    def _check_name(self, queue: str) -> None:
        if rule := queue_rule(queue, self._limits):
            raise InvalidRequest([Violation("queue", rule)])


def page_size(limit: int, default: int, most: int) -> int:
    """The page size that a caller gets for the one it asked for.

    Raises:
        InvalidRequest: it is negative.
    """
    if limit < 0:
        raise InvalidRequest([Violation("limit", "must not be negative")])
    return min(limit or default, most)
