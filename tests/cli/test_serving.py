"""`ojs-grpc serve` and `ojs-grpc health` as processes: ready, healthy, stopped, forced."""

import os
import signal
import socket
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import grpc
import pytest
from ojs_grpc_pb.v1 import job_pb2, service_pb2, service_pb2_grpc, worker_pb2

from tests.cli.running import Serving, run
from tests.redis_server import PrivateRedis

pytestmark = pytest.mark.slow

_QUICK_S = 5.0


@pytest.fixture
def own_redis(redis_server: PrivateRedis) -> Iterator[PrivateRedis]:
    """A Redis that a test may freeze and lose."""
    with tempfile.TemporaryDirectory(prefix="ojs-") as folder, PrivateRedis(Path(folder)) as server:
        yield server


def enqueue(address: str, job_type: str = "cli.test") -> str:
    """Enqueues a job over a connection of its own; its id."""
    with grpc.insecure_channel(address) as channel:
        request = job_pb2.EnqueueRequest(type=job_type)
        return str(service_pb2_grpc.OJSServiceStub(channel).Enqueue(request, timeout=20, wait_for_ready=True).job.id)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_stops_it(number: signal.Signals) -> None:
    """With the log saying so, and status 0. The log also tells the port, which with port 0 stands nowhere else."""
    with Serving("--store", "memory:") as server:
        (serving,) = server.events("serving")
        assert (serving["grpc"], serving["store"]) == (f"127.0.0.1:{serving['port']}", "memory")
        server.signal(number)
        assert server.wait() == 0
        server.wait_for("end of log")

    assert [event["event"] for event in server.events()] == ["serving", "draining", "stopped", "end of log"]
    assert server.events("draining")[0]["signal"] == number.name


def test_settings_come_from_the_environment_too(tmp_path: Path) -> None:
    """As containers are configured."""
    with Serving(cwd=tmp_path, OJS_GRPC_STORE="sqlite:///here.db", OJS_GRPC_BATCH_JOBS="1") as server:
        with grpc.insecure_channel(server.address) as channel:
            stub = service_pb2_grpc.OJSServiceStub(channel)
            two = [job_pb2.BatchJobEntry(type="cli.test")] * 2
            with pytest.raises(grpc.RpcError) as refused:
                stub.EnqueueBatch(job_pb2.EnqueueBatchRequest(jobs=two))

        assert refused.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert (tmp_path / "here.db").exists()


def test_the_default_store_is_a_file_here(tmp_path: Path) -> None:
    """`ojs-grpc serve` in an empty folder just works."""
    with Serving(cwd=tmp_path) as server:
        enqueue(server.address)
        assert server.stop() == 0

    assert [path.name for path in tmp_path.iterdir()] == ["ojs.db"]


def test_an_open_stream_does_not_hold_up_a_stop() -> None:
    """Streams end with UNAVAILABLE first, though the drain may take half a minute."""
    with Serving("--store", "memory:") as server, grpc.insecure_channel(server.address) as channel:
        stub = service_pb2_grpc.OJSServiceStub(channel)
        stream = stub.StreamJobs(worker_pb2.StreamJobsRequest(queues=["default"], worker_id="w"))
        stream.initial_metadata()
        started = time.monotonic()

        assert server.stop() == 0

        assert time.monotonic() - started < _QUICK_S
        with pytest.raises(grpc.RpcError) as ended:
            next(stream)
        assert ended.value.code() is grpc.StatusCode.UNAVAILABLE


@pytest.mark.parametrize("processes", [1, 2])
def test_a_second_signal_forces(own_redis: PrivateRedis, processes: int) -> None:
    """A call that waits for a frozen store would keep the drain going."""
    arguments = ("--store", own_redis.url, "--drain-seconds", "60")
    with Serving(*arguments, processes=processes) as server, grpc.insecure_channel(server.address) as channel:
        stub = service_pb2_grpc.OJSServiceStub(channel)
        stub.Enqueue(job_pb2.EnqueueRequest(type="cli.test"))
        own_redis.pause()
        stuck = stub.Enqueue.future(job_pb2.EnqueueRequest(type="cli.test"))
        time.sleep(0.5)
        server.signal(signal.SIGTERM)
        server.wait_for("draining", processes)
        forced_at = time.monotonic()
        server.signal(signal.SIGTERM)
        server.wait()
        took = time.monotonic() - forced_at
        own_redis.resume()

        assert took < _QUICK_S
        assert isinstance(stuck.exception(_QUICK_S), grpc.RpcError)
        assert server.wait_for("forced to stop")


def test_a_signal_while_it_starts_stops_it(own_redis: PrivateRedis) -> None:
    """A store that does not answer must not make it deaf."""
    own_redis.pause()
    server = Serving("--store", own_redis.url)
    with ThreadPoolExecutor() as pool:
        entering = pool.submit(server.__enter__)
        try:
            while not server.hears(signal.SIGTERM):
                time.sleep(0.01)
            server.signal(signal.SIGTERM)
            assert server.wait() == 0
        finally:
            own_redis.resume()
            assert entering.exception() is not None
    assert server.events("stopped before it was ready")


class TestProcesses:
    """`--processes N`: N server processes on one port."""

    def test_they_share_the_port_and_the_store(self, own_redis: PrivateRedis) -> None:
        """What one of them stored, all of them know; also with port 0. A signal drains all."""
        with Serving("--store", own_redis.url, processes=2) as server:
            assert len({event["port"] for event in server.events("serving")}) == 1
            assert len(server.children) == 2
            # What the parent loaded of grpc, no child would survive.
            assert "cygrpc" not in Path(f"/proc/{server.pid}/maps").read_text()

            ids = [enqueue(server.address) for _ in range(20)]
            with grpc.insecure_channel(server.address) as channel:
                request = worker_pb2.FetchRequest(queues=["default"], worker_id="w", count=20)
                jobs = service_pb2_grpc.OJSServiceStub(channel).Fetch(request).jobs

            assert sorted(job.id for job in jobs) == sorted(ids)
            assert server.stop() == 0
            server.wait_for("end of log")

        assert len(server.events("draining")) == len(server.events("stopped")) == 2
        assert not server.events("forced to stop")

    def test_one_that_dies_is_replaced(self, own_redis: PrivateRedis) -> None:
        """The others serve meanwhile, on the same port."""
        with Serving("--store", own_redis.url, processes=2) as server:
            killed = server.children[0]
            os.kill(killed, signal.SIGKILL)
            (died,) = server.wait_for("a server process died, starting another")
            assert enqueue(server.address)
            server.wait_for("serving", 3)

            assert died["exit_status"] == -signal.SIGKILL
            assert len({event["port"] for event in server.events("serving")}) == 1
            assert len(server.children) == 2
            assert killed not in server.children
            assert server.stop() == 0

    def test_a_signal_to_everybody_counts_once(self, own_redis: PrivateRedis) -> None:
        """Service managers and terminals send it to parent and children; that must not force."""
        with Serving("--store", own_redis.url, processes=2) as server:
            for pid in [*server.children, server.pid]:
                os.kill(pid, signal.SIGTERM)
            assert server.wait() == 0
            server.wait_for("end of log")

        assert len(server.events("stopped")) == 2
        assert not server.events("forced to stop")

    def test_none_is_left_behind_when_the_parent_is_killed(self, own_redis: PrivateRedis) -> None:
        """They would go on serving the port, and nobody could tell them to stop."""
        with Serving("--store", own_redis.url, processes=2) as server:
            server.signal(signal.SIGKILL)
            server.wait()
            # The log ends when the last process has closed it.
            server.wait_for("end of log")

        assert len(server.events("stopped")) == 2


class TestHealth:
    """`ojs-grpc health`: a probe for containers."""

    def test_a_server_that_serves_is_healthy(self, tmp_path: Path) -> None:
        """Status 0, and a line for people. The address also comes from the server's own variable."""
        # Two processes on a file: so that is shown to work as well.
        with Serving("--store", f"sqlite:///{tmp_path}/jobs.db", processes=2) as server:
            by_flag = run("health", "--grpc", server.address)
            by_variable = run("health", OJS_GRPC_GRPC=server.address.replace("127.0.0.1", "0.0.0.0"))  # noqa: S104

        assert (by_flag.returncode, by_flag.stdout) == (0, f"{server.address}: SERVING\n")
        assert by_variable.returncode == 0

    def test_nobody_there_is_status_1(self) -> None:
        """One line says why."""
        with socket.socket() as closed:
            closed.bind(("127.0.0.1", 0))
            address = f"127.0.0.1:{closed.getsockname()[1]}"
            done = run("health", "--grpc", address)

        assert (done.returncode, done.stdout, done.stderr.count("\n")) == (1, "", 1)
        assert done.stderr.startswith(f"{address}: UNAVAILABLE")

    def test_somebody_who_does_not_answer_is_status_1(self) -> None:
        """After the time that was given."""
        with socket.socket() as silent:
            silent.bind(("127.0.0.1", 0))
            silent.listen()
            done = run("health", "--grpc", f"127.0.0.1:{silent.getsockname()[1]}", "--timeout-seconds", "0.5")

        assert done.returncode == 1
        assert "DEADLINE_EXCEEDED" in done.stderr or "UNAVAILABLE" in done.stderr

    def test_a_lost_store_shows_and_heals(self, own_redis: PrivateRedis) -> None:
        """The probe follows the store, and the service recovers by itself."""
        with Serving("--store", own_redis.url) as server:
            own_redis.kill()
            assert self._becomes(server, 1)
            assert run("health", "--grpc", server.address).stderr.endswith(": NOT_SERVING\n")
            own_redis.start()
            assert self._becomes(server, 0)
            assert enqueue(server.address)
            with grpc.insecure_channel(server.address) as channel:
                report = service_pb2_grpc.OJSServiceStub(channel).Health(service_pb2.HealthRequest())
            assert report.status == service_pb2.HEALTH_STATUS_OK

    def _becomes(self, server: Serving, status: int) -> bool:
        deadline = time.monotonic() + 15
        while time.monotonic() < deadline:
            if run("health", "--grpc", server.address).returncode == status:
                return True
        return False
