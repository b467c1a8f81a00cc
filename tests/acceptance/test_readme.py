"""What the README shows, done as written against a server that was started as it says. Only the port is another."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest
from ojs_grpc_pb.v1 import job_pb2, service_pb2_grpc

from tests.acceptance.readme import ADDRESS, HTTP_ADDRESS, grpcurl, masked, program, tour
from tests.cli.running import Serving

pytestmark = pytest.mark.slow

needs_grpcurl = pytest.mark.skipif(
    grpcurl() is None or None in map(shutil.which, ("jq", "curl")),
    reason="grpcurl, jq or curl is not installed; scripts/test installs them, grpcurl where there is Go",
)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Serving]:
    """`ojs-grpc serve` in an empty folder."""
    with Serving(cwd=tmp_path) as serving:
        yield serving


@pytest.fixture
def stub(server: Serving) -> Iterator[service_pb2_grpc.OJSServiceStub]:
    """For looking at what happened."""
    with grpc.insecure_channel(server.address) as channel:
        yield service_pb2_grpc.OJSServiceStub(channel)


@pytest.fixture
def worker(server: Serving) -> Iterator["subprocess.Popen[str]"]:
    """The README's worker."""
    command = [sys.executable, "-c", program("StreamJobs").replace(ADDRESS, server.address)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        yield process
        process.kill()


def shell(command: str, server: Serving) -> str:
    """Runs a command of the README's; what it prints."""
    folder = str(Path(grpcurl() or "").parent)
    environment = os.environ | {"PATH": os.pathsep.join([folder, os.environ["PATH"]])}
    done = subprocess.run(
        ["bash", "-c", command.replace(ADDRESS, server.address).replace(HTTP_ADDRESS, server.http_address)],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
    )
    # A stream never ends by itself; grpcurl ends it, and calls that a failure.
    assert done.returncode == 0 or "DeadlineExceeded" in done.stderr, done.stderr
    return done.stdout


def state_of(job_id: str, stub: service_pb2_grpc.OJSServiceStub) -> str:
    """A job's state by name."""
    return job_pb2.JobState.Name(stub.GetJob(job_pb2.GetJobRequest(job_id=job_id)).job.state)


def test_producer_and_worker(
    server: Serving, worker: "subprocess.Popen[str]", stub: service_pb2_grpc.OJSServiceStub
) -> None:
    """The producer's job reaches the worker, which completes it."""
    code = program("stub.Enqueue").replace(ADDRESS, server.address)
    produced = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    enqueued, job_id, state = produced.stdout.split()
    assert worker.stdout is not None

    assert (enqueued, state) == ("enqueued", "JOB_STATE_AVAILABLE")
    assert worker.stdout.readline() == "sending to ada@example.org attempt 1\n"
    until_completed(job_id, stub)


@needs_grpcurl
def test_a_worker_gets_what_grpcurl_enqueued(
    server: Serving, worker: "subprocess.Popen[str]", stub: service_pb2_grpc.OJSServiceStub
) -> None:
    """Two languages, one job."""
    definition, (first, *_) = tour()
    job_id = json.loads(shell(f"{definition}\n{first.command}", server))[0]
    assert worker.stdout is not None

    assert worker.stdout.readline() == "sending to ada@example.org attempt 1\n"
    until_completed(job_id, stub)


@needs_grpcurl
def test_the_tour(server: Serving) -> None:
    """Each command prints what stands below it: a job, the same over HTTP, uniqueness, cron, a workflow, events."""
    definition, steps = tour()
    assert len(steps) == 9
    printed = [shell(f"{definition}\n{step.command}", server) for step in steps]

    for step, output in zip(steps, printed, strict=True):
        assert masked(output) == masked(step.output), step.command
    assert printed[4] == printed[5], "the unique job has a twin"


def until_completed(job_id: str, stub: service_pb2_grpc.OJSServiceStub) -> None:
    """Returns when the worker's report is there: it prints before it reports."""
    for _ in range(500):
        if (state := state_of(job_id, stub)) == "JOB_STATE_COMPLETED":
            return
        assert state == "JOB_STATE_ACTIVE"
    pytest.fail("the worker did not report")
