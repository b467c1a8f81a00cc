"""How much work a JSON schema is for one argument: few lines of `$ref` can ask for more than any server can do.

A check cannot be broken off, and nobody else gets a turn meanwhile. So what could take too long is found out before:
what applies at most on the way to any value, when arguments nest as deep as they may.
"""

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple
from urllib.parse import unquote

_MOST = 2000
_MOST_STEPS = 500_000

_REFERENCE_CHARS = 100

_LISTS = ("allOf", "anyOf", "oneOf")
_ONES = ("not", "if", "then", "else")
_MAPS = ("dependentSchemas", "dependencies")
_REFERENCES = ("$ref", "$dynamicRef")

TOO_COMPLEX = f"must not apply more than {_MOST} subschemas on the way to a value"

_Node = dict[str, Any]
# A member of objects, or a place in arrays; None for any that no subschema names.
_Step = str | int | None


class Cost(NamedTuple):
    """The most that applies on the way to any value.

    Attributes:
        subschemas: at least 1.
        patterns: regular expressions.
        constants: arrays and objects that a value is compared with.
    """

    subschemas: int
    patterns: int
    constants: int


def measure_cost(schema: _Node, depth: int) -> Cost:
    """What a schema that is valid by itself costs.

    Args:
        depth: how deep arguments may nest.

    Raises:
        ValueError: it is too complex, has no end, or refers to something else than a part of itself.
    """
    try:
        costs = _Costs(schema)
        return Cost(*(costs.most(schema, depth, weigh) for weigh in (_count_one, _count_patterns, _count_constants)))
    except RecursionError:
        raise ValueError(TOO_COMPLEX) from None


class _Costs:
    def __init__(self, root: _Node) -> None:
        self._root = root
        self._anchors: dict[str, Any] = {}
        self._applied: dict[int, list[_Node] | None] = {}
        self._known: dict[tuple[int, int], int] = {}
        self._steps = 0
        self._note_anchors(root)

    def most(self, schema: _Node, depth: int, weigh: Callable[[_Node], int]) -> int:
        """The most that the subschemas weigh together that apply from a value to any value within."""
        self._known.clear()
        self._steps = 0
        self._weigh = weigh
        return self._most(schema, depth)

    def _most(self, node: Any, depth: int) -> int:  # noqa: ANN401 - a subschema
        if not isinstance(node, dict):
            return 0
        key = (id(node), depth)
        if key not in self._known:
            applied = self._all_applied(node)
            below = max((self._below(applied, step, depth - 1) for step in _steps(applied)), default=0) if depth else 0
            self._known[key] = sum(map(self._weigh, applied)) + below
            if self._weigh is _count_one and self._known[key] > _MOST:
                raise ValueError(TOO_COMPLEX)
        return self._known[key]

    def _below(self, applied: list[_Node], step: _Step, depth: int) -> int:
        most = 0
        for node in applied:
            for child in _children(node, step):
                self._take_step()
                most += self._most(child, depth)
            self._take_step()
        return most

    def _take_step(self) -> None:
        self._steps += 1
        if self._steps > _MOST_STEPS:
            raise ValueError(TOO_COMPLEX)

    def _all_applied(self, node: _Node) -> list[_Node]:
        """The subschemas that apply to the same value as this one, itself included, each as often as it does."""
        key = id(node)
        if key not in self._applied:
            self._applied[key] = None
            applied = [node]
            for other in self._beside(node):
                if isinstance(other, dict):
                    applied += self._all_applied(other)
                if len(applied) > _MOST:
                    raise ValueError(TOO_COMPLEX)
            self._applied[key] = applied
        found = self._applied[key]
        if found is None:
            raise ValueError("must not refer to itself without an end")
        return found

    def _beside(self, node: _Node) -> Iterator[Any]:
        for name in _LISTS:
            yield from node.get(name, ())
        for name in _ONES:
            yield node.get(name)
        for name in _MAPS:
            yield from node.get(name, {}).values()
        for name in _REFERENCES:
            if name in node:
                yield self._resolve(node[name])

    def _resolve(self, reference: str) -> Any:  # noqa: ANN401 - a subschema
        path, _, fragment = reference.partition("#")
        if path:
            raise ValueError("$ref must point to a part of the schema itself, such as #/$defs/address")
        if fragment and not fragment.startswith("/"):
            return self._anchors.get(fragment)
        found: Any = self._root
        try:
            for part in unquote(fragment).split("/")[1:]:
                name = part.replace("~1", "/").replace("~0", "~")
                found = found[int(name)] if isinstance(found, list) else found[name]
        except (LookupError, TypeError, ValueError):
            # The validator does not look where nothing applies, such as at `then` without `if`.
            raise ValueError(f"$ref points to nothing: {reference[:_REFERENCE_CHARS]}") from None
        return found

    def _note_anchors(self, root: _Node) -> None:
        waiting: list[Any] = [root]
        while waiting:
            node = waiting.pop()
            if isinstance(node, dict):
                if node is not root and isinstance(node.get("$id"), str):
                    raise ValueError("must not hold schemas with an $id of their own")
                for name in ("$anchor", "$dynamicAnchor"):
                    anchor = node.get(name)
                    # Of two, the validator might follow the other one.
                    if isinstance(anchor, str) and self._anchors.setdefault(anchor, node) is not node:
                        raise ValueError("must not have the same anchor twice")
                waiting += node.values()
            elif isinstance(node, list):
                waiting += node


def _count_one(_: _Node) -> int:
    return 1


def _count_patterns(node: _Node) -> int:
    return ("pattern" in node) + len(node.get("patternProperties", ()))


def _count_constants(node: _Node) -> int:
    return sum(isinstance(value, (dict, list)) for value in (node.get("const"), *node.get("enum", ())))


def _steps(applied: list[_Node]) -> set[_Step]:
    """The steps into a value that could differ."""
    names = {name for node in applied for name in node.get("properties", ())}
    return {None, *names, *range(max(len(node.get("prefixItems", ())) for node in applied))}


def _children(node: _Node, step: _Step) -> Iterator[Any]:
    """The subschemas that apply to what a step leads to; where it says neither, to objects as well as to arrays."""
    if not isinstance(step, int):
        yield node.get("propertyNames")
        yield from node.get("patternProperties", {}).values()
        if step in node.get("properties", ()):
            yield node["properties"][step]
        else:
            yield node.get("additionalProperties")
            yield node.get("unevaluatedProperties")
    if not isinstance(step, str):
        yield node.get("contains")
        prefix = node.get("prefixItems", ())
        if isinstance(step, int) and step < len(prefix):
            yield prefix[step]
        else:
            yield node.get("items")
            yield node.get("unevaluatedItems")
