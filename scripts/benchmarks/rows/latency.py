"""From enqueue to receipt while nothing else happens."""

from benchmarks import calls
from benchmarks.meter import Row, middle
from benchmarks.session import Session


def latency(session: Session) -> Row:
    """Milliseconds from before an Enqueue call to the job's arrival on an idle StreamJobs of another process.

    On Redis also with producer and worker connected to two server processes (`cross_...`).
    """
    delays = _delays(session, session.service.target)
    row: Row = {"samples": len(delays)} | _summary("", delays)
    if session.store.kind == "redis":
        with session.another_service() as second:
            delays = _delays(session, second.target)
        row |= _summary("cross_", delays)
    return row


def _delays(session: Session, worker_target: str) -> list[float]:
    queue, samples = session.fresh_queue("latency"), session.scale.samples
    producer, worker = session.loads
    warm_up = 20
    received = worker.start(calls.receive_stamped, target=worker_target, queue=queue, samples=samples + warm_up)
    producer.run(calls.send_stamped, target=session.service.target, queue=queue, samples=samples + warm_up)
    return received()[warm_up:]


def _summary(prefix: str, delays: list[float]) -> Row:
    ordered = sorted(delays)
    p99 = ordered[min(len(ordered) - 1, round(0.99 * len(ordered)))]
    return {f"{prefix}p50_ms": middle(ordered), f"{prefix}p99_ms": p99, f"{prefix}max_ms": ordered[-1]}
