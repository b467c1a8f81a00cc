"""Options of a workflow as defaults of its steps."""

from typing import Any

import pytest

from ojs_grpc.codec.step_options import with_defaults


@pytest.mark.parametrize(
    ("step", "defaults", "expected"),
    [
        ({}, {"queue": "q"}, {"options": {"queue": "q"}}),
        ({"options": None}, {"queue": "q"}, {"options": {"queue": "q"}}),
        ({"options": {"queue": "own"}}, {"queue": "q", "priority": 1}, {"options": {"queue": "own", "priority": 1}}),
        ({"options": {"priority": 0}}, {"priority": 1}, {"options": {"priority": 0}}),
        ({"options": {"queue": None}}, {"queue": "q"}, {"options": {"queue": "q"}}),
        ({"queue": "own"}, {"queue": "q"}, {"queue": "own", "options": {}}),
        ({"timeout": 5}, {"timeout_ms": 1}, {"timeout": 5, "options": {}}),
        ({"options": {"retry_policy": {}}}, {"retry": {"max_attempts": 9}}, {"options": {"retry_policy": {}}}),
        (
            {"options": {"max_attempts": 1}},
            {"retry": {"max_attempts": 9, "jitter": False}},
            {"options": {"max_attempts": 1, "retry": {"jitter": False}}},
        ),
        ({"options": {"max_attempts": 1}}, {"retry": 5}, {"options": {"max_attempts": 1, "retry": 5}}),
        ({"options": {"x_own": 1}}, {"x_more": 2}, {"options": {"x_own": 1, "x_more": 2}}),
    ],
)
def test_the_step_wins(step: dict[str, Any], defaults: dict[str, Any], expected: dict[str, Any]) -> None:
    """Wherever it says something, and by whatever name."""
    assert with_defaults(step, defaults) == expected


@pytest.mark.parametrize(
    ("step", "expected"),
    [
        ({}, {"options": {"meta": {"a": 1, "b": 1}}}),
        ({"meta": {"a": 2}}, {"meta": {"a": 2, "b": 1}, "options": {}}),
        ({"options": {"meta": {"a": 2}}}, {"options": {"meta": {"a": 2, "b": 1}}}),
        ({"options": {"metadata": {"a": 2}}}, {"options": {"metadata": {"a": 2}, "meta": {"b": 1}}}),
        ({"meta": {"a": 2, "b": 2}}, {"meta": {"a": 2, "b": 2}, "options": {}}),
        ({"meta": 5}, {"meta": 5, "options": {}}),
        ({"options": {"meta": [1]}}, {"options": {"meta": [1]}}),
    ],
)
def test_meta_is_merged(step: dict[str, Any], expected: dict[str, Any]) -> None:
    """Member by member; what is no object is left for the reader to refuse."""
    assert with_defaults(step, {"meta": {"a": 1}, "metadata": {"a": 0, "b": 1}}) == expected


def test_options_that_are_none() -> None:
    """Are left for the reader to refuse."""
    assert with_defaults({"options": [1]}, {"queue": "q"}) == {"options": [1]}


def test_nothing_is_changed_in_place() -> None:
    """The same defaults serve all steps."""
    step: dict[str, Any] = {"options": {"meta": {"a": 2}, "max_attempts": 1}}
    defaults: dict[str, Any] = {"meta": {"b": 1}, "retry": {"max_attempts": 9}}

    filled = with_defaults(step, defaults)

    filled["options"]["meta"]["c"] = 1
    assert step == {"options": {"meta": {"a": 2}, "max_attempts": 1}}
    assert defaults == {"meta": {"b": 1}, "retry": {"max_attempts": 9}}
