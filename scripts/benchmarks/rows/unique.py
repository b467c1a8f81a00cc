"""What uniqueness costs."""

from benchmarks import payload
from benchmarks.meter import Row, compared, in_turns
from benchmarks.session import Session

IN_FLIGHT = 64


def unique(session: Session) -> Row:
    """Enqueue of jobs that are unique by type and arguments, all different; `ratio` compares with plain jobs."""
    queue, seconds = session.fresh_queue("unique"), session.scale.seconds
    unique_windows, plain_windows = in_turns(
        session.scale.rounds,
        lambda: session.numbered_window(payload.numbered(queue, unique=True), IN_FLIGHT, seconds),
        lambda: session.numbered_window(payload.numbered(queue), IN_FLIGHT, seconds),
    )
    return compared(unique_windows, plain_windows)
