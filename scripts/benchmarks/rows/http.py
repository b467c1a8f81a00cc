"""What HTTP costs: whole calls, and of these the JSON."""

import time
from collections.abc import Callable

from benchmarks import payload
from benchmarks.meter import Row, compared, in_turns, middle
from benchmarks.session import Session
from ojs_grpc.codec.enqueue import read_draft
from ojs_grpc.codec.job import render_new
from ojs_grpc.codec.json_text import dump, parse
from ojs_grpc.core.envelope import Defaults, EnvelopeReader

IN_FLIGHT = 64
_CALLS = 2000


def http_enqueue(session: Session) -> Row:
    """POST /ojs/v1/jobs with 64 calls in flight, beside a bare Starlette route that answers as many bytes."""
    queue, seconds = session.fresh_queue("http"), session.scale.seconds
    with session.bare_http() as bare:
        session.http_window(queue, IN_FLIGHT, 0.3)
        ours, others = in_turns(
            session.scale.rounds,
            lambda: session.http_window(queue, IN_FLIGHT, seconds),
            lambda: session.http_window(queue, IN_FLIGHT, seconds, bare),
        )
    return compared(ours, others)


def codec(session: Session) -> Row:
    """The JSON of one enqueue: from the body to the draft, and from the new job to the answer, in microseconds."""
    body = payload.enqueue_json(session.fresh_queue("codec"))
    now = round(time.time() * 1000)
    document = parse(body)
    new = EnvelopeReader(Defaults()).read_draft(read_draft(document, now), now)
    reading, writing = in_turns(
        session.scale.rounds,
        lambda: _microseconds(lambda: read_draft(parse(body), now)),
        lambda: _microseconds(lambda: dump({"job": render_new(new, document["type"], document["args"], now)})),
    )
    read_us, write_us = middle(reading) or 0.0, middle(writing) or 0.0
    return {"us": read_us + write_us, "read_us": read_us, "write_us": write_us}


def _microseconds(work: Callable[[], object]) -> float:
    """CPU time of one call, on average."""
    start = time.process_time()
    for _ in range(_CALLS):
        work()
    return (time.process_time() - start) / _CALLS * 1e6
