"""Enqueue: one job, validated, with its defaults, stored before the answer."""

from typing import Any

import grpc
import pytest
from google.protobuf.duration_pb2 import Duration
from google.protobuf.struct_pb2 import Struct, Value
from google.protobuf.timestamp_pb2 import Timestamp
from ojs_grpc_pb.v1 import job_pb2
from ojs_grpc_pb.v1.job_pb2 import EnqueueOptions, EnqueueRequest, RateLimit, RetryPolicy, UniquePolicy

from ojs_grpc.core.duration import timestamp_ms, to_timestamp
from ojs_grpc.core.envelope import Defaults, EnvelopeReader
from ojs_grpc.core.ids import is_id, partition_of_id, partition_of_queue
from ojs_grpc.core.wire import varint
from tests.clock import START
from tests.grpc.service import (
    SECOND,
    Service,
    invalid,
    nested,
    objects,
    refused,
    seconds,
    struct,
    too_large,
    value,
)


async def test_a_plain_job_is_available_at_once(everywhere: Service) -> None:
    """With nothing but a type: the defaults, and the times of its arrival."""
    job = await everywhere.enqueue("mail.send")

    assert (job.type, job.queue, job.state) == ("mail.send", "default", job_pb2.JOB_STATE_AVAILABLE)
    assert (job.priority, job.attempt, job.max_attempts, job.specversion) == (0, 0, 3, "1.0")
    assert timestamp_ms(job.created_at) == timestamp_ms(job.enqueued_at) == START
    assert is_id(job.id)
    assert partition_of_id(job.id) == partition_of_queue("default")
    for absent in ("scheduled_at", "expires_at", "started_at", "completed_at", "retry_policy", "meta", "timeout"):
        assert not job.HasField(absent)  # type: ignore[arg-type]
    assert await everywhere.get(job.id) == job
    assert await everywhere.counts() == {"default": 1}


async def test_everything_said_is_read_back(everywhere: Service) -> None:
    """Every option that the job shows comes back as it was sent."""
    options = {
        "queue": "mails.out",
        "priority": -100,
        "timeout": Duration(seconds=61, nanos=500),
        "visibility_timeout": seconds(17),
        "retry": RetryPolicy(
            max_attempts=7,
            initial_interval=seconds(2),
            backoff_coefficient=1.5,
            max_interval=seconds(60),
            jitter=False,
            non_retryable_errors=["auth.*"],
            on_exhaustion="dead_letter",
            backoff_strategy="linear",
        ),
        "unique": UniquePolicy(key=["args", "meta"], meta_keys=["tenant"], period=seconds(5), states=[3, 2]),
        "rate_limit": RateLimit(key="mails", concurrency=5, throttle=RateLimit.Rate(limit=2)),
        "tags": ["a", "b"],
        "trace_id": "trace-1",
        "meta": struct(tenant="t", deep={"n": [1, None, True]}),
    }
    args = [1.5, "text", None, True, [1, [2]], {"a": {"b": "ü"}}]

    sent = await everywhere.enqueue("mail.send", *args, **options)

    job = await everywhere.get(sent.id)
    assert job == sent
    assert list(job.args) == [value(arg) for arg in args]
    assert (job.queue, job.priority, job.max_attempts) == ("mails.out", -100, 7)
    assert (job.timeout, job.visibility_timeout) == (options["timeout"], options["visibility_timeout"])
    assert (job.retry_policy, job.meta) == (options["retry"], options["meta"])
    assert (list(job.tags), job.trace_id) == (["a", "b"], "trace-1")
    assert (job.unique_policy, job.rate_limit) == (options["unique"], options["rate_limit"])


async def test_a_future_job_is_scheduled(everywhere: Service) -> None:
    """Available within the round of the duty at its time, with its time as `enqueued_at`."""
    due = START + 60 * SECOND
    job = await everywhere.enqueue(delay_until=to_timestamp(due))
    assert job.state == job_pb2.JOB_STATE_SCHEDULED
    assert timestamp_ms(job.scheduled_at) == due
    assert not job.HasField("enqueued_at")
    assert await everywhere.fetch() == []

    await everywhere.advance(60 * SECOND)

    now = await everywhere.get(job.id)
    assert (now.state, now.attempt, timestamp_ms(now.enqueued_at)) == (job_pb2.JOB_STATE_AVAILABLE, 0, due)
    assert now.scheduled_at == job.scheduled_at


@pytest.mark.parametrize("at", [START, START - 1, 0, -1, -62_135_596_800_000])
async def test_a_time_in_the_past_means_now(service: Service, at: int) -> None:
    """Now itself too."""
    job = await service.enqueue(delay_until=to_timestamp(at))

    assert job.state == job_pb2.JOB_STATE_AVAILABLE
    assert timestamp_ms(job.enqueued_at) == START


async def test_a_time_to_live_ends_in_an_expiry(everywhere: Service) -> None:
    """`ttl` counts from the arrival; `expires_at` is ours and wins."""
    by_ttl = await everywhere.enqueue(ttl=seconds(10))
    by_time = await everywhere.enqueue(ttl=seconds(10), expires_at=to_timestamp(START + 20 * SECOND))
    assert timestamp_ms(by_ttl.expires_at) == START + 10 * SECOND
    assert timestamp_ms(by_time.expires_at) == START + 20 * SECOND

    await everywhere.advance(10 * SECOND)

    assert (await everywhere.get(by_ttl.id)).state == job_pb2.JOB_STATE_DISCARDED
    assert (await everywhere.get(by_time.id)).state == job_pb2.JOB_STATE_AVAILABLE


async def test_who_says_how_many_attempts(service: Service) -> None:
    """The policy's own number, then the shorthand, then three; zero says nothing, and is never unlimited."""
    cases: list[tuple[dict[str, Any], int]] = [
        ({"retry": RetryPolicy(max_attempts=5), "max_attempts": 9}, 5),
        ({"retry": RetryPolicy(max_attempts=0), "max_attempts": 9}, 9),
        ({"retry": RetryPolicy()}, 3),
        ({"retry": RetryPolicy(max_attempts=0)}, 3),
        ({"max_attempts": 1}, 1),
        ({"max_attempts": 0}, 3),
    ]
    for options, attempts in cases:
        assert (await service.enqueue(**options)).max_attempts == attempts


async def test_a_chosen_id_is_kept(everywhere: Service) -> None:
    """Any UUIDv7, also of another partition than the queue's; the job is found under it and runs."""
    chosen = ["01970000-0000-7000-8000-0000000000" + tail for tail in ("00", "ff", "c4")]
    for id_ in chosen:
        assert (await everywhere.enqueue(id=id_)).id == id_
        assert (await everywhere.get(id_)).id == id_

    for job in await everywhere.fetch(5):
        await everywhere.ack(job)
        assert (await everywhere.get(job.id)).state == job_pb2.JOB_STATE_COMPLETED


async def test_a_taken_id_is_refused(everywhere: Service) -> None:
    """Whatever queue the second asks for; the first stays as it is."""
    first = await everywhere.enqueue(id="01970000-0000-7000-8000-000000000007")

    for queue in ("default", "other"):
        with refused(grpc.StatusCode.ALREADY_EXISTS, "duplicate") as caught:
            await everywhere.enqueue("another.type", id=first.id, queue=queue)
        assert caught.info.metadata["existing_job_id"] == first.id

    assert await everywhere.get(first.id) == first
    assert await everywhere.counts() == {"default": 1}


def _options(**fields: Any) -> EnqueueRequest:  # noqa: ANN401
    return EnqueueRequest(type="a", options=EnqueueOptions(**fields))


NAN, INF = float("nan"), float("inf")
LAST = Timestamp(seconds=253402300799, nanos=999999999)

BAD = {
    "no type": (EnqueueRequest(), "type"),
    "type in upper case": (EnqueueRequest(type="Mail"), "type"),
    "type with a space": (EnqueueRequest(type="a b"), "type"),
    "type with a digit first": (EnqueueRequest(type="1a"), "type"),
    "empty segment": (EnqueueRequest(type="a..b"), "type"),
    "type with a line end": (EnqueueRequest(type="a\n"), "type"),
    "type too long": (EnqueueRequest(type="a" * 256), "type"),
    "type in another script": (EnqueueRequest(type="ä"), "type"),
    "queue in upper case": (_options(queue="A"), "options.queue"),
    "queue with an underscore": (_options(queue="a_b"), "options.queue"),
    "queue with a dash first": (_options(queue="-a"), "options.queue"),
    "queue with a line end": (_options(queue="a\n"), "options.queue"),
    "queue with braces": (_options(queue="{a}"), "options.queue"),
    "queue too long": (_options(queue="a" * 129), "options.queue"),
    "priority too high": (_options(priority=101), "options.priority"),
    "priority too low": (_options(priority=-101), "options.priority"),
    "priority of int32": (_options(priority=-(2**31)), "options.priority"),
    "id that is none": (EnqueueRequest(type="a", id="x"), "id"),
    "id in upper case": (EnqueueRequest(type="a", id="01970000-0000-7000-8000-00000000000A"), "id"),
    "id of version 4": (EnqueueRequest(type="a", id="01970000-0000-4000-8000-000000000000"), "id"),
    "negative ttl": (_options(ttl=seconds(-1)), "options.ttl"),
    "negative by a nanosecond": (_options(ttl=Duration(nanos=-1)), "options.ttl"),
    "negative timeout": (_options(timeout=seconds(-1)), "options.timeout"),
    "timeout beyond a duration": (_options(timeout=Duration(seconds=2**63 - 1)), "options.timeout"),
    "timeout with odd nanos": (_options(timeout=Duration(nanos=2**31 - 1)), "options.timeout"),
    "timeout of mixed signs": (_options(timeout=Duration(seconds=1, nanos=-1)), "options.timeout"),
    "visibility of 2000 years": (
        _options(visibility_timeout=Duration(seconds=2000 * 365 * 86400)),
        "options.visibility_timeout",
    ),
    "time after the last year": (_options(delay_until=Timestamp(seconds=253402300800)), "options.delay_until"),
    "time before the first year": (_options(delay_until=Timestamp(seconds=-(2**63))), "options.delay_until"),
    "time with negative nanos": (_options(delay_until=Timestamp(nanos=-1)), "options.delay_until"),
    "expiry after the last year": (_options(expires_at=Timestamp(seconds=2**60)), "options.expires_at"),
    "pending with a time": (_options(pending=True, delay_until=LAST), "options.pending"),
    "too many tags": (_options(tags=[str(number) for number in range(101)]), "options.tags"),
    "empty tag": (_options(tags=[""]), "options.tags"),
    "tag too long": (_options(tags=["x" * 256]), "options.tags"),
    "tag twice": (_options(tags=["x", "x"]), "options.tags"),
    "trace id too long": (_options(trace_id="x" * 256), "options.trace_id"),
    "NaN": (EnqueueRequest(type="a", args=[Value(number_value=NAN)]), "args"),
    "negative NaN": (EnqueueRequest(type="a", args=[Value(number_value=-NAN)]), "args"),
    "infinity": (EnqueueRequest(type="a", args=[value([{"a": INF}])]), "args"),
    "negative infinity in meta": (_options(meta=struct(x=-INF)), "options.meta"),
    "unique by what nobody knows": (_options(unique=UniquePolicy(key=["user"])), "options.unique.key"),
    "unique by members of no object": (
        _options(unique=UniquePolicy(key=["args"], args_keys=["a"])),
        "options.unique.args_keys",
    ),
    "unique by meta without names": (_options(unique=UniquePolicy(key=["meta"])), "options.unique.meta_keys"),
    "unique in no state": (_options(unique=UniquePolicy(states=[0])), "options.unique.states"),  # type: ignore[list-item]
    "unique for no time": (_options(unique=UniquePolicy(period=Duration())), "options.unique.period"),
    "unknown action": (_options(unique=UniquePolicy(on_conflict=7)), "options.unique.on_conflict"),  # type: ignore[arg-type]
    "limit of nothing": (_options(rate_limit=RateLimit()), "options.rate_limit"),
    "limit with a bad key": (_options(rate_limit=RateLimit(key="-", concurrency=1)), "options.rate_limit.key"),
    "rate without a number": (_options(rate_limit=RateLimit(rate=RateLimit.Rate())), "options.rate_limit.rate.limit"),
    "limit in meta that drops jobs": (
        _options(meta=objects({"ojs.rate_limit": {"concurrency": 1, "on_limit": "drop"}})),
        'options.meta["ojs.rate_limit"].on_limit',
    ),
}


@pytest.mark.parametrize("case", list(BAD))
async def test_a_broken_rule_is_named(service: Service, case: str) -> None:
    """INVALID_ARGUMENT with the path of the field; nothing is stored, not even a queue."""
    request, field = BAD[case]

    with invalid() as caught:
        await service.stub.Enqueue(request)

    assert caught.fields == [field]
    assert await service.counts() == {}


RETRY = {
    "max_attempts": RetryPolicy(max_attempts=-1),
    "backoff_coefficient": RetryPolicy(backoff_coefficient=0.5),
    "initial_interval": RetryPolicy(initial_interval=seconds(-1)),
    "max_interval": RetryPolicy(initial_interval=seconds(2), max_interval=seconds(1)),
    "on_exhaustion": RetryPolicy(on_exhaustion="explode"),
    "backoff_strategy": RetryPolicy(backoff_strategy="random"),
    "non_retryable_errors[1]": RetryPolicy(non_retryable_errors=["x", ""]),
}


@pytest.mark.parametrize("field", list(RETRY))
async def test_a_bad_retry_policy_has_a_reason_of_its_own(service: Service, field: str) -> None:
    """`validation_error`, which HTTP clients see as 422."""
    with invalid("validation_error") as caught:
        await service.enqueue(retry=RETRY[field])

    assert caught.fields == [f"options.retry.{field}"]


@pytest.mark.parametrize("coefficient", [NAN, INF, -INF, -1.0, 0.999])
async def test_coefficients_that_are_no_growth(service: Service, coefficient: float) -> None:
    """NaN and infinity among them."""
    with invalid("validation_error"):
        await service.enqueue(retry=RetryPolicy(backoff_coefficient=coefficient))


async def test_a_negative_shorthand(service: Service) -> None:
    """Of attempts."""
    with invalid("validation_error") as caught:
        await service.enqueue(max_attempts=-1)
    assert caught.fields == ["options.max_attempts"]


async def test_all_broken_rules_are_named_at_once(service: Service) -> None:
    """The client repairs its request in one go."""
    with invalid() as caught:
        policy = RetryPolicy(max_attempts=-1)
        await service.enqueue("Bad", queue="Bad", priority=1000, timeout=seconds(-1), retry=policy)

    assert sorted(caught.fields) == [
        "options.priority",
        "options.queue",
        "options.retry.max_attempts",
        "options.timeout",
        "type",
    ]


async def test_the_limits_themselves_are_allowed(service: Service) -> None:
    """A name, a number, a list at its limit passes."""
    await service.enqueue(
        "a" * 255,
        queue="q" * 128,
        priority=100,
        tags=["x" * 255, *map(str, range(99))],
        trace_id="x" * 255,
        delay_until=LAST,
        timeout=Duration(seconds=1000 * 365 * 86400),
    )
    await service.enqueue("a-b_c.d2", queue="0-.a", priority=-100)


@pytest.mark.parametrize("kind", ["list", "object"])
async def test_arguments_and_meta_nest_thirty_deep(everywhere: Service, kind: str) -> None:
    """30 within each other pass and reach the worker in a reply that stock parsers read; 31 are too large."""
    await everywhere.enqueue("a", nested(30, kind), meta=objects({"x": nested(30, kind)}))
    job = await everywhere.fetch_one()
    assert job.args[0] == nested(30, kind)
    assert job.meta.fields["x"] == nested(30, kind)

    with too_large() as caught:
        await everywhere.enqueue("a", "fine", nested(31, kind))
    assert caught.fields == ["args"]
    with too_large() as caught:
        await everywhere.enqueue("a", meta=objects({"x": nested(31, kind)}))
    assert caught.fields == ["options.meta"]
    assert await everywhere.counts() == {"default": 0}


async def test_wide_values_are_not_deep(service: Service) -> None:
    """Many lists beside each other nest no deeper than one."""
    job = await service.enqueue("a", [[1]] * 1000)

    assert len(job.args[0].list_value.values) == 1000


async def test_bytes_that_look_like_nan_are_not(service: Service) -> None:
    """Text with the bytes of a NaN passes; the check does not stop at a pattern."""
    text = "\x11" + "a" * 6
    # The pattern needs bytes that no text has after that; numbers beside each other come close.
    await service.enqueue("a", text, 1.7976931348623157e308, 5e-324, -0.0)


@pytest.mark.parametrize("depth", [32, 40, 60, 200])
async def test_what_no_parser_takes_is_refused(service: Service, depth: int) -> None:
    """Deeper than protobuf's own bound, the bytes are no message; either way a documented status comes back."""
    data = b"\x08\x00"  # null
    for _ in range(depth):
        data = b"\x0a" + _size(data) + data  # Value in ListValue.values
        data = b"\x32" + _size(data) + data  # ListValue in Value.list_value
    data = b"\x0a\x01a\x12" + _size(data) + data

    with pytest.raises(grpc.aio.AioRpcError) as error:
        await service.raw("Enqueue", data)

    assert error.value.code() in (grpc.StatusCode.RESOURCE_EXHAUSTED, grpc.StatusCode.INVALID_ARGUMENT)
    assert await service.counts() == {}


async def test_a_job_of_one_mib_is_the_largest(service: Service) -> None:
    """Measured as stored; one byte more is refused, and nothing stored."""
    text = "x" * 1_000_000
    request = EnqueueRequest(type="a", args=[value(text)])
    stored = EnvelopeReader(Defaults()).read(request, request.options, START).envelope
    most = 1_000_000 + (1 << 20) - len(stored)
    await service.enqueue("a", "x" * most)

    with too_large() as caught:
        await service.enqueue("a", "x" * (most + 1))

    assert caught.fields == ["args"]
    assert await service.counts() == {"default": 1}


async def test_a_meta_of_64_kib_is_the_largest(service: Service) -> None:
    """Measured as serialised."""
    meta = struct(x="")
    overhead = struct(x="x" * 60_000).ByteSize() - 60_000
    meta = struct(x="x" * (65_536 - overhead))
    assert meta.ByteSize() == 65_536
    await service.enqueue(meta=meta)

    with too_large() as caught:
        await service.enqueue(meta=struct(x="x" * (65_537 - overhead)))
    assert caught.fields == ["options.meta"]


async def test_text_that_is_no_utf8_is_refused(service: Service) -> None:
    """A lone surrogate as WTF-8 writes it, in type, tag, argument and key of an object."""
    surrogate = b"\xed\xa0\x80"
    for data in (
        b"\x0a\x03" + surrogate,
        b"\x0a\x01a\x12\x05\x1a\x03" + surrogate,
        b"\x0a\x01a\x1a\x05\x42\x03" + surrogate,
        b"\x0a\x01a\x12\x09\x2a\x07\x0a\x05\x0a\x03" + surrogate,
    ):
        with invalid("invalid_payload"):
            await service.raw("Enqueue", data)
    assert await service.counts() == {}


async def test_unknown_fields_are_ignored(service: Service) -> None:
    """A newer client's fields, wherever they stand, harm nothing."""
    unknown = b"\xf8\xff\x7f\x05" + b"\xc2\xff\x7f\x02hi"
    option = b"\x0a\x01q" + unknown
    data = unknown + b"\x0a\x01a" + unknown + b"\x12\x04\x1a\x02hi" + b"\x1a" + bytes([len(option)]) + option + unknown

    job = job_pb2.EnqueueResponse.FromString(await service.raw("Enqueue", data)).job

    assert (job.type, job.queue, [arg.string_value for arg in job.args]) == ("a", "q", ["hi"])


async def test_fields_in_any_order_and_twice(service: Service) -> None:
    """Protobuf allows both: the last string wins, arguments add up, options merge."""
    data = b"".join(
        [
            b"\x1a\x03\x0a\x01q",
            b"\x12\x03\x1a\x01x",
            b"\x0a\x01b",
            b"\x12\x03\x1a\x01y",
            b"\x1a\x02\x10\x05",
            b"\x0a\x81\x00a",
        ]
    )

    job = job_pb2.EnqueueResponse.FromString(await service.raw("Enqueue", data)).job

    assert (job.type, job.queue, job.priority) == ("a", "q", 5)
    assert [arg.string_value for arg in job.args] == ["x", "y"]


async def test_ids_are_all_different_and_in_order(service: Service) -> None:
    """Of one process, also within a millisecond."""
    jobs = await service.enqueue_many(2000)

    ids_ = [job.id for job in jobs]
    assert len(set(ids_)) == 2000
    assert ids_ == sorted(ids_)
    assert all(is_id(id_) for id_ in ids_)


async def test_a_value_of_no_kind_passes(service: Service) -> None:
    """An empty `Value` is what some clients send for null."""
    job = await service.enqueue("a", Value(), meta=Struct(fields={"x": Value()}))

    assert job.args[0] == Value()


def _size(data: bytes) -> bytes:
    return varint(len(data))
