"""Fields as clients wrote them."""

from typing import Any

import pytest

from ojs_grpc.codec.fields import name_field, name_job_fields
from ojs_grpc.errors import InvalidRetryPolicy, Violation


@pytest.mark.parametrize(
    ("document", "field", "named"),
    [
        ({"queue": "q"}, "options.queue", "queue"),
        ({"queue": "q", "options": {"queue": "r"}}, "options.queue", "options.queue"),
        ({"options": {"retry_policy": {}}}, "options.retry.max_attempts", "options.retry_policy.max_attempts"),
        ({"delay_until": "x"}, "options.delay_until", "delay_until"),
        ({"scheduled_at": "x", "options": None}, "options.delay_until", "scheduled_at"),
        ({"expires_at": "+PT1S"}, "options.ttl", "expires_at"),
        ({"meta": {}}, 'options.meta["a b"]', 'meta["a b"]'),
        ({}, "options.queue", "options.queue"),
        ({"type": "A"}, "type", "type"),
        ({"jobs": [{}, {"priority": 101}]}, "jobs[1].options.priority", "jobs[1].priority"),
    ],
)
def test_fields_as_the_client_wrote_them(document: dict[str, Any], field: str, named: str) -> None:
    """The engine knows them by their place in the message."""
    error = name_job_fields(InvalidRetryPolicy([Violation(field, "is bad")], {"a": "b"}), document)

    assert type(error) is InvalidRetryPolicy
    assert (error.violations, error.details) == (((named, "is bad"),), {"a": "b"})


@pytest.mark.parametrize(
    ("field", "named"),
    [
        ("options.unique.key", "options.unique.keys"),
        ("options.retry.initial_interval", "options.retry.initial_interval_ms"),
        ("options.retry.max_interval", "options.retry.max_interval"),
        ("options.rate_limit.key", "options.rate_limit.key"),
        ("options.tags", "options.tags"),
    ],
)
def test_members_of_policies(field: str, named: str) -> None:
    """They have several names too."""
    options = {"unique": {"keys": []}, "retry": {"initial_interval_ms": 1}, "rate_limit": {"key": "a"}, "tags": ["a"]}

    assert name_field(field, [("", {"options": options})]) == named


def test_several_places() -> None:
    """The first one that has it, or else the first."""
    places = [("a.", {"type": "x", "options": {"queue": 1}}), ("", {"priority": 2, "args": []})]

    fields = [name_field(field, places) for field in ("options.queue", "options.priority", "type", "args[0]", "id")]

    assert fields == ["a.options.queue", "priority", "a.type", "args[0]", "a.id"]
