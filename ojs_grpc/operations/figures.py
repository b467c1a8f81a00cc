"""The store and this process in figures, for whoever watches over them."""

import asyncio
from contextlib import suppress

from ojs_grpc.errors import StoreError
from ojs_grpc.operations.dispatcher import Dispatcher
from ojs_grpc.operations.events import Events
from ojs_grpc.operations.system import System
from ojs_grpc.stores.ports import QueueFacts, Store
from ojs_grpc.telemetry.present import Present, QueueFigures

MOST_QUEUES = 1000
"""So many have figures; each costs a call of the store, and some series to keep."""

_SURVEY_SECONDS = 2.0


class Figures:
    """What stands now."""

    def __init__(self, store: Store, system: System, dispatcher: Dispatcher, events: Events) -> None:
        self._store = store
        self._system = system
        self._dispatcher = dispatcher
        self._events = events

    async def present(self) -> Present:
        """The figures; those of queues as far as the store gives them within some seconds."""
        up = (await self._system.health()).healthy
        queues, total = await self._survey() if up else ({}, None)
        return Present(
            store=self._store.name,
            store_up=up,
            job_streams=self._dispatcher.open_streams,
            event_streams=self._events.open_streams,
            leases=self._dispatcher.stream_leases,
            queues=queues,
            all_queues=total,
        )

    async def _survey(self) -> tuple[dict[str, QueueFigures], int | None]:
        """Figures of queues, the first by name, and how many queues there are, as far as that is known in time."""
        queues: dict[str, QueueFigures] = {}
        total = None
        with suppress(StoreError, TimeoutError):
            async with asyncio.timeout(_SURVEY_SECONDS):
                page = await self._store.queues("", MOST_QUEUES)
                total = page.total
                for row in page.rows:
                    facts = await self._store.queue_facts(row.name, self._store.clock.now())
                    if facts is not None:
                        queues[row.name] = _figures(facts)
                    # Others have their turn: an embedded store answers at once.
                    await asyncio.sleep(0)
        return queues, total


def _figures(facts: QueueFacts) -> QueueFigures:
    jobs = {
        "available": facts.available,
        "active": facts.active,
        "scheduled": facts.scheduled,
        "retryable": facts.retryable,
        "discarded": facts.discarded,
    }
    return QueueFigures(facts.paused, jobs, facts.completed)
