"""The options of a job, and its policies, in all their spellings."""

from typing import Any

import pytest
from google.protobuf.duration_pb2 import Duration
from google.protobuf.json_format import MessageToDict
from hypothesis import given, settings
from ojs_grpc_pb.v1.job_pb2 import EnqueueOptions, RateLimit, RetryPolicy, UniquePolicy

from ojs_grpc.codec.options import read_options, render_options
from ojs_grpc.codec.policies import render_rate_limit, render_retry, render_unique
from ojs_grpc.errors import InvalidRequest, InvalidRetryPolicy
from tests.codec.documents import NOW, PROTO_RATE_LIMITS, RETRY_POLICIES, UNIQUE_POLICIES


def read(**options: Any) -> tuple[EnqueueOptions, dict[str, str]]:  # noqa: ANN401 - any JSON value
    """The message, and what is kept beside it."""
    exact: dict[str, str] = {}
    message, unknown = read_options(options, NOW, exact)
    assert not unknown
    return message, exact


def broken(**options: Any) -> list[tuple[str, str]]:  # noqa: ANN401 - any JSON value
    """The rules that these options break."""
    with pytest.raises(InvalidRequest) as refusal:
        read(**options)
    return list(refusal.value.violations)


def test_unknown_options() -> None:
    """They are for the caller to keep."""
    assert read_options({"queue": "q", "x": 1}, NOW, {}) == (EnqueueOptions(queue="q"), {"x": 1})


def test_the_field_of_an_error() -> None:
    """It is where the caller says."""
    with pytest.raises(InvalidRequest, match=r"template\.options\.queue: must be a string"):
        read_options({"queue": 1}, NOW, {}, "template.options")
    with pytest.raises(InvalidRetryPolicy, match=r"template\.options\.retry\.jitter"):
        read_options({"retry": {"jitter": 1}}, NOW, {}, "template.options")


@pytest.mark.parametrize(("said", "priority"), [(5, 5), (-7.0, -7), ("HIGH", 10), ("NORMAL", 0), ("LOW", -10)])
def test_priorities(said: object, priority: int) -> None:
    """Numbers, and three names."""
    assert read(priority=said)[0].priority == priority


@pytest.mark.parametrize(
    "options",
    [
        {"scheduled_at": "2030-01-01T00:00:00Z"},
        {"delay_until": "2030-01-01T00:00:00Z"},
        {"scheduled_at": "2030-01-01T02:00:00+02:00", "delay_until": "2031-01-01T00:00:00Z"},
    ],
)
def test_when_a_job_runs(options: dict[str, Any]) -> None:
    """Under either name; the text is kept if it is not ours."""
    message, exact = read(**options)

    assert message.delay_until.ToJsonString() == "2030-01-01T00:00:00Z"
    assert exact == {"/scheduled_at": f'"{next(iter(options.values()))}"'}


@pytest.mark.parametrize("said", ["+PT2S", "PT2S", "2s", "2000ms"])
def test_when_a_job_runs_from_now(said: str) -> None:
    """The time is what is kept."""
    message, exact = read(scheduled_at=said)

    assert message.delay_until.ToMilliseconds() == NOW + 2000
    assert not exact


def test_a_time_of_ours_needs_no_text() -> None:
    """It comes back the same anyway."""
    assert read(scheduled_at="2030-01-01T00:00:00.000Z", expires_at="2030-01-01T00:00:00.000000001Z")[1] == {}


def test_the_epoch() -> None:
    """A time of zeros is a time."""
    message, _ = read(scheduled_at="1970-01-01T00:00:00Z", expires_at="1970-01-01T00:00:00Z")

    assert message.HasField("delay_until")
    assert message.HasField("expires_at")


def test_when_a_job_expires() -> None:
    """A time wins over a time to live, which a time from now is too."""
    assert read(expires_at="2030-01-01T00:00:00.000Z", ttl=5)[0] == EnqueueOptions(
        expires_at={"seconds": 1893456000}  # type: ignore[arg-type]
    )
    assert read(expires_at="+PT2S")[0] == EnqueueOptions(ttl=Duration(seconds=2))
    assert read(ttl="PT2S")[0] == read(ttl=2)[0] == read(ttl="2s")[0] == EnqueueOptions(ttl=Duration(seconds=2))


@pytest.mark.parametrize("name", ["timeout", "visibility_timeout"])
def test_timeouts(name: str) -> None:
    """Seconds, milliseconds or a text; zero is none."""
    field = getattr(EnqueueOptions, f"{name.upper()}_FIELD_NUMBER")
    spellings: list[dict[str, Any]] = [
        {name: 90},
        {f"{name}_ms": 90_000},
        {name: "PT1M30S"},
        {name: "90s"},
        {name: 5, f"{name}_ms": 90_000},
    ]

    for options in spellings:
        message, exact = read(**options)
        assert [(found.number, value.seconds) for found, value in message.ListFields()] == [(field, 90)]
        assert not exact
    assert read(**{name: 0})[0] == read(**{f"{name}_ms": 0})[0] == EnqueueOptions()


@pytest.mark.parametrize(
    ("options", "violation"),
    [
        ({"queue": ""}, ("options.queue", "must not be empty")),
        ({"queue": 5}, ("options.queue", "must be a string")),
        ({"priority": "5"}, ("options.priority", "must be a whole number from -2147483648 to 2147483647")),
        ({"priority": True}, ("options.priority", "must be a whole number from -2147483648 to 2147483647")),
        ({"priority": 2**31}, ("options.priority", "must be a whole number from -2147483648 to 2147483647")),
        ({"tags": "x"}, ("options.tags", "must be an array of strings")),
        ({"tags": [1]}, ("options.tags", "must be an array of strings")),
        ({"pending": 1}, ("options.pending", "must be true or false")),
        ({"trace_id": 1}, ("options.trace_id", "must be a string")),
        ({"delay_until": 5}, ("options.delay_until", "must be a string")),
        ({"expires_at": 5}, ("options.expires_at", "must be a string")),
        ({"scheduled_at": "+P9000Y"}, ("options.scheduled_at", "must be a day of the years 1 to 9999")),
        ({"scheduled_at": "0000-01-01T00:00:00Z"}, ("options.scheduled_at", "must be a day of the years 1 to 9999")),
        ({"expires_at": "+P99999Y"}, ("options.expires_at", "must be at most 10,000 years")),
        ({"ttl": -1}, ("options.ttl", "must not be negative")),
        ({"timeout": True}, ("options.timeout", "must be a duration, such as PT1S or 1s, or a number")),
        ({"timeout_ms": 10**30}, ("options.timeout_ms", "must be at most 10,000 years")),
        ({"visibility_timeout_ms": 0.5}, ("options.visibility_timeout_ms", "must be a whole number of milliseconds")),
        ({"unique": True}, ("options.unique", "must be an object")),
        ({"unique": {"keys": "type"}}, ("options.unique.keys", "must be an array of strings")),
        ({"unique": {"key": 5}}, ("options.unique.key", "must be an array of strings")),
        ({"unique": {"period": "x"}}, ("options.unique.period", "must be a duration, such as PT1S or 1s, or a number")),
        ({"unique": {"on_conflict": 1}}, ("options.unique.on_conflict", "must be a string")),
        ({"rate_limit": 5}, ("options.rate_limit", "must be an object")),
        ({"rate_limit": {"x": 5}}, ("options.rate_limit.x", "is no member of a rate limit")),
        ({"rate_limit": {"rate": {"x": 5}}}, ("options.rate_limit.rate.x", "is no member of a rate")),
        ({"rate_limit": {"rate": 5}}, ("options.rate_limit.rate", "must be an object")),
    ],
)
def test_broken_rules(options: dict[str, Any], violation: tuple[str, str]) -> None:
    """Each names the member and the rule."""
    assert broken(**options) == [violation]


# Retry


def test_a_retry_policy() -> None:
    """Each member has its field; what comes back the same needs no text."""
    said = {
        "max_attempts": 5,
        "initial_interval": "PT1S",
        "backoff_coefficient": 2.0,
        "max_interval": "PT5M",
        "jitter": False,
        "non_retryable_errors": ["a", "b.*"],
        "on_exhaustion": "dead_letter",
        "backoff_strategy": "linear",
    }

    message, exact = read(retry=said)

    assert message.retry == RetryPolicy(
        max_attempts=5,
        initial_interval=Duration(seconds=1),
        backoff_coefficient=2,
        max_interval=Duration(seconds=300),
        jitter=False,
        non_retryable_errors=["a", "b.*"],
        on_exhaustion="dead_letter",
        backoff_strategy="linear",
    )
    assert render_retry(message.retry) == said
    assert not exact


@pytest.mark.parametrize(
    ("alias", "said", "name", "rendered"),
    [
        ("initial_interval_ms", 1500, "initial_interval", "PT1.5S"),
        ("initial_delay_ms", 1000, "initial_interval", "PT1S"),
        ("initial_interval", "1s", "initial_interval", "PT1S"),
        ("initial_interval", 1, "initial_interval", "PT1S"),
        ("max_interval_ms", 1000, "max_interval", "PT1S"),
        ("multiplier", 3, "backoff_coefficient", 3),
        ("backoff_type", "none", "backoff_strategy", "none"),
        ("backoff", "none", "backoff_strategy", "none"),
        ("strategy", "none", "backoff_strategy", "none"),
    ],
)
def test_other_names_in_a_retry_policy(alias: str, said: object, name: str, rendered: object) -> None:
    """They are not kept: a job has one name for each."""
    message, exact = read(retry_policy={alias: said})

    assert render_retry(message.retry) == {name: rendered}
    assert not exact


@pytest.mark.parametrize(
    ("said", "kept"),
    [
        ({"initial_interval": "P1D"}, '{"initial_interval":"P1D"}'),
        ({"initial_interval": "PT0.00001S"}, None),
        ({"initial_interval": "PT60S", "x": 1}, '{"x":1,"initial_interval":"PT60S"}'),
        ({"x": None}, '{"x":null}'),
        ({"jitter": None}, None),
        ({"non_retryable_errors": []}, '{"non_retryable_errors":[]}'),
        ({}, None),
    ],
)
def test_what_a_retry_policy_cannot_say(said: dict[str, Any], kept: str | None) -> None:
    """The whole object is kept."""
    message, exact = read(retry=said)

    assert message.HasField("retry")
    assert exact == ({"/retry": kept} if kept else {})


def test_no_attempts_are_one() -> None:
    """Zero is no retry, and zero is shown; the policy's own number wins."""
    assert read(max_attempts=0) == (EnqueueOptions(max_attempts=1), {"/max_attempts": "0"})
    message, exact = read(retry={"max_attempts": 0}, max_attempts=7)
    assert (message.retry.max_attempts, message.max_attempts) == (1, 7)
    assert exact == {"/retry": '{"max_attempts":0}', "/max_attempts": "0"}
    assert read(retry={"max_attempts": 2}, max_attempts=0)[1] == {}
    assert read(retry={"jitter": True}, max_attempts=0)[1] == {"/max_attempts": "0"}


def test_negative_attempts_are_left_to_the_core() -> None:
    """It has the rule, and the error for it."""
    assert read(retry={"max_attempts": -1})[0].retry.max_attempts == -1


@given(RETRY_POLICIES)
def test_retry_policies_there_and_back(policy: RetryPolicy) -> None:
    """Whatever a client of protobuf says."""
    assert read(retry=render_retry(policy))[0].retry == policy


def test_a_zero_of_protobuf_is_no_zero_of_json() -> None:
    """There it is the default, here it would be no retry."""
    assert render_retry(RetryPolicy(max_attempts=0)) == {}


# Unique


@pytest.mark.parametrize(
    ("said", "key", "args_keys"),
    [
        ({"keys": ["type", "args"]}, ["type", "args"], []),
        ({"keys": []}, [], []),
        ({"key": ["type", "queue"]}, ["type", "queue"], []),
        ({"key": ["user_id"]}, ["type", "args"], ["user_id"]),
        ({"key": "user_id"}, ["type", "args"], ["user_id"]),
        ({"key": ["type", "user_id"]}, ["type", "args"], ["type", "user_id"]),
        ({"key": []}, ["type", "args"], []),
        ({"keys": ["queue"], "key": ["user_id"]}, ["queue"], []),
        ({}, [], []),
    ],
)
def test_what_makes_a_job_unique(said: dict[str, Any], key: list[str], args_keys: list[str]) -> None:
    """Parts of the job, or as some clients say it, members of its arguments."""
    policy = read(unique=said)[0].unique

    assert (list(policy.key), list(policy.args_keys)) == (key, args_keys)


def test_a_unique_policy() -> None:
    """Each member has its field; what comes back the same needs no text."""
    said = {
        "keys": ["type", "args", "meta"],
        "args_keys": ["a"],
        "meta_keys": ["b"],
        "period": "PT1H",
        "states": ["available", "discarded"],
        "on_conflict": "replace_except_schedule",
    }

    message, exact = read(unique=said)

    assert MessageToDict(message.unique, preserving_proto_field_name=True) == {
        "key": ["type", "args", "meta"],
        "args_keys": ["a"],
        "meta_keys": ["b"],
        "period": "3600s",
        "states": ["JOB_STATE_AVAILABLE", "JOB_STATE_DISCARDED"],
        "on_conflict": "UNIQUE_CONFLICT_ACTION_REPLACE_EXCEPT_SCHEDULE",
    }
    assert render_unique(message.unique) == said
    assert not exact


def test_other_names_in_a_unique_policy() -> None:
    """They are not kept."""
    message, exact = read(unique={"period_ms": 1000, "on_conflict": "use_existing", "key": ["a"]})

    assert render_unique(message.unique) == {
        "keys": ["type", "args"],
        "args_keys": ["a"],
        "period": "PT1S",
        "on_conflict": "ignore",
    }
    assert not exact


def test_what_a_unique_policy_cannot_say() -> None:
    """The whole object is kept."""
    assert read(unique={"period": "P1D", "x": 1})[1] == {"/unique": '{"x":1,"period":"P1D"}'}


def test_states_and_actions_that_are_none() -> None:
    """In lower case, as the spec has them."""
    fields = [field for field, _ in broken(unique={"states": ["ACTIVE"], "on_conflict": "explode"})]

    assert fields == ["options.unique.states", "options.unique.on_conflict"]


@given(UNIQUE_POLICIES)
@settings(max_examples=50)
def test_unique_policies_there_and_back(policy: UniquePolicy) -> None:
    """Whatever a client of protobuf says."""
    assert read(unique=render_unique(policy))[0].unique == policy


# Rate limits


def test_a_rate_limit() -> None:
    """Each member has its field."""
    said = {"key": "k", "concurrency": 2, "rate": {"limit": 5, "period": "PT1M"}}

    message, exact = read(rate_limit=said)

    assert message.rate_limit == RateLimit(
        key="k", concurrency=2, rate=RateLimit.Rate(limit=5, period=Duration(seconds=60))
    )
    assert render_rate_limit(message.rate_limit) == said
    assert not exact


def test_a_rate_in_short() -> None:
    """It comes back as it was said."""
    message, exact = read(rate_limit={"max_per_second": 5, "on_limit": "wait"})

    assert message.rate_limit == RateLimit(rate=RateLimit.Rate(limit=5))
    assert exact == {"/rate_limit": '{"max_per_second":5,"on_limit":"wait"}'}


@pytest.mark.parametrize(
    ("limit", "member"),
    [
        ({"concurrency": 0}, "concurrency"),
        ({"max_per_second": 0}, "max_per_second"),
        ({"max_per_second": 1, "rate": {"limit": 1}}, "max_per_second"),
        ({"rate": {"limit": 100_001}}, "rate.limit"),
        ({"throttle": {"limit": 1, "period": "x"}}, "throttle.period"),
        ({"key": 5}, "key"),
    ],
)
def test_a_rate_limit_that_is_none(limit: dict[str, Any], member: str) -> None:
    """Numbers are positive, and there is one rate."""
    assert [field for field, _ in broken(rate_limit=limit)] == [f"options.rate_limit.{member}"]


def test_a_job_that_would_not_wait() -> None:
    """There is nothing else that it can do."""
    assert [field for field, _ in broken(rate_limit={"on_limit": "drop"})] == ["options.rate_limit.on_limit"]


@given(PROTO_RATE_LIMITS)
@settings(max_examples=50)
def test_rate_limits_there_and_back(limit: RateLimit) -> None:
    """Whatever a client of protobuf says."""
    assert read(rate_limit=render_rate_limit(limit))[0].rate_limit == limit


# Rendering


def test_all_options_there_and_back() -> None:
    """Read again, they are the same message."""
    options = EnqueueOptions(
        queue="q",
        priority=-3,
        delay_until={"seconds": 5, "nanos": 1},  # type: ignore[arg-type]
        timeout=Duration(seconds=1, nanos=1),
        retry=RetryPolicy(),
        unique=UniquePolicy(),
        ttl=Duration(seconds=5),
        tags=["a"],
        trace_id="t",
        max_attempts=4,
        visibility_timeout=Duration(seconds=1),
        pending=True,
        rate_limit=RateLimit(concurrency=1),
    )
    options.meta.update({"a": 1})

    assert read(**render_options(options)) == (options, {})
