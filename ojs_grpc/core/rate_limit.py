"""Limits on how many jobs run at once and how often one starts (behaviour section 15), and what bounds a queue (16).

What a job says of its limits is read in `core.job_limits`, what an operator sets for queues in `core.queue_rules`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Final, NamedTuple

MAX_CONCURRENCY: Final = (1 << 31) - 1
MAX_CLAIMS: Final = 100_000
MAX_PERIOD_MS: Final = 365 * 86_400_000


class RateLimit(NamedTuple):
    """A limit on the claims of all jobs that share its key, whatever their queues.

    Attributes:
        key: what is limited. Each job is judged by its own numbers against what the key has used.
        concurrency: at most so many active jobs; 0 for no such limit.
        claims: at most so many claims within any `period_ms` (a sliding window); 0 for no such limit.
    """

    key: str
    concurrency: int = 0
    claims: int = 0
    period_ms: int = 0


class QueueRule(NamedTuple):
    """What an operator sets for a queue.

    Attributes:
        max_depth: at most so many jobs available, scheduled and retryable together; 0 for no bound.
        limit: applies to every claim from the queue, beside what the jobs say themselves; its key is `queue:<name>`.
    """

    max_depth: int = 0
    limit: RateLimit | None = None


@dataclass(frozen=True, slots=True)
class QueueRules:
    """The rules of all queues: the named ones, and the one for every other. An empty key means each queue's own."""

    default: QueueRule = field(default_factory=QueueRule)
    by_name: Mapping[str, QueueRule] = field(default_factory=dict)

    def of(self, queue: str) -> QueueRule:
        """The rule of a queue."""
        rule = self.by_name.get(queue, self.default)
        return rule if rule.limit is None or rule.limit.key else _for_queue(rule, rule.limit, queue)


def queue_key(queue: str) -> str:
    """The key that a queue's own limit has."""
    return f"queue:{queue}"


@lru_cache(maxsize=4096)
def _for_queue(rule: QueueRule, limit: RateLimit, queue: str) -> QueueRule:
    return QueueRule(rule.max_depth, limit._replace(key=queue_key(queue)))
