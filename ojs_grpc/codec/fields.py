"""Where a client wrote what broke a rule: the core knows its request by the fields of messages."""

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

from ojs_grpc.codec import policies
from ojs_grpc.errors import InvalidRequest, Violation

Place = tuple[str, Mapping[str, Any]]
"""Members of a document, and how the fields begin that stand in them: `job_template.`."""

_OPTION: Final = re.compile(r"options\.(?P<option>\w+)(?:\.(?P<member>\w+))?(?P<rest>.*)", re.DOTALL)
_ATTRIBUTE: Final = re.compile(r"(?:options\.)?(\w*)")
_ENTRY: Final = re.compile(r"jobs\[(?P<index>\d+)\]\.(?P<rest>.*)", re.DOTALL)

# The names that the same has in JSON.
_OPTION_NAMES: Final = {
    "delay_until": ("scheduled_at", "delay_until"),
    "timeout": ("timeout_ms", "timeout"),
    "visibility_timeout": ("visibility_timeout_ms", "visibility_timeout"),
    "retry": ("retry", "retry_policy"),
    "ttl": ("ttl", "expires_at"),
    "meta": ("meta", "metadata"),
}
_MEMBER_NAMES: Final = {names[0]: names for names in policies.ALIASES} | {"key": policies.KEYS}


def name_job_fields(error: InvalidRequest, document: dict[str, Any]) -> InvalidRequest:
    """What the core said of one job or a batch that was read here, its fields as the client wrote them."""
    return type(error)([Violation(_name_job_field(field, document), rule) for field, rule in error.violations],
                       error.details)


def name_field(field: str, places: Sequence[Place]) -> str:
    """The field of a job as the client wrote it: in the first of the places that has it, else in the first one.

    Args:
        field: as the core knows it, `options.retry.max_interval`, or already as in the document.
    """
    match = _OPTION.fullmatch(field)
    if match is None:
        attribute = attribute_of(field)
        return next((start for start, members in places if members.get(attribute) is not None), places[0][0]) + field
    for start, members in places:
        options = members.get("options")
        for inside, holder in ((f"{start}options.", options if type(options) is dict else {}), (start, members)):
            for name in _OPTION_NAMES.get(match["option"], (match["option"],)):
                if holder.get(name) is not None:
                    return f"{inside}{name}{_name_member(match['member'], holder[name])}{match['rest']}"
    return places[0][0] + field


def attribute_of(field: str) -> str:
    """The attribute of a job that a field belongs to: `retry` for `options.retry.jitter`."""
    match = _ATTRIBUTE.match(field)
    return match[1] if match else ""


def _name_job_field(field: str, document: dict[str, Any]) -> str:
    match = _ENTRY.fullmatch(field)
    if match is None:
        return name_field(field, [("", document)])
    index = int(match["index"])
    return name_field(match["rest"], [(f"jobs[{index}].", document["jobs"][index])])


def _name_member(member: str | None, holder: Any) -> str:  # noqa: ANN401 - any JSON value
    if member is None:
        return ""
    names = _MEMBER_NAMES.get(member, ()) if type(holder) is dict else ()
    return f".{next((name for name in names if holder.get(name) is not None), member)}"
