"""What the service costs while nothing happens."""

import time
from collections import Counter

from benchmarks import calls
from benchmarks.meter import Row
from benchmarks.session import Session
from benchmarks.stores import RedisStore

STREAMS = 100


def idle(session: Session) -> Row:
    """CPU of the server with 100 StreamJobs calls open on ten empty queues, and its store calls a second.

    CPU in percent of one core. Store calls are commands that clients send to Redis, as MONITOR shows them; what runs
    inside a script is not one.
    """
    seconds = session.scale.idle_seconds
    close_streams = session.loads[0].start(
        calls.hold_streams,
        target=session.service.target,
        queue=session.fresh_queue("idle"),
        streams=STREAMS,
        seconds=seconds + 1.0,
    )
    before, start = session.service.cpu_seconds(), time.monotonic()
    commands = _watch(session, seconds)
    used, took = session.service.cpu_seconds() - before, time.monotonic() - start
    return {
        "cpu_percent": 100 * used / took,
        "store_calls": None if commands is None else commands.total() / took,
        "store_commands": None if commands is None else dict(commands),
        "streams": close_streams(),
    }


def _watch(session: Session, seconds: float) -> Counter[str] | None:
    if not isinstance(session.store, RedisStore):
        time.sleep(seconds)
        return None
    with session.store.watch_calls() as commands:
        time.sleep(seconds)
    return commands
