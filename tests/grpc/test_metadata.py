"""What travels beside the messages (behaviour section 1.6)."""

import asyncio
from collections.abc import Sequence

import grpc
import pytest
from google.protobuf.struct_pb2 import Struct
from ojs_grpc_pb.v1 import job_pb2, worker_pb2
from ojs_grpc_pb.v1.job_pb2 import EnqueueBatchRequest, EnqueueOptions, EnqueueRequest

from ojs_grpc import __version__
from ojs_grpc.core.wire import bytes_field
from tests.grpc.service import SECOND, Service, invalid, not_found, refused_or_done, struct, value, wrong_state

PARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
DAY = 86_400 * SECOND


def send(service: Service, *metadata: tuple[str, str], type_: str = "a", **options: object) -> grpc.aio.UnaryUnaryCall:
    """Enqueues a job with metadata."""
    request = EnqueueRequest(type=type_, options=EnqueueOptions(**options) if options else None)  # type: ignore[arg-type]
    return service.stub.Enqueue(request, metadata=metadata)


def find(metadata: Sequence[tuple[str, object]], key: str) -> list[object]:
    """The values of a key."""
    return [value for name, value in metadata if name == key]


async def test_a_request_id_is_echoed(service: Service) -> None:
    """In the initial and in the trailing metadata."""
    call = send(service, ("x-ojs-request-id", "req-42"))
    await call

    for metadata in (await call.initial_metadata(), await call.trailing_metadata()):
        assert find(metadata, "x-ojs-request-id") == ["req-42"]


async def test_a_request_id_is_made_when_there_is_none(service: Service) -> None:
    """Another one for each call."""
    seen = []
    for _ in range(2):
        call = send(service)
        await call
        seen += find(await call.trailing_metadata(), "x-ojs-request-id")

    assert len(set(seen)) == 2
    assert all(str(request_id).startswith("req_") for request_id in seen)


async def test_a_refusal_carries_the_request_id(service: Service) -> None:
    """In the trailing metadata and in the ErrorInfo, given or made."""
    for metadata in ((("x-ojs-request-id", "req-42"),), ()):
        call = service.stub.GetJob(job_pb2.GetJobRequest(job_id="x"), metadata=metadata)
        with not_found() as caught:
            await call
        (echoed,) = find(caught.status.metadata, "x-ojs-request-id")
        assert echoed == caught.info.metadata["request_id"]
        assert echoed == "req-42" or not metadata


async def test_a_stream_has_a_request_id_at_its_start(service: Service) -> None:
    """The client learns at once that the stream is open."""
    call = service.stub.StreamJobs(
        worker_pb2.StreamJobsRequest(queues=["default"], worker_id="w"), metadata=(("x-ojs-request-id", "req-42"),)
    )

    assert find(await call.initial_metadata(), "x-ojs-request-id") == ["req-42"]
    call.cancel()


async def test_a_long_request_id_is_cut(service: Service) -> None:
    """To 128 characters."""
    call = send(service, ("x-ojs-request-id", "r" * 1000))
    await call

    assert find(await call.trailing_metadata(), "x-ojs-request-id") == ["r" * 128]


async def test_an_unprintable_request_id_is_replaced(service: Service) -> None:
    """Nothing goes into logs or headers that does not belong there."""
    call = send(service, ("x-ojs-request-id", "a b"))
    await call

    (request_id,) = find(await call.trailing_metadata(), "x-ojs-request-id")
    assert str(request_id).startswith("req_")


async def test_every_answer_says_who_answers(service: Service) -> None:
    """Version and conformance level, on success, refusal and stream."""
    success = send(service)
    await success
    refusal = service.stub.GetJob(job_pb2.GetJobRequest(job_id="x"))
    with not_found():
        await refusal
    stream = service.stub.StreamJobs(worker_pb2.StreamJobsRequest(queues=["default"], worker_id="w"))

    for metadata in (
        await success.trailing_metadata(),
        await refusal.trailing_metadata(),
        await stream.initial_metadata(),
    ):
        assert find(metadata, "x-ojs-server-version") == [__version__]
        assert find(metadata, "x-ojs-conformance-level") == ["4"]
    stream.cancel()


async def test_trace_context_is_kept_in_meta(everywhere: Service) -> None:
    """Of Enqueue and of EnqueueBatch, through to the worker."""
    metadata = (("traceparent", PARENT), ("tracestate", "vendor=1"))
    await everywhere.stub.Enqueue(EnqueueRequest(type="a"), metadata=metadata)
    batch = EnqueueBatchRequest(jobs=[{"type": "a"}], default_options=EnqueueOptions(meta=struct(tenant="t")))
    await everywhere.stub.EnqueueBatch(batch, metadata=metadata)

    single, batched = await everywhere.fetch(2)

    assert single.meta == struct(traceparent=PARENT, tracestate="vendor=1")
    assert batched.meta == struct(traceparent=PARENT, tracestate="vendor=1", tenant="t")


async def test_the_clients_own_members_of_meta_win(service: Service) -> None:
    """Trace context in the metadata overwrites nothing."""
    reply = await send(
        service, ("traceparent", PARENT), ("tracestate", "vendor=1"), meta=struct(traceparent="mine", other=1)
    )

    assert reply.job.meta == struct(traceparent="mine", other=1, tracestate="vendor=1")


@pytest.mark.parametrize("parent", ["", "nonsense", PARENT.upper(), PARENT[:-1], "00" + PARENT, "ä".encode().hex()])
async def test_trace_context_that_is_none_is_ignored(service: Service, parent: str) -> None:
    """A broken header never fails an enqueue, and takes its state with it."""
    reply = await send(service, ("traceparent", parent), ("tracestate", "vendor=1"))

    assert not reply.job.HasField("meta")


async def test_jobs_with_the_same_options_keep_their_own_trace(service: Service) -> None:
    """What is remembered of options does not remember the trace of another call."""
    other = PARENT.replace("4bf9", "aaaa")
    replies = [
        await send(service, *metadata, queue="q")
        for metadata in ([("traceparent", PARENT)], [], [("traceparent", other)], [("traceparent", PARENT)])
    ]

    kept = [dict(reply.job.meta.items()).get("traceparent") for reply in replies]
    assert kept == [PARENT, None, other, PARENT]


async def test_a_holder_may_show_itself_in_metadata(everywhere: Service) -> None:
    """Clients without our fields: ack, nack and heartbeat by `x-ojs-lease` and `x-ojs-worker-id`."""
    await everywhere.enqueue_many(2)
    first, second = await everywhere.fetch(2)
    wrong, right = (("x-ojs-lease", str(first.lease + 1000)),), (("x-ojs-lease", str(first.lease)),)
    stranger = (("x-ojs-worker-id", "worker-2"),)

    for metadata in (wrong, stranger):
        with wrong_state():
            await everywhere.stub.Heartbeat(worker_pb2.HeartbeatRequest(id=first.id), metadata=metadata)
        with wrong_state():
            await everywhere.stub.Nack(
                worker_pb2.NackRequest(job_id=first.id, error=job_pb2.JobError(code="x")), metadata=metadata
            )
        with wrong_state():
            await everywhere.stub.Ack(worker_pb2.AckRequest(job_id=first.id), metadata=metadata)
    await everywhere.stub.Heartbeat(worker_pb2.HeartbeatRequest(id=first.id), metadata=right)
    await everywhere.stub.Ack(worker_pb2.AckRequest(job_id=first.id), metadata=right)
    mine = (("x-ojs-worker-id", "worker-1"), ("x-ojs-lease", str(second.lease)))
    await everywhere.stub.Nack(
        worker_pb2.NackRequest(job_id=second.id, error=job_pb2.JobError(code="x")), metadata=mine
    )


async def test_fields_win_over_metadata(service: Service) -> None:
    """Who sends both means the field."""
    await service.enqueue()
    job = await service.fetch_one()

    await service.stub.Ack(
        worker_pb2.AckRequest(job_id=job.id, lease=job.lease, worker_id="worker-1"),
        metadata=(("x-ojs-lease", "999999"), ("x-ojs-worker-id", "worker-2")),
    )


@pytest.mark.parametrize("lease", ["x", "-1", "1.5", "9" * 19, "1_000"])
async def test_a_lease_that_is_no_number(service: Service, lease: str) -> None:
    """Is refused, not taken for none."""
    await service.enqueue()
    job = await service.fetch_one()
    for call in (
        service.stub.Ack(worker_pb2.AckRequest(job_id=job.id), metadata=(("x-ojs-lease", lease),)),
        service.stub.Heartbeat(worker_pb2.HeartbeatRequest(id=job.id), metadata=(("x-ojs-lease", lease),)),
    ):
        with invalid() as caught:
            await call
        assert caught.fields == ["x-ojs-lease"]


class TestIdempotencyKey:
    """The same key gives the same answer, for a day (behaviour section 13)."""

    KEY = ("x-ojs-idempotency-key", "key-1")

    async def test_a_repeated_call_gets_the_same_answer(self, everywhere: Service) -> None:
        """And stores nothing."""
        first = await send(everywhere, self.KEY, queue="q")

        again = await send(everywhere, self.KEY, queue="q")

        assert again == first
        assert await everywhere.counts() == {"q": 1}

    async def test_the_answer_stays_the_same_after_the_job_ran(self, everywhere: Service) -> None:
        """It is the answer of then, not the job of now."""
        first = await send(everywhere, self.KEY)
        await everywhere.ack(await everywhere.fetch_one())
        everywhere.clock.advance(DAY - 1)

        again = await send(everywhere, self.KEY)

        assert again == first
        assert again.job.state == job_pb2.JOB_STATE_AVAILABLE
        assert await everywhere.counts() == {"default": 0}

    async def test_after_a_day_the_key_is_free(self, everywhere: Service) -> None:
        """Another job, also for another request."""
        first = await send(everywhere, self.KEY)
        everywhere.clock.advance(DAY)

        again = await send(everywhere, self.KEY, type_="b")

        assert again.job.id != first.job.id

    async def test_another_request_under_the_key_is_refused(self, everywhere: Service) -> None:
        """Rather than answered with what it did not ask for."""
        await send(everywhere, self.KEY)

        with invalid():
            await send(everywhere, self.KEY, type_="b")

        assert await everywhere.counts() == {"default": 1}

    async def test_other_keys_are_other_calls(self, everywhere: Service) -> None:
        """And no key is none."""
        for metadata in ([self.KEY], [("x-ojs-idempotency-key", "key-2")], [], [("x-ojs-idempotency-key", "")]):
            await send(everywhere, *metadata)

        assert await everywhere.counts() == {"default": 4}

    async def test_calls_at_once_store_one_job(self, everywhere: Service) -> None:
        """All get its answer."""
        replies = await asyncio.gather(*(send(everywhere, self.KEY) for _ in range(20)))

        assert len({reply.job.id for reply in replies}) == 1
        assert await everywhere.counts() == {"default": 1}

    async def test_a_batch(self, everywhere: Service) -> None:
        """The same for many jobs; and in no case a single enqueue's answer for a batch."""
        request = EnqueueBatchRequest(jobs=[{"type": "a"}, {"type": "b"}])

        first, again = [await everywhere.stub.EnqueueBatch(request, metadata=(self.KEY,)) for _ in range(2)]

        assert again == first
        assert (first.count, len(first.jobs)) == (2, 2)
        assert await everywhere.counts() == {"default": 2}
        with invalid():
            await send(everywhere, self.KEY)
        with invalid():
            await everywhere.stub.EnqueueBatch(EnqueueBatchRequest(jobs=[{"type": "a"}]), metadata=(self.KEY,))

    async def test_batches_at_once(self, everywhere: Service) -> None:
        """Stored once."""
        request = EnqueueBatchRequest(jobs=[{"type": "a"}] * 3)

        replies = await asyncio.gather(
            *(everywhere.stub.EnqueueBatch(request, metadata=(self.KEY,)) for _ in range(10))
        )

        assert len({reply.jobs[0].id for reply in replies}) == 1
        assert await everywhere.counts() == {"default": 3}

    async def test_a_refused_call_uses_up_no_key(self, everywhere: Service) -> None:
        """The repaired request goes through under the same key."""
        taken = await everywhere.enqueue(id="01970000-0000-7000-8000-000000000001")
        assert await refused_or_done(send(everywhere, self.KEY, type_="Bad")) == "invalid_request"
        call = everywhere.stub.Enqueue(EnqueueRequest(type="a", id=taken.id), metadata=(self.KEY,))
        assert await refused_or_done(call) == "duplicate"

        await send(everywhere, self.KEY)

        assert await everywhere.counts() == {"default": 2}

    async def test_an_object_is_the_same_in_any_order(self, service: Service) -> None:
        """Clients may write its members in another order when they repeat a call."""
        members = [Struct(fields={f"key-{number}": value(number)}).SerializeToString() for number in range(50)]
        replies = []
        for order in (members, members[::-1]):
            # Written by hand: protobuf has an order of its own.
            meta = bytes_field(EnqueueOptions.META_FIELD_NUMBER, b"".join(order))
            data = bytes_field(1, b"a") + bytes_field(EnqueueRequest.OPTIONS_FIELD_NUMBER, meta)
            reply = await service.raw("Enqueue", data, metadata=(self.KEY,))
            replies.append(job_pb2.EnqueueResponse.FromString(reply))

        assert len(replies[0].job.meta.fields) == 50
        assert replies[0] == replies[1]

    async def test_a_key_has_at_most_256_characters(self, service: Service) -> None:
        """One more is refused."""
        await send(service, ("x-ojs-idempotency-key", "k" * 256))

        with invalid() as caught:
            await send(service, ("x-ojs-idempotency-key", "k" * 257))

        assert caught.fields == ["x-ojs-idempotency-key"]

    async def test_a_key_with_a_chosen_id(self, everywhere: Service) -> None:
        """The repetition is recognised before the id is found taken."""
        request = EnqueueRequest(type="a", id="01970000-0000-7000-8000-000000000002")

        first, again = [await everywhere.stub.Enqueue(request, metadata=(self.KEY,)) for _ in range(2)]

        assert again == first
