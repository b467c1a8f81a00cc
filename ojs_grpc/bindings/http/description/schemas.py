"""JSON schemas, as the description writes them.

What a client may leave out it may also say as null. What a client sends may have members that nobody knows, and so may
what the server answers.
"""

from collections.abc import Mapping
from typing import Any, Final

from ojs_grpc.core import states

Schema = dict[str, Any]
Members = Mapping[str, Schema]

ANYTHING: Final[Schema] = {}
NULL: Final[Schema] = {"type": "null"}


def ref(name: str) -> Schema:
    """The schema of this name among the components."""
    return {"$ref": f"#/components/schemas/{name}"}


def text(description: str = "", **rules: Any) -> Schema:  # noqa: ANN401 - keywords of JSON Schema
    """A string; keywords are rules such as `pattern`."""
    return _described({"type": "string", **rules}, description)


def one_of(*texts: str, description: str = "") -> Schema:
    """One of some strings."""
    return _described({"type": "string", "enum": list(texts)}, description)


def constant(value: Any) -> Schema:  # noqa: ANN401 - any JSON value
    """Always this value."""
    return {"const": value}


def whole(low: int | None = 0, high: int | None = None, description: str = "") -> Schema:
    """A whole number within bounds."""
    return _described(_bounded("integer", low, high), description)


def number(low: float | None = 0, high: float | None = None, description: str = "") -> Schema:
    """A number within bounds."""
    return _described(_bounded("number", low, high), description)


def truth(description: str = "") -> Schema:
    """True or false."""
    return _described({"type": "boolean"}, description)


def array(items: Schema, description: str = "", **rules: Any) -> Schema:  # noqa: ANN401
    """A list."""
    return _described({"type": "array", "items": items, **rules}, description)


def mapping(values: Schema, description: str = "") -> Schema:
    """An object whose members all are of one kind."""
    return _described({"type": "object", "additionalProperties": values}, description)


def any_object(description: str = "") -> Schema:
    """An object with any members."""
    return _described({"type": "object"}, description)


def answered(required: Members, optional: Members | None = None, description: str = "") -> Schema:
    """An object that the server makes.

    Args:
        required: members that it always has.
        optional: members that it may have.
    """
    properties = {**required, **(optional or {})}
    return _described({"type": "object", "properties": properties, "required": list(required)}, description)


def asked(required: Members, optional: Members | None = None, description: str = "") -> Schema:
    """An object that a client sends."""
    optional = {name: nullable(schema) for name, schema in (optional or {}).items()}
    return answered(required, optional, description)


def nullable(schema: Schema) -> Schema:
    """The same, or null."""
    return schema if schema == ANYTHING else {"anyOf": [schema, NULL]}


def either(*schemas: Schema, description: str = "") -> Schema:
    """One of these at least."""
    return _described({"anyOf": list(schemas)}, description)


def _bounded(kind: str, low: float | None, high: float | None) -> Schema:
    bounds = {"minimum": low, "maximum": high}
    return {"type": kind, **{name: bound for name, bound in bounds.items() if bound is not None}}


def _described(schema: Schema, description: str) -> Schema:
    return {**schema, "description": description} if description else schema


UUID: Final = "^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$"
JOB_TYPE: Final = r"^[a-z][a-z0-9_-]*(\.[a-z][a-z0-9_-]*)*$"
QUEUE: Final = "^[a-z0-9][a-z0-9.-]*$"

_ISO_DURATION: Final = "P([0-9]+[YMWD])*(T([0-9]+([.,][0-9]+)?[HMS])+)?"
_GO_DURATION: Final = r"([0-9]+(\.[0-9]+)?(h|ms|m|s|us|ns))+"
_MOST_SECONDS: Final = 1000 * 365 * 86_400

TIME: Final = text("RFC 3339.", format="date-time")
DURATION: Final = text("ISO 8601.", pattern=f"^{_ISO_DURATION}$", examples=["PT1S"])
STATE: Final = one_of(*map(states.state_name, states.ALL))
MILLISECONDS: Final = whole(0, 1000 * _MOST_SECONDS)

ASKED_TIME: Final = either(
    TIME,
    text("From now.", pattern=rf"^(\+?{_ISO_DURATION}|\+?{_GO_DURATION})$", examples=["+PT30S"]),
    description="A point in time with its zone, or a duration from now on.",
)
ASKED_DURATION: Final = either(
    text(pattern=f"^({_ISO_DURATION}|{_GO_DURATION})$", examples=["PT1S", "1h30m"]),
    number(0, _MOST_SECONDS, "Seconds."),
    description="ISO 8601, `1h30m`, or seconds.",
)
