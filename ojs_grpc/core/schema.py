"""JSON schemas, draft 2020-12, of the arguments of jobs (wire section 1.2, the schemas row).

A schema reads nothing from elsewhere: a `$ref` that leads out of it, to the network or to a file, makes it invalid, and
so do references that multiply beyond what can be checked at once (`schema_cost`).
Patterns have the syntax of an engine that takes linear time, so no look-around and no back-references. Linear is not
fast: large patterns take a microsecond and more for each character. Nobody else gets a turn during a check, so
arguments for which it could take too long are refused unchecked.
"""

from collections.abc import Sequence
from itertools import islice
from typing import Any, Final, NamedTuple

import jsonschema_rs

from ojs_grpc.core.limits import Limits
from ojs_grpc.core.schema_cost import measure_cost
from ojs_grpc.errors import Violation

DIALECT = "https://json-schema.org/draft/2020-12/schema"
TOO_LARGE: Final = "must be smaller, to be checked against this schema"
NOT_VALID: Final = "must be as the schema says; there is too much of it to say where it is not"

# The arguments are an array of values that nest so deep each.
_NESTING = Limits().nesting + 1
_MAX_VIOLATIONS = 10
_MAX_RULE_CHARS = 300

# What all patterns of a schema may take together, each as much as the largest; and what one of them may.
_MOST_PATTERN_BYTES = 32 << 20
_PATTERN_BYTES = (1 << 12, 1 << 14, 1 << 16, 1 << 18, 1 << 20)

# So ends what is said of a pattern that is none, or too large.
_BAD_PATTERN = 'is not a "regex"'

# Measured, in the worst case: for a value and a subschema; for a value and an array or object; and of a pattern that
# has so many bytes, for one character.
_VALUE_NS = 20
_CONSTANT_NS = 1000
_PATTERN_BYTES_PER_NS = 4
_MOST_NS = 1_000_000_000
# The validator makes all errors before it gives the first one, and each takes so long and more.
_MOST_ERRORS = 20_000


class Schema:
    """A schema, made ready to check arguments.

    Raises:
        ValueError: it is none; the message is the bare rule.
    """

    def __init__(self, schema: dict[str, Any]) -> None:
        dialect = schema.get("$schema", DIALECT)
        if not isinstance(dialect, str) or dialect.rstrip("#") != DIALECT:
            raise ValueError("$schema must reference draft 2020-12")
        self._validator, pattern_bytes = _compile(schema)
        self._cost = measure_cost(schema, _NESTING)
        self._pattern_ns = self._cost.patterns * pattern_bytes // _PATTERN_BYTES_PER_NS

    def violations(self, args: Sequence[Any]) -> list[Violation]:
        """The rules that arguments break, the first few; none if they are as the schema says."""
        size = _measure(args)
        value_ns = self._cost.subschemas * _VALUE_NS + self._cost.constants * _CONSTANT_NS
        if size.values * value_ns + size.chars * self._pattern_ns > _MOST_NS:
            return [Violation("args", TOO_LARGE)]
        if self._validator.is_valid(args):
            return []
        # An error repeats the value that is wrong.
        if self._cost.subschemas * (size.values + size.chars // 1000) > _MOST_ERRORS:
            return [Violation("args", NOT_VALID)]
        errors = islice(self._validator.iter_errors(args), _MAX_VIOLATIONS)
        return [Violation(_field(error.instance_path), _cut(error.message)) for error in errors]


class _Size(NamedTuple):
    """Of arguments: how many values, and how many characters of strings and names of members."""

    values: int
    chars: int


def _measure(args: Sequence[Any]) -> _Size:
    values = chars = 0
    waiting = [args]
    while waiting:
        value = waiting.pop()
        values += 1
        if isinstance(value, str):
            chars += len(value)
        elif isinstance(value, dict):
            waiting += value.values()
            chars += sum(map(len, value))
        elif isinstance(value, list):
            waiting += value
    return _Size(values, chars)


def _compile(schema: dict[str, Any]) -> tuple[jsonschema_rs.Draft202012Validator, int]:
    """The validator, and how many bytes its largest pattern takes at most.

    Raises:
        ValueError: this is no schema, or its patterns are too large.
    """
    most = _MOST_PATTERN_BYTES // max(_count_patterns(schema), 1)
    rule = ""
    for size in _PATTERN_BYTES:
        if size > most:
            raise ValueError("must have fewer patterns, or smaller ones")
        options = jsonschema_rs.RegexOptions(size_limit=size, dfa_size_limit=min(most, _PATTERN_BYTES[-1]))
        try:
            return jsonschema_rs.Draft202012Validator(schema, pattern_options=options, offline=True), size
        except (ValueError, jsonschema_rs.ReferencingError) as error:
            rule = getattr(error, "message", str(error))
            if not rule.endswith(_BAD_PATTERN):
                break
    raise ValueError(_cut(rule))


def _count_patterns(schema: dict[str, Any]) -> int:
    """How many patterns there are, and perhaps some that only look so."""
    count = 0
    waiting: list[Any] = [schema]
    while waiting:
        node = waiting.pop()
        if isinstance(node, dict):
            count += "pattern" in node
            patterns = node.get("patternProperties")
            count += len(patterns) if isinstance(patterns, dict) else 0
            waiting += node.values()
        elif isinstance(node, list):
            waiting += node
    return count


def _field(path: Sequence[str | int]) -> str:
    """Where something stands in a request: `args[1].address.city`."""
    return "args" + "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in path)


def _cut(text: str) -> str:
    """The text, if it is not longer than anybody reads: messages repeat the value that is wrong."""
    return text if len(text) <= _MAX_RULE_CHARS else text[:_MAX_RULE_CHARS] + "..."
