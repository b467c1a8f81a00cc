"""Retries: the effective policy, its rules, the delay, and where a failed attempt leaves its job."""

import math
import random
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise

import pytest
from google.protobuf.duration_pb2 import Duration
from hypothesis import given
from hypothesis import strategies as st
from ojs_grpc_pb.v1.job_pb2 import JobError, RetryPolicy

from ojs_grpc.core import retry
from ojs_grpc.core.duration import to_duration
from ojs_grpc.core.retry import Outcome, Policy

INT32 = st.integers(-(2**31), 2**31 - 1)
STRATEGIES = ["exponential", "linear", "constant", "none", "polynomial"]
# Valid ones and all kinds of broken ones.
DURATIONS = (
    st.integers(1, 10**7).map(to_duration)
    | st.just(Duration())
    | st.builds(Duration, seconds=st.integers(-(2**63), 2**63 - 1), nanos=INT32)
)
MESSAGES = st.builds(
    RetryPolicy,
    max_attempts=st.none() | st.integers(0, 5) | INT32,
    initial_interval=st.none() | DURATIONS,
    backoff_coefficient=st.sampled_from([0.0, 0.5, 1.0, 2.0]) | st.floats(),
    max_interval=st.none() | DURATIONS,
    jitter=st.none() | st.booleans(),
    non_retryable_errors=st.lists(st.sampled_from(["", "auth.*", "Fatal"]), max_size=2),
    on_exhaustion=st.sampled_from(["", "discard", "dead_letter", "retry"]),
    backoff_strategy=st.sampled_from(["", *STRATEGIES, "fibonacci"]),
)
# Effective policies: what `resolve` may give.
POLICIES = st.builds(
    lambda initial, more, **fields: Policy(initial_ms=initial, max_ms=initial + more, **fields),
    st.integers(1, 10**14),
    st.integers(0, 10**14),
    coefficient=st.floats(1.0, 10.0) | st.floats(1.0, allow_infinity=False),
    jitter=st.booleans(),
    strategy=st.sampled_from(STRATEGIES),
)


def constantly(value: float) -> Callable[[], float]:
    """A source of random numbers that are always the same."""
    return lambda: value


def never() -> float:
    """A source of random numbers that nobody may ask."""
    pytest.fail("a delay without jitter needs no random number")


def seconds(value: float) -> Duration:
    """A duration of so many seconds."""
    return to_duration(round(value * 1000))


def failure(
    code: str = "handler_error", *, retryable: bool | None = None, **details: str | float | list[str] | None
) -> JobError:
    """An error as reported; a double underscore in a detail's name stands for a dot."""
    error = JobError(code=code, retryable=retryable)
    if details:
        error.details.update({name.replace("__", "."): value for name, value in details.items()})
    return error


# The effective policy


def test_no_policy_means_the_defaults_of_the_spec() -> None:
    """Three attempts, 1 s doubling up to 5 min, jitter on, discarded in the end."""
    assert retry.resolve(None, 0) == Policy(
        max_attempts=3,
        initial_ms=1_000,
        coefficient=2.0,
        max_ms=300_000,
        jitter=True,
        non_retryable=(),
        on_exhaustion="discard",
        strategy="exponential",
    )


@pytest.mark.parametrize(
    "message",
    [
        RetryPolicy(),
        RetryPolicy.FromString(b""),
        RetryPolicy(initial_interval=Duration(), max_interval=Duration(), backoff_coefficient=0.0, max_attempts=0),
    ],
)
@pytest.mark.parametrize("shorthand", [0, 7])
def test_an_all_zero_policy_is_an_absent_one(message: RetryPolicy, shorthand: int) -> None:
    """Some clients send an empty message whatever the caller asked for."""
    assert retry.resolve(message, shorthand) == retry.resolve(None, shorthand)


@pytest.mark.parametrize(
    ("message", "changed"),
    [
        (RetryPolicy(max_attempts=7), {"max_attempts": 7}),
        (RetryPolicy(initial_interval=seconds(2.5)), {"initial_ms": 2_500}),
        (RetryPolicy(initial_interval=Duration(nanos=1)), {"initial_ms": 1}),
        (RetryPolicy(backoff_coefficient=1.0), {"coefficient": 1.0}),
        (RetryPolicy(max_interval=seconds(10)), {"max_ms": 10_000}),
        (RetryPolicy(jitter=False), {"jitter": False}),
        (RetryPolicy(jitter=True), {}),
        (RetryPolicy(non_retryable_errors=["a", "b.*"]), {"non_retryable": ("a", "b.*")}),
        (RetryPolicy(on_exhaustion="dead_letter"), {"on_exhaustion": "dead_letter"}),
        (RetryPolicy(backoff_strategy="linear"), {"strategy": "linear"}),
    ],
)
def test_a_partial_policy_merges_field_by_field(message: RetryPolicy, changed: dict[str, object]) -> None:
    """One field set leaves all others at their defaults, with or without a trip over the wire."""
    expected = Policy(**changed)  # type: ignore[arg-type]

    assert retry.resolve(message, 0) == expected
    assert retry.resolve(RetryPolicy.FromString(message.SerializeToString()), 0) == expected


@pytest.mark.parametrize(
    ("own", "shorthand", "default", "effective"),
    [
        (5, 7, 9, 5),
        (0, 7, 9, 7),
        (None, 7, 9, 7),
        (0, 0, 9, 9),
        (None, 0, 9, 9),
        (0, 0, 0, 3),
        (None, 0, 0, 3),
        (1, 0, 9, 1),
        (5, 0, 9, 5),
    ],
)
def test_who_wins_over_max_attempts(own: int | None, shorthand: int, default: int, effective: int) -> None:
    """The policy's own number, else the shorthand, else the default, else 3; zero is nobody's word."""
    assert retry.resolve(RetryPolicy(max_attempts=own), shorthand, default).max_attempts == effective


@pytest.mark.parametrize(("shorthand", "default", "effective"), [(7, 9, 7), (0, 9, 9), (0, 0, 3)])
def test_who_wins_over_max_attempts_without_a_policy(shorthand: int, default: int, effective: int) -> None:
    """The shorthand, else the default, else 3; everything else stays default."""
    assert retry.resolve(None, shorthand, default) == Policy(max_attempts=effective)


@given(st.none() | st.builds(RetryPolicy, max_attempts=st.none() | st.integers(-3, 3) | INT32), INT32, INT32)
def test_attempts_are_never_unlimited(message: RetryPolicy | None, shorthand: int, default: int) -> None:
    """Whatever numbers are sent, some attempt from the first on is the last."""
    policy = retry.resolve(message, shorthand, default)

    assert policy.max_attempts >= 1
    assert retry.decide(policy, policy.max_attempts, failure()) is Outcome.DISCARD


# Its rules


@pytest.mark.parametrize(
    "message",
    [
        RetryPolicy(),
        RetryPolicy(max_attempts=0),
        RetryPolicy(max_attempts=1),
        RetryPolicy(backoff_coefficient=1.0),
        RetryPolicy(backoff_coefficient=1e308),
        RetryPolicy(initial_interval=Duration(nanos=1)),
        RetryPolicy(initial_interval=Duration(), max_interval=Duration()),
        RetryPolicy(initial_interval=seconds(300)),
        RetryPolicy(max_interval=seconds(1)),
        RetryPolicy(initial_interval=seconds(600), max_interval=seconds(600)),
        RetryPolicy(initial_interval=seconds(0.01), max_interval=seconds(0.02)),
        RetryPolicy(non_retryable_errors=["Fatal", "auth.*", "*"]),
        *(RetryPolicy(on_exhaustion=word) for word in ("", "discard", "dead_letter")),
        *(RetryPolicy(backoff_strategy=word) for word in ("", *STRATEGIES)),
    ],
)
def test_a_policy_within_its_rules_is_accepted(message: RetryPolicy) -> None:
    """The ends of every range belong to it, and zero means absent."""
    assert retry.violations(message, "options.retry") == []


@pytest.mark.parametrize(
    ("message", "field", "rule"),
    [
        (RetryPolicy(max_attempts=-1), "max_attempts", "must not be negative"),
        *(
            (RetryPolicy(backoff_coefficient=value), "backoff_coefficient", "must be a finite number of at least 1.0")
            for value in (0.999, 5e-324, -1.0, math.nan, math.inf, -math.inf)
        ),
        (RetryPolicy(initial_interval=seconds(-1)), "initial_interval", "must be greater than zero"),
        (RetryPolicy(initial_interval=Duration(nanos=-1)), "initial_interval", "must be greater than zero"),
        (RetryPolicy(max_interval=seconds(-1)), "max_interval", "must be greater than zero"),
        (
            RetryPolicy(initial_interval=Duration(seconds=1, nanos=-1)),
            "initial_interval",
            "seconds and nanos must have the same sign",
        ),
        (
            RetryPolicy(max_interval=Duration(nanos=2 * 10**9)),
            "max_interval",
            "nanos must be from -999999999 to 999999999",
        ),
        (
            RetryPolicy(initial_interval=seconds(600)),
            "initial_interval",
            "must be at most max_interval, which is 300.0 s",
        ),
        (
            RetryPolicy(max_interval=seconds(0.5)),
            "max_interval",
            "must be at least initial_interval, which is 1.0 s",
        ),
        (
            RetryPolicy(initial_interval=seconds(20), max_interval=seconds(10)),
            "max_interval",
            "must be at least initial_interval, which is 20.0 s",
        ),
        (RetryPolicy(on_exhaustion="Discard"), "on_exhaustion", "must be one of discard, dead_letter"),
        (
            RetryPolicy(backoff_strategy="fibonacci"),
            "backoff_strategy",
            "must be one of exponential, linear, constant, none, polynomial",
        ),
    ],
)
def test_a_broken_rule_is_named_with_its_field(message: RetryPolicy, field: str, rule: str) -> None:
    """The caller learns which field to change, and how; intervals are compared after the defaults are merged."""
    assert retry.violations(message, "options.retry") == [(f"options.retry.{field}", rule)]


def test_all_broken_rules_are_named_at_once() -> None:
    """Nobody has to send a request five times to learn of five mistakes; the path is the caller's."""
    message = RetryPolicy(
        max_attempts=-1,
        initial_interval=seconds(-1),
        backoff_coefficient=0.5,
        max_interval=seconds(-1),
        non_retryable_errors=["", ""],
        on_exhaustion="x",
        backoff_strategy="y",
    )

    fields = [
        violation.field.removeprefix("jobs[3].options.retry.")
        for violation in retry.violations(message, "jobs[3].options.retry")
    ]

    assert fields == [
        "max_attempts",
        "backoff_coefficient",
        "initial_interval",
        "max_interval",
        "non_retryable_errors[0]",
        "on_exhaustion",
        "backoff_strategy",
    ]


@given(MESSAGES, INT32, st.integers(1, 2**31 - 1))
def test_what_breaks_no_rule_becomes_a_sound_policy(message: RetryPolicy, shorthand: int, number: int) -> None:
    """Any message is either refused with reasons or resolved into a policy whose delays can be computed."""
    before = message.SerializeToString(deterministic=True)

    if not retry.violations(message, "retry"):
        policy = retry.resolve(message, shorthand)
        assert policy.max_attempts >= 1
        assert 0 < policy.initial_ms <= policy.max_ms
        assert 1.0 <= policy.coefficient < math.inf
        assert policy.on_exhaustion in {"discard", "dead_letter"}
        assert policy.strategy in STRATEGIES
        assert all(policy.non_retryable)
        assert 0 <= retry.delay_ms(policy, number, random.random) <= policy.max_ms

    assert message.SerializeToString(deterministic=True) == before


# The delay


@pytest.mark.parametrize(
    ("strategy", "coefficient", "delays"),
    [
        ("exponential", 2.0, [1000, 2000, 4000, 8000, 10_000, 10_000]),
        ("exponential", 1.0, [1000, 1000, 1000]),
        ("exponential", 1.1, [1000, 1100, 1210, 1331]),
        ("linear", 4.0, [1000, 2000, 3000, 4000]),
        ("constant", 4.0, [1000, 1000, 1000]),
        ("none", 4.0, [1000, 1000, 1000]),
        ("polynomial", 2.0, [1000, 4000, 9000, 10_000]),
        ("polynomial", 1.5, [1000, 2828, 5196]),
    ],
)
def test_each_strategy_has_its_formula(strategy: str, coefficient: float, delays: list[int]) -> None:
    """The first retry waits the initial interval; the cap ends every growth."""
    policy = Policy(initial_ms=1000, max_ms=10_000, coefficient=coefficient, strategy=strategy, jitter=False)

    assert [retry.delay_ms(policy, number, never) for number in range(1, len(delays) + 1)] == delays


@pytest.mark.parametrize(("draw", "delay"), [(0.0, 1000), (0.25, 1500), (0.5, 2000), (0.999, 2998)])
def test_jitter_multiplies_by_half_to_one_and_a_half(draw: float, delay: int) -> None:
    """Far from the cap the whole range from 0.5 to 1.5 is used."""
    assert retry.delay_ms(Policy(initial_ms=2000), 1, constantly(draw)) == delay


@pytest.mark.parametrize(("draw", "delay"), [(0.0, 5000), (0.25, 7500), (0.5, 10_000), (0.75, 10_000), (0.999, 10_000)])
def test_jitter_spreads_the_capped_delay_and_is_capped_again(draw: float, delay: int) -> None:
    """A delay far above the cap is cut before it is spread: otherwise jitter would have no effect there."""
    assert retry.delay_ms(Policy(initial_ms=1000, max_ms=10_000), 30, constantly(draw)) == delay


def test_at_the_cap_half_of_the_delays_are_the_cap() -> None:
    """Over evenly spread draws: half the mass on the cap, the other half even between half the cap and the cap."""
    policy = Policy(initial_ms=1000, max_ms=1000)

    delays = [retry.delay_ms(policy, 1, constantly(step / 1000)) for step in range(1000)]

    assert delays[500:] == [1000] * 500
    assert delays[:500] == list(range(500, 1000))


def test_a_delay_is_never_negative() -> None:
    """Zero is the floor, and a delay that rounds to zero is allowed."""
    assert retry.delay_ms(Policy(initial_ms=-5, jitter=False), 1, never) == 0
    assert retry.delay_ms(Policy(initial_ms=1), 1, constantly(0.0)) == 0


@given(POLICIES, st.integers(1, 2**31 - 1), st.floats(0, 1, exclude_max=True))
def test_a_delay_stays_within_its_bounds(policy: Policy, number: int, draw: float) -> None:
    """For any policy, retry and draw: an int, never above the cap, never below half the initial interval."""
    delay = retry.delay_ms(policy, number, constantly(draw))

    assert type(delay) is int
    assert math.floor(policy.initial_ms / 2) <= delay <= policy.max_ms


@given(POLICIES, st.integers(1, 2000), st.floats(0, 1, exclude_max=True))
def test_jitter_moves_a_delay_by_at_most_half(policy: Policy, number: int, draw: float) -> None:
    """Compared with the same delay without jitter."""
    plain = retry.delay_ms(replace(policy, jitter=False), number, never)
    spread = retry.delay_ms(replace(policy, jitter=True), number, constantly(draw))

    assert spread == pytest.approx(min(plain * (0.5 + draw), policy.max_ms), rel=1e-9, abs=1)


@given(POLICIES, st.integers(1, 2000))
def test_delays_never_shrink_from_retry_to_retry(policy: Policy, number: int) -> None:
    """Without jitter each strategy grows or stays."""
    policy = replace(policy, jitter=False)

    delays = [retry.delay_ms(policy, number + step, never) for step in range(5)]

    assert all(earlier <= later for earlier, later in pairwise(delays))


@pytest.mark.parametrize("strategy", ["exponential", "polynomial"])
@pytest.mark.parametrize("coefficient", [2.0, 1e308])
@pytest.mark.parametrize("number", [1025, 2**31 - 1])
@pytest.mark.parametrize("jitter", [True, False])
def test_a_delay_too_large_for_a_float_is_the_cap(
    strategy: str,
    coefficient: float,
    number: int,
    jitter: bool,  # noqa: FBT001 - a parameter of the test
) -> None:
    """Neither an overflow nor an infinity gets out."""
    longest = 315_576_000_000_000
    policy = Policy(coefficient=coefficient, max_ms=300_000, strategy=strategy, jitter=jitter, initial_ms=300_000)
    huge = Policy(coefficient=coefficient, initial_ms=longest, max_ms=longest, strategy=strategy, jitter=jitter)

    assert retry.delay_ms(policy, number, constantly(0.5)) == 300_000
    assert retry.delay_ms(huge, number, constantly(0.5)) == longest


# Non-retryable errors


@pytest.mark.parametrize(
    ("pattern", "name"),
    [
        ("Fatal", "Fatal"),
        ("auth.*", "auth.expired"),
        ("auth.*", "auth.token.expired"),
        ("auth.token.*", "auth.token.expired"),
        ("Auth.*", "Auth.TokenExpired"),
        ("a.b", "a.b"),
        ("*", "*"),
        ("auth.*", "auth.*"),
    ],
)
def test_a_pattern_is_an_exact_name_or_a_prefix(pattern: str, name: str) -> None:
    """Whichever of the three names of the error it is."""
    assert retry.matches([pattern], name, "", "")
    assert retry.matches(["other", pattern], "x", name, "y")
    assert retry.matches([pattern, "other"], "x", "y", name)


@pytest.mark.parametrize(
    ("pattern", "name"),
    [
        ("Fatal", "fatal"),
        ("Fatal", "FatalError"),
        ("Fatal", "NotFatal"),
        ("auth.*", "auth"),
        ("auth.*", "authX"),
        ("auth.*", "authXexpired"),
        ("auth.*", "Auth.expired"),
        ("auth.*", "external.auth.x"),
        ("a.b", "aXb"),
        ("Auth*", "AuthError"),
        ("*.expired", "auth.expired"),
        ("auth.*.x", "auth.y.x"),
        ("*", "anything"),
        (".*", "anything"),
        ("[a-z]+", "abc"),
        ("", ""),
        ("", "anything"),
    ],
)
def test_a_pattern_is_nothing_else(pattern: str, name: str) -> None:
    """No regular expressions, no other wildcards, no folding of case."""
    assert not retry.matches([pattern], name, name, name)


@given(st.lists(st.text()), st.text(), st.text(), st.text())
def test_matching_is_by_name_or_prefix_whatever_the_characters(
    patterns: list[str], error_type: str, code: str, error_class: str
) -> None:
    """Agrees with the rule said in another way, and absent names match nothing."""
    names = {error_type, code, error_class} - {""}
    expected = any(
        name == pattern or (pattern[-2:] == ".*" and name[: len(pattern) - 1] == pattern[:-1])
        for pattern in patterns
        for name in names
    )

    assert retry.matches(patterns, error_type, code, error_class) is expected


@given(st.text(min_size=1), st.text())
def test_a_prefix_covers_everything_below_it(prefix: str, rest: str) -> None:
    """The text of the prefix itself is taken literally."""
    assert retry.matches([f"{prefix}.*"], "", f"{prefix}.{rest}", "")
    assert retry.matches([prefix], "", "", prefix)


# The decision


POLICY = Policy(max_attempts=3, non_retryable=("Fatal", "auth.*"))


@pytest.mark.parametrize(
    ("attempt", "outcome"),
    [(1, Outcome.RETRY), (2, Outcome.RETRY), (3, Outcome.DISCARD), (4, Outcome.DISCARD), (0, Outcome.RETRY)],
)
def test_attempts_are_retried_until_the_last(attempt: int, outcome: Outcome) -> None:
    """Three attempts mean two retries."""
    assert retry.decide(POLICY, attempt, failure()) is outcome


def test_a_single_attempt_is_never_retried() -> None:
    """One attempt is how a producer says: no retry."""
    assert retry.decide(Policy(max_attempts=1), 1, failure()) is Outcome.DISCARD


@pytest.mark.parametrize(
    "error",
    [
        failure(retryable=False),
        failure(ojs__retryable=False),
        failure(retryable=True, ojs__retryable=False),
        failure("Fatal"),
        failure("auth.expired"),
        failure(ojs__type="Fatal"),
        failure(ojs__type="auth.expired"),
        failure(error_class="Fatal"),
        failure(error_class="auth.token.expired"),
        failure("auth.expired", retryable=True),
        failure("RETRY", retryable=False),
        failure(ojs__response="RETRY", ojs__type="Fatal"),
        failure(type="Fatal"),
        JobError(code="handler_error", type="auth.expired"),
    ],
)
@pytest.mark.parametrize(
    ("on_exhaustion", "outcome"), [("discard", Outcome.DISCARD), ("dead_letter", Outcome.DEAD_LETTER)]
)
def test_a_final_error_ends_the_job_as_the_policy_says(error: JobError, on_exhaustion: str, outcome: Outcome) -> None:
    """The handler's word or a pattern ends it on the first attempt; RETRY asks for no more than the policy."""
    policy = Policy(max_attempts=3, non_retryable=("Fatal", "auth.*"), on_exhaustion=on_exhaustion)

    assert retry.decide(policy, 1, error) is outcome


@pytest.mark.parametrize(
    "error",
    [
        JobError(),
        failure(),
        failure(retryable=True),
        failure(ojs__retryable=True),
        failure(ojs__retryable=None),
        failure(ojs__retryable=0),
        failure(ojs__retryable="false"),
        failure("RETRY"),
        failure(ojs__response="RETRY"),
        failure("discard"),
        failure("Dead_Letter"),
        failure("DISCARDED"),
        failure(ojs__response="fail"),
        failure(ojs__response=True),
        failure(ojs__response=["DISCARD"]),
        failure(error_class=7, ojs__type=None),
        failure(message="Fatal", response="DISCARD", retryable_="false"),
    ],
)
def test_anything_else_is_left_to_the_policy(error: JobError) -> None:
    """An unset flag, words in another case and details of another kind decide nothing; the last attempt still does."""
    assert retry.decide(POLICY, 1, error) is Outcome.RETRY
    assert retry.decide(POLICY, 3, error) is Outcome.DISCARD


def test_a_flag_that_stock_clients_cannot_set_is_not_false() -> None:
    """Bytes without the field, as clients without the `optional` label send them, are retried."""
    error = JobError.FromString(b"\x0a\x0dhandler_error")

    assert retry.decide(POLICY, 1, error) is Outcome.RETRY


RESPONSES = [("DISCARD", Outcome.DISCARD), ("FAIL", Outcome.DISCARD), ("DEAD_LETTER", Outcome.DEAD_LETTER)]


@pytest.mark.parametrize(("word", "outcome"), RESPONSES)
@pytest.mark.parametrize("on_exhaustion", ["discard", "dead_letter"])
@pytest.mark.parametrize("attempt", [1, 3])
@pytest.mark.parametrize("requeue", [True, False])
@pytest.mark.parametrize("retryable", [True, False, None])
def test_a_reserved_word_beats_everything(
    word: str,
    outcome: Outcome,
    on_exhaustion: str,
    attempt: int,
    requeue: bool,  # noqa: FBT001 - a parameter of the test
    retryable: bool | None,  # noqa: FBT001 - same
) -> None:
    """In the code or in the details: policy, attempts left, release and flag have no say."""
    policy = Policy(max_attempts=3, on_exhaustion=on_exhaustion)

    for error in (failure(word, retryable=retryable), failure(retryable=retryable, ojs__response=word)):
        assert retry.decide(policy, attempt, error, requeue=requeue) is outcome


@pytest.mark.parametrize(
    ("code", "response", "outcome"),
    [
        ("DISCARD", "DEAD_LETTER", Outcome.DEAD_LETTER),
        ("DEAD_LETTER", "FAIL", Outcome.DISCARD),
        ("DISCARD", "RETRY", Outcome.RETRY),
        ("RETRY", "DISCARD", Outcome.DISCARD),
        ("DISCARD", "no such word", Outcome.DISCARD),
        ("DEAD_LETTER", "", Outcome.DEAD_LETTER),
    ],
)
def test_the_details_speak_before_the_code(code: str, response: str, outcome: Outcome) -> None:
    """There a word was meant as one, while a code may be the name of an error; other text is no word."""
    assert retry.decide(POLICY, 1, failure(code, ojs__response=response)) is outcome


@pytest.mark.parametrize(
    "error", [failure(), failure(retryable=False), failure("Fatal"), failure(ojs__response="RETRY"), JobError()]
)
@pytest.mark.parametrize("attempt", [1, 3, 4])
def test_a_release_is_no_failure(error: JobError, attempt: int) -> None:
    """A job that is given back is neither judged by its error nor out of attempts."""
    assert retry.decide(POLICY, attempt, error, requeue=True) is Outcome.RELEASE


@pytest.mark.parametrize(
    ("on_exhaustion", "outcome"), [("discard", Outcome.DISCARD), ("dead_letter", Outcome.DEAD_LETTER)]
)
def test_only_the_policy_makes_an_exhausted_job_a_dead_letter(on_exhaustion: str, outcome: Outcome) -> None:
    """The default is to discard, and then nobody finds the job among the dead letters."""
    policy = Policy(on_exhaustion=on_exhaustion)

    assert retry.exhaust(policy) is outcome
    assert retry.decide(policy, 3, failure()) is outcome
    assert retry.exhaust(Policy()) is Outcome.DISCARD


@pytest.mark.parametrize("error", [JobError(), failure(), failure(error_class="X")])
def test_reading_an_error_does_not_change_it(error: JobError) -> None:
    """A protobuf map grows when a missing key is looked up the wrong way, and the error is stored afterwards."""
    before = error.SerializeToString()

    retry.decide(POLICY, 1, error)

    assert error.SerializeToString() == before
    assert not error.HasField("details") or "ojs.type" not in error.details.fields


def test_countless_empty_names() -> None:
    """The first one is told of."""
    policy = RetryPolicy(non_retryable_errors=["a", *[""] * 100_000])

    assert [field for field, _ in retry.violations(policy, "retry")] == ["retry.non_retryable_errors[1]"]
