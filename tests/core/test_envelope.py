"""From a request to a job: defaults, rules, merging, and the envelope's bytes against protobuf's own."""

from typing import Any

import pytest
from google.protobuf.duration_pb2 import Duration
from google.protobuf.struct_pb2 import ListValue, Struct, Value
from google.protobuf.timestamp_pb2 import Timestamp
from hypothesis import given, settings
from hypothesis import strategies as st
from ojs_grpc_pb.v1.job_pb2 import BatchJobEntry, EnqueueOptions, EnqueueRequest, Job, RetryPolicy, UniquePolicy
from ojs_grpc_pb.v1.job_pb2 import RateLimit as RateLimitMessage

from ojs_grpc.core import states
from ojs_grpc.core.duration import timestamp_ms, to_duration, to_timestamp
from ojs_grpc.core.envelope import Defaults, EnvelopeReader, NewJob, job_bytes
from ojs_grpc.core.ids import partition_of_id, partition_of_queue
from ojs_grpc.core.limits import Limits
from ojs_grpc.core.links import Links
from ojs_grpc.core.options import merge_options
from ojs_grpc.core.rate_limit import RateLimit
from ojs_grpc.core.unique import read_policy
from ojs_grpc.core.validation import queue_rule, type_info
from ojs_grpc.errors import InvalidRequest, InvalidRetryPolicy, PayloadTooLarge
from tests.clock import START

SECOND = 1000
ID = "01970000-0000-7000-8000-000000000000"
READER = EnvelopeReader(Defaults())


def read(type_: str = "a", *, id: str = "", args: Any = (), trace: Any = None, **options: Any) -> NewJob:  # noqa: ANN401
    """Reads a request with these options."""
    request = EnqueueRequest(type=type_, id=id or None, args=args, options=EnqueueOptions(**options))
    return READER.read(request, request.options, START, trace or {})


def parse(new: NewJob) -> Job:
    """The job that a client sees right after it was stored."""
    return Job.FromString(job_bytes(new, START))


def seconds(number: float) -> Duration:
    """A duration."""
    return to_duration(round(number * SECOND))


# Defaults


def test_a_job_without_options() -> None:
    """All defaults, as facts for the store and in the envelope."""
    request = EnqueueRequest(type="a")

    new = READER.read(request, request.options, START)

    assert new == NewJob(
        id=new.id,
        queue="default",
        state=states.AVAILABLE,
        priority=0,
        due_at=0,
        expires_at=0,
        visibility_ms=1_800_000,
        timeout_ms=1_800_000,
        reserved=False,
        envelope=new.envelope,
        subject_size=new.subject_size,
        links=None,
        common=new.common,
        created_at=START,
    )
    assert partition_of_id(new.id) == partition_of_queue("default")
    expected = Job(id=new.id, type="a", queue="default", max_attempts=3, specversion="1.0")
    expected.created_at.CopyFrom(to_timestamp(START))
    assert Job.FromString(new.envelope) == expected
    expected.state = states.AVAILABLE  # type: ignore[assignment]
    expected.enqueued_at.CopyFrom(to_timestamp(START))
    assert parse(new) == expected


def test_a_batch_entry_is_read_as_a_request_is() -> None:
    """They differ in nothing but their type."""
    single = EnqueueRequest(type="a", id=ID, args=[Value(bool_value=True)])
    entry = BatchJobEntry(type="a", id=ID, args=[Value(bool_value=True)])

    assert READER.read(single, single.options, START) == READER.read(entry, entry.options, START)


def test_the_servers_defaults() -> None:
    """What the job says beats what the server says; zero says nothing."""
    reader = EnvelopeReader(Defaults(visibility_ms=5, timeout_ms=6))
    for options, expected in (
        (EnqueueOptions(), (5, 6)),
        (EnqueueOptions(visibility_timeout=Duration(), timeout=Duration()), (5, 6)),
        (EnqueueOptions(visibility_timeout=seconds(1), timeout=seconds(2)), (1000, 2000)),
    ):
        new = reader.read(EnqueueRequest(type="a"), options, START)
        assert (new.visibility_ms, new.timeout_ms) == expected
        shown = Job.FromString(new.envelope)
        assert shown.HasField("timeout") == shown.HasField("visibility_timeout") == (expected == (1000, 2000))


def test_a_fraction_of_a_millisecond_is_rounded_up() -> None:
    """So that nothing fires early, and a nanosecond is not zero; the job shows what was said."""
    new = read(timeout=Duration(nanos=1), delay_until=Timestamp(seconds=START // 1000 + 1, nanos=1))

    assert (new.timeout_ms, new.due_at) == (1, START + SECOND + 1)
    assert Job.FromString(new.envelope).timeout == Duration(nanos=1)
    assert Job.FromString(new.envelope).scheduled_at.nanos == 1


# States and times


@pytest.mark.parametrize(
    ("delay_ms", "state"),
    [
        (1, states.SCHEDULED),
        (10**12, states.SCHEDULED),
        (0, states.AVAILABLE),
        (-1, states.AVAILABLE),
        (-(10**12), states.AVAILABLE),
    ],
)
def test_a_time_in_the_future_schedules(delay_ms: int, state: int) -> None:
    """Now is not the future."""
    new = read(delay_until=to_timestamp(START + delay_ms))

    assert new.state == state
    assert new.due_at == (START + delay_ms if state == states.SCHEDULED else 0)
    job = parse(new)
    assert timestamp_ms(job.scheduled_at) == START + delay_ms
    assert job.HasField("enqueued_at") == (state == states.AVAILABLE)


def test_a_pending_job_waits_for_nobodys_clock() -> None:
    """A time in the past changes nothing; one in the future contradicts it."""
    assert read(pending=True).state == states.PENDING
    assert read(pending=True, delay_until=to_timestamp(START)).state == states.PENDING
    with pytest.raises(InvalidRequest) as error:
        read(pending=True, delay_until=to_timestamp(START + 1))
    assert error.value.violations[0].field == "options.pending"


@pytest.mark.parametrize(
    ("options", "expires_at"),
    [
        ({}, 0),
        ({"ttl": Duration()}, 0),
        ({"ttl": seconds(5)}, START + 5 * SECOND),
        ({"expires_at": to_timestamp(START + 9)}, START + 9),
        ({"ttl": seconds(5), "expires_at": to_timestamp(START + 9)}, START + 9),
        ({"expires_at": to_timestamp(START - 9)}, START - 9),
        ({"expires_at": Timestamp()}, 1),
    ],
)
def test_the_end_of_a_jobs_life(options: dict[str, Any], expires_at: int) -> None:
    """Relative or absolute; absolute wins; the beginning of all time is a time too."""
    new = read(**options)

    assert new.expires_at == expires_at
    assert Job.FromString(new.envelope).HasField("expires_at") == bool(expires_at)


# What events tell of a job


def test_an_envelope_begins_with_what_events_tell() -> None:
    """The subject alone is a job with these fields and no others, also of a job of a workflow."""
    meta = Struct(fields={"traceparent": Value(string_value="p"), "a": Value(bool_value=True)})
    options = EnqueueOptions(
        queue="q", priority=5, trace_id="t", meta=meta, delay_until=to_timestamp(START + 1), tags=["x"]
    )

    new = READER.read(EnqueueRequest(type="a"), options, START, workflow_id="w")

    about = Job(id=new.id, type="a", queue="q", priority=5, trace_id="t", workflow_id="w")
    about.scheduled_at.CopyFrom(options.delay_until)
    about.meta["traceparent"] = "p"
    assert Job.FromString(new.envelope[: new.subject_size]) == about
    assert new.links == Links("w")
    assert Job.FromString(new.envelope).meta == meta


# What ties a job to others


def test_a_unique_job_with_a_limit() -> None:
    """The store gets the fingerprint of this very job and the limit; the job shows both as they were said."""
    policy = UniquePolicy(key=["args", "queue"], period=seconds(5))
    limit = RateLimitMessage(concurrency=2)
    links = []
    for number in (1, 2, 1):
        args = [Value(number_value=number)]
        new = read(args=args, queue="q", unique=policy, rate_limit=limit)

        expected = read_policy(policy, "q", Struct(), []).of("a", args)
        assert new.links == Links("", expected, (RateLimit("queue:q", 2),))
        shown = Job.FromString(new.envelope)
        assert (shown.unique_policy, shown.rate_limit) == (policy, limit)
        links.append(new.links)
    assert links[0] == links[2] != links[1]


def test_a_limit_in_meta_stays_there() -> None:
    """As the client said it; the job shows no field that it did not send."""
    meta = Struct()
    meta["ojs.rate_limit"] = {"max_per_second": 5, "key": "k"}

    new = read(meta=meta)

    assert new.links == Links("", None, (RateLimit("k", 0, 5, 1000),))
    shown = Job.FromString(new.envelope)
    assert shown.meta == meta
    assert not shown.HasField("rate_limit")


def test_meta_counts_for_uniqueness_as_the_producer_said_it() -> None:
    """The call's trace context, which is another one each time, is not part of it."""
    policy = UniquePolicy(key=["meta"], meta_keys=["traceparent"])

    one, two = (read(unique=policy, trace={"traceparent": text}).links for text in ("p", "q"))

    assert one == two


# Remembered options


def test_what_is_remembered_of_options_is_not_remembered_too_well() -> None:
    """Times count from each request, types and arguments belong to it, and other options are others."""
    reader = EnvelopeReader(Defaults())
    ttl, queue = EnqueueOptions(ttl=seconds(5)), EnqueueOptions(queue="q")
    first, second = (reader.read(EnqueueRequest(type="a"), ttl, at) for at in (START, START + 60_000))
    assert second.expires_at == first.expires_at + 60_000

    due = EnqueueOptions(delay_until=to_timestamp(START + 10))
    assert [reader.read(EnqueueRequest(type="a"), due, at).state for at in (START, START + 10)] == [
        states.SCHEDULED,
        states.AVAILABLE,
    ]

    one, two = (reader.read(EnqueueRequest(type=type_), queue, START) for type_ in ("a", "b"))
    assert [Job.FromString(new.envelope).type for new in (one, two)] == ["a", "b"]
    assert one.id != two.id
    traced = reader.read(EnqueueRequest(type="a"), queue, START, {"traceparent": "x"})
    assert not Job.FromString(reader.read(EnqueueRequest(type="a"), queue, START).envelope).HasField("meta")
    assert Job.FromString(traced.envelope).meta["traceparent"] == "x"


def test_broken_options_stay_broken() -> None:
    """The second request with them is refused as the first one was."""
    for _ in range(2):
        with pytest.raises(InvalidRequest):
            read(queue="Bad")
        with pytest.raises(InvalidRetryPolicy):
            read(max_attempts=-1)
        with pytest.raises(PayloadTooLarge):
            read(meta=Struct(fields={"x": Value(string_value="x" * 70_000)}))
        with pytest.raises(InvalidRequest):
            read(unique=UniquePolicy(key=["x"]), rate_limit=RateLimitMessage(concurrency=1))
        with pytest.raises(InvalidRequest):
            read(unique=UniquePolicy(), rate_limit=RateLimitMessage())


def test_memory_of_options_is_bounded() -> None:
    """A client that never repeats itself does not fill the server."""
    reader = EnvelopeReader(Defaults())
    for number in range(5000):
        reader.read(EnqueueRequest(type="a"), EnqueueOptions(trace_id=str(number)), START)
    assert len(reader._kept) <= 1024

    large = EnqueueOptions(meta=Struct(fields={"x": Value(string_value="x" * 60_000)}))
    reader.read(EnqueueRequest(type="a"), large, START)
    assert all(len(key) < 10_000 for key in reader._kept)


# Trace context


def test_trace_context_goes_into_meta() -> None:
    """Beside the client's own members, which win."""
    meta = Struct(fields={"traceparent": Value(string_value="mine"), "a": Value(bool_value=True)})

    job = Job.FromString(read(meta=meta, trace={"traceparent": "p", "tracestate": "s"}).envelope)

    assert dict(job.meta.items()) == {"traceparent": "mine", "tracestate": "s", "a": True}
    assert dict(meta.items()) == {"traceparent": "mine", "a": True}


def test_trace_context_counts_as_meta() -> None:
    """It may be what makes it too large."""
    meta = Struct(fields={"x": Value(string_value="x" * 65_510)})
    assert meta.ByteSize() <= 65_536
    read(meta=meta)

    with pytest.raises(PayloadTooLarge):
        read(meta=meta, trace={"traceparent": "p" * 55})


# Rules: each field's rules are tested through the service; here is what it takes to get them all at once


def test_every_broken_rule_is_named() -> None:
    """Type and id of the entry, then the options, then the retry policy."""
    with pytest.raises(InvalidRequest) as error:
        read(
            "Bad",
            id="bad",
            queue="Bad",
            priority=101,
            delay_until=Timestamp(nanos=-1),
            expires_at=Timestamp(nanos=-1),
            ttl=seconds(-1),
            visibility_timeout=seconds(-1),
            timeout=Duration(seconds=2**62),
            tags=["", ""],
            trace_id="x" * 256,
            retry=RetryPolicy(max_attempts=-1, backoff_coefficient=0.5),
            max_attempts=-1,
        )

    assert type(error.value) is InvalidRequest
    assert [violation.field for violation in error.value.violations] == [
        "type",
        "id",
        "options.queue",
        "options.priority",
        "options.delay_until",
        "options.expires_at",
        "options.ttl",
        "options.visibility_timeout",
        "options.timeout",
        "options.tags",
        "options.trace_id",
        "options.retry.max_attempts",
        "options.retry.backoff_coefficient",
        "options.max_attempts",
    ]
    assert all(violation.rule for violation in error.value.violations)


def test_only_a_bad_policy_is_a_bad_policy() -> None:
    """With anything else broken, it is a bad request."""
    with pytest.raises(InvalidRetryPolicy):
        read(max_attempts=-1)
    for other in ({"queue": "Bad"}, {"type_": "Bad"}, {"id": "bad"}):
        with pytest.raises(InvalidRequest) as error:
            read(max_attempts=-1, **other)
        assert not isinstance(error.value, InvalidRetryPolicy)


TYPES = ["a", "a1", "a-b", "a_b", "a.b", "a.b-c_d.e9", "a" * 255]
NO_TYPES = ["", ".", "a.", ".a", "a..b", "A", "aB", "1a", "a.1", "-a", "_a", "a b", "a@b", "a!", "ä", "a\n", "a" * 256]
QUEUES = ["a", "1", "a-b", "a.b", "0..-", "a" * 128]
NO_QUEUES = ["", ".a", "-a", "A", "a_b", "a b", "ä", "a\n", "a" * 129, "{a}", "a:b"]


@pytest.mark.parametrize("name", [*TYPES, *NO_TYPES])
def test_type_names(name: str) -> None:
    """Dot-separated segments of lower-case letters, digits, dash and underscore, a letter first; 255 bytes."""
    rule, field = type_info(name, Limits())

    assert bool(rule) == (name in NO_TYPES)
    if not rule:
        assert Job.FromString(field) == Job(type=name)


@pytest.mark.parametrize("name", [*QUEUES, *NO_QUEUES])
def test_queue_names(name: str) -> None:
    """Lower-case letters, digits, dot and dash, no dash or dot first; 128 characters."""
    assert bool(queue_rule(name, Limits())) == (name in NO_QUEUES)


def test_the_size_of_an_envelope_is_exact() -> None:
    """What fits is stored, one byte more is not."""
    size = len(read(args=[Value(string_value="x" * 1000)]).envelope)
    request = EnqueueRequest(type="a", args=[Value(string_value="x" * 1000)])

    EnvelopeReader(Defaults(limits=Limits(envelope_bytes=size))).read(request, request.options, START)
    with pytest.raises(PayloadTooLarge):
        EnvelopeReader(Defaults(limits=Limits(envelope_bytes=size - 1))).read(request, request.options, START)


# Bytes against messages

TEXT = st.text(max_size=8)
VALUES = st.recursive(
    st.one_of(
        st.floats(allow_nan=False, allow_infinity=False).map(lambda number: Value(number_value=number)),
        st.text(max_size=200).map(lambda text: Value(string_value=text)),
        st.sampled_from([Value(), Value(null_value=0), Value(bool_value=True)]),
    ),
    lambda inner: st.lists(inner, max_size=3).map(lambda items: Value(list_value=ListValue(values=items))),
    max_leaves=4,
)
STRUCTS = st.dictionaries(TEXT, VALUES, max_size=2).map(lambda members: Struct(fields=members))
DURATIONS = st.none() | st.builds(Duration, seconds=st.integers(0, 10**9), nanos=st.integers(0, 999_999_999))
POLICIES = st.builds(RetryPolicy, max_attempts=st.integers(0, 9), on_exhaustion=st.sampled_from(["", "discard"]))
OPTIONS = st.builds(
    EnqueueOptions,
    queue=st.sampled_from(["", "a", "b.c"]),
    priority=st.integers(-100, 100),
    timeout=DURATIONS,
    visibility_timeout=DURATIONS,
    delay_until=st.none() | st.integers(-(10**6), 10**6).map(lambda ms: to_timestamp(START + ms)),
    retry=st.none() | POLICIES,
    meta=st.none() | STRUCTS,
    tags=st.lists(st.text(min_size=1, max_size=4), max_size=3, unique=True),
    trace_id=TEXT,
    max_attempts=st.integers(0, 9),
)
REQUESTS = st.builds(
    EnqueueRequest,
    type=st.sampled_from(["a", "a.b", "t" * 127, "t" * 128, "t" * 255]),
    args=st.lists(VALUES, max_size=4),
    options=OPTIONS,
    id=st.sampled_from([None, ID]),
)


@given(REQUESTS)
@settings(max_examples=200)
def test_the_bytes_are_the_job(request: EnqueueRequest) -> None:
    """Put together from the request's bytes, the envelope parses to the job that a message would have been."""
    options = request.options

    new = READER.read(request, options, START)

    expected = Job(
        id=request.id or new.id,
        type=request.type,
        queue=options.queue or "default",
        args=request.args,
        priority=options.priority,
        max_attempts=options.retry.max_attempts or options.max_attempts or 3,
        created_at=to_timestamp(START),
        tags=options.tags,
        trace_id=options.trace_id,
        specversion="1.0",
    )
    for field, source in (
        ("meta", "meta"),
        ("retry_policy", "retry"),
        ("timeout", "timeout"),
        ("visibility_timeout", "visibility_timeout"),
        ("scheduled_at", "delay_until"),
    ):
        if options.HasField(source):  # type: ignore[arg-type]
            getattr(expected, field).CopyFrom(getattr(options, source))
    for field in ("timeout", "visibility_timeout"):
        # Zero means the server's own, and is not shown.
        if not getattr(expected, field).ByteSize():
            expected.ClearField(field)  # type: ignore[arg-type]
    assert Job.FromString(new.envelope) == expected
    assert (new.reserved, new.queue, new.priority) == (bool(request.id), expected.queue, options.priority)


@pytest.mark.parametrize("size", [0, 1, 120, 125, 126, 127, 128, 129, 16_000, 16_381, 16_384, 200_000])
def test_arguments_of_any_size_keep_their_bounds(size: int) -> None:
    """Where the encoding of a length grows by a byte, the arguments beside it are still whole."""
    args = [Value(string_value="x" * size), Value(number_value=1), Value(string_value="y" * size)]

    assert list(Job.FromString(read(args=args).envelope).args) == args


def test_unknown_fields_of_a_request_are_left_behind() -> None:
    """At its end or before its type: they reach neither the type nor the arguments."""
    unknown = b"\xf2\xff\x7f\x03abc"
    request = EnqueueRequest(type="a", args=[Value(bool_value=True), Value(string_value="x")])
    for data in (unknown + request.SerializeToString(), request.SerializeToString() + unknown):
        parsed = EnqueueRequest.FromString(data)

        job = Job.FromString(READER.read(parsed, parsed.options, START).envelope)

        assert job.type == "a"
        assert list(job.args) == list(request.args)


# Merging a batch's defaults


def _merged(entry: EnqueueOptions, **defaults: Any) -> EnqueueOptions:  # noqa: ANN401
    return merge_options(entry, EnqueueOptions(**defaults))


@given(OPTIONS, OPTIONS)
def test_what_the_entry_says_wins_and_the_rest_stays(entry: EnqueueOptions, defaults: EnqueueOptions) -> None:
    """Field by field: whole fields, but for the members of `meta`."""
    before = entry.SerializeToString(), defaults.SerializeToString()

    merged = merge_options(entry, defaults)

    said = {field.name for field, _ in entry.ListFields()}
    for field, value in merged.ListFields():
        if field.name == "meta":
            members = {**defaults.meta.fields, **entry.meta.fields}
            assert dict(value.fields) == members
        elif field.name in said:
            assert value == getattr(entry, field.name)
        elif field.name != "retry" or not entry.max_attempts:
            assert value == getattr(defaults, field.name)
    for field, _ in (*entry.ListFields(), *defaults.ListFields()):
        assert not field.has_presence or merged.HasField(field.name)  # type: ignore[arg-type]
    assert (entry.SerializeToString(), defaults.SerializeToString()) == before


def test_an_entrys_shorthand_beats_the_number_of_a_common_policy() -> None:
    """And leaves the rest of it; without one it makes none."""
    policy = RetryPolicy(max_attempts=9, jitter=False)

    assert _merged(EnqueueOptions(max_attempts=2), retry=policy) == EnqueueOptions(
        max_attempts=2, retry=RetryPolicy(jitter=False)
    )
    assert _merged(EnqueueOptions(max_attempts=2), queue="q") == EnqueueOptions(max_attempts=2, queue="q")
    own = RetryPolicy(max_attempts=4)
    assert _merged(EnqueueOptions(max_attempts=2, retry=own), retry=policy).retry == own


def test_an_entrys_ttl_beats_a_common_expiry() -> None:
    """And the other way round, since a point in time wins over a duration anyway."""
    at = to_timestamp(START)
    assert not _merged(EnqueueOptions(ttl=seconds(1)), expires_at=at).HasField("expires_at")
    assert _merged(EnqueueOptions(expires_at=at), ttl=seconds(1)).expires_at == at


def test_an_entrys_limit_beats_the_common_one_however_it_is_said() -> None:
    """A limit in its `meta` would else lose to the batch's field."""
    meta = Struct()
    meta["ojs.rate_limit"] = {"concurrency": 1}
    common = RateLimitMessage(concurrency=9, key="k")

    assert not _merged(EnqueueOptions(meta=meta), rate_limit=common).HasField("rate_limit")
    assert _merged(EnqueueOptions(queue="q"), rate_limit=common).rate_limit == common
    own = RateLimitMessage(concurrency=2)
    assert _merged(EnqueueOptions(rate_limit=own), rate_limit=common, meta=meta).rate_limit == own


def test_an_entrys_unique_policy_replaces_the_common_one() -> None:
    """Whole: a policy is one statement."""
    own, common = UniquePolicy(key=["args"]), UniquePolicy(key=["queue"], period=seconds(1))

    assert _merged(EnqueueOptions(unique=own), unique=common).unique == own
    assert _merged(EnqueueOptions(queue="q"), unique=common).unique == common


def test_an_entry_says_nothing_with_zero() -> None:
    """There is no telling it from silence."""
    merged = _merged(EnqueueOptions(priority=0, queue="", pending=False), priority=5, queue="q", pending=True)
    assert (merged.priority, merged.queue, merged.pending) == (5, "q", True)


def test_an_empty_id_is_none_that_a_job_has() -> None:
    """Who leaves it out gets one; who says it, says which."""
    with pytest.raises(InvalidRequest, match="id: must be a UUIDv7"):
        READER.read(EnqueueRequest(type="a", id=""), EnqueueOptions(), START)


# What JSON says besides


def test_what_json_says_besides_is_kept() -> None:
    """The schema, attributes that nobody knows, and JSON's own texts come back as they were."""
    entry = BatchJobEntry(type="a", schema="urn:s", exact={"/args/0": "9007199254740993"})
    entry.args.add().number_value = 2**53
    entry.ext.update({"x_color": ["red", None], "options": {"x_speed": 3}})

    job = parse(READER.read(entry, entry.options, START))

    assert (job.schema, job.exact, job.ext) == (entry.schema, entry.exact, entry.ext)


def test_an_empty_ext_is_not_none() -> None:
    """It is there, with nothing in it."""
    assert parse(READER.read(EnqueueRequest(type="a", ext=Struct()), EnqueueOptions(), START)).HasField("ext")


@pytest.mark.parametrize("name", ["state", "priority", "retry_policy", "parent_results", "trace_id"])
def test_an_attribute_of_the_spec_is_not_unknown(name: str) -> None:
    """It would stand in the job beside the real one."""
    entry = EnqueueRequest(type="a")
    entry.ext[name] = 1

    with pytest.raises(InvalidRequest) as refused:
        READER.read(entry, entry.options, START)

    assert [violation.field for violation in refused.value.violations] == [f"ext.{name}"]


def test_a_schema_has_a_bound() -> None:
    """It is an address, no schema."""
    with pytest.raises(InvalidRequest, match="schema: must be at most 2048 characters"):
        READER.read(EnqueueRequest(type="a", schema="s" * 2049), EnqueueOptions(), START)


def test_unknown_attributes_count_as_part_of_the_job() -> None:
    """They nest no deeper, hold nothing that JSON cannot say, and are no way around the bound on size."""
    deep, infinite, large = Struct(), Struct(), Struct()
    inner = deep.fields["x"]
    for _ in range(31):
        inner = inner.list_value.values.add()
    infinite["x"] = float("inf")
    large["x"] = "x" * Limits().envelope_bytes

    for ext, kind in ((deep, PayloadTooLarge), (infinite, InvalidRequest), (large, PayloadTooLarge)):
        with pytest.raises(kind):
            READER.read(EnqueueRequest(type="a", ext=ext), EnqueueOptions(), START)


# Traces


@pytest.mark.parametrize(
    ("trace_id", "meta", "expected"),
    [
        ("", {"trace_id": "m"}, "m"),
        ("t", {"trace_id": "m"}, "t"),
        ("", {"trace_id": 7}, ""),
        ("", {"trace_id": "x" * 256}, ""),
        ("", {}, ""),
    ],
)
def test_the_trace_is_told_by_the_field_or_else_by_meta(trace_id: str, meta: dict[str, Any], expected: str) -> None:
    """Most producers say it in `meta`, where it stays."""
    said = Struct()
    said.update(meta)

    job = parse(read(trace_id=trace_id, meta=said))

    assert (job.trace_id, job.meta) == (expected, said)
