"""What a load generator can do. Everything here runs in its process; arguments and results travel over a pipe.

`target` is HOST:PORT. Times are seconds, sizes bytes.
"""

import asyncio
import itertools
import random
import resource
from collections.abc import Callable
from dataclasses import dataclass
from time import monotonic

from benchmarks import http1, payload
from benchmarks.clients import open_channel, open_client, server_stream, unary
from benchmarks.http2 import CallFailed


@dataclass(frozen=True)
class Load:
    """What one generator did: how many calls (or jobs, or messages), how long, at what CPU of its own.

    `message_bytes` is the mean size of one reply or message; `calls` counts RPCs where they differ from `count`.
    """

    count: int
    seconds: float
    cpu: float
    message_bytes: float = 0.0
    calls: int = 0


def _cpu() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


async def call_once(target: str, method: str, request: bytes, patience: float = 10.0) -> bytes:
    """One unary call, given up after `patience`."""
    async with open_channel(target) as channel:
        return await unary(channel, method)(request, timeout=patience)


async def call_all(target: str, method: str, requests: list[bytes], in_flight: int) -> None:
    """Makes these unary calls, so many at once."""
    async with open_channel(target) as channel:
        call, waiting = unary(channel, method), iter(requests)

        async def caller() -> None:
            for request in waiting:
                await call(request)

        await asyncio.gather(*(caller() for _ in range(in_flight)))


_numbers = itertools.count()


def _numbered(request: bytes) -> Callable[[], bytes]:
    """The request of each call: the same, or with the next number where it has a place for one."""
    if payload.NUMBER_PLACE not in request:
        return lambda: request
    head, tail = request.split(payload.NUMBER_PLACE)
    return lambda: b"%b#%010d#%b" % (head, next(_numbers), tail)


async def repeat(
    target: str,
    method: str,
    request: bytes,
    in_flight: int,
    seconds: float | None = None,
    calls: int | None = None,
    client: str = "http2",
) -> Load:
    """Sends the same unary request again and again, for a time or a number of calls; the first is not measured.

    Where the request has a `NUMBER_PLACE`, each call has a number that no call of this generator had before.
    """
    next_request = _numbered(request)
    reply_bytes = len(await call_once(target, method, next_request(), patience=60))
    connection = await open_client(client, target, method)
    left = calls - 1 if calls is not None else None
    cpu, start, done = _cpu(), monotonic(), 0
    deadline = start + seconds if seconds is not None else float("inf")

    def may_start() -> bool:
        nonlocal left
        if left is None:
            return monotonic() < deadline
        left -= 1
        return left >= 0

    async def caller() -> None:
        nonlocal done
        while may_start():
            await connection.call(next_request())
            done += 1

    try:
        await asyncio.gather(*(caller() for _ in range(in_flight)))
    except CallFailed:
        await call_once(target, method, next_request())  # This client knows the status, and raises it.
        raise
    result = Load(done, monotonic() - start, _cpu() - cpu, reply_bytes, done)
    await connection.close()
    return result


async def post_once(target: str, path: str, body: bytes) -> bytes:
    """One POST on a connection of its own; the body of the answer."""
    connection = await http1.Connection.open(target)
    try:
        async with asyncio.timeout(10):
            return await connection.call(http1.post(target, path, body))
    finally:
        connection.close()


async def post_repeat(target: str, path: str, body: bytes, in_flight: int, seconds: float) -> Load:
    """Sends the same POST again and again, on as many connections as calls are in flight."""
    reply = await post_once(target, path, body)
    connections = [await http1.Connection.open(target) for _ in range(in_flight)]
    request = http1.post(target, path, body)
    cpu, start, done = _cpu(), monotonic(), 0
    deadline = start + seconds

    async def caller(connection: http1.Connection) -> None:
        nonlocal done
        while monotonic() < deadline:
            await connection.call(request)
            done += 1

    await asyncio.gather(*map(caller, connections))
    result = Load(done, monotonic() - start, _cpu() - cpu, len(reply), done)
    for connection in connections:
        connection.close()
    return result


async def read_stream(target: str, method: str, request: bytes, count: int, client: str = "http2") -> Load:
    """Reads one server stream until `count` messages have come, or nothing more comes for two seconds.

    The clock runs from the request to the last message.
    """
    connection = await open_client(client, target, method)
    cpu, start = _cpu(), monotonic()
    reading = await connection.read(request, count, patience=2.0)
    if not reading.messages and client != "grpcio":
        await read_stream(target, method, request, count, "grpcio")  # Raises the status, if there is one.
    result = Load(
        reading.messages,
        (reading.last or monotonic()) - start,
        _cpu() - cpu,
        reading.bytes / max(reading.messages, 1),
        calls=1,
    )
    await connection.close()
    return result


async def fetch_and_ack(target: str, queue: str, jobs: int, fetch_count: int, workers: int) -> Load:
    """Workers fetch `fetch_count` jobs, ack each with a call of its own, all at once, and again until `jobs` are done.

    The queue must hold more jobs than that, or the last fetches wait. The count may exceed `jobs` by what was in hand.
    """
    async with open_channel(target) as channel:
        fetch, ack = unary(channel, payload.FETCH), unary(channel, payload.ACK)
        request = payload.fetch(queue, fetch_count)
        cpu, start, done, fetches = _cpu(), monotonic(), 0, 0

        async def worker() -> None:
            nonlocal done, fetches
            while done < jobs:
                ids = payload.fetched_ids(await fetch(request))
                fetches += 1
                if not ids:
                    raise RuntimeError(f"queue {queue} ran empty after {done} of {jobs} jobs")
                await asyncio.gather(*(ack(payload.ack(job_id)) for job_id in ids))
                done += len(ids)

        await asyncio.gather(*(worker() for _ in range(workers)))
        return Load(done, monotonic() - start, _cpu() - cpu, calls=done + fetches)


async def start_and_work_off(
    target: str, method: str, request: bytes, queue: str, jobs: int, fetch_count: int, workers: int
) -> Load:
    """One call that makes `jobs` jobs, now or in time, and workers that fetch and ack until all are done."""
    async with open_channel(target) as channel:
        fetch, ack = unary(channel, payload.FETCH), unary(channel, payload.ACK)
        fetch_request = payload.fetch(queue, fetch_count)
        cpu, start, done = _cpu(), monotonic(), 0
        await unary(channel, method)(request)

        async def worker() -> None:
            nonlocal done
            while done < jobs:
                fetching = asyncio.ensure_future(fetch(fetch_request))
                # The other worker may take the last job while this one waits for it.
                while not fetching.done() and done < jobs:
                    await asyncio.wait({fetching}, timeout=0.02)
                if not fetching.done():
                    fetching.cancel()
                    return
                ids = payload.fetched_ids(fetching.result())
                await asyncio.gather(*(ack(payload.ack(job_id)) for job_id in ids))
                done += len(ids)

        async with asyncio.timeout(120):
            await asyncio.gather(*(worker() for _ in range(workers)))
        return Load(done, monotonic() - start, _cpu() - cpu, calls=done)


async def fill_and_claim(
    target: str, queue: str, cycles: int, batch: int, fetch_count: int
) -> tuple[list[float], list[float]]:
    """Enqueues a batch, then claims as many jobs, `cycles` times: the queue keeps its length.

    Returns:
        the seconds of each enqueue, and of each cycle's claims together.
    """
    async with open_channel(target) as channel:
        enqueue, fetch = unary(channel, payload.ENQUEUE_BATCH), unary(channel, payload.FETCH)
        batch_request, fetch_request = payload.enqueue_batch(queue, batch), payload.fetch(queue, fetch_count)
        await enqueue(batch_request)
        enqueues, claims = [], []
        for _ in range(cycles):
            start = monotonic()
            await enqueue(batch_request)
            between = monotonic()
            for _ in range(batch // fetch_count):
                await fetch(fetch_request)
            enqueues.append(between - start)
            claims.append(monotonic() - between)
        return enqueues, claims


async def send_stamped(target: str, queue: str, samples: int) -> None:
    """Enqueues one job at a time, 5 to 15 ms apart; its first argument is the monotonic time in microseconds."""
    async with open_channel(target) as channel:
        enqueue = unary(channel, payload.ENQUEUE)
        for _ in range(samples):
            await asyncio.sleep(random.uniform(0.005, 0.015))
            await enqueue(payload.enqueue(queue, monotonic() * 1e6))


async def receive_stamped(ready: Callable[[], None], target: str, queue: str, samples: int) -> list[float]:
    """Takes and acks what `send_stamped` sends; returns the milliseconds from before each enqueue to its receipt.

    The monotonic clock is the same in every process of a machine.
    """
    delays: list[float] = []
    async with open_channel(target) as channel:
        ack = unary(channel, payload.ACK)
        stream = server_stream(channel, payload.STREAM_JOBS)(payload.stream_jobs(queue, "bench-latency", 10))
        async with asyncio.timeout(5 + 0.1 * samples):
            asyncio.get_running_loop().call_later(0.5, ready)
            async for message in stream:
                received = monotonic() * 1e6
                job = payload.parse_job(message)
                delays.append((received - job.args[0].number_value) / 1e3)
                await ack(payload.ack(job.id))
                if len(delays) == samples:
                    break
        stream.cancel()
    return delays


async def hold_streams(ready: Callable[[], None], target: str, queue: str, streams: int, seconds: float) -> int:
    """Keeps StreamJobs calls open on ten empty queues; returns how many were still open at the end."""
    async with open_channel(target) as channel:
        open_stream = server_stream(channel, payload.STREAM_JOBS)
        names = [(f"{queue}-{number % 10}", f"bench-idle-{number}") for number in range(streams)]
        calls = [open_stream(payload.stream_jobs(name, worker, 10)) for name, worker in names]
        readers = [asyncio.ensure_future(call.read()) for call in calls]
        await asyncio.sleep(1.0)
        ready()
        await asyncio.sleep(seconds)
        still_open = sum(not reader.done() for reader in readers)
        for call in calls:
            call.cancel()
        await asyncio.gather(*readers, return_exceptions=True)
        return still_open


async def paced(target: str, method: str, request: bytes, seconds: float, pause: float) -> list[float]:
    """Makes one call after the other with a pause between; returns how many milliseconds each took."""
    took = []
    async with open_channel(target) as channel:
        call = unary(channel, method)
        deadline = monotonic() + seconds
        while monotonic() < deadline:
            start = monotonic()
            await call(request)
            took.append((monotonic() - start) * 1e3)
            await asyncio.sleep(pause)
    return took
