"""The limits that jobs name: by field, and in `meta`."""

from typing import Any

import pytest
from google.protobuf.duration_pb2 import Duration
from google.protobuf.json_format import ParseDict
from google.protobuf.struct_pb2 import Struct
from hypothesis import given
from hypothesis import strategies as st
from ojs_grpc_pb.v1 import job_pb2
from ojs_grpc_pb.v1.job_pb2 import EnqueueOptions

from ojs_grpc.core.duration import to_duration
from ojs_grpc.core.job_limits import read_limits
from ojs_grpc.core.rate_limit import RateLimit
from ojs_grpc.errors import Violation

SECOND = 1000
YEAR_MS = 365 * 86_400_000
MEMBER = 'options.meta["ojs.rate_limit"]'


def rate(limit: int, period_ms: int | None = None) -> job_pb2.RateLimit.Rate:
    """A rate; its period is left out unless given."""
    return job_pb2.RateLimit.Rate(limit=limit, period=None if period_ms is None else to_duration(period_ms))


def options(**limit: Any) -> EnqueueOptions:  # noqa: ANN401
    """Options with this limit, by field."""
    return EnqueueOptions(rate_limit=job_pb2.RateLimit(**limit))


def in_meta(limit: Any) -> EnqueueOptions:  # noqa: ANN401
    """Options with this limit, in `meta`."""
    return EnqueueOptions(meta=ParseDict({"ojs.rate_limit": limit}, Struct()))


def read(said: EnqueueOptions, queue: str = "mails") -> tuple[RateLimit, ...]:
    """The limits of a job, all rules kept."""
    broken: list[Violation] = []
    limits = read_limits(said, queue, broken)
    assert broken == []
    return limits


def broken(said: EnqueueOptions) -> list[str]:
    """The paths of what breaks a rule; each rule is said."""
    found: list[Violation] = []
    read_limits(said, "mails", found)
    assert all(violation.rule for violation in found)
    return [violation.field for violation in found]


def test_most_jobs_have_none() -> None:
    """Whatever else is in their `meta`."""
    assert read(EnqueueOptions()) == read(EnqueueOptions(meta=ParseDict({"a": 1}, Struct()))) == ()


@pytest.mark.parametrize(
    ("field", "member", "limit"),
    [
        ({"key": "k", "concurrency": 5}, {"key": "k", "concurrency": 5}, RateLimit("k", 5)),
        ({"concurrency": 1}, {"concurrency": 1}, RateLimit("queue:mails", 1)),
        (
            {"key": "A9._:-", "rate": rate(100, 60 * SECOND)},
            {"key": "A9._:-", "rate": {"limit": 100, "period": "PT1M"}},
            RateLimit("A9._:-", 0, 100, 60 * SECOND),
        ),
        ({"rate": rate(7)}, {"rate": {"limit": 7}}, RateLimit("queue:mails", 0, 7, SECOND)),
        ({"rate": rate(7)}, {"max_per_second": 7}, RateLimit("queue:mails", 0, 7, SECOND)),
        (
            {"throttle": rate(4, SECOND)},
            {"throttle": {"limit": 4, "period": "PT1S"}},
            RateLimit("queue:mails", 0, 1, 250),
        ),
        ({"throttle": rate(3)}, {"throttle": {"limit": 3}, "on_limit": "wait"}, RateLimit("queue:mails", 0, 1, 334)),
        (
            {"key": "k", "concurrency": 2, "rate": rate(3, 5)},
            {"key": "k", "concurrency": 2, "rate": {"limit": 3, "period": "PT0.005S"}},
            RateLimit("k", 2, 3, 5),
        ),
        ({"throttle": rate(1000)}, {"throttle": {"limit": 1000}}, RateLimit("queue:mails", 0, 1, 1)),
        (
            {"key": "k" * 255, "concurrency": 2**31 - 1, "rate": rate(100_000, YEAR_MS)},
            {"key": "k" * 255, "concurrency": 2**31 - 1, "rate": {"limit": 100_000, "period": "P365D"}},
            RateLimit("k" * 255, 2**31 - 1, 100_000, YEAR_MS),
        ),
    ],
)
def test_both_ways_say_the_same(field: dict[str, Any], member: dict[str, Any], limit: RateLimit) -> None:
    """By field and in `meta`; without a key it is the queue's."""
    assert read(options(**field)) == read(in_meta(member)) == (limit,)


def test_the_field_wins() -> None:
    """Even over an object that breaks rules."""
    said = in_meta({"concurrency": -1})
    said.rate_limit.concurrency = 3

    assert read(said) == (RateLimit("queue:mails", 3),)


@given(st.integers(1, 1000), st.integers(1, YEAR_MS))
def test_a_throttle_is_never_looser_than_it_says(limit: int, period_ms: int) -> None:
    """The time between two starts is a whole number of ms, and so many of them take no less than the period."""
    if limit > period_ms:
        assert broken(options(throttle=rate(limit, period_ms))) == ["options.rate_limit.throttle.limit"]
        return

    ((_, _, claims, spacing_ms),) = read(options(throttle=rate(limit, period_ms)))

    assert claims == 1
    assert period_ms <= spacing_ms * limit < period_ms + limit


@pytest.mark.parametrize(
    ("limit", "fields"),
    [
        ({}, [""]),
        ({"key": "k"}, [""]),
        ({"key": "", "concurrency": -1}, [".concurrency"]),
        ({"key": "-k", "concurrency": 1}, [".key"]),
        ({"key": "a b", "concurrency": 1}, [".key"]),
        ({"key": "ä", "concurrency": 1}, [".key"]),
        ({"key": "a\n", "concurrency": 1}, [".key"]),
        ({"key": "k" * 256, "concurrency": 1}, [".key"]),
        ({"rate": rate(0)}, [".rate.limit"]),
        ({"rate": rate(-1)}, [".rate.limit"]),
        ({"rate": rate(100_001)}, [".rate.limit"]),
        ({"rate": rate(1, 0)}, [".rate.period"]),
        ({"rate": rate(1, -5)}, [".rate.period"]),
        ({"rate": rate(1, YEAR_MS + 1)}, [".rate.period"]),
        ({"rate": job_pb2.RateLimit.Rate(limit=1, period=Duration(seconds=1, nanos=-1))}, [".rate.period"]),
        ({"throttle": rate(0)}, [".throttle.limit"]),
        ({"throttle": rate(1, 0)}, [".throttle.period"]),
        ({"throttle": rate(1001)}, [".throttle.limit"]),
        ({"rate": rate(1), "throttle": rate(1)}, [".throttle"]),
        ({"key": "!", "concurrency": -1, "rate": rate(0, 0)}, [".key", ".concurrency", ".rate.limit", ".rate.period"]),
    ],
)
def test_a_broken_rule_is_named(limit: dict[str, Any], fields: list[str]) -> None:
    """By the path of the field."""
    assert broken(options(**limit)) == [f"options.rate_limit{field}" for field in fields]


@pytest.mark.parametrize(
    ("limit", "fields"),
    [
        (None, [""]),
        (5, [""]),
        ([], [""]),
        ({}, [""]),
        ({"key": 5, "concurrency": 1}, [".key"]),
        ({"key": "-k", "concurrency": 1}, [".key"]),
        ({"concurrency": 0}, [".concurrency"]),
        ({"concurrency": -1}, [".concurrency"]),
        ({"concurrency": 1.5}, [".concurrency"]),
        ({"concurrency": "1"}, [".concurrency"]),
        ({"concurrency": 2**31}, [".concurrency"]),
        ({"rate": 1}, [".rate"]),
        ({"rate": {"period": "PT1S"}}, [".rate.limit"]),
        ({"rate": {"limit": 100_001}}, [".rate.limit"]),
        ({"rate": {"limit": 1, "period": "1s"}}, [".rate.period"]),
        ({"rate": {"limit": 1, "period": 1}}, [".rate.period"]),
        ({"rate": {"limit": 1, "period": "PT0S"}}, [".rate.period"]),
        ({"rate": {"limit": 1, "period": "P366D"}}, [".rate.period"]),
        ({"rate": {"limit": 1, "burst": 2}}, [".rate.burst"]),
        ({"max_per_second": 0}, [".max_per_second"]),
        ({"max_per_second": 0.5}, [".max_per_second"]),
        ({"max_per_second": 1, "rate": {"limit": 1}}, [".max_per_second"]),
        ({"max_per_second": 1, "throttle": {"limit": 1}}, [".throttle"]),
        ({"concurrency": 1, "on_limit": "drop"}, [".on_limit"]),
        ({"concurrency": 1, "on_limit": "reschedule"}, [".on_limit"]),
        ({"concurrency": 1, "on_limit": None}, [".on_limit"]),
        ({"concurency": 1}, [".concurency"]),
        ({"key": 1, "concurrency": 0}, [".concurrency", ".key"]),
    ],
)
def test_a_broken_rule_in_meta_is_named(limit: Any, fields: list[str]) -> None:  # noqa: ANN401
    """By the path of the member; a member that nobody knows is a typing error, not a limit that is ignored."""
    assert broken(in_meta(limit)) == [f"{MEMBER}{field}" for field in fields]
