"""What a workflow costs."""

from benchmarks import calls, payload
from benchmarks.calls import Load
from benchmarks.meter import Row, Window, compared, in_turns, measure
from benchmarks.session import Session

JOBS = 1000
FETCH_COUNT = 50


def group(session: Session) -> Row:
    """A group of 1,000 jobs with a callback, from its creation to its end; `ratio` compares with a batch of jobs."""

    def ours() -> Window:
        queue = session.fresh_queue("group")
        return _timed(session, payload.CREATE_WORKFLOW, payload.group(queue, JOBS), queue, JOBS + 1)

    def plain() -> Window:
        queue = session.fresh_queue("group")
        return _timed(session, payload.ENQUEUE_BATCH, payload.enqueue_batch(queue, JOBS + 1), queue, JOBS + 1)

    return compared(*in_turns(session.scale.rounds, ours, plain))


def _timed(session: Session, method: str, request: bytes, queue: str, jobs: int) -> Window:
    def run() -> Load:
        return session.loads[0].run(
            calls.start_and_work_off,
            target=session.service.target,
            method=method,
            request=request,
            queue=queue,
            jobs=jobs,
            fetch_count=FETCH_COUNT,
            workers=2,
        )

    return measure(session.service, session.store, run)
