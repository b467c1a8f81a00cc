"""What a job takes in Redis."""

import time

from benchmarks import calls
from benchmarks.meter import Row
from benchmarks.session import Session
from benchmarks.stores import RedisStore


def memory(session: Session) -> Row:
    """Bytes of Redis memory for a waiting job, for the same job when it is completed, and for an event.

    Growth of `used_memory` without client buffers, while nothing else happens: the envelope, index entries, whatever
    the service writes per job. Completed jobs are fewer than waiting ones; their figure is that of a waiting job plus
    the growth per job that was completed. Jobs are measured through a server without an event log, because the log is
    bounded by itself, however many jobs there are; an event is what a waiting job takes more with it.
    """
    store, scale = session.store, session.scale
    if not isinstance(store, RedisStore):
        raise TypeError("only Redis tells how much memory it uses")
    queue = session.fresh_queue("memory")
    with session.another_service(store, "--events-count", "0") as server:
        # The first jobs of a queue bring what exists once per queue.
        session.fill(queue, 1000, target=server.target)
        _finish(session, server.target, queue, 300)

        empty = _settled(store)
        session.fill(queue, scale.waiting, target=server.target)
        full = _settled(store)
        finished = _finish(session, server.target, queue, scale.finished)
        done = _settled(store)
    session.fill(queue, scale.waiting)
    logged = _settled(store)

    waiting_bytes = (full - empty) / scale.waiting
    return {
        "waiting_bytes": waiting_bytes,
        "finished_bytes": waiting_bytes + (done - full) / finished,
        "event_bytes": (logged - done) / scale.waiting - waiting_bytes,
        "envelope_bytes": session.envelope_bytes,
        "waiting_jobs": scale.waiting,
        "finished_jobs": finished,
    }


def _finish(session: Session, target: str, queue: str, jobs: int) -> int:
    load: calls.Load = session.loads[0].run(
        calls.fetch_and_ack, target=target, queue=queue, jobs=jobs, fetch_count=50, workers=2
    )
    return load.count


def _settled(store: RedisStore) -> int:
    """The memory in use once Redis has resized its tables and buffers."""
    time.sleep(1.0)
    return store.used_memory()
