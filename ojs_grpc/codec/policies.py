"""The policies of a job in JSON: retry, unique, rate limit (wire sections 2.4, 2.5, 4.4 and 4.5).

A policy is read into its message, and beside it what was said: the same object, its members under the names that we
write. Where rendering the message gives something else (a duration that was written in another way, a member that
nobody knows), what was said is kept in `exact`.
"""

from collections.abc import Mapping
from typing import Any

from google.protobuf.duration_pb2 import Duration
from ojs_grpc_pb.v1.job_pb2 import JobState, RateLimit, RetryPolicy, UniqueConflictAction, UniquePolicy

from ojs_grpc.codec import values
from ojs_grpc.codec.json_text import dump_text
from ojs_grpc.codec.members import Members
from ojs_grpc.codec.times import duration_text, read_member
from ojs_grpc.codec.values import render_number
from ojs_grpc.core import states
from ojs_grpc.core.rate_limit import MAX_CLAIMS, MAX_CONCURRENCY
from ojs_grpc.errors import Violation

KEYS = ("keys", "key")
"""The names of the dimensions of a unique policy."""

_INITIAL = ("initial_interval", "initial_interval_ms", "initial_delay_ms")
_COEFFICIENT = ("backoff_coefficient", "multiplier")
_MAX = ("max_interval", "max_interval_ms")
_STRATEGY = ("backoff_strategy", "backoff_type", "backoff", "strategy")
_RETRY_NAMES = frozenset(
    (*_INITIAL, *_COEFFICIENT, *_MAX, *_STRATEGY, "max_attempts", "jitter", "non_retryable_errors", "on_exhaustion")
)

_DIMENSIONS = frozenset(("type", "queue", "args", "meta"))
_PERIOD = ("period", "period_ms")
_UNIQUE_NAMES = frozenset((*KEYS, "args_keys", "meta_keys", "states", "on_conflict", *_PERIOD))
_STATES = {states.state_name(state): state for state in states.ALL}
_STATE_NAMES = {state: name for name, state in _STATES.items()}
_ACTIONS = {
    name.removeprefix("UNIQUE_CONFLICT_ACTION_").lower(): number
    for name, number in UniqueConflictAction.items()
    if number
}
_ACTION_NAMES = {number: name for name, number in _ACTIONS.items()}
_ACTION_ALIASES = {**_ACTIONS, "use_existing": _ACTIONS["ignore"]}

ALIASES = (_INITIAL, _COEFFICIENT, _MAX, _STRATEGY, _PERIOD)
"""The names that the same member of a policy has, ours first."""

_RATE_LIMIT_NAMES = frozenset(("key", "concurrency", "rate", "throttle", "max_per_second", "on_limit"))


def read_retry(value: Any, field: str, broken: list[Violation], exact: dict[str, str]) -> RetryPolicy:  # noqa: ANN401
    """A retry policy; what its values may be, beside their types, is for `core.retry` to say.

    JSON's `max_attempts` of 0 is one attempt, and the job shows the 0.
    """
    policy = RetryPolicy()
    members = _members(value, field, broken)
    said = _unknown(members, _RETRY_NAMES)
    attempts = members.whole("max_attempts")
    if attempts is not None:
        said["max_attempts"] = attempts
        policy.max_attempts = attempts or 1
    _read_duration(members, _INITIAL, policy.initial_interval, said)
    _read_coefficient(members, policy, said)
    _read_duration(members, _MAX, policy.max_interval, said)
    jitter = members.truth("jitter")
    if jitter is not None:
        said["jitter"] = policy.jitter = jitter
    errors = members.texts("non_retryable_errors")
    if errors is not None:
        said["non_retryable_errors"] = errors
        policy.non_retryable_errors.extend(errors)
    if members.name_of("on_exhaustion"):
        said["on_exhaustion"] = policy.on_exhaustion = members.required_text("on_exhaustion")
    if members.name_of(*_STRATEGY):
        said["backoff_strategy"] = policy.backoff_strategy = members.required_text(*_STRATEGY)
    _keep(said, render_retry(policy), "/retry", field, exact)
    return policy


def render_retry(policy: RetryPolicy) -> dict[str, Any]:
    """What the policy sets; a zero that means the default is not there."""
    document: dict[str, Any] = {}
    if policy.max_attempts:
        document["max_attempts"] = policy.max_attempts
    if policy.HasField("initial_interval"):
        document["initial_interval"] = duration_text(policy.initial_interval)
    if policy.backoff_coefficient:
        document["backoff_coefficient"] = render_number(policy.backoff_coefficient)
    if policy.HasField("max_interval"):
        document["max_interval"] = duration_text(policy.max_interval)
    if policy.HasField("jitter"):
        document["jitter"] = policy.jitter
    if policy.non_retryable_errors:
        document["non_retryable_errors"] = list(policy.non_retryable_errors)
    if policy.on_exhaustion:
        document["on_exhaustion"] = policy.on_exhaustion
    if policy.backoff_strategy:
        document["backoff_strategy"] = policy.backoff_strategy
    return document


def read_unique(value: Any, field: str, broken: list[Violation], exact: dict[str, str]) -> UniquePolicy:  # noqa: ANN401
    """A unique policy."""
    policy = UniquePolicy()
    members = _members(value, field, broken)
    said = _unknown(members, _UNIQUE_NAMES)
    _read_keys(members, policy, said)
    for name, names in (("args_keys", policy.args_keys), ("meta_keys", policy.meta_keys)):
        texts = members.texts(name)
        if texts is not None:
            said[name] = texts
            del names[:]
            names.extend(texts)
    if members.name_of(*_PERIOD):
        _read_duration(members, _PERIOD, policy.period, said)
    counted = members.texts("states")
    if counted is not None:
        said["states"] = counted
        if _STATES.keys() >= set(counted):
            policy.states.extend(JobState.ValueType(_STATES[state]) for state in counted)
        else:
            members.refuse("states", f"each must be one of {', '.join(_STATES)}")
    action = members.text("on_conflict")
    if action is not None and action not in _ACTION_ALIASES:
        members.refuse("on_conflict", f"must be one of {', '.join(_ACTIONS)}")
    elif action is not None:
        policy.on_conflict = _ACTION_ALIASES[action]
        said["on_conflict"] = _ACTION_NAMES[policy.on_conflict]
    _keep(said, render_unique(policy), "/unique", field, exact)
    return policy


def render_unique(policy: UniquePolicy) -> dict[str, Any]:
    """What the policy sets."""
    document: dict[str, Any] = {}
    if policy.key:
        document["keys"] = list(policy.key)
    if policy.args_keys:
        document["args_keys"] = list(policy.args_keys)
    if policy.meta_keys:
        document["meta_keys"] = list(policy.meta_keys)
    if policy.HasField("period"):
        document["period"] = duration_text(policy.period)
    if policy.states:
        document["states"] = [_STATE_NAMES.get(state, str(state)) for state in policy.states]
    if policy.on_conflict:
        document["on_conflict"] = _ACTION_NAMES.get(policy.on_conflict, str(policy.on_conflict))
    return document


def read_rate_limit(value: Any, field: str, broken: list[Violation], exact: dict[str, str]) -> RateLimit:  # noqa: ANN401
    """A rate limit; `max_per_second` is short for a rate."""
    limit = RateLimit()
    members = _members(value, field, broken)
    _refuse_unknown(members, _RATE_LIMIT_NAMES, "is no member of a rate limit")
    said = {name: member for name, member in members.members.items() if member is not None}
    limit.key = members.text("key") or ""
    limit.concurrency = members.whole("concurrency", low=1, high=MAX_CONCURRENCY) or 0
    if members.name_of("rate"):
        said["rate"] = _read_rate(members, "rate", limit.rate)
    if members.name_of("throttle"):
        said["throttle"] = _read_rate(members, "throttle", limit.throttle)
    if members.name_of("max_per_second"):
        if members.name_of("rate"):
            members.refuse("max_per_second", "excludes rate")
        limit.rate.limit = members.whole("max_per_second", low=1, high=MAX_CLAIMS) or 0
    if (members.text("on_limit") or "wait") != "wait":
        members.refuse("on_limit", 'must be "wait": a limited job stays available until it may run')
    if not members.broken:
        _keep(said, render_rate_limit(limit), "/rate_limit", field, exact)
    return limit


def render_rate_limit(limit: RateLimit) -> dict[str, Any]:
    """What the limit sets."""
    document: dict[str, Any] = {}
    if limit.key:
        document["key"] = limit.key
    if limit.concurrency:
        document["concurrency"] = limit.concurrency
    if limit.HasField("rate"):
        document["rate"] = _render_rate(limit.rate)
    if limit.HasField("throttle"):
        document["throttle"] = _render_rate(limit.throttle)
    return document


def _members(value: Any, field: str, broken: list[Violation]) -> Members:  # noqa: ANN401
    if type(value) is not dict:
        broken.append(Violation(field, "must be an object"))
        value = {}
    return Members(value, field, broken)


def _unknown(members: Members, known: frozenset[str]) -> dict[str, Any]:
    return {name: member for name, member in members.members.items() if name not in known}


def _refuse_unknown(members: Members, known: frozenset[str], rule: str) -> None:
    for name in _unknown(members, known):
        members.refuse(name, rule)


def _keep(
    said: Mapping[str, Any], rendered: Mapping[str, Any], pointer: str, field: str, exact: dict[str, str]
) -> None:
    if said != rendered:
        # What nobody knows may be anything: it is refused for what any other value would be refused for.
        values.struct_bytes(dict(said), field, pointer, {})
        exact[pointer] = dump_text(said)


def _read_duration(members: Members, names: tuple[str, ...], duration: Duration, said: dict[str, Any]) -> None:
    """Reads a duration, if it is there, into a part of a message; it is said under the first of the names."""
    value = read_member(members, *names)
    if value is None:
        return
    # Zero is not the same as absent: copying alone would not set it.
    duration.SetInParent()
    duration.CopyFrom(value)
    member = members.members[members.name_of(*names)]
    is_iso = type(member) is str and member.startswith("P")
    said[names[0]] = member if is_iso else duration_text(value)


def _read_coefficient(members: Members, policy: RetryPolicy, said: dict[str, Any]) -> None:
    coefficient = members.number(*_COEFFICIENT)
    if coefficient is None:
        return
    name = members.name_of(*_COEFFICIENT)
    # In the message, zero would mean the default.
    if not coefficient:
        members.refuse(name, "must be a finite number of at least 1.0")
    policy.backoff_coefficient = coefficient
    said["backoff_coefficient"] = members.members[name]


def _read_keys(members: Members, policy: UniquePolicy, said: dict[str, Any]) -> None:
    """Dimensions; or under `key`, as some clients have it, the names of the arguments' members that count."""
    if members.name_of("keys"):
        keys = members.texts("keys") or []
    elif members.name_of("key"):
        one = members.members["key"]
        keys = [one] if type(one) is str else members.texts("key") or []
        if not keys or not _DIMENSIONS.issuperset(keys):
            policy.args_keys.extend(keys)
            if keys:
                said["args_keys"] = keys
            keys = ["type", "args"]
    else:
        return
    said["keys"] = keys
    policy.key.extend(keys)


def _read_rate(members: Members, name: str, rate: RateLimit.Rate) -> dict[str, Any]:
    inner = _members(members.members[name], members.path(name), members.broken)
    _refuse_unknown(inner, frozenset(("limit", *_PERIOD)), "is no member of a rate")
    rate.SetInParent()
    said: dict[str, Any] = {}
    limit = inner.whole("limit", low=1, high=MAX_CLAIMS)
    if limit is not None:
        said["limit"] = rate.limit = limit
    if inner.name_of(*_PERIOD):
        _read_duration(inner, _PERIOD, rate.period, said)
    return said


def _render_rate(rate: RateLimit.Rate) -> dict[str, Any]:
    document: dict[str, Any] = {"limit": rate.limit} if rate.limit else {}
    if rate.HasField("period"):
        document["period"] = duration_text(rate.period)
    return document
