"""What an operator sets for queues, as text: `emails:max_depth=1000,concurrency=5,rate=100/60s; *:max_depth=100000`."""

import re
from typing import Final

from ojs_grpc.core.limits import Limits
from ojs_grpc.core.rate_limit import (
    MAX_CLAIMS,
    MAX_CONCURRENCY,
    MAX_PERIOD_MS,
    QueueRule,
    QueueRules,
    RateLimit,
    queue_key,
)
from ojs_grpc.core.validation import queue_rule

EVERY_OTHER: Final = "*"
"""Stands for all queues that are not named."""
NONE: Final = "none"
"""No rules at all."""

_MAX_DEPTH = 1_000_000_000
_RATE = re.compile(r"(\d{1,9})/(\d{1,12})(ms|s|m|h|d)", re.ASCII)
_UNIT_MS = {"ms": 1, "s": 1000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}
_KNOWN = ("max_depth", "concurrency", "rate")


def parse_queue_rules(text: str) -> QueueRules:
    """The rules of all queues. An empty text is the same as `none`.

    Raises:
        ValueError: it breaks a rule; the message names the queue and what must be.
    """
    by_name: dict[str, QueueRule] = {}
    for part in text.split(";") if text.strip() != NONE else ():
        if not part.strip():
            continue
        name, separator, rules = (word.strip() for word in part.partition(":"))
        if not separator:
            raise ValueError(f"{name!r} must be QUEUE:RULE=VALUE,RULE=VALUE; ...")
        if name != EVERY_OTHER and (broken := queue_rule(name, Limits())):
            raise ValueError(f"queue {name!r}: the name {broken}, or {EVERY_OTHER} for all others")
        if name in by_name:
            raise ValueError(f"queue {name!r} must be there only once")
        by_name[name] = _parse_rule(name, rules)
    default = by_name.pop(EVERY_OTHER, QueueRule())
    return QueueRules(default, by_name)


def _parse_rule(queue: str, text: str) -> QueueRule:
    said: dict[str, str] = {}
    for part in text.split(","):
        name, _, value = (word.strip() for word in part.partition("="))
        if name not in _KNOWN:
            raise ValueError(f"queue {queue!r}: the rule {name!r} must be one of {', '.join(_KNOWN)}")
        if name in said:
            raise ValueError(f"queue {queue!r}: {name} must be there only once")
        said[name] = value
    try:
        concurrency = _whole("concurrency", said["concurrency"], MAX_CONCURRENCY) if "concurrency" in said else 0
        claims, period_ms = _rate(said["rate"]) if "rate" in said else (0, 0)
        max_depth = _whole("max_depth", said["max_depth"], _MAX_DEPTH) if "max_depth" in said else 0
    except ValueError as error:
        raise ValueError(f"queue {queue!r}: {error}") from None
    if not concurrency and not claims:
        return QueueRule(max_depth)
    key = "" if queue == EVERY_OTHER else queue_key(queue)
    return QueueRule(max_depth, RateLimit(key, concurrency, claims, period_ms))


def _whole(name: str, text: str, most: int) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 20 and 1 <= int(text) <= most):
        raise ValueError(f"{name} must be a whole number from 1 to {most}")
    return int(text)


def _rate(text: str) -> tuple[int, int]:
    """How many claims within how many ms."""
    match = _RATE.fullmatch(text)
    if match is None:
        raise ValueError("rate must be COUNT/PERIOD, the period with ms, s, m, h or d, such as 100/60s")
    claims, period_ms = int(match[1]), int(match[2]) * _UNIT_MS[match[3]]
    if not 1 <= claims <= MAX_CLAIMS:
        raise ValueError(f"rate must be from 1 to {MAX_CLAIMS} in its period")
    if not 1 <= period_ms <= MAX_PERIOD_MS:
        raise ValueError("rate must be over a period from 1 ms to 1 year")
    return claims, period_ms
