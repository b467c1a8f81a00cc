"""The options of a workflow, which are those of its steps unless a step says otherwise (wire section 1.2)."""

from typing import Any, Final

# Names by which the same is said.
_SAME: Final = (
    {"scheduled_at", "delay_until"},
    {"expires_at", "ttl"},
    {"timeout", "timeout_ms"},
    {"visibility_timeout", "visibility_timeout_ms"},
    {"retry", "retry_policy"},
)
_META: Final = ("metadata", "meta")
_IN_CAMEL_CASE: Final = {
    "maxAttempts": "max_attempts",
    "initialInterval": "initial_interval",
    "backoffCoefficient": "backoff_coefficient",
    "maxInterval": "max_interval",
    "nonRetryableErrors": "non_retryable_errors",
    "onExhaustion": "on_exhaustion",
}


def with_spec_names(step: dict[str, Any]) -> dict[str, Any]:
    """The step with its retry policy in the spec's names; the SDK for JavaScript sends its own, in workflows alone."""
    options = step.get("options")
    retry = options.get("retry") if type(options) is dict else None
    if type(options) is not dict or type(retry) is not dict or retry.keys().isdisjoint(_IN_CAMEL_CASE):
        return step
    named = {_IN_CAMEL_CASE.get(name, name): value for name, value in retry.items()}
    return {**step, "options": {**options, "retry": named}}


def with_defaults(step: dict[str, Any], defaults: dict[str, Any]) -> dict[str, Any]:
    """The step with what it leaves out; `meta` is merged by member. Nothing that is given is changed."""
    options = step["options"] if step.get("options") is not None else {}
    if not defaults or type(options) is not dict:
        return step
    said = {name for members in (step, options) for name, value in members.items() if value is not None}
    left = {
        name: value for name, value in defaults.items() if name not in _META and said.isdisjoint(_names_of(name))
    }
    if "max_attempts" in said:
        left |= {name: _unbounded(left[name]) for name in ("retry", "retry_policy") if name in left}
    filled = {**step, "options": {**options, **left}}
    if meta := _left_of_meta(step, options, defaults):
        # Where the step says its own.
        place = step if "meta" in step and said.isdisjoint(options.keys() & set(_META)) else options
        if type(own := place.get("meta") or {}) is dict:
            (filled if place is step else filled["options"])["meta"] = {**meta, **own}
    return filled


def _names_of(name: str) -> set[str]:
    return next((names for names in _SAME if name in names), {name})


def _unbounded(policy: Any) -> Any:  # noqa: ANN401 - any JSON value
    """A retry policy without its bound."""
    if type(policy) is not dict:
        return policy
    return {name: value for name, value in policy.items() if name != "max_attempts"}


def _left_of_meta(step: dict[str, Any], options: dict[str, Any], defaults: dict[str, Any]) -> dict[str, Any]:
    """The default members of `meta` that the step does not have, however it says its own."""
    said = {member for members in (step, options) for name in _META for member in _object(members, name)}
    left = {member: value for name in _META for member, value in _object(defaults, name).items()}
    return {member: value for member, value in left.items() if member not in said}


def _object(members: dict[str, Any], name: str) -> dict[str, Any]:
    value = members.get(name)
    return value if type(value) is dict else {}
