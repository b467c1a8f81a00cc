"""Limits on how many jobs run at once and how often one starts (behaviour section 15), and what bounds a queue (16)."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple


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
    """The rules of all queues: the named ones, and the one for every other."""

    default: QueueRule = field(default_factory=QueueRule)
    by_name: Mapping[str, QueueRule] = field(default_factory=dict)

    def of(self, queue: str) -> QueueRule:
        """The rule of a queue."""
        return self.by_name.get(queue, self.default)
