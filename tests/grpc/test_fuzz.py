"""Whatever bytes arrive: a documented status, nothing stored on refusal, and the server goes on.

Messages are made from the descriptors, so that a new field is fuzzed without a change here: each is a request that
works, with some fields replaced by values that are likely to hurt. The same requests are then damaged as bytes.
"""

import asyncio
import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, suppress
from functools import cache
from typing import Any, NamedTuple

import grpc
import pytest
from google.protobuf.descriptor import Descriptor, FieldDescriptor, MethodDescriptor
from google.protobuf.message import DecodeError, Message
from google.protobuf.message_factory import GetMessageClass
from google.protobuf.struct_pb2 import ListValue, Struct, Value
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from ojs_grpc_pb.v1 import events_pb2, job_pb2, queue_pb2, service_pb2, worker_pb2, workflow_pb2

from ojs_grpc.core.duration import to_timestamp
from ojs_grpc.core.ids import is_id
from ojs_grpc.core.wire import varint
from ojs_grpc.core.workflow import record
from ojs_grpc.operations import cron
from tests.clock import FakeClock
from tests.conftest import STORES
from tests.grpc.service import PATIENCE_S, UNKNOWN_ID, Service, eventually, nested, run_service, status_of, value
from tests.redis_server import PrivateRedis

# Else a request of 70,000 characters that finds something fails for its length, and what it found is not told.
pytestmark = pytest.mark.filterwarnings("ignore:Generating overly large repr")

METHODS = tuple(service_pb2.DESCRIPTOR.services_by_name["OJSService"].methods)
METHODS_BY_NAME = {method.name: method for method in METHODS}
DOCUMENTED = {
    grpc.StatusCode.INVALID_ARGUMENT: {"invalid_request", "invalid_payload", "validation_error"},
    grpc.StatusCode.RESOURCE_EXHAUSTED: {"payload_too_large"},
    grpc.StatusCode.NOT_FOUND: {"not_found"},
    grpc.StatusCode.ALREADY_EXISTS: {"duplicate"},
    grpc.StatusCode.FAILED_PRECONDITION: {"invalid_state"},
    grpc.StatusCode.UNIMPLEMENTED: {"unsupported"},
}
"""What a client may be told about its request."""

CHOSEN_ID = "01970000-0000-7000-8000-0000000000"
STATES = ("scheduled", "available", "active", "completed", "retryable", "cancelled", "dead")
KNOWN = {state: f"{CHOSEN_ID}{number:02x}" for number, state in enumerate(STATES)}
"""A job in each state, which every example finds."""

HUGE = "x" * ((1 << 20) + 1)
TEXTS = ["", "a", "\0", "x" * 300, "😀" * 200, "a\nb", "{}*?[", "'; DROP TABLE jobs; --", "\ud7ff\ue000\uffff"]
IDS = [*KNOWN.values(), UNKNOWN_ID, f"{CHOSEN_ID}ff", UNKNOWN_ID.upper(), "x", "-" * 36, f"{UNKNOWN_ID}\n", "worker-1"]
POINTERS = ["/args/0", "/retry", "/max_attempts", "/scheduled_at", "/meta/a", "/result", "/details", "/a", "/" * 999]
NAMES = {
    "type": ["a", "mail.send", "Bad Type", "a" * 255, "a" * 256, "a..b", "ä"],
    "queue": ["default", "other", "Bad", "q" * 128, "q" * 129, "_", "{a}", "a:b"],
    "queues": ["default", "other", "Bad", "q" * 128, "q" * 129, "{a}"],
    **dict.fromkeys(("id", "job_id", "active_jobs", "workflow_id"), IDS),
    "worker_id": ["worker-1", "worker-2", "w" * 255, "w" * 256],
    "cursor": ["default", "MTIz", "====", "1:2", "-1", "a|b", "9" * 40, "{}", "[]", "null", '["default", 1]'],
    "on_exhaustion": ["discard", "dead_letter", "explode"],
    "backoff_strategy": ["linear", "polynomial", "constant", "random"],
    "name": ["entry", "other-entry", "Bad", "n" * 255, "n" * 256, "-"],
    "cron": [
        *("* * * * *", "0 0 12 * * *", "@daily", "@every 1h30m", "@every 1ns", "@every 99999999h", "0 0 30 2 *"),
        *("0 0 29 2 *", "*/0 * * * *", "60 * * * *", "* * * * * * *", "0-59/61 * * * *", "0 0 L * MON#5", ","),
    ],
    "timezone": ["UTC", "Europe/Berlin", "EST", "Etc/GMT+5", "+01:00", "../../etc/passwd", "Mars/Base"],
    "overlap_policy": ["skip", "allow", "cancel_previous", "enqueue", "queue"],
    "key": [*POINTERS, "type", "queue", "args", "meta", "api", "queue:default", "k" * 256],
    "args_keys": ["a", "", "\0"],
    "meta_keys": ["a", "", "\0"],
    "depends_on": ["one", "two", "three"],
    "trigger": ["success", "failure", "complete", "never"],
    "value": ["9007199254740993", "1", "-0", '"2030-01-01T00:00:00+01:00"', '{"max_attempts":0}', "[", "NaN", "{}"],
    "event_types": ["job.enqueued", "job.dead", "cron.skipped", "nothing"],
}
MEMBERS = ["a", "", "\0", "ojs.value", "ojs.response", "ojs.retryable", "error_class", "traceparent", "ojs.rate_limit"]
MEMBERS += ["key", "concurrency", "rate", "throttle", "limit", "period", "ojs.workflow.trigger"]
MEMBERS += ["ojs.cron.overlap_policy", "ojs.cron.enabled", "cron_name", "ojs.parent_results"]
NUMBERS = [0, 1, -1, 2, 100, 101, -101, 10_000]
DOUBLES = [0.0, -0.0, 1.0, 0.5, -1.0, 2.0, float("nan"), float("inf"), float("-inf"), 5e-324, 1.7e308, 2.0**53 + 2]
SECONDS = [0, 1, -1, 60, 10**9, 315_576_000_000, 315_576_000_001, -315_576_000_001, 253_402_300_799, 253_402_300_800]
SECONDS += [-62_135_596_800, -62_135_596_801, 2**63 - 1, -(2**63)]
NANOS = [0, 1, -1, 999_999_999, 1_000_000_000, -999_999_999, 2**31 - 1, -(2**31)]

TEMPLATES: dict[str, Message] = {
    "Enqueue": job_pb2.EnqueueRequest(type="a", args=[value(1)], options=job_pb2.EnqueueOptions(queue="other")),
    "EnqueueBatch": job_pb2.EnqueueBatchRequest(
        jobs=[job_pb2.BatchJobEntry(type="a"), job_pb2.BatchJobEntry(type="b")],
        default_options=job_pb2.EnqueueOptions(priority=1),
    ),
    "GetJob": job_pb2.GetJobRequest(job_id=KNOWN["available"]),
    "CancelJob": job_pb2.CancelJobRequest(job_id=KNOWN["cancelled"]),
    "ActivateJob": job_pb2.ActivateJobRequest(job_id=KNOWN["scheduled"]),
    "Fetch": worker_pb2.FetchRequest(queues=["nothing-here"], count=2, worker_id="worker-1"),
    "Ack": worker_pb2.AckRequest(job_id=KNOWN["completed"]),
    "Nack": worker_pb2.NackRequest(job_id=KNOWN["retryable"], error=job_pb2.JobError(code="boom")),
    "Heartbeat": worker_pb2.HeartbeatRequest(id=KNOWN["active"], worker_id="worker-1"),
    "StreamJobs": worker_pb2.StreamJobsRequest(queues=["nothing-here"], worker_id="worker-1"),
    "ListQueues": queue_pb2.ListQueuesRequest(limit=2, cursor="active-jobs"),
    "QueueStats": queue_pb2.QueueStatsRequest(queue="default"),
    "PauseQueue": queue_pb2.PauseQueueRequest(queue="default"),
    "ResumeQueue": queue_pb2.ResumeQueueRequest(queue="default"),
    "ListDeadLetter": queue_pb2.ListDeadLetterRequest(queue="dead-jobs", limit=1),
    "RetryDeadLetter": queue_pb2.RetryDeadLetterRequest(job_id=KNOWN["available"]),
    "DeleteDeadLetter": queue_pb2.DeleteDeadLetterRequest(job_id=KNOWN["available"]),
    "RegisterCron": service_pb2.RegisterCronRequest(name="entry", cron="0 0 * * *", type="a", args=[value(1)]),
    "UnregisterCron": service_pb2.UnregisterCronRequest(name="entry"),
    "CreateWorkflow": workflow_pb2.CreateWorkflowRequest(
        name="w",
        steps=[
            workflow_pb2.WorkflowStep(id="one", type="a"),
            workflow_pb2.WorkflowStep(id="two", type="a", depends_on=["one"], trigger="complete"),
        ],
    ),
    "GetWorkflow": workflow_pb2.GetWorkflowRequest(workflow_id=UNKNOWN_ID),
    "CancelWorkflow": workflow_pb2.CancelWorkflowRequest(workflow_id=UNKNOWN_ID),
    "StreamEvents": events_pb2.StreamEventsRequest(queues=["default"], event_types=["job.enqueued"]),
}

many = settings(max_examples=800, suppress_health_check=list(HealthCheck), database=None)
few = settings(many, max_examples=50)


class Target(NamedTuple):
    """A server that lives as long as the module, and the loop that it lives on."""

    service: Service
    runner: asyncio.Runner


@pytest.fixture(scope="module", params=STORES)
def target(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Target]:
    """A server on each kind of store, holding the known jobs."""
    urls = {"memory": "memory:", "sqlite": f"sqlite:///{tmp_path_factory.mktemp('fuzz') / 'jobs.db'}"}
    if request.param == "redis":
        redis: PrivateRedis = request.getfixturevalue("redis_server")
        redis.command("FLUSHALL")
        urls["redis"] = redis.url
    with ExitStack() as stack:
        runner = stack.enter_context(asyncio.Runner())
        running = run_service(FakeClock(), urls[request.param], long_poll_seconds=0.0)
        service = runner.run(running.__aenter__())
        stack.callback(lambda: runner.run(running.__aexit__(None, None, None)))
        runner.run(_prepare(service))
        yield Target(service, runner)


# Messages


def texts(field: FieldDescriptor) -> st.SearchStrategy[str]:
    """Names that the field expects, names that it does not, and other text."""
    likely = NAMES.get(field.name, ["a", "b"])
    return st.one_of(st.sampled_from(likely), st.sampled_from([*likely, *TEXTS, HUGE]), st.text(max_size=10))


@cache
def values() -> st.SearchStrategy[Value]:
    """Values of each kind, not finite ones and deep ones among them."""
    leaves = st.one_of(
        st.sampled_from(DOUBLES).map(lambda number: Value(number_value=number)),
        st.sampled_from([None, True, "text", "\0", "ojs.value"]).map(value),
        st.just(Value()),
        st.sampled_from([nested(depth, kind) for depth in (29, 30, 31) for kind in ("list", "object")]),
    )
    return st.recursive(
        leaves,
        lambda inner: st.one_of(
            st.lists(inner, max_size=3).map(lambda items: Value(list_value=ListValue(values=items))),
            structs(inner).map(lambda members: Value(struct_value=members)),
        ),
        max_leaves=4,
    )


def structs(inner: st.SearchStrategy[Value]) -> st.SearchStrategy[Struct]:
    """Objects; some of their members mean something to the server."""
    names = st.sampled_from(MEMBERS)
    members = st.dictionaries(names, inner, max_size=3)
    large = Struct(fields={"a": value("x" * 70_000)})
    return st.one_of(members.map(lambda fields: Struct(fields=fields)), st.just(large))


def one(field: FieldDescriptor) -> st.SearchStrategy[Any]:
    """One value of a field."""
    if field.message_type is not None:
        return messages(field.message_type)
    if field.enum_type is not None:
        return st.sampled_from([*range(9), 99, -1, 2**31 - 1])
    if field.type == FieldDescriptor.TYPE_STRING:
        return texts(field)
    if field.type == FieldDescriptor.TYPE_BOOL:
        return st.booleans()
    if field.type == FieldDescriptor.TYPE_DOUBLE:
        return st.sampled_from(DOUBLES)
    bits = 64 if field.type == FieldDescriptor.TYPE_INT64 else 32
    assert field.type in (FieldDescriptor.TYPE_INT32, FieldDescriptor.TYPE_INT64), field.full_name
    return st.sampled_from([*NUMBERS, 2 ** (bits - 1) - 1, -(2 ** (bits - 1))])


@cache
def content(field: FieldDescriptor) -> st.SearchStrategy[Any]:
    """All values of a field."""
    if field.message_type is not None and field.message_type.GetOptions().map_entry:
        return st.dictionaries(*map(one, field.message_type.fields), max_size=3)
    return st.lists(one(field), max_size=3) if field.is_repeated else one(field)


@cache
def messages(descriptor: Descriptor) -> st.SearchStrategy[Message]:
    """A message of a type, any of its fields set or not."""
    if descriptor.full_name == "google.protobuf.Value":
        return values()
    if descriptor.full_name == "google.protobuf.Struct":
        return structs(values())
    message_class = GetMessageClass(descriptor)
    if descriptor.full_name in ("google.protobuf.Duration", "google.protobuf.Timestamp"):
        return st.builds(message_class, seconds=st.sampled_from(SECONDS), nanos=st.sampled_from(NANOS))
    fields = {field.name: content(field) for field in descriptor.fields if field.name != "wait"}
    return st.fixed_dictionaries({}, optional=fields).map(lambda chosen: build(message_class, chosen))


def build(message_class: type[Message], fields: Mapping[str, Any]) -> Message:
    """A message of these fields, without those that are too deep even to be put into one."""
    message = message_class()
    for name, content_ in fields.items():
        # Not MergeFrom, which raises too late for what is too deep: after its return.
        with suppress(DecodeError):
            message.MergeFromString(message_class(**{name: content_}).SerializeToString())
    return message


@st.composite
def requests(draw: st.DrawFn, method: MethodDescriptor) -> bytes:
    """A request that works, some of its fields replaced; or one out of nothing."""
    template = TEMPLATES.get(method.name)
    if template is None or draw(st.integers(0, 4)) == 0:
        return draw(messages(method.input_type)).SerializeToString()
    request = type(template)()
    request.CopyFrom(template)
    replaced = []
    fields = [field for field in method.input_type.fields if field.name != "wait"]
    for field in draw(st.lists(st.sampled_from(fields), max_size=3, unique_by=lambda field: field.name)):
        request.ClearField(field.name)
        # Messages that are too deep to be parsed can be put together from bytes only.
        replaced.append(type(template)(**{field.name: draw(content(field))}).SerializeToString())
    return request.SerializeToString() + b"".join(replaced)


@st.composite
def calls(draw: st.DrawFn) -> tuple[str, bytes]:
    """A method and a message for it."""
    method = draw(st.sampled_from(METHODS))
    return method.name, draw(requests(method))


# Bytes


def _field(number: int, data: bytes) -> bytes:
    return varint(number << 3 | 2) + varint(len(data)) + data


SPLINTERS = [
    b"",
    b"\0",
    b"\xff" * 12,
    b"\x0b",  # a group that never ends
    b"\x0c",
    b"\x0b\x0c",
    b"\x0a\xff\xff\xff\xff\x0f",  # a string of 4 GiB
    b"\x0a\xff\xff\xff\xff\xff\xff\xff\xff\x7f",
    *(_field(number, b"\xed\xa0\x80") for number in (1, 2, 3, 8, 1001, 1002)),  # a lone surrogate
    *(_field(number, b"\xff") for number in (1, 2, 3)),
    *(_field(number, b"") for number in (1, 2, 3, 5, 7, 10)),
    *(varint(number << 3) + b"\xff" * 9 + b"\x01" for number in (2, 3, 4, 1002, 1003)),  # -1 as 64 bits
    _field(60_000, b"unknown"),
    _field(2, _field(1, b"a") * 40),
    b"\x0a" * 300,
]


@st.composite
def damaged(draw: st.DrawFn) -> tuple[str, bytes]:
    """A message with bytes cut, changed, put in and repeated; or bytes that never were a message."""
    method = draw(st.sampled_from(METHODS))
    if draw(st.booleans()):
        return method.name, draw(st.one_of(st.binary(max_size=64), st.sampled_from(SPLINTERS)))
    data = bytearray(draw(requests(method))[:5000])
    for _ in range(draw(st.integers(1, 3))):
        at, end = sorted(draw(st.tuples(*[st.integers(0, len(data))] * 2)))
        splinter = st.sampled_from([*SPLINTERS, bytes(data[at:end]) * 2])
        part = draw(st.one_of(splinter, st.binary(min_size=1, max_size=4)))
        data[at : draw(st.sampled_from([at, end]))] = part
    return method.name, bytes(data)


VISIBLE = st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E), max_size=20)
METADATA = st.dictionaries(
    st.sampled_from(
        [
            *("x-ojs-lease", "x-ojs-worker-id", "x-ojs-request-id", "x-ojs-idempotency-key", "x-ojs-after"),
            *("traceparent", "tracestate"),
        ]
    ),
    st.one_of(
        VISIBLE,
        st.sampled_from(["1", "-1", "9" * 18, "9" * 30, "1" * 300, "x" * 2000, "worker-1"]),
        st.just(f"00-{'a' * 32}-{'b' * 16}-01"),
        st.just(f"evt_{UNKNOWN_ID}"),
    ),
    max_size=3,
).map(lambda metadata: tuple(metadata.items()))


# Checks


async def check(service: Service, method: str, data: bytes, metadata: Sequence[tuple[str, str]] = ()) -> None:
    """Makes one call: it is answered, or refused in a documented way and then changed nothing."""
    before = await snapshot(service)
    error = await _call(service, METHODS_BY_NAME[method], data, metadata)
    if error is None:
        return
    status = status_of(error.code(), error.trailing_metadata())
    assert status.code in DOCUMENTED, f"{method}: {error.code()} {error.details()}"
    assert status.info.reason in DOCUMENTED[status.code], f"{method}: {status.info.reason}"
    after = await snapshot(service)
    if method == "Heartbeat" and status.info.reason == "invalid_state":
        # The named job is refused; whatever the named worker holds was extended all the same, and nothing else.
        before, after = _without_ends_of_leases(before), _without_ends_of_leases(after)
    assert after == before, f"{method} was refused ({error.details()}) and changed something"


async def _call(
    service: Service, method: MethodDescriptor, data: bytes, metadata: Sequence[tuple[str, str]]
) -> grpc.aio.AioRpcError | None:
    """Makes a call; how it was refused."""
    path = f"/ojs.v1.OJSService/{method.name}"
    try:
        async with asyncio.timeout(PATIENCE_S):
            if method.server_streaming:
                await _open_and_close(service, service.channel.unary_stream(path)(data, metadata=metadata))
            else:
                reply = await service.channel.unary_unary(path)(data, metadata=metadata)
                GetMessageClass(method.output_type).FromString(reply)
    except grpc.aio.AioRpcError as error:
        return error
    return None


async def _open_and_close(service: Service, call: Any) -> None:  # noqa: ANN401
    """Takes a stream's first sign, be it metadata or an error, and leaves."""
    await call.initial_metadata()
    if call.done():
        await call.read()
    call.cancel()
    engine = service.server.engine
    dispatcher = engine._dispatcher
    await eventually(lambda: not dispatcher._waiting and len(dispatcher._tasks) == 2)
    await eventually(lambda: not engine.events._subscribers)


class Snapshot(NamedTuple):
    """What is stored, as far as this can be seen: queues, dead letters, cron entries and workflows, the known jobs."""

    queues: object
    dead: object
    documents: object
    jobs: Sequence[object]


def _without_ends_of_leases(snapshot: Snapshot) -> Snapshot:
    jobs = [job_pb2.Job.FromString(data) for data in snapshot.jobs if isinstance(data, bytes)]
    for job in jobs:
        job.ClearField("lease_expires_at")
    return snapshot._replace(jobs=jobs)


async def snapshot(service: Service) -> Snapshot:
    """Looks now."""
    store = service.store
    queues = await store.queues("", 1000)
    dead = await store.dead_letters("", "", 1000, 1 << 26)
    documents = [await store.list_documents(kind, "", 1000) for kind in (cron.KIND, record.KIND)]
    return Snapshot(queues, dead, documents, await store.read(list(KNOWN.values())))


async def _prepare(service: Service) -> None:
    """Makes the known jobs."""
    def enqueue(state: str, **options: Any) -> Any:  # noqa: ANN401
        return service.enqueue("a", id=KNOWN[state], queue=f"{state}-jobs", **options)

    await enqueue("scheduled", delay_until=to_timestamp(service.clock.now() + 10**9))
    await enqueue("available")
    await enqueue("active")
    await service.fetch_one("active-jobs")
    await enqueue("completed")
    await service.ack(await service.fetch_one("completed-jobs"))
    await enqueue("retryable")
    await service.nack(await service.fetch_one("retryable-jobs"))
    await enqueue("cancelled")
    await service.stub.CancelJob(job_pb2.CancelJobRequest(job_id=KNOWN["cancelled"]))
    await enqueue("dead", max_attempts=1, retry=job_pb2.RetryPolicy(on_exhaustion="dead_letter"))
    await service.nack(await service.fetch_one("dead-jobs"))
    assert all(is_id(known) for known in KNOWN.values())


async def _still_works(service: Service) -> None:
    """A job goes its way."""
    enqueued = await service.enqueue(queue="afterwards")
    job = await service.fetch_one("afterwards", worker_id="afterwards")
    assert job.id == enqueued.id
    await service.ack(job)


def run(target: Target, caplog: pytest.LogCaptureFixture, strategy: Any, how: settings) -> None:  # noqa: ANN401
    """Checks many calls, and that nothing was logged as a bug, and that the server still works."""

    @how
    @given(strategy, METADATA)
    def examples(call: tuple[str, bytes], metadata: Sequence[tuple[str, str]]) -> None:
        target.runner.run(check(target.service, *call, metadata))

    examples()
    target.runner.run(_still_works(target.service))
    assert not [record for record in caplog.records if record.levelno >= logging.ERROR]


def test_messages(target: Target, caplog: pytest.LogCaptureFixture) -> None:
    """Well-formed messages with bad contents."""
    run(target, caplog, calls(), few)


def test_bytes(target: Target, caplog: pytest.LogCaptureFixture) -> None:
    """Messages that are damaged, and bytes that never were messages."""
    run(target, caplog, damaged(), few)


@pytest.mark.slow
@pytest.mark.deep
@pytest.mark.timeout(300)
@pytest.mark.parametrize("strategy", [calls, damaged], ids=["messages", "bytes"])
def test_deeper(target: Target, caplog: pytest.LogCaptureFixture, strategy: Any) -> None:  # noqa: ANN401
    """The same, for longer."""
    run(target, caplog, strategy(), many)


def test_every_request_has_a_template() -> None:
    """Those with fields are fuzzed near one that works."""
    assert len(METHODS) == 26
    assert {method.name for method in METHODS if method.input_type.fields} == TEMPLATES.keys()


def test_templates_fit_their_methods() -> None:
    """Each is a request of the type that its method takes."""
    for name, template in TEMPLATES.items():
        assert isinstance(template, GetMessageClass(METHODS_BY_NAME[name].input_type))
