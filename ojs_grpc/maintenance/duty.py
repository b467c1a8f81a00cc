"""The start/stop contract of background duties, and the runner that keeps them going (design section 3).

A duty does a bounded piece of work a call and says when it wants to be called again. Any number of servers may run the
same duty on one store. `run_once` knows nothing of waiting, so that tests call it with a clock of their own.
"""

import asyncio
from collections.abc import Sequence
from typing import Protocol

import structlog

from ojs_grpc.core.clock import Clock
from ojs_grpc.errors import StoreError
from ojs_grpc.operations.alarm import Alarm

log = structlog.get_logger(__name__)

_AFTER_FAILURE_MS = 500


class Duty(Protocol):
    """One background duty.

    Attributes:
        name: for logs.
        idle_ms: how long it may sleep when it knows of nothing.
        alarm: moved forward by whoever learns of something due earlier.
    """

    name: str
    idle_ms: int
    alarm: Alarm

    async def run_once(self) -> int | None:
        """Does a chunk of work.

        Returns:
            When the next piece is due (ms since the epoch, in the past if there is more now), None if unknown.
        """
        ...


class Maintenance:
    """Runs duties until stopped. `start` once, `stop` once."""

    def __init__(self, duties: Sequence[Duty], clock: Clock) -> None:
        self._duties = duties
        self._clock = clock
        self._tasks: list[asyncio.Task[None]] = []

    def start(self) -> None:
        """Starts every duty."""
        self._tasks = [asyncio.create_task(self._run(duty), name=duty.name) for duty in self._duties]

    async def stop(self) -> None:
        """Stops every duty; what it had begun in the store is complete or never happened."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _run(self, duty: Duty) -> None:
        while True:
            try:
                next_at = await duty.run_once()
            except StoreError as error:
                log.warning("duty failed", duty=duty.name, error=error.message)
                next_at = self._clock.now() + _AFTER_FAILURE_MS
            except Exception:
                log.exception("duty failed", duty=duty.name)
                next_at = self._clock.now() + duty.idle_ms
            now = self._clock.now()
            idle_until = now + duty.idle_ms
            # Even with more to do, others get their turn first.
            await asyncio.sleep(0)
            await duty.alarm.sleep(now, idle_until if next_at is None else min(next_at, idle_until))
