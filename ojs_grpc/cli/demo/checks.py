"""What must be true at the end, read from the server and compared with what everybody saw."""

import asyncio
from collections.abc import AsyncIterator, Iterator

from ojs_grpc_pb.v1 import job_pb2, queue_pb2

from ojs_grpc.cli.demo.ledger import Ledger
from ojs_grpc.cli.demo.plan import KINDS, Kind, split
from ojs_grpc.cli.demo.stub import Stub

_AT_ONCE = 50


async def verify(stub: Stub, ledger: Ledger, queue: str) -> list[str]:
    """Reads every job and the dead letters, and compares. Deletes the dead letters afterwards.

    Returns:
        What is not as it should be, a line each.
    """
    complaints: list[str] = []
    counts = split(ledger.jobs)
    for kind in KINDS:
        complaints += [complaint async for complaint in _check_jobs(stub, ledger, kind)]
        complaints += _count(kind, counts[kind.name], ledger)
    complaints += [complaint async for complaint in _check_dead_letters(stub, ledger, queue)]
    late = len(ledger.stale_leases)
    if ledger.refused != late:
        complaints.append(f"{late} reports came after the lease had ended, but {ledger.refused} were refused")
    return complaints


async def _check_jobs(stub: Stub, ledger: Ledger, kind: Kind) -> AsyncIterator[str]:
    wrong: list[job_pb2.Job] = []
    async for job in _read(stub, ledger.ids[kind.name]):
        if (job.state, job.attempt) == (kind.end, kind.attempts):
            ledger.verified[kind.name] += 1
        else:
            wrong.append(job)
    if wrong:
        yield (
            f"{len(wrong)} {kind.name} jobs should be {_state(kind.end)} after {kind.attempts} attempts;"
            f" {wrong[0].id} is {_state(wrong[0].state)} after {wrong[0].attempt}"
        )


def _count(kind: Kind, jobs: int, ledger: Ledger) -> Iterator[str]:
    counts = {
        "enqueued": (len(set(ledger.ids[kind.name])), jobs),
        "delivered": (ledger.delivered[kind.name], jobs * kind.attempts),
        "retried": (ledger.retried[kind.name], jobs * (kind.failures - (1 if kind.dead else 0))),
        "completed": (ledger.completed[kind.name], jobs if kind.end == job_pb2.JOB_STATE_COMPLETED else 0),
        "cancelled": (ledger.cancelled[kind.name], jobs if kind.cancelled else 0),
        "dead": (ledger.dead[kind.name], jobs if kind.dead else 0),
    }
    for what, (seen, wanted) in counts.items():
        if seen != wanted:
            yield f"{kind.name}: {what} {seen} times, not {wanted}"


async def _check_dead_letters(stub: Stub, ledger: Ledger, queue: str) -> AsyncIterator[str]:
    expected = {job_id for kind in KINDS if kind.dead for job_id in ledger.ids[kind.name]}
    listed: set[str] = set()
    cursor = ""
    while True:
        page = await stub.ListDeadLetter(queue_pb2.ListDeadLetterRequest(queue=queue, cursor=cursor))
        listed.update(job.id for job in page.jobs)
        cursor = page.next_cursor
        if not cursor:
            break
    if listed != expected:
        yield f"{len(listed)} dead letters are listed, not the {len(expected)} that there should be"
    for job_id in listed:
        await stub.DeleteDeadLetter(queue_pb2.DeleteDeadLetterRequest(job_id=job_id))


async def _read(stub: Stub, ids: list[str]) -> AsyncIterator[job_pb2.Job]:
    for start in range(0, len(ids), _AT_ONCE):
        calls = [stub.GetJob(job_pb2.GetJobRequest(job_id=job_id)) for job_id in ids[start : start + _AT_ONCE]]
        for answer in await asyncio.gather(*calls):
            yield answer.job


def _state(state: int) -> str:
    return job_pb2.JobState.Name(job_pb2.JobState.ValueType(state)).removeprefix("JOB_STATE_").lower()
