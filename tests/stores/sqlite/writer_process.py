"""A program that inserts jobs until it is killed, and prints the ids of those that were reported stored."""

import asyncio
import sys

from ojs_grpc.core.clock import SystemClock
from ojs_grpc.core.rate_limit import QueueRules
from ojs_grpc.stores.sqlite.store import SqliteStore
from tests.signals import RecordingSignals
from tests.store.building import job, unit


async def insert_for_ever(path: str) -> None:
    """Eight callers at once, three jobs a call."""
    store = SqliteStore(path, clock=SystemClock(), silence_ms=30_000, rules=QueueRules(), log_events=True)
    await store.open(RecordingSignals())

    async def caller() -> None:
        while True:
            messages = [job(padding=500) for _ in range(3)]
            answers = await store.insert([unit(*messages)], store.clock.now())
            assert answers == [None]
            # One write, so that no line is torn.
            sys.stdout.write(" ".join(message.id for message in messages) + "\n")
            sys.stdout.flush()

    await asyncio.gather(*[caller() for _ in range(8)])


if __name__ == "__main__":
    asyncio.run(insert_for_ever(sys.argv[1]))
