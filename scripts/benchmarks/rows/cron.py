"""What cron entries cost while none is due."""

import time

from benchmarks import calls, payload
from benchmarks.meter import Row
from benchmarks.processes import GrpcServer
from benchmarks.session import Session

ENTRIES = 10_000


def crons(session: Session) -> Row:
    """CPU of an idle server with 10,000 cron entries, in percent of one core, beside that of one without any."""
    seconds = session.scale.idle_seconds
    with session.another_store() as store, session.another_service(store) as server:
        before = _idle_percent(server, seconds)
        start = time.monotonic()
        session.loads[0].run(
            calls.call_all,
            target=server.target,
            method=payload.REGISTER_CRON,
            requests=[payload.register_cron(number) for number in range(ENTRIES)],
            in_flight=16,
        )
        took = time.monotonic() - start
        return {
            "cpu_percent": _idle_percent(server, seconds),
            "without_percent": before,
            "registered_a_second": ENTRIES / took,
        }


def _idle_percent(server: GrpcServer, seconds: float) -> float:
    time.sleep(1.0)
    before, start = server.cpu_seconds(), time.monotonic()
    time.sleep(seconds)
    return 100 * (server.cpu_seconds() - before) / (time.monotonic() - start)
