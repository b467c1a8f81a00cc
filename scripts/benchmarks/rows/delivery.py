"""Delivery: over a stream, and by Fetch and Ack."""

from benchmarks import bare, calls, payload
from benchmarks.calls import Load
from benchmarks.meter import Row, Window, compared, in_turns, measure
from benchmarks.session import Session

FETCH_COUNT = 50
_SPARE = 500


def stream(session: Session) -> Row:
    """StreamJobs on a preloaded queue, without acks; the bare server streams messages of the same size.

    `stalled` tells that fewer jobs came than were wanted: the service bounds what one stream may hold.
    """
    count, sizes = session.scale.streamed, []

    def ours() -> Window:
        queue = session.fresh_queue("stream")
        session.fill(queue, count + _SPARE)
        request = payload.stream_jobs(queue, "bench-stream", count + _SPARE)
        target = session.service.target
        window = measure(session.service, session.store, lambda: read(target, payload.STREAM_JOBS, request))
        sizes.append(round(window.load.message_bytes))
        return window

    def bare_stream() -> Window:
        method = bare.stream_method(sizes[-1], count)
        return measure(session.bare, None, lambda: read(session.bare.target, method, b""))

    def read(target: str, method: str, request: bytes) -> Load:
        return session.loads[0].run(
            calls.read_stream, target=target, method=method, request=request, count=count, client=session.client
        )

    windows, bare_windows = in_turns(session.scale.rounds, ours, bare_stream)
    received = min(window.load.count for window in windows)
    return compared(windows, bare_windows) | {"received": received, "stalled": received < count}


def fetch_ack_50(session: Session) -> Row:
    """Two workers, each: Fetch 50 jobs, Ack each with its own call, all 50 at once. Counted in jobs.

    The workers use grpc.aio. `ratio` compares jobs with bare unary calls, of which a job costs 1.02.
    """
    jobs = session.scale.fetched

    def ours() -> Window:
        queue = session.fresh_queue("fetch_ack_50")
        session.fill(queue, jobs + _SPARE)

        def run() -> Load:
            return session.loads[0].run(
                calls.fetch_and_ack,
                target=session.service.target,
                queue=queue,
                jobs=jobs,
                fetch_count=FETCH_COUNT,
                workers=2,
            )

        return measure(session.service, session.store, run)

    windows, bare_windows = in_turns(
        session.scale.rounds, ours, lambda: session.bare_window("bench", 64, session.scale.seconds / 2)
    )
    return compared(windows, bare_windows)
