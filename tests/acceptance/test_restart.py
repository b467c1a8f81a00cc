"""Jobs outlive the process: the real command on a file, ended in both ways, started again."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import grpc
import pytest
from ojs_grpc_pb.v1 import job_pb2, service_pb2_grpc, worker_pb2

from tests.cli.running import Serving

pytestmark = pytest.mark.slow


@contextmanager
def serving(folder: Path) -> Iterator[tuple[Serving, service_pb2_grpc.OJSServiceStub]]:
    """A server on a file in this folder, and a stub for it."""
    with (
        Serving("--store", f"sqlite:///{folder}/jobs.db") as server,
        grpc.insecure_channel(server.address) as channel,
    ):
        yield server, service_pb2_grpc.OJSServiceStub(channel)


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL])
def test_every_state_survives(tmp_path: Path, how: signal.Signals) -> None:
    """What had been answered is as it was: waiting, scheduled, leased, completed, failed, dead, cancelled."""
    with serving(tmp_path) as (server, stub):
        waiting = [enqueue(stub, queue="later") for _ in range(20)]
        scheduled = enqueue(stub, delay_s=3600)
        cancelled = stub.CancelJob(job_pb2.CancelJobRequest(job_id=enqueue(stub, delay_s=3600).id)).job
        completed, failed, dead, leased = (fetch(stub, enqueue(stub)) for _ in range(4))
        stub.Ack(worker_pb2.AckRequest(job_id=completed.id, lease=completed.lease))
        fail(stub, failed, "demo.error")
        fail(stub, dead, "DEAD_LETTER")
        ids = [job.id for job in (*waiting, scheduled, cancelled, completed, failed, dead, leased)]
        before = [read(stub, job_id) for job_id in ids]
        server.signal(how)
        server.wait()

    with serving(tmp_path) as (server, stub):
        assert [read(stub, job_id) for job_id in ids] == before
        # The worker outlived the server, and reports to the new one.
        stub.Ack(worker_pb2.AckRequest(job_id=leased.id, lease=leased.lease))
        assert read(stub, leased.id).state == job_pb2.JOB_STATE_COMPLETED
        # Order survives too.
        rest = stub.Fetch(worker_pb2.FetchRequest(queues=["later"], worker_id="w", count=50)).jobs
        assert [job.id for job in rest] == [job.id for job in waiting]
        # No lease number is used twice.
        assert min(job.lease for job in rest) > leased.lease


def enqueue(
    stub: service_pb2_grpc.OJSServiceStub, queue: str = "default", delay_s: int = 0
) -> job_pb2.Job:
    """Enqueues a job."""
    request = job_pb2.EnqueueRequest(type="acceptance.restart")
    request.options.queue = queue
    if delay_s:
        request.options.delay_until.GetCurrentTime()
        request.options.delay_until.seconds += delay_s
    request.options.retry.initial_interval.seconds = 300
    return stub.Enqueue(request).job


def fetch(stub: service_pb2_grpc.OJSServiceStub, job: job_pb2.Job) -> job_pb2.Job:
    """Leases the one job that is there."""
    (leased,) = stub.Fetch(worker_pb2.FetchRequest(queues=["default"], worker_id="w")).jobs
    assert leased.id == job.id
    return leased


def fail(stub: service_pb2_grpc.OJSServiceStub, job: job_pb2.Job, code: str) -> None:
    """Reports a failure."""
    error = job_pb2.JobError(code=code, message="on purpose")
    stub.Nack(worker_pb2.NackRequest(job_id=job.id, lease=job.lease, error=error))


def read(stub: service_pb2_grpc.OJSServiceStub, job_id: str) -> job_pb2.Job:
    """The job as it stands."""
    return stub.GetJob(job_pb2.GetJobRequest(job_id=job_id)).job
