"""A client built from the canonical protos alone: without our fields, and without the labels that we added.

Its messages are made here from our descriptors, stripped of what is not the spec's (behaviour section 1.3).
"""

from collections.abc import Iterable, Mapping
from typing import Any

import pytest
from google.protobuf import duration_pb2, struct_pb2, timestamp_pb2
from google.protobuf.descriptor_pb2 import DescriptorProto, FileDescriptorProto
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message_factory import GetMessageClass
from ojs_grpc_pb.v1 import events_pb2, job_pb2, queue_pb2, service_pb2, worker_pb2, workflow_pb2

from tests.grpc.service import SECOND, Service, eventually, invalid, objects, patience, wrong_state

FILES = (job_pb2, worker_pb2, queue_pb2, workflow_pb2, events_pb2, service_pb2)
OURS = range(1000, 1100)
ADDED = {"EnqueueOptions": {"pending"}}
"""What the canonical messages do not have although its number is theirs."""


def strip(message: DescriptorProto) -> None:
    """Takes out what is ours."""
    kept = [
        field for field in message.field if field.number not in OURS and field.name not in ADDED.get(message.name, ())
    ]
    for field in kept:
        if field.proto3_optional:
            field.ClearField("proto3_optional")
            field.ClearField("oneof_index")
    del message.field[:]
    message.field.extend(kept)
    names = {field.oneof_index for field in kept if field.HasField("oneof_index")}
    if not names:
        del message.oneof_decl[:]


class Stock:
    """The messages of a stock client, by name, and calls with them."""

    def __init__(self) -> None:
        self._pool = DescriptorPool()
        for known in (duration_pb2, struct_pb2, timestamp_pb2):
            self._pool.AddSerializedFile(known.DESCRIPTOR.serialized_pb)
        for module in FILES:
            file = FileDescriptorProto()
            module.DESCRIPTOR.CopyToProto(file)
            for message in file.message_type:
                strip(message)
            if file.service:
                methods = [method for method in file.service[0].method if method.name != "ActivateJob"]
                del file.service[0].method[:]
                file.service[0].method.extend(methods)
            self._pool.Add(file)
        self.methods = self._pool.FindServiceByName("ojs.v1.OJSService").methods_by_name

    def make(self, message: str, /, **fields: Any) -> Any:  # noqa: ANN401
        """A message."""
        return GetMessageClass(self._pool.FindMessageTypeByName(f"ojs.v1.{message}"))(**fields)

    async def call(self, service: Service, name: str, /, **fields: Any) -> Any:  # noqa: ANN401
        """A unary call."""
        method = self.methods[name]
        call = service.channel.unary_unary(
            f"/ojs.v1.OJSService/{name}",
            request_serializer=lambda message: message.SerializeToString(),
            response_deserializer=GetMessageClass(method.output_type).FromString,
        )
        return await call(self.make(method.input_type.name, **fields))

    def stream(self, service: Service, name: str = "StreamJobs", /, **fields: Any) -> Any:  # noqa: ANN401
        """A call that answers with a stream."""
        method = self.methods[name]
        return service.channel.unary_stream(
            f"/ojs.v1.OJSService/{name}",
            request_serializer=lambda message: message.SerializeToString(),
            response_deserializer=GetMessageClass(method.output_type).FromString,
        )(self.make(method.input_type.name, **fields))

    def options(self, meta: Mapping[str, Any], **fields: Any) -> Any:  # noqa: ANN401
        """EnqueueOptions that say in `meta` what the spec's have no field for."""
        return self.make("EnqueueOptions", meta=_like(self, objects(meta)), **fields)


@pytest.fixture(scope="module")
def stock() -> Stock:
    """A stock client's messages."""
    return Stock()


def test_nothing_of_ours_is_left(stock: Stock) -> None:
    """The test would prove nothing otherwise."""
    for module in FILES:
        for name in module.DESCRIPTOR.message_types_by_name:
            message = stock.make(name).DESCRIPTOR
            assert all(field.number < 1000 for field in message.fields)
            plain = [field for field in message.fields if field.message_type is None]
            assert not any(field.has_presence for field in plain if field.containing_oneof is None)
    assert [field.number for field in stock.make("Job").DESCRIPTOR.fields] == list(range(1, 26))
    assert "lease" not in names(stock.make("AckRequest").DESCRIPTOR.fields)
    assert "ActivateJob" not in stock.methods


async def test_a_job_goes_its_way(everywhere: Service, stock: Stock) -> None:
    """Enqueue, fetch, beat, ack, look: without names or leases."""
    enqueued = (await stock.call(everywhere, "Enqueue", type="mail.send")).job
    (job,) = (await stock.call(everywhere, "Fetch", queues=["default"])).jobs
    assert (job.id, job.attempt, job.max_attempts, job.state) == (enqueued.id, 1, 3, job_pb2.JOB_STATE_ACTIVE)
    beat = await stock.call(everywhere, "Heartbeat", id=job.id)
    assert beat.directed_state == worker_pb2.WORKER_STATE_RUNNING
    result = struct_pb2.Struct()
    result["rows"] = 3

    assert (await stock.call(everywhere, "Ack", job_id=job.id, result=_like(stock, result))).acknowledged

    done = (await stock.call(everywhere, "GetJob", job_id=job.id)).job
    assert done.state == job_pb2.JOB_STATE_COMPLETED
    assert done.result.fields["rows"].number_value == 3
    with wrong_state():
        await stock.call(everywhere, "Ack", job_id=job.id)


async def test_a_failure_without_a_word_on_retries_is_retried(everywhere: Service, stock: Stock) -> None:
    """`retryable: false` and nothing look the same from here: the policy decides."""
    await stock.call(everywhere, "Enqueue", type="a")
    (job,) = (await stock.call(everywhere, "Fetch", queues=["default"])).jobs
    error = stock.make("JobError", code="boom", message="it broke", retryable=False)

    reply = await stock.call(everywhere, "Nack", job_id=job.id, error=error)

    assert reply.state == job_pb2.JOB_STATE_RETRYABLE
    assert reply.HasField("next_attempt_at")


async def test_a_policy_of_zeros_is_all_defaults(service: Service, stock: Stock) -> None:
    """Not no attempt, not unlimited ones, and jitter on."""
    options = stock.make("EnqueueOptions", retry=stock.make("RetryPolicy", max_attempts=0, jitter=False))
    job = (await stock.call(service, "Enqueue", type="a", options=options)).job

    assert job.max_attempts == 3
    delays = set()
    for _ in range(30):
        job = (await stock.call(service, "Enqueue", type="a", options=options)).job
        (held,) = (await stock.call(service, "Fetch", queues=["default"])).jobs
        await stock.call(service, "Nack", job_id=held.id, error=stock.make("JobError", code="boom"))
        delays.add((await service.get(held.id)).retry_delay_ms)
    assert len(delays) > 10
    assert 500 <= min(delays) <= max(delays) <= 1500


async def test_one_attempt_is_said_with_one(service: Service, stock: Stock) -> None:
    """The first failure is final."""
    options = stock.make("EnqueueOptions", max_attempts=1)
    await stock.call(service, "Enqueue", type="a", options=options)
    (job,) = (await stock.call(service, "Fetch", queues=["default"])).jobs

    reply = await stock.call(service, "Nack", job_id=job.id, error=stock.make("JobError", code="boom"))

    assert reply.state == job_pb2.JOB_STATE_DISCARDED


async def test_a_count_of_zero_is_one(service: Service, stock: Stock) -> None:
    """And a batch entry's zero priority leaves the batch's."""
    entry = stock.make("BatchJobEntry", type="a", options=stock.make("EnqueueOptions", priority=0))
    common = stock.make("EnqueueOptions", priority=5)
    reply = await stock.call(service, "EnqueueBatch", jobs=[entry] * 3, default_options=common)
    assert (reply.count, {job.priority for job in reply.jobs}) == (3, {5})

    assert len((await stock.call(service, "Fetch", queues=["default"], count=0)).jobs) == 1


async def test_a_stream(everywhere: Service, stock: Stock) -> None:
    """Jobs flow, slots free on ack."""
    stream = stock.stream(everywhere, queues=["default"], worker_id="worker-1")
    for _ in range(5):
        enqueued = (await stock.call(everywhere, "Enqueue", type="a")).job
        async with patience():
            job = await stream.read()
        assert job.id == enqueued.id
        await stock.call(everywhere, "Ack", job_id=job.id)
    stream.cancel()
    await eventually(lambda: not everywhere.server.engine._dispatcher._waiting)


async def test_a_worker_that_names_its_first_job_keeps_all(everywhere: Service, stock: Stock) -> None:
    """As the official Python SDK does: `id` is its first active job."""
    for _ in range(2):
        options = stock.make("EnqueueOptions", visibility_timeout=_like(stock, duration_pb2.Duration(seconds=10)))
        await stock.call(everywhere, "Enqueue", type="a", options=options)
    jobs = (await stock.call(everywhere, "Fetch", queues=["default"], count=2, worker_id="w")).jobs
    for _ in range(3):
        await everywhere.advance(8 * SECOND)
        await stock.call(everywhere, "Heartbeat", id=jobs[0].id, worker_id="w")

    for job in jobs:
        assert (await stock.call(everywhere, "GetJob", job_id=job.id)).job.state == job_pb2.JOB_STATE_ACTIVE
        await stock.call(everywhere, "Ack", job_id=job.id)


async def test_dead_letters(service: Service, stock: Stock) -> None:
    """Listed, retried, deleted."""
    policy = stock.make("RetryPolicy", max_attempts=1, on_exhaustion="dead_letter")
    await stock.call(service, "Enqueue", type="a", options=stock.make("EnqueueOptions", retry=policy))
    (job,) = (await stock.call(service, "Fetch", queues=["default"])).jobs
    await stock.call(service, "Nack", job_id=job.id, error=stock.make("JobError", code="boom"))

    listed = await stock.call(service, "ListDeadLetter")
    assert [dead.id for dead in listed.jobs] == [job.id]
    assert (await stock.call(service, "RetryDeadLetter", job_id=job.id)).job.attempt == 0


async def test_a_rate_limit(everywhere: Service, stock: Stock) -> None:
    """In `meta`, also as the spec's suite writes it; a bad one is refused by its path."""
    one_at_once = stock.options({"ojs.rate_limit": {"key": "api", "concurrency": 1}})
    one_a_second = stock.options({"ojs.rate_limit": {"max_per_second": 1}}, queue="other")
    for options in (one_at_once, one_a_second) * 2:
        await stock.call(everywhere, "Enqueue", type="a", options=options)

    fetched = (await stock.call(everywhere, "Fetch", queues=["default", "other"], count=9)).jobs

    assert [job.queue for job in fetched] == ["default", "other"]
    with invalid() as caught:
        wrong = stock.options({"ojs.rate_limit": {"rate": {"limit": 0}}})
        await stock.call(everywhere, "Enqueue", type="a", options=wrong)
    assert caught.fields[0].startswith('options.meta["ojs.rate_limit"].rate.limit')


@pytest.mark.parametrize(("policy", "jobs"), [(None, 1), ("skip", 1), ("allow", 2), ("cancel_previous", 1)])
async def test_what_a_cron_entry_does_about_overlap(
    everywhere: Service, stock: Stock, policy: str | None, jobs: int
) -> None:
    """Said in `meta`, of which the jobs show nothing."""
    options = stock.options({"ojs.cron.overlap_policy": policy} if policy else {})
    registered = await stock.call(everywhere, "RegisterCron", name="r", cron="* * * * *", type="a", options=options)
    assert registered.HasField("next_run_at")

    for _ in range(2):
        await everywhere.advance(60 * SECOND)

    assert await everywhere.counts() == {"default": jobs}
    (job, *_) = (await stock.call(everywhere, "Fetch", queues=["default"], count=9)).jobs
    assert set(job.meta.fields) == {"cron_name", "cron_triggered_at"}
    (entry,) = (await stock.call(everywhere, "ListCron")).entries
    assert (entry.name, entry.HasField("last_run_at")) == ("r", True)


@pytest.mark.parametrize("by_id", [True, False], ids=["id", "meta"])
async def test_callbacks_of_a_workflow(everywhere: Service, stock: Stock, by_id: bool) -> None:  # noqa: FBT001
    """By the ids of the official SDKs, or by `meta`: after a failure, the one for failures runs and no other."""

    def callback(trigger: str) -> Any:  # noqa: ANN401
        said = {} if by_id else {"ojs.workflow.trigger": trigger}
        options = stock.options(said, queue=trigger)
        name = f"on_{trigger}" if by_id else f"then-{trigger}"
        return stock.make("WorkflowStep", id=name, type="a", depends_on=["work"], options=options)

    options = stock.make("EnqueueOptions", max_attempts=1)
    work = stock.make("WorkflowStep", id="work", type="a", options=options)
    steps = [work, callback("success"), callback("failure"), callback("complete")]
    created = (await stock.call(everywhere, "CreateWorkflow", name="w", steps=steps)).workflow
    (job,) = (await stock.call(everywhere, "Fetch", queues=["default"])).jobs
    await stock.call(everywhere, "Nack", job_id=job.id, error=stock.make("JobError", code="boom"))

    await everywhere.run_duties()

    fired = (await stock.call(everywhere, "Fetch", queues=["success", "failure", "complete"], count=9)).jobs
    assert [job.queue for job in fired] == ["failure", "complete"]
    for job in fired:
        await stock.call(everywhere, "Ack", job_id=job.id)
    await everywhere.run_duties()
    workflow = (await stock.call(everywhere, "GetWorkflow", workflow_id=created.id)).workflow
    assert workflow.state == workflow_pb2.WORKFLOW_STATE_COMPLETED


async def test_a_job_that_must_be_unique(everywhere: Service, stock: Stock) -> None:
    """The whole policy is the spec's own."""
    policy = stock.make("UniquePolicy", on_conflict=job_pb2.UNIQUE_CONFLICT_ACTION_IGNORE)
    options = stock.make("EnqueueOptions", unique=policy)

    first, second = [(await stock.call(everywhere, "Enqueue", type="a", options=options)).job for _ in range(2)]

    assert second.id == first.id


async def test_events(everywhere: Service, stock: Stock) -> None:
    """As they happen, and after one that is known."""
    stream = stock.stream(everywhere, "StreamEvents", event_types=["job.enqueued", "job.dead"])
    await stream.initial_metadata()
    await stock.call(everywhere, "Enqueue", type="a", options=stock.make("EnqueueOptions", max_attempts=1))
    (job,) = (await stock.call(everywhere, "Fetch", queues=["default"])).jobs
    await stock.call(everywhere, "Nack", job_id=job.id, error=stock.make("JobError", code="boom"))

    async with patience():
        told = [await stream.read() for _ in range(2)]

    assert [(event.type, event.job_id) for event in told] == [("job.enqueued", job.id), ("job.discarded", job.id)]
    stream.cancel()


def names(fields: Iterable[Any]) -> set[str]:
    """Of fields."""
    return {field.name for field in fields}


def _like(stock: Stock, message: Any) -> Any:  # noqa: ANN401
    """The same message of the stock client's pool."""
    return GetMessageClass(stock._pool.FindMessageTypeByName(message.DESCRIPTOR.full_name)).FromString(
        message.SerializeToString()
    )
