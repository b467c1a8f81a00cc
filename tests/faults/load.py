"""Producers and workers that keep going whatever happens to the server, and remember what they were told."""

import asyncio
import contextlib
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Sequence
from functools import partial
from itertools import pairwise
from typing import NamedTuple

import grpc
from ojs_grpc_pb.v1 import job_pb2, queue_pb2, worker_pb2
from ojs_grpc_pb.v1.service_pb2_grpc import OJSServiceStub

QUEUES = ("faults-a", "faults-b")

# Short, so that what a dead server or a lost answer leaves leased comes back within the test.
VISIBILITY_S = 3

# Told of a call whose effect is unknown: the connection went away, or the store's answer did not come.
_UNKNOWN = {grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED, grpc.StatusCode.CANCELLED}
_PATIENCE_S = 60


class Lease(NamedTuple):
    """A delivery as the worker saw it; times in seconds."""

    lease: int
    attempt: int
    started_at: float
    expires_at: float


class Load:
    """Enqueues one by one and in batches, streams, fetches and acknowledges, all at once.

    Attributes:
        enqueued: ids of jobs whose enqueue was answered with OK.
        leases: by job, every delivery that reached a worker, in the order of arrival.
        acknowledged: how many acks of a job were answered with OK.
        refusals: status codes of failed calls by RPC.
        latest: when a call last succeeded, by RPC, in the loop's time.
    """

    def __init__(self, address: str) -> None:
        self.enqueued: set[str] = set()
        self.leases: defaultdict[str, list[Lease]] = defaultdict(list)
        self.acknowledged: Counter[str] = Counter()
        self.refusals: defaultdict[str, Counter[grpc.StatusCode]] = defaultdict(Counter)
        self.latest: dict[str, float] = {}
        self._address = address
        self._completed: set[str] = set()
        self._stop_producing = asyncio.Event()
        self._stop_working = asyncio.Event()

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Runs producers and workers."""
        options = [("grpc.max_reconnect_backoff_ms", 500), ("grpc.initial_reconnect_backoff_ms", 100)]
        async with grpc.aio.insecure_channel(self._address, options=options) as channel, asyncio.TaskGroup() as tasks:
            self.stub = OJSServiceStub(channel)
            for producer in (self._enqueue, self._enqueue, self._enqueue_batch):
                tasks.create_task(self._repeat(producer, self._stop_producing))
            for number in range(2):
                tasks.create_task(self._repeat(partial(self._stream, f"stream-{number}"), self._stop_working))
                tasks.create_task(self._repeat(partial(self._fetch, f"fetch-{number}"), self._stop_working))
            try:
                yield
            finally:
                self._stop_producing.set()
                self._stop_working.set()

    async def progress(self, jobs: int) -> None:
        """Returns when so many more enqueues and acks were answered with OK."""
        enqueued, acknowledged = len(self.enqueued) + jobs, self.acknowledged.total() + jobs
        await self._until(
            lambda: asyncio.sleep(0, len(self.enqueued) >= enqueued and self.acknowledged.total() >= acknowledged)
        )

    async def finish(self) -> None:
        """Enqueues nothing more, and returns when every job is completed."""
        self._stop_producing.set()
        await self._until(self._all_done)

    async def _until(self, condition: Callable[[], Awaitable[bool]]) -> None:
        async with asyncio.timeout(_PATIENCE_S):
            while not await condition():  # noqa: ASYNC110 - a server in another process sets no event
                await asyncio.sleep(0.05)

    async def _all_done(self) -> bool:
        """Whether no queue has anything left and every enqueued job is completed; a job that was lost is an error."""
        try:
            listed = await self.stub.ListQueues(queue_pb2.ListQueuesRequest())
            if any(queue.available_count for queue in listed.queues):
                return False
            for job_id in self.enqueued - self._completed:
                job = (await self.stub.GetJob(job_pb2.GetJobRequest(job_id=job_id))).job
                if job.state != job_pb2.JOB_STATE_COMPLETED:
                    return False
                self._completed.add(job_id)
            return True
        except grpc.aio.AioRpcError as error:
            if error.code() not in _UNKNOWN:
                raise
            return False

    async def _repeat(self, work: Callable[[], Coroutine[None, None, None]], stop: asyncio.Event) -> None:
        stopped = asyncio.create_task(stop.wait())
        while not stop.is_set():
            once = asyncio.create_task(work())
            await asyncio.wait({once, stopped}, return_when=asyncio.FIRST_COMPLETED)
            once.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await once

    @contextlib.asynccontextmanager
    async def _call(self, rpc: str) -> AsyncIterator[None]:
        try:
            yield
            self.latest[rpc] = asyncio.get_running_loop().time()
        except grpc.aio.AioRpcError as error:
            self.refusals[rpc][error.code()] += 1
            await asyncio.sleep(0.02)

    async def _enqueue(self) -> None:
        async with self._call("Enqueue"):
            request = job_pb2.EnqueueRequest(type="fault.one", options=_options(QUEUES[0]))
            self.enqueued.add((await self.stub.Enqueue(request, timeout=15)).job.id)

    async def _enqueue_batch(self) -> None:
        async with self._call("EnqueueBatch"):
            request = job_pb2.EnqueueBatchRequest(
                jobs=[job_pb2.BatchJobEntry(type="fault.batch", options=_options(QUEUES[n % 2])) for n in range(5)]
            )
            response = await self.stub.EnqueueBatch(request, timeout=15)
            self.enqueued.update(job.id for job in response.jobs)
            await asyncio.sleep(0.01)

    async def _stream(self, worker_id: str) -> None:
        async with self._call("StreamJobs"):
            request = worker_pb2.StreamJobsRequest(queues=QUEUES, worker_id=worker_id, max_concurrent=5)
            async for job in self.stub.StreamJobs(request):
                self.latest["StreamJobs"] = asyncio.get_running_loop().time()
                await self._work(job)

    async def _fetch(self, worker_id: str) -> None:
        request = worker_pb2.FetchRequest(queues=QUEUES[::-1], worker_id=worker_id, count=3)
        jobs: Sequence[job_pb2.Job] = ()
        async with self._call("Fetch"):
            jobs = (await self.stub.Fetch(request, timeout=15)).jobs
        # At once, so that in an outage the worker is soon back to ask for more.
        await asyncio.gather(*[self._work(job) for job in jobs])

    async def _work(self, job: job_pb2.Job) -> None:
        self.leases[job.id].append(
            Lease(
                job.lease,
                job.attempt,
                job.started_at.ToMicroseconds() / 1e6,
                job.lease_expires_at.ToMicroseconds() / 1e6,
            )
        )
        async with self._call("Ack"):
            await self.stub.Ack(worker_pb2.AckRequest(job_id=job.id, lease=job.lease), timeout=15)
            self.acknowledged[job.id] += 1


def check(load: Load) -> None:
    """What must hold whatever happened."""
    assert load.enqueued
    assert load.acknowledged
    for job_id, leases in load.leases.items():
        assert load.acknowledged[job_id] <= 1, f"{job_id} completed twice"
        # In the order in which they were given: a stream's job may wait in the client behind a slow one.
        for earlier, later in pairwise(sorted(leases)):
            assert later.lease > earlier.lease, f"{job_id}: delivered twice under one lease"
            assert later.attempt > earlier.attempt, f"{job_id}: attempts do not grow"
            assert later.started_at >= earlier.expires_at, f"{job_id}: run by two leases at once"
    for rpc, codes in load.refusals.items():
        # An ack whose first answer was lost, or that came after its lease, is refused.
        allowed = _UNKNOWN | ({grpc.StatusCode.FAILED_PRECONDITION} if rpc == "Ack" else set())
        assert set(codes) <= allowed, (rpc, codes)


def _options(queue: str) -> job_pb2.EnqueueOptions:
    options = job_pb2.EnqueueOptions(queue=queue, max_attempts=100)
    options.visibility_timeout.seconds = VISIBILITY_S
    return options
