"""The rows by name, in the order in which they run. Each is a function from the session to its figures."""

from collections.abc import Callable

from benchmarks.meter import Row
from benchmarks.rows.cron import crons
from benchmarks.rows.delivery import fetch_ack_50, stream
from benchmarks.rows.enqueue import batch_500, unary_1, unary_64
from benchmarks.rows.events import event_log, subscribers
from benchmarks.rows.http import codec, http_enqueue
from benchmarks.rows.idle import idle
from benchmarks.rows.latency import latency
from benchmarks.rows.memory import memory
from benchmarks.rows.million import million
from benchmarks.rows.unique import unique
from benchmarks.rows.workflow import group
from benchmarks.session import Session

ROWS: dict[str, Callable[[Session], Row]] = {
    row.__name__: row
    for row in (
        unary_1,
        unary_64,
        batch_500,
        http_enqueue,
        codec,
        stream,
        fetch_ack_50,
        unique,
        group,
        event_log,
        subscribers,
        latency,
        memory,
        idle,
        crons,
        million,
    )
}

LEFT_OUT_WHEN_QUICK = {"million"}
REDIS_ONLY = {"memory"}
