"""Who enqueues the jobs, and calls some of them off."""

import asyncio
import time
from collections.abc import Iterator

from ojs_grpc_pb.v1 import job_pb2

from ojs_grpc.cli.demo.ledger import Ledger
from ojs_grpc.cli.demo.plan import KINDS, Kind, batches, split
from ojs_grpc.cli.demo.stub import Stub

BATCH_JOBS = 250
_SENDERS = 4


async def produce(stub: Stub, ledger: Ledger, queues: dict[str, str]) -> None:
    """Enqueues all jobs in batches, a few calls at a time."""
    counts = split(ledger.jobs)
    requests = (
        (kind, request) for kind in KINDS for request in batches(kind, counts[kind.name], queues[kind.name], BATCH_JOBS)
    )
    ledger.started_at = time.perf_counter()
    async with asyncio.TaskGroup() as senders:
        for _ in range(_SENDERS):
            senders.create_task(_send(stub, ledger, requests))
    ledger.enqueued_at = time.perf_counter()


async def cancel(stub: Stub, ledger: Ledger) -> None:
    """Calls off what is to be called off."""
    for kind in KINDS:
        for job_id in ledger.ids[kind.name] if kind.cancelled else ():
            await stub.CancelJob(job_pb2.CancelJobRequest(job_id=job_id, reason="the demo wants it"))
            ledger.cancelled[kind.name] += 1
    ledger.check()


async def _send(
    stub: Stub, ledger: Ledger, requests: Iterator[tuple[Kind, job_pb2.EnqueueBatchRequest]]
) -> None:
    for kind, request in requests:
        answer = await stub.EnqueueBatch(request)
        ledger.ids[kind.name] += [job.id for job in answer.jobs]
