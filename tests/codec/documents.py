"""Strategies for what clients send as JSON, and for jobs as the engine keeps them."""

from typing import Any

from google.protobuf.duration_pb2 import Duration
from google.protobuf.struct_pb2 import ListValue, Struct, Value
from google.protobuf.timestamp_pb2 import Timestamp
from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy
from ojs_grpc_pb.v1.job_pb2 import Job, JobError, JobState, RateLimit, RetryPolicy, UniqueConflictAction, UniquePolicy
from ojs_grpc_pb.v1.workflow_pb2 import CreateWorkflowRequest

from ojs_grpc.codec import workflow
from ojs_grpc.core import states
from ojs_grpc.core.attributes import KNOWN
from ojs_grpc.core.duration import to_duration

NOW = 1_900_000_000_123

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
NAMES = st.one_of(TEXTS, st.sampled_from(["a/b", "a~b", "~1", "", "0", "id"]))
WORDS = st.text("abcxyz", min_size=1, max_size=5)
# Whole numbers that are no doubles, in the form of an integer, and doubles whose shortest form is no integer.
FLOATS = st.floats(allow_nan=False, allow_infinity=False).filter(
    lambda number: not number.is_integer() or abs(number) >= 1e21 or str(number) == "-0.0"
)
SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.integers(-(2**70), 2**70),
    st.sampled_from([2**53 + 1, -(2**53) - 1, 2**63, 10**21, 10**22 + 1, -(10**21), 10**40]),
    FLOATS,
    TEXTS,
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3),
    max_leaves=6,
)
OBJECTS = st.dictionaries(NAMES, VALUES, max_size=3)

SHORT_DURATIONS = st.sampled_from(["PT1S", "PT0.5S", "PT90S", "PT5M", "PT0.0001S"])
ISO_DURATIONS = SHORT_DURATIONS | st.sampled_from(["P1D", "P1DT1H", "PT1H30M", "P2W", "P1M"])
LONG_DURATIONS = st.sampled_from(["PT10M", "P1D", "P1Y", "PT600S", "PT1H"])
TIMES = st.one_of(
    st.sampled_from(
        [
            *("2030-01-01T00:00:00Z", "2030-01-01T00:00:00.000Z", "2030-01-01t00:00:00.1z"),
            *("2031-02-28T23:59:59.123456789+02:00", "2031-02-28T23:59:59.1234567891-00:00", "2020-01-01T00:00:00Z"),
        ]
    ),
    st.datetimes().map(lambda time: f"{max(time.year, 3):04}-{time:%m-%dT%H:%M:%S.%f}-05:30"),
).filter(lambda text: not text.startswith("9999-12-31"))


def read_workflow(document: dict[str, Any], now: int) -> CreateWorkflowRequest:
    """The workflow, read without a pause."""
    steps = workflow.read_workflow(document, now)
    while True:
        try:
            next(steps)
        except StopIteration as end:
            request: CreateWorkflowRequest = end.value
            return request


def said(document: Any) -> str:  # noqa: ANN401 - any JSON value
    """A text that tells 1 from true and 0.0 from -0.0, whatever the order of members."""
    if type(document) is dict:
        return f"{{{','.join(sorted(f'{name!r}:{said(member)}' for name, member in document.items()))}}}"
    if type(document) is list:
        return f"[{','.join(map(said, document))}]"
    return repr(document)


def objects_of(**members: SearchStrategy[Any]) -> SearchStrategy[dict[str, Any]]:
    """Objects with any of these members."""
    return st.fixed_dictionaries({}, optional=members)


def _merged(*parts: SearchStrategy[dict[str, Any]]) -> SearchStrategy[dict[str, Any]]:
    return st.tuples(*parts).map(lambda found: {name: value for part in found for name, value in part.items()})


UNKNOWN_IN_POLICY = st.dictionaries(WORDS.map(lambda word: f"x_{word}"), VALUES, max_size=1)

RETRIES = _merged(
    UNKNOWN_IN_POLICY,
    objects_of(
        max_attempts=st.integers(0, 100),
        initial_interval=SHORT_DURATIONS,
        backoff_coefficient=st.integers(1, 10) | st.floats(1.1, 9.9).filter(lambda number: not number.is_integer()),
        max_interval=LONG_DURATIONS,
        jitter=st.booleans(),
        non_retryable_errors=st.lists(WORDS, max_size=2),
        on_exhaustion=st.sampled_from(["discard", "dead_letter"]),
        backoff_strategy=st.sampled_from(["exponential", "linear", "none", "constant", "polynomial"]),
    ),
)
UNIQUES = _merged(
    UNKNOWN_IN_POLICY,
    objects_of(
        keys=st.lists(st.sampled_from(["type", "queue", "args"]), max_size=3),
        period=ISO_DURATIONS,
        states=st.lists(st.sampled_from([states.state_name(state) for state in states.ALL]), unique=True),
        on_conflict=st.sampled_from(["reject", "replace", "ignore", "replace_except_schedule"]),
    ),
)
RATES = st.fixed_dictionaries({"limit": st.integers(1, 1000)}, optional={"period": LONG_DURATIONS})
RATE_LIMITS = st.one_of(
    st.fixed_dictionaries({"concurrency": st.integers(1, 9)}, optional={"key": WORDS, "rate": RATES}),
    st.fixed_dictionaries({"throttle": RATES}, optional={"on_limit": st.just("wait")}),
    st.fixed_dictionaries({"max_per_second": st.integers(1, 9)}),
)
UNKNOWN = st.dictionaries(NAMES.filter(lambda name: name not in KNOWN), VALUES, max_size=2)

ATTRIBUTES = objects_of(
    queue=WORDS,
    meta=OBJECTS,
    priority=st.integers(-100, 100),
    timeout_ms=st.integers(1, 10_000_000),
    visibility_timeout_ms=st.integers(1, 10_000_000),
    scheduled_at=TIMES,
    expires_at=TIMES,
    retry=RETRIES,
    unique=UNIQUES,
    rate_limit=RATE_LIMITS,
    tags=st.lists(WORDS, unique=True, min_size=1, max_size=3),
    trace_id=WORDS,
)
"""What may stand in `options` or beside it, as we write it."""

JOBS = st.fixed_dictionaries(
    {"type": WORDS, "args": st.lists(VALUES, max_size=3)},
    optional={"schema": WORDS, "id": st.just("01970000-0000-7000-8000-000000000000"), "specversion": st.just("1.0")},
)


def _timestamps() -> SearchStrategy[Timestamp]:
    seconds = st.integers(-62_135_596_800, 253_402_300_799)
    nanos = st.sampled_from([0, 1, 999_999_999]) | st.integers(0, 999).map(lambda ms: ms * 1_000_000)
    return st.builds(Timestamp, seconds=seconds, nanos=nanos)


def _durations() -> SearchStrategy[Duration]:
    return st.builds(Duration, seconds=st.integers(0, 315_576_000_000), nanos=st.integers(0, 999_999_999))


def _whole_durations() -> SearchStrategy[Duration]:
    return st.integers(1, 10**12).map(to_duration)


DOUBLES = st.floats(allow_nan=False, allow_infinity=False)
PROTO_VALUES = st.recursive(
    st.one_of(
        st.just(Value(null_value="NULL_VALUE")),
        st.booleans().map(lambda truth: Value(bool_value=truth)),
        DOUBLES.map(lambda number: Value(number_value=number)),
        st.integers(-(2**53), 2**53).map(lambda number: Value(number_value=number)),
        TEXTS.map(lambda text: Value(string_value=text)),
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3).map(lambda items: Value(list_value=ListValue(values=items))),
        st.dictionaries(NAMES, inner, max_size=3).map(lambda members: Value(struct_value=Struct(fields=members))),
    ),
    max_leaves=5,
)
STRUCTS = st.dictionaries(NAMES, PROTO_VALUES, max_size=3).map(lambda members: Struct(fields=members))

RETRY_POLICIES = st.builds(
    RetryPolicy,
    max_attempts=st.none() | st.integers(1, 2**31 - 1),
    initial_interval=st.none() | _durations(),
    backoff_coefficient=st.just(0.0) | st.floats(1, 1e300),
    max_interval=st.none() | _durations(),
    jitter=st.none() | st.booleans(),
    non_retryable_errors=st.lists(TEXTS, max_size=2),
    on_exhaustion=st.sampled_from(["", "discard", "dead_letter"]),
    backoff_strategy=st.sampled_from(["", "linear"]),
)
UNIQUE_POLICIES = st.builds(
    UniquePolicy,
    key=st.lists(st.sampled_from(["type", "queue", "args", "meta"]), max_size=3),
    period=st.none() | _durations(),
    on_conflict=st.sampled_from(UniqueConflictAction.values()),
    states=st.lists(st.sampled_from(states.ALL).map(JobState.ValueType), max_size=3),
    args_keys=st.lists(TEXTS, max_size=2),
    meta_keys=st.lists(TEXTS, max_size=2),
)
PROTO_RATES = st.builds(RateLimit.Rate, limit=st.integers(1, 1000), period=st.none() | _durations())
PROTO_RATE_LIMITS = st.builds(
    RateLimit,
    key=TEXTS,
    concurrency=st.integers(0, 9),
    rate=st.none() | PROTO_RATES,
    throttle=st.none() | PROTO_RATES,
)
ERRORS = st.builds(
    JobError,
    code=TEXTS.filter(bool),
    type=TEXTS,
    message=TEXTS,
    retryable=st.none() | st.booleans(),
    attempt=st.integers(0, 99),
    occurred_at=st.none() | _timestamps(),
    backtrace=TEXTS | st.just("a\nb\n"),
    details=st.none() | STRUCTS,
    ext=st.none() | st.dictionaries(WORDS.map(lambda word: f"x_{word}"), PROTO_VALUES, min_size=1, max_size=2).map(
        lambda members: Struct(fields=members)
    ),
).filter(lambda error: error.type != error.code)

_TIMES = (
    *("created_at", "enqueued_at", "scheduled_at", "started_at", "completed_at", "expires_at", "cancelled_at"),
    *("discarded_at", "next_attempt_at", "lease_expires_at"),
)


@st.composite
def proto_jobs(draw: st.DrawFn) -> Job:
    """Jobs with anything that the engine keeps in them."""
    job = draw(
        st.builds(
            Job,
            id=st.just("01970000-0000-7000-8000-000000000000"),
            type=WORDS,
            queue=WORDS,
            args=st.lists(PROTO_VALUES, max_size=3),
            meta=st.none() | STRUCTS,
            state=st.sampled_from(states.ALL).map(JobState.ValueType),
            priority=st.integers(-100, 100),
            attempt=st.integers(0, 99),
            max_attempts=st.integers(1, 99),
            retry_policy=st.none() | RETRY_POLICIES,
            unique_policy=st.none() | UNIQUE_POLICIES,
            rate_limit=st.none() | PROTO_RATE_LIMITS,
            errors=st.lists(ERRORS, max_size=2),
            timeout=st.none() | _whole_durations(),
            visibility_timeout=st.none() | _whole_durations(),
            tags=st.lists(TEXTS, max_size=2),
            trace_id=TEXTS,
            workflow_id=WORDS | st.just(""),
            specversion=st.just("1.0"),
            worker_id=TEXTS,
            retry_delay_ms=st.integers(0, 2**62),
            lease=st.integers(0, 2**62),
            dead_letter=st.booleans(),
            schema=TEXTS,
            ext=st.none() | UNKNOWN_STRUCTS,
            **{name: st.none() | _timestamps() for name in _TIMES},
        )
    )
    result = draw(st.none() | PROTO_VALUES)
    if result is not None and result.HasField("struct_value"):
        job.result.SetInParent()
        job.result.CopyFrom(result.struct_value)
    elif result is not None:
        job.result_value.CopyFrom(result)
        job.result.fields["ojs.value"].CopyFrom(result)
    return job


UNKNOWN_STRUCTS = st.dictionaries(WORDS.map(lambda word: f"x_{word}"), PROTO_VALUES, min_size=1, max_size=2).map(
    lambda members: Struct(fields=members)
)
