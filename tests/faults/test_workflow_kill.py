"""Kill -9 of the server in the middle of a workflow: it completes all the same, and nothing in it happens twice."""

import asyncio
import random
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import grpc
import pytest
from ojs_grpc_pb.v1 import job_pb2, worker_pb2, workflow_pb2
from ojs_grpc_pb.v1.service_pb2_grpc import OJSServiceStub

from tests.cli.running import Serving
from tests.redis_server import PrivateRedis

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]

_LAYERS, _WIDTH = 6, 33
_CALLBACKS = ("on_complete", "on_success")
_QUEUE = "steps"
_VISIBILITY_S = 3
_PATIENCE_S = 60


@pytest.fixture(params=["sqlite", "redis"])
def durable(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A store that answers only when what it was told is on disk."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'jobs.db'}"
    redis: PrivateRedis = request.getfixturevalue("durable_redis")
    return redis.url


async def test_a_killed_workflow_completes(address: str, durable: str) -> None:
    """Of 200 steps each ran once more at most, each callback was released once, after all that it depends on."""
    kill_after = random.randint(1, _LAYERS * _WIDTH)
    work = _Work(address)
    async with work.running() as stub:
        async with _server(address, durable):
            workflow = (await stub.CreateWorkflow(_request(), wait_for_ready=True)).workflow
            await work.acknowledged(kill_after)
        async with _server(address, durable):
            ended = await _until_ended(stub, workflow.id)
            jobs = [await _job(stub, step.job_id) for step in ended.steps]

    assert ended.state == workflow_pb2.WORKFLOW_STATE_COMPLETED
    assert {step.state for step in ended.steps} == {workflow_pb2.WORKFLOW_STEP_STATE_COMPLETED}
    assert len(ended.steps) == _LAYERS * _WIDTH + len(_CALLBACKS)
    assert {job.state for job in jobs} == {job_pb2.JOB_STATE_COMPLETED}
    assert set(work.runs) == {step.job_id for step in ended.steps}, f"killed after {kill_after}"
    assert max(work.runs.values()) <= 2, f"killed after {kill_after}"
    assert max(job.attempt for job in jobs) <= 2
    _assert_order(ended, jobs)


def _assert_order(workflow: workflow_pb2.Workflow, jobs: list[job_pb2.Job]) -> None:
    """Nothing became available before all that it depends on was completed."""
    by_step = {step.id: job for step, job in zip(workflow.steps, jobs, strict=True)}
    for step in workflow.steps:
        for parent in step.depends_on:
            completed = by_step[parent].completed_at.ToMicroseconds()
            assert by_step[step.id].started_at.ToMicroseconds() >= completed, f"{step.id} did not wait for {parent}"


def _request() -> workflow_pb2.CreateWorkflowRequest:
    """Layers of steps, each step on three of the layer before, and two callbacks on all of them."""
    request = workflow_pb2.CreateWorkflowRequest(name="killed")
    options = job_pb2.EnqueueOptions(queue=_QUEUE, max_attempts=10)
    options.visibility_timeout.seconds = _VISIBILITY_S
    for layer in range(_LAYERS):
        for place in range(_WIDTH):
            parents = [f"{layer - 1}-{(place + offset) % _WIDTH}" for offset in range(3)] if layer else []
            request.steps.add(id=f"{layer}-{place}", type="fault.step", depends_on=parents, options=options)
    names = [step.id for step in request.steps]
    for callback in _CALLBACKS:
        request.steps.add(id=callback, type="fault.callback", depends_on=names, options=options)
    return request


class _Work:
    """Workers that go on whatever happens to the server.

    Attributes:
        runs: how often each job was delivered.
    """

    def __init__(self, address: str) -> None:
        self.runs: Counter[str] = Counter()
        self._address = address
        self._acknowledged = 0

    @asynccontextmanager
    async def running(self) -> AsyncIterator[OJSServiceStub]:
        """Runs three workers; gives a stub for everything else."""
        options = [("grpc.max_reconnect_backoff_ms", 300), ("grpc.initial_reconnect_backoff_ms", 100)]
        async with grpc.aio.insecure_channel(self._address, options=options) as channel:
            stub = OJSServiceStub(channel)
            workers = [asyncio.create_task(self._work(stub, f"worker-{number}")) for number in range(3)]
            try:
                yield stub
            finally:
                for worker in workers:
                    worker.cancel()
                await asyncio.gather(*workers, return_exceptions=True)

    async def acknowledged(self, jobs: int) -> None:
        """Returns when so many acks were answered with OK."""
        async with asyncio.timeout(_PATIENCE_S):
            while self._acknowledged < jobs:  # noqa: ASYNC110 - an event would have to be set for each number
                await asyncio.sleep(0.001)

    async def _work(self, stub: OJSServiceStub, worker_id: str) -> None:
        request = worker_pb2.StreamJobsRequest(queues=[_QUEUE], worker_id=worker_id, max_concurrent=4)
        while True:
            try:
                async for job in stub.StreamJobs(request):
                    self.runs[job.id] += 1
                    await self._ack(stub, job)
            except grpc.aio.AioRpcError as error:
                if error.code() != grpc.StatusCode.UNAVAILABLE:
                    raise
            await asyncio.sleep(0.05)

    async def _ack(self, stub: OJSServiceStub, job: job_pb2.Job) -> None:
        try:
            await stub.Ack(worker_pb2.AckRequest(job_id=job.id, lease=job.lease), timeout=10)
            self._acknowledged += 1
        except grpc.aio.AioRpcError as error:
            # The server is gone, or the job's lease, because it took too long to come back.
            if error.code() not in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.FAILED_PRECONDITION):
                raise


async def _until_ended(stub: OJSServiceStub, workflow_id: str) -> workflow_pb2.Workflow:
    request = workflow_pb2.GetWorkflowRequest(workflow_id=workflow_id)
    deadline = asyncio.get_running_loop().time() + _PATIENCE_S
    while True:
        workflow = (await stub.GetWorkflow(request, wait_for_ready=True)).workflow
        if workflow.state != workflow_pb2.WORKFLOW_STATE_RUNNING:
            return workflow
        if asyncio.get_running_loop().time() > deadline:
            completed = workflow_pb2.WORKFLOW_STEP_STATE_COMPLETED
            left = [step for step in workflow.steps if step.state != completed]
            jobs = [await _job(stub, step.job_id) for step in left[:3]]
            pytest.fail(f"{len(left)} steps are not completed: {left[:3]} {jobs}")
        await asyncio.sleep(0.05)


async def _job(stub: OJSServiceStub, job_id: str) -> job_pb2.Job:
    return (await stub.GetJob(job_pb2.GetJobRequest(job_id=job_id), wait_for_ready=True)).job


@asynccontextmanager
async def _server(address: str, store: str) -> AsyncIterator[None]:
    """A server that ends by SIGKILL. The workers go on while it starts and stops."""
    serving = Serving("--store", store, "--grpc", address)
    try:
        await asyncio.to_thread(serving.__enter__)
        yield
    finally:
        await asyncio.to_thread(serving.__exit__)
