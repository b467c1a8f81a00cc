"""Schemas of arguments: what they check, and that none of them takes for ever to do so."""

import time
from typing import Any

import pytest

from ojs_grpc.core.schema import NOT_VALID, TOO_LARGE, Schema
from ojs_grpc.core.schema_cost import TOO_COMPLEX

NODE = {"$ref": "#/$defs/node"}
FORTY = range(40)


def doubling(**more: Any) -> dict[str, Any]:  # noqa: ANN401
    """A definition that applies the next one twice, forty times over."""
    twice = {f"d{number}": {"allOf": [{"$ref": f"#/$defs/d{number + 1}"}] * 2} for number in FORTY}
    return {"$defs": {**twice, "d40": {"type": "array"}}, **more}


def of_nodes(node: dict[str, Any]) -> dict[str, Any]:
    """Arguments that are nodes, which refer to each other."""
    return {"type": "array", "items": NODE, "$defs": {"node": node}}


@pytest.mark.parametrize(
    ("schema", "good", "bad"),
    [
        ({}, [1], None),
        ({"maxItems": 1}, [1], [1, 2]),
        ({"prefixItems": [{"type": "string"}], "items": {"type": "integer"}}, ["a", 1], ["a", "b"]),
        ({"items": {"$ref": "#positive"}, "$defs": {"p": {"$anchor": "positive", "minimum": 1}}}, [1], [0]),
        ({"items": {"$ref": "#/$defs/a~1b%25"}, "$defs": {"a/b%": {"minimum": 1}}}, [1], [0]),
        ({"$id": "urn:own", "items": {"not": {"type": "null"}}}, [1], [None]),
        (of_nodes({"properties": {"left": NODE, "right": NODE, "value": {"type": "integer"}}}),
         [{"left": {"right": {"value": 1}}}], [{"left": {"right": {"value": "1"}}}]),
        (of_nodes({"properties": {"name": {"type": "string"}}, "additionalProperties": NODE}),
         [{"x": {"y": {"name": "a"}}}], [{"x": {"y": {"name": 1}}}]),
        (of_nodes({"properties": {"children": {"type": "array", "items": NODE}}, "required": ["children"]}),
         [{"children": [{"children": []}]}], [{"children": [{}]}]),
        ({"items": {"oneOf": [{"const": number} for number in range(1000)]}}, [7], [1000]),
        ({"items": {"properties": {f"p{number}": {"type": "null"} for number in range(3000)}}}, [{}], [{"p7": 7}]),
    ],
)  # fmt: skip
def test_a_schema_tells_good_from_bad(schema: dict[str, Any], good: list[Any], bad: list[Any] | None) -> None:
    """Also one that refers to itself, as trees do."""
    ready = Schema(schema)

    assert ready.violations(good) == []
    assert bad is None or ready.violations(bad)


@pytest.mark.parametrize(
    "schema",
    [
        doubling(**{"$ref": "#/$defs/d0"}),
        doubling(items={"if": {"$ref": "#/$defs/d0"}}),
        of_nodes({"properties": {"a": NODE}, "patternProperties": {"a": NODE}}),
        of_nodes({"allOf": [{"properties": {"a": NODE}}, {"properties": {"a": NODE}}]}),
        of_nodes({"items": NODE, "contains": NODE}),
        of_nodes({"anyOf": [{"additionalProperties": NODE}] * 2}),
        of_nodes({"anyOf": [{"$dynamicRef": "#a"}] * 2, "$defs": {"a": {"$dynamicAnchor": "a", "items": NODE}}}),
        {"allOf": [{"minItems": 1}] * 3000},
        {"$defs": {f"d{number}": {"$ref": f"#/$defs/d{number + 1}"} for number in range(5000)} | {"d5000": {}},
         "$ref": "#/$defs/d0"},
    ],
)  # fmt: skip
def test_a_schema_that_multiplies_is_refused(schema: dict[str, Any]) -> None:
    """Before it could keep everybody waiting."""
    started = time.monotonic()

    with pytest.raises(ValueError, match=TOO_COMPLEX):
        Schema(schema)

    assert time.monotonic() - started < 5


@pytest.mark.parametrize("schema", [{"$ref": "#"}, {"allOf": [{"not": {"$ref": "#"}}]}])
def test_a_schema_without_an_end_is_refused(schema: dict[str, Any]) -> None:
    """It would say nothing."""
    with pytest.raises(ValueError, match="without an end"):
        Schema(schema)


@pytest.mark.parametrize(
    "schema",
    [
        {"items": {"$ref": "https://json-schema.org/draft/2020-12/schema"}},
        {"$defs": {"a": {"$id": "https://example.com/a"}}, "$ref": "https://example.com/a"},
        {"$id": "https://example.com/a", "items": {"$ref": "a#/$defs/b"}, "$defs": {"b": {}}},
    ],
)
def test_a_schema_refers_to_its_own_parts_alone(schema: dict[str, Any]) -> None:
    """By where they are in it, or by their anchors."""
    with pytest.raises(ValueError, match=r"itself|of their own"):
        Schema(schema)


@pytest.mark.parametrize(
    "schema",
    [
        {"then": {"$ref": "#/nope"}},
        {"then": {"$ref": "#/enum/7"}, "enum": [1]},
        {"then": {"$ref": "#/enum/x"}, "enum": [1]},
        {"then": {"$ref": "#/minItems/x"}, "minItems": 1},
    ],
)
def test_a_schema_refers_to_what_is_there(schema: dict[str, Any]) -> None:
    """Also where it applies to nothing."""
    with pytest.raises(ValueError, match="points to nothing"):
        Schema(schema)


@pytest.mark.parametrize("anchor", ["$anchor", "$dynamicAnchor"])
def test_an_anchor_is_one_place(anchor: str) -> None:
    """Of two with the same name, one could hide what the other one costs."""
    with pytest.raises(ValueError, match="anchor twice"):
        Schema({"items": {"$ref": "#x"}, "$defs": {"a": {anchor: "x"}, "b": {anchor: "x", "minimum": 1}}})


# How long it takes

PATTERN = "^[ab]*a[ab]{1000}$"


@pytest.mark.parametrize(
    "schema",
    [
        {
            "properties": {f"p{number}": True for number in range(8000)},
            "patternProperties": {f"q{number}": True for number in range(8000)},
        },
        {"items": {"allOf": [{"pattern": f".{{500}}{number}"} for number in range(1000)]}},
        {"properties": {f"p{number}": {"pattern": f".{{500}}{number}"} for number in range(5000)}},
    ],
)
def test_a_schema_that_takes_long_to_prepare_is_refused(schema: dict[str, Any]) -> None:
    """Soon."""
    started = time.monotonic()

    with pytest.raises(ValueError, match=r"must not|pattern"):
        Schema(schema)

    assert time.monotonic() - started < 5


@pytest.mark.parametrize(
    ("schema", "args"),
    [
        ({"items": {"anyOf": [{"type": "string"}] * 1900}}, [1] * 200_000),
        ({"items": {"pattern": PATTERN}}, ["ab" * 100_000 + "c"]),
        ({"items": {"patternProperties": {PATTERN: False}}}, [{"ab" * 100_000 + "c": 1}]),
        ({"items": {"enum": [[1, number] for number in range(20_000)]}}, [[1, 19_999]] * 2000),
        ({"items": {"anyOf": [{"const": {"a": number}} for number in range(1000)]}}, [{"a": 999}] * 10_000),
    ],
)
def test_arguments_that_take_long_are_refused_unchecked(schema: dict[str, Any], args: list[Any]) -> None:
    """Everybody would wait."""
    ready = Schema(schema)
    started = time.monotonic()

    assert ready.violations(args) == [("args", TOO_LARGE)]
    assert time.monotonic() - started < 2


@pytest.mark.parametrize(
    ("schema", "args"),
    [
        ({"items": {"type": "integer"}}, ["a"] * 100_000),
        ({"items": {"allOf": [{"type": "integer"}] * 100}}, ["a"] * 10_000),
        ({"anyOf": [{"items": {"type": "integer"}}] * 100}, ["a"] * 2500),
        ({"items": {"allOf": [{"maxLength": number} for number in range(1000)]}}, ["a" * 1_000_000]),
    ],
)
def test_of_many_errors_none_is_told(schema: dict[str, Any], args: list[Any]) -> None:
    """To find them all would take minutes."""
    started = time.monotonic()

    assert Schema(schema).violations(args) == [("args", NOT_VALID)]

    assert time.monotonic() - started < 2


@pytest.mark.parametrize(
    ("schema", "args"),
    [
        ({"items": {"pattern": "^[^@]+@[^@]+$"}}, ["a" * 900_000 + "@b"]),
        ({"items": {"type": "integer"}}, [1] * 400_000),
        ({"items": {"pattern": "^.{1,500}$"}}, ["a" * 500]),
        ({"prefixItems": [{"enum": [[1, number] for number in range(1000)]}]}, [[1, 999]]),
    ],
)
def test_large_arguments_are_checked(schema: dict[str, Any], args: list[Any]) -> None:
    """Where that takes no long time."""
    assert Schema(schema).violations(args) == []
