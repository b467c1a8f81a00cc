"""Limits on claims, as text. `lua/includes/limits.lua` reads it."""

from collections.abc import Sequence

from ojs_grpc.core.rate_limit import RateLimit
from ojs_grpc.stores.redis import keys


def pack(limits: Sequence[RateLimit]) -> str:
    """The limits of a job, or of queues: the same text for the same limits, in whatever order."""
    return "\n".join(sorted(map(_line, limits)))


def _line(limit: RateLimit) -> str:
    place = keys.home_of(limit.key)
    return f"{place} {limit.concurrency} {limit.claims} {limit.period_ms} {limit.key}"
