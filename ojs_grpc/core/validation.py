"""The rules for what a caller says of a job beside its arguments: names, times, labels (behaviour 1.4 and 8, wire 2.1).

Each gives the broken rule in words, or adds it to a list of violations; none raises.
"""

import re
from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

from google.protobuf.struct_pb2 import Struct
from ojs_grpc_pb.v1.job_pb2 import EnqueueOptions, Job

from ojs_grpc.core import states
from ojs_grpc.core.attributes import KNOWN, OPTIONS, UNKNOWN_OPTIONS
from ojs_grpc.core.duration import duration_ms, timestamp_ms
from ojs_grpc.core.limits import Limits
from ojs_grpc.core.wire import bytes_field
from ojs_grpc.errors import Violation

PRIORITIES = range(-100, 101)
# Long enough for any lease, and now plus it stays a valid Timestamp until the year 8999.
MAX_DURATION_MS = 1000 * 365 * 86_400_000

_TYPE = re.compile(r"[a-z][a-z0-9_-]*(\.[a-z][a-z0-9_-]*)*")
_QUEUE = re.compile(r"[a-z0-9][a-z0-9.-]*")


def type_info(name: str, limits: Limits) -> tuple[str, bytes]:
    """The rule that a job type breaks, in words, empty if it is one; and the type as a field of a job."""
    # The length comes first: it also bounds what the cache holds.
    if len(name) > limits.type_bytes:
        return f"must be at most {limits.type_bytes} bytes", b""
    return _type_info(name)


def queue_rule(name: str, limits: Limits) -> str:
    """The rule that a queue name breaks, in words; empty if it is one."""
    if len(name) > limits.queue_chars:
        return f"must be at most {limits.queue_chars} characters"
    return _queue_pattern_rule(name)


def queues_rules(names: Sequence[str], most: int, limits: Limits) -> list[Violation]:
    """The rules that a field `queues` breaks, which names at most so many queues."""
    if len(names) > most:
        return [Violation("queues", f"must be at most {most}")]
    rules = [queue_rule(name, limits) for name in names]
    return [Violation(f"queues[{index}]", rule) for index, rule in enumerate(rules) if rule]


@lru_cache(maxsize=4096)
def _type_info(name: str) -> tuple[str, bytes]:
    if not name:
        return "is required", b""
    if not _TYPE.fullmatch(name):
        return "must be dot-separated segments of lower-case letters, digits, _ and -, each starting with a letter", b""
    return "", bytes_field(Job.TYPE_FIELD_NUMBER, name.encode())


@lru_cache(maxsize=4096)
def _queue_pattern_rule(name: str) -> str:
    if _QUEUE.fullmatch(name):
        return ""
    return "must be lower-case letters, digits, - and ., starting with a letter or a digit"


class Times(NamedTuple):
    """The time-driven facts of a job: its first state, and when what happens to it; 0 for not set."""

    state: int
    due_at: int = 0
    expires_at: int = 0
    visibility_ms: int = 0
    timeout_ms: int = 0


AT_ONCE = Times(states.AVAILABLE)


def read_times(options: EnqueueOptions, now: int, broken: list[Violation]) -> Times:
    """The time-driven facts of a job: its first state, and when what happens to it."""
    due_at = _timestamp(options, "delay_until", broken)
    expires_at = _timestamp(options, "expires_at", broken)
    ttl = _duration(options, "ttl", broken)
    visibility_ms = _duration(options, "visibility_timeout", broken)
    timeout_ms = _duration(options, "timeout", broken)
    if not (due_at or expires_at or ttl or visibility_ms or timeout_ms or options.pending):
        return AT_ONCE
    state = states.SCHEDULED if due_at > now else states.AVAILABLE
    if options.pending:
        if state == states.SCHEDULED:
            broken.append(Violation("options.pending", "excludes delay_until: a pending job waits for ActivateJob"))
        state = states.PENDING
    return Times(
        state=state,
        due_at=due_at if state == states.SCHEDULED else 0,
        expires_at=expires_at or (now + ttl if ttl else 0),
        visibility_ms=visibility_ms,
        timeout_ms=timeout_ms,
    )


def _timestamp(options: EnqueueOptions, name: str, broken: list[Violation]) -> int:
    """The field in ms, at least 1 when it is set; 0 if it is not."""
    if not options.HasField(name):  # type: ignore[arg-type]
        return 0
    try:
        return max(timestamp_ms(getattr(options, name)), 1)
    except ValueError as error:
        broken.append(Violation(f"options.{name}", str(error)))
        return 0


def _duration(options: EnqueueOptions, name: str, broken: list[Violation]) -> int:
    """The field in ms; 0 if it is absent or zero, which means the default."""
    if not options.HasField(name):  # type: ignore[arg-type]
        return 0
    value = getattr(options, name)
    try:
        ms = duration_ms(value)
    except ValueError as error:
        broken.append(Violation(f"options.{name}", str(error)))
        return 0
    # Rounded up to a millisecond, a small negative duration is zero.
    if value.nanos < 0 or not 0 <= ms <= MAX_DURATION_MS:
        broken.append(Violation(f"options.{name}", "must be from 0 to 1000 years"))
    return ms


def check_labels(options: EnqueueOptions, limits: Limits, broken: list[Violation]) -> None:
    """Tags and trace id."""
    if len(options.tags) > limits.tags:
        broken.append(Violation("options.tags", f"must be at most {limits.tags}"))
    elif not all(0 < len(tag) <= limits.tag_chars for tag in options.tags):
        broken.append(Violation("options.tags", f"each must have 1 to {limits.tag_chars} characters"))
    elif len(set(options.tags)) < len(options.tags):
        broken.append(Violation("options.tags", "must not repeat"))
    if len(options.trace_id) > limits.trace_id_chars:
        broken.append(Violation("options.trace_id", f"must be at most {limits.trace_id_chars} characters"))


def check_ext(ext: Struct) -> list[Violation]:
    """The rules that attributes break which nobody knows: JSON shows them beside those that everybody knows.

    The members of `options` that nobody knows are one of them, an object.
    """
    taken = [f"ext.{name}" for name in ext.fields if name in KNOWN and name != UNKNOWN_OPTIONS]
    if UNKNOWN_OPTIONS in ext.fields:
        options = ext.fields[UNKNOWN_OPTIONS]
        if not options.HasField("struct_value"):
            return [Violation(f"ext.{UNKNOWN_OPTIONS}", "must be an object")]
        taken += [f"ext.{UNKNOWN_OPTIONS}.{name}" for name in options.struct_value.fields if name in OPTIONS]
    return [Violation(field, "must not have the name of an attribute of the spec") for field in taken]
