"""Enqueueing: one call after the other, 64 at once, and in batches."""

from benchmarks.meter import Row, compared, figures, in_turns, middle
from benchmarks.session import Session

BATCH = 500


def unary_1(session: Session) -> Row:
    """Sequential Enqueue calls: what one call costs when nothing can be shared with others."""
    return _unary(session, "unary_1", in_flight=1)


def unary_64(session: Session) -> Row:
    """Enqueue with 64 calls in flight."""
    return _unary(session, "unary_64", in_flight=64)


def batch_500(session: Session) -> Row:
    """EnqueueBatch of 500 jobs, two in flight; `ratio` is the server's CPU per job over that of a bare unary call."""
    queue, seconds = session.fresh_queue("batch_500"), session.scale.seconds
    ours, bare = in_turns(
        session.scale.rounds,
        lambda: session.batch_window(queue, BATCH, 2, seconds),
        lambda: session.bare_window(queue, 64, seconds / 2),
    )
    ratios = [a.server_us / b.server_us for a, b in zip(ours, bare, strict=True)]
    return figures(ours) | {
        "bare_us": middle([window.server_us for window in bare]),
        "ratio": middle(ratios),
        "ratio_lowest": min(ratios),
        "ratio_highest": max(ratios),
    }


def _unary(session: Session, row: str, in_flight: int) -> Row:
    queue, seconds = session.fresh_queue(row), session.scale.seconds
    ours, bare = in_turns(
        session.scale.rounds,
        lambda: session.enqueue_window(queue, in_flight, seconds),
        lambda: session.bare_window(queue, in_flight, seconds),
    )
    return compared(ours, bare)
