"""What happens after a failed attempt: the effective policy, the delay, the decision (behaviour section 2)."""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import NamedTuple

from google.protobuf.duration_pb2 import Duration
from google.protobuf.struct_pb2 import Value
from ojs_grpc_pb.v1.job_pb2 import JobError, RetryPolicy

from ojs_grpc.core.duration import duration_ms
from ojs_grpc.errors import Violation

DISCARD = "discard"
DEAD_LETTER = "dead_letter"
EXHAUSTIONS = (DISCARD, DEAD_LETTER)

EXPONENTIAL = "exponential"
LINEAR = "linear"
CONSTANT = "constant"
NONE = "none"
POLYNOMIAL = "polynomial"
STRATEGIES = (EXPONENTIAL, LINEAR, CONSTANT, NONE, POLYNOMIAL)


@dataclass(frozen=True, slots=True)
class Policy:
    """The effective retry policy of a job, every default filled in (behaviour section 2.1).

    Attributes:
        max_attempts: runs in all, the first included; at least 1.
        initial_ms: wait before the second attempt.
        coefficient: growth of the wait, at least 1.0.
        max_ms: upper bound of every wait.
        jitter: whether a wait is spread at random.
        non_retryable: error names, or `prefix.*`, that end the job at once.
        on_exhaustion: `discard` or `dead_letter`.
        strategy: one of `STRATEGIES`.
    """

    max_attempts: int = 3
    initial_ms: int = 1_000
    coefficient: float = 2.0
    max_ms: int = 300_000
    jitter: bool = True
    non_retryable: tuple[str, ...] = ()
    on_exhaustion: str = DISCARD
    strategy: str = EXPONENTIAL


DEFAULT = Policy()


class Outcome(Enum):
    """Where a failed attempt leaves its job."""

    RETRY = "retry"  # retryable, after `delay_ms`
    RELEASE = "release"  # available at once, the attempt given back
    DISCARD = "discard"  # discarded
    DEAD_LETTER = "dead_letter"  # discarded, and listed as a dead letter


# What a handler may say in so many words. RETRY takes part so that it hides a reserved word in `code`.
_RESPONSES = {
    "RETRY": Outcome.RETRY,
    "DISCARD": Outcome.DISCARD,
    "FAIL": Outcome.DISCARD,
    "DEAD_LETTER": Outcome.DEAD_LETTER,
}


def resolve(policy: RetryPolicy | None, max_attempts_shorthand: int, default_max_attempts: int = 3) -> Policy:
    """Fills in the defaults, field by field (behaviour sections 1.3, 2.1 and 2.6).

    Zero and absent mean the same wherever the message cannot tell them apart, and for max_attempts also where it can:
    there is no way to ask for attempts without end.

    Args:
        policy: as sent, without `violations`; None and a message without any set field are the same.
        max_attempts_shorthand: EnqueueOptions.max_attempts, which the policy's own number beats; 0 is absent.
        default_max_attempts: the queue's or server's number; 0 is absent.
    """
    if policy is None:
        max_attempts = _first_positive(max_attempts_shorthand, default_max_attempts)
        return DEFAULT if max_attempts == DEFAULT.max_attempts else Policy(max_attempts)
    return Policy(
        max_attempts=_first_positive(policy.max_attempts, max_attempts_shorthand, default_max_attempts),
        initial_ms=duration_ms(policy.initial_interval) or DEFAULT.initial_ms,
        coefficient=policy.backoff_coefficient or DEFAULT.coefficient,
        max_ms=duration_ms(policy.max_interval) or DEFAULT.max_ms,
        jitter=policy.jitter if policy.HasField("jitter") else DEFAULT.jitter,
        non_retryable=tuple(policy.non_retryable_errors),
        on_exhaustion=policy.on_exhaustion or DEFAULT.on_exhaustion,
        strategy=policy.backoff_strategy or DEFAULT.strategy,
    )


def violations(policy: RetryPolicy, path: str) -> list[Violation]:
    """The rules of behaviour section 2.1 that a policy breaks; none means that `resolve` may be called.

    Args:
        policy: as sent.
        path: where the policy stands in its request, such as `options.retry`.
    """
    found: list[Violation] = []

    def refuse(field: str, rule: str) -> None:
        found.append(Violation(f"{path}.{field}", rule))

    if policy.max_attempts < 0:
        refuse("max_attempts", "must not be negative")
    if policy.backoff_coefficient and not 1.0 <= policy.backoff_coefficient < math.inf:
        refuse("backoff_coefficient", "must be a finite number of at least 1.0")
    for field, rule in _broken_intervals(policy):
        refuse(field, rule)
    if "" in policy.non_retryable_errors:
        index = list(policy.non_retryable_errors).index("")
        refuse(f"non_retryable_errors[{index}]", "must not be empty")
    if policy.on_exhaustion and policy.on_exhaustion not in EXHAUSTIONS:
        refuse("on_exhaustion", f"must be one of {', '.join(EXHAUSTIONS)}")
    if policy.backoff_strategy and policy.backoff_strategy not in STRATEGIES:
        refuse("backoff_strategy", f"must be one of {', '.join(STRATEGIES)}")
    return found


def delay_ms(policy: Policy, retry_number: int, random: Callable[[], float]) -> int:
    """How long to wait before a retry, in milliseconds; from 0 to `policy.max_ms` (behaviour section 2.2).

    With jitter, a wait at the cap becomes half of it to all of it, and all of it half the time. That is intended.

    Args:
        policy: the effective policy.
        retry_number: 1 for the wait before the second attempt: the attempt that has just failed.
        random: draws from [0, 1), as `random.random` does.
    """
    delay = min(_raw_delay(policy, retry_number), policy.max_ms)
    if policy.jitter:
        delay = min(delay * (0.5 + random()), policy.max_ms)
    return max(round(delay), 0)


def matches(patterns: Iterable[str], *names: str) -> bool:
    """Whether a name of the error is one of the patterns, or falls under a pattern `prefix.*` (behaviour section 2.4).

    Case counts, and no other character is special: `auth.*` covers `auth.x` and `auth.x.y`, but neither `auth` nor
    `external.auth.x`. An empty name is an absent one.
    """
    return any(_match(pattern, name) for pattern in patterns for name in names if name)


def decide(policy: Policy, attempt: int, error: JobError, *, requeue: bool = False) -> Outcome:
    """Where a failed attempt leaves its job; the first rule that applies wins (behaviour section 2.3, rows 1 to 8).

    The handler may speak in reserved words, in `details["ojs.response"]` or else in `code`: DISCARD and FAIL,
    DEAD_LETTER, and RETRY, which asks for nothing but the normal policy.

    Args:
        policy: the effective policy.
        attempt: the attempt that failed, 1 for the first.
        error: as reported; `details` may name `type`, `ojs.type`, `error_class`, `ojs.response` and `ojs.retryable`.
        requeue: the worker gives the job back unfinished rather than failed.
    """
    details = _read_details(error)
    asked_for = _RESPONSES.get(details.response) or _RESPONSES.get(error.code)
    if asked_for in (Outcome.DISCARD, Outcome.DEAD_LETTER):
        return asked_for
    if requeue:
        return Outcome.RELEASE
    if error.HasField("retryable") and not error.retryable:
        return exhaust(policy)
    if not details.retryable or matches(policy.non_retryable, error.type, error.code, *details.names):
        return exhaust(policy)
    if attempt >= policy.max_attempts:
        return exhaust(policy)
    return Outcome.RETRY


def exhaust(policy: Policy) -> Outcome:
    """Where a job ends that gets no further attempt; also the fate of one whose lease ran out on its last."""
    return Outcome.DEAD_LETTER if policy.on_exhaustion == DEAD_LETTER else Outcome.DISCARD


def _first_positive(*numbers: int) -> int:
    for number in numbers:
        if number > 0:
            return number
    return DEFAULT.max_attempts


def _broken_intervals(policy: RetryPolicy) -> list[tuple[str, str]]:
    """Field and rule; the intervals are compared only when each is fine by itself."""
    intervals = ("initial_interval", policy.initial_interval), ("max_interval", policy.max_interval)
    broken = [(field, rule) for field, value in intervals if (rule := _interval_rule(value))]
    if broken:
        return broken
    # Compared after merging, so that an interval sent alone is held against the other one's default.
    sent_max_ms = duration_ms(policy.max_interval)
    initial_ms = duration_ms(policy.initial_interval) or DEFAULT.initial_ms
    max_ms = sent_max_ms or DEFAULT.max_ms
    if initial_ms <= max_ms:
        return []
    if sent_max_ms:
        return [("max_interval", f"must be at least initial_interval, which is {initial_ms / 1000} s")]
    return [("initial_interval", f"must be at most max_interval, which is {max_ms / 1000} s")]


def _interval_rule(value: Duration) -> str:
    """The rule that an interval breaks, or "". Zero is no violation: it means absent."""
    try:
        duration_ms(value)
    except ValueError as error:
        return str(error)
    return "must be greater than zero" if value.seconds < 0 or value.nanos < 0 else ""


def _raw_delay(policy: Policy, retry_number: int) -> float:
    """The delay before cap and jitter; infinite when it is beyond what a float can say."""
    try:
        if policy.strategy in (NONE, CONSTANT):
            return policy.initial_ms
        if policy.strategy == LINEAR:
            return policy.initial_ms * retry_number
        if policy.strategy == POLYNOMIAL:
            return policy.initial_ms * math.pow(retry_number, policy.coefficient)
        return policy.initial_ms * math.pow(policy.coefficient, retry_number - 1)
    except OverflowError:
        return math.inf


def _match(pattern: str, name: str) -> bool:
    return name == pattern or (pattern.endswith(".*") and name.startswith(pattern[:-1]))


class _Details(NamedTuple):
    """What an error's details may say about its fate; "" and True where they say nothing.

    Attributes:
        names: what the error is, apart from its code.
    """

    response: str = ""
    retryable: bool = True
    names: Sequence[str] = ()


def _read_details(error: JobError) -> _Details:
    if not error.HasField("details"):
        return _Details()
    # Only get(): a protobuf map grows an empty entry when a missing key is indexed.
    get = error.details.fields.get
    nothing = Value()
    retryable = get("ojs.retryable", nothing)
    return _Details(
        response=get("ojs.response", nothing).string_value,
        retryable=retryable.WhichOneof("kind") != "bool_value" or retryable.bool_value,
        names=[get(name, nothing).string_value for name in ("ojs.type", "error_class", "type")],
    )
