"""A load generator's part as a thousand subscribers to events. Used like `calls.py`."""

import asyncio
from collections.abc import AsyncIterable, Callable
from dataclasses import dataclass
from time import monotonic

from benchmarks import payload
from benchmarks.clients import open_channel, server_stream, unary


@dataclass(frozen=True)
class Heard:
    """What subscribers received of the events that were made for them, and how long after the enqueue began."""

    sent: int
    received: int
    seconds: float
    p50_ms: float
    p99_ms: float


async def subscribe(
    ready: Callable[[], None], target: str, queue: str, subscribers: int, events_a_second: int, seconds: float
) -> Heard:
    """Opens StreamEvents calls, each for a queue of its own, and enqueues to one queue after the other."""
    queues = [f"{queue}-{number}" for number in range(subscribers)]
    sent: dict[str, float] = {}
    delays: list[float] = []
    async with open_channel(target) as channel, open_channel(target) as producer:
        open_stream, enqueue = server_stream(channel, payload.STREAM_EVENTS), unary(producer, payload.ENQUEUE)

        async def listen(name: str, call: AsyncIterable[bytes]) -> None:
            async for message in call:
                received = monotonic()
                if payload.event_queue(message) == name:
                    delays.append((received - sent[name]) * 1e3)

        streams = {name: open_stream(payload.stream_events(name)) for name in queues}
        listeners = [asyncio.ensure_future(listen(name, call)) for name, call in streams.items()]
        for call in streams.values():
            await call.initial_metadata()
        await asyncio.sleep(0.5)
        ready()
        start, count = monotonic(), 0
        while (now := monotonic() - start) < seconds:
            while count < now * events_a_second:
                name = queues[count % subscribers]
                sent[name] = monotonic()
                await enqueue(payload.enqueue(name))
                count += 1
            await asyncio.sleep(0.005)
        took = monotonic() - start
        await asyncio.sleep(2.0)
        for call in streams.values():
            call.cancel()
        await asyncio.gather(*listeners, return_exceptions=True)
    delays.sort()
    return Heard(count, len(delays), took, delays[len(delays) // 2], delays[len(delays) * 99 // 100])
