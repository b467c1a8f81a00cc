"""JSON values that workers leave with the service: bounds on what is kept."""

from collections.abc import Iterable
from typing import Any

from ojs_grpc.codec.json_text import dump
from ojs_grpc.errors import PayloadTooLarge, Violation


def check_value(value: Any, field: str, most_bytes: int, nesting: int) -> None:  # noqa: ANN401 - any JSON value
    """Checks the size of a value.

    Raises:
        PayloadTooLarge: it is larger or nests deeper than it may.
    """
    if nests_deeper(value, nesting):
        raise PayloadTooLarge([Violation(field, f"must not nest deeper than {nesting} levels")])
    if len(dump(value)) > most_bytes:
        raise PayloadTooLarge([Violation(field, f"must be at most {most_bytes} bytes")])


def nests_deeper(value: Any, most: int) -> bool:  # noqa: ANN401 - any JSON value
    """Whether lists and objects stand within each other more than so many deep."""
    level = [value]
    for _ in range(most + 1):
        level = [inner for outer in level if isinstance(outer, (dict, list)) for inner in _inner(outer)]
        if not any(isinstance(inner, (dict, list)) for inner in level):
            return False
    return True


def _inner(value: dict[str, Any] | list[Any]) -> Iterable[Any]:
    return value.values() if isinstance(value, dict) else value
