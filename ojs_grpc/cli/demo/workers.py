"""Who handles the jobs: workers on StreamJobs, and one that dies with what it holds."""

import asyncio
from collections.abc import Sequence

import grpc
from google.protobuf.duration_pb2 import Duration
from ojs_grpc_pb.v1 import job_pb2, worker_pb2

from ojs_grpc.cli.demo.ledger import Ledger
from ojs_grpc.cli.demo.plan import KINDS, Kind
from ojs_grpc.cli.demo.stub import Stub

_CONCURRENCY = 64
_SHORT_LEASE = Duration(seconds=1)

_BY_TYPE = {kind.type: kind for kind in KINDS}


async def die(stub: Stub, ledger: Ledger, queue: str, jobs: int) -> None:
    """Takes so many jobs under short leases, and does not report on any of them."""
    fetched = 0
    while fetched < jobs:
        answer = await stub.Fetch(
            worker_pb2.FetchRequest(
                queues=[queue], worker_id="demo-dying", count=jobs - fetched, visibility_timeout=_SHORT_LEASE
            )
        )
        fetched += len(answer.jobs)
        for job in answer.jobs:
            ledger.delivered[_BY_TYPE[job.type].name] += 1
            ledger.stale_leases[job.id] = job.lease


async def work(stub: Stub, ledger: Ledger, queues: Sequence[str], worker_id: str) -> None:
    """Handles what comes on a stream, until cancelled."""
    stream = stub.StreamJobs(
        worker_pb2.StreamJobsRequest(queues=queues, worker_id=worker_id, max_concurrent=_CONCURRENCY)
    )
    async with asyncio.TaskGroup() as handlers:
        async for job in stream:
            handlers.create_task(_handle(stub, ledger, job))


async def _handle(stub: Stub, ledger: Ledger, job: job_pb2.Job) -> None:
    kind = _BY_TYPE[job.type]
    ledger.delivered[kind.name] += 1
    if job.id in ledger.stale_leases:
        await _report_too_late(stub, ledger, job)
    if job.attempt <= kind.failures:
        await _fail(stub, ledger, job, kind)
    else:
        await stub.Ack(worker_pb2.AckRequest(job_id=job.id, lease=job.lease))
        ledger.complete(kind.name)


async def _fail(stub: Stub, ledger: Ledger, job: job_pb2.Job, kind: Kind) -> None:
    error = job_pb2.JobError(code="demo.failure", message=f"attempt {job.attempt} fails as planned")
    answer = await stub.Nack(worker_pb2.NackRequest(job_id=job.id, lease=job.lease, error=error))
    if answer.state == job_pb2.JOB_STATE_RETRYABLE:
        ledger.retried[kind.name] += 1
    else:
        ledger.dead[kind.name] += 1
        ledger.check()


async def _report_too_late(stub: Stub, ledger: Ledger, job: job_pb2.Job) -> None:
    """What the worker that was believed dead would say, now that another has the job."""
    try:
        await stub.Ack(worker_pb2.AckRequest(job_id=job.id, lease=ledger.stale_leases[job.id]))
    except grpc.RpcError as error:
        if error.code() is not grpc.StatusCode.FAILED_PRECONDITION:
            raise
        ledger.refused += 1
