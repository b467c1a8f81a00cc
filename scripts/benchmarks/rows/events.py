"""What the event log costs, and what its readers cost."""

from benchmarks import calls, listening
from benchmarks.meter import Row, Window, in_turns, measure, middle
from benchmarks.processes import GrpcServer
from benchmarks.rows.delivery import FETCH_COUNT
from benchmarks.rows.enqueue import BATCH
from benchmarks.session import Session

SUBSCRIBERS = 1000
EVENTS_A_SECOND = 100
_SPARE = 500


def event_log(session: Session) -> Row:
    """Rates with the event log, nobody listening, over those of a server that keeps none."""
    with session.another_store() as store, session.another_service(store, "--events-count", "0") as silent:
        queue, seconds = session.fresh_queue("event-log"), session.scale.seconds
        loads = {
            "unary": lambda server: session.enqueue_window(queue, 64, seconds, server),
            "batch": lambda server: session.batch_window(queue, BATCH, 2, seconds, server),
            "fetch_ack": lambda server: _fetch_and_ack(session, server),
        }
        row: Row = {}
        for name, load in loads.items():
            with_log, without = in_turns(
                session.scale.rounds, lambda load=load: load(session.service), lambda load=load: load(silent)
            )
            pairs = list(zip(with_log, without, strict=True))
            row[f"{name}_ratio"] = middle([a.rate / b.rate for a, b in pairs])
            row[f"{name}_cpu_ratio"] = middle([b.server_us / a.server_us for a, b in pairs])
        return row


def _fetch_and_ack(session: Session, server: GrpcServer) -> Window:
    jobs, queue = session.scale.fetched, session.fresh_queue("event-log")
    session.fill(queue, jobs + _SPARE, target=server.target)
    return measure(
        server,
        None,
        lambda: session.loads[0].run(
            calls.fetch_and_ack,
            target=server.target,
            queue=queue,
            jobs=jobs,
            fetch_count=FETCH_COUNT,
            workers=2,
        ),
    )


def subscribers(session: Session) -> Row:
    """Enqueue rate with 1,000 subscribers of distinct filters, over the rate without.

    Beside the enqueues that are measured, which no filter lets pass, 100 jobs a second go to the subscribers' queues:
    each is one event that exactly one subscriber receives. `received` is the part of those events that arrived.
    """
    queue, seconds, rounds = session.fresh_queue("subscribers"), session.scale.seconds, session.scale.rounds

    def window() -> Window:
        return session.enqueue_window(queue, 64, seconds)

    before = [window() for _ in range(rounds)]
    listened = session.loads[1].start(
        listening.subscribe,
        target=session.service.target,
        queue=session.fresh_queue("heard"),
        subscribers=SUBSCRIBERS,
        events_a_second=EVENTS_A_SECOND,
        seconds=rounds * (seconds + 0.5),
    )
    during = [window() for _ in range(rounds)]
    heard = listened()
    after = [window() for _ in range(rounds)]
    without = middle([each.rate for each in (*before, *after)])
    return {
        "rate": middle([each.rate for each in during]),
        "without_rate": without,
        "ratio": middle([each.rate for each in during]) / without,
        "received": heard.received / heard.sent,
        "latency_p50_ms": heard.p50_ms,
        "latency_p99_ms": heard.p99_ms,
        "message_rate": heard.received / heard.seconds,
    }
