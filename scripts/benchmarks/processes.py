"""Starting and stopping servers, and the CPU time of a process with its children, or that others took."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

ROOT = Path(__file__).resolve().parents[2]
_TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")


class StartFailed(Exception):
    """A server did not become ready; the text ends with the last lines of its log."""


def free_port() -> int:
    """A TCP port of the loopback interface that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def stolen_seconds() -> float:
    """The time for which some core had work and the host of the virtual machine ran something else, since the start."""
    return int(Path("/proc/stat").read_text().split(maxsplit=9)[8]) / _TICKS_PER_SECOND


def environment() -> dict[str, str]:
    """The environment of a subprocess that imports the service, its stubs and the bench from this tree."""
    paths = [str(ROOT), str(ROOT / "generated"), str(ROOT / "scripts")]
    return os.environ | {"PYTHONPATH": os.pathsep.join([*paths, os.environ.get("PYTHONPATH", "")])}


class Process:
    """A server in a subprocess; what it prints goes to a file."""

    def __init__(self, command: Sequence[str], log: Path, variables: Mapping[str, str] = MappingProxyType({})) -> None:
        self._log = log
        with log.open("wb") as output:
            self._process = subprocess.Popen(command, stdout=output, stderr=output, env={**environment(), **variables})

    def wait_until(self, ready: Callable[[], bool], seconds: float = 20.0) -> None:
        """Polls `ready` until it is true; its exceptions count as false.

        Raises:
            StartFailed: the process has ended, or the time is over.
        """
        deadline, problem = time.monotonic() + seconds, "it did not say that it is ready"
        while time.monotonic() < deadline:
            if self._process.poll() is not None:
                problem = f"it ended with code {self._process.returncode}"
                break
            try:
                if ready():
                    return
            except Exception as error:  # noqa: BLE001 - any failure means: not ready yet
                problem = str(error).strip().rpartition("\n")[2] or repr(error)
            time.sleep(0.05)
        self.stop()
        raise StartFailed(f"{' '.join(self._process.args)}: {problem}\n{self._last_lines()}")  # type: ignore[arg-type]

    def cpu_seconds(self) -> float:
        """User and system time so far, of the process and of all that descend from it."""
        return sum(_cpu_seconds(pid) for pid in _tree(self._process.pid))

    def stop(self) -> None:
        """SIGTERM, and SIGKILL if that does not help within five seconds."""
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
            try:
                self._process.wait(5)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()

    def _last_lines(self) -> str:
        return "\n".join(self._log.read_text(errors="replace").splitlines()[-15:])


class GrpcServer(Process):
    """A gRPC server on a free port of the loopback interface; the service also has one for HTTP.

    `command` is what starts it; `--grpc HOST:PORT` is appended.
    """

    def __init__(self, command: Sequence[str], log: Path) -> None:
        self.target = f"127.0.0.1:{free_port()}"
        self.http_target = f"127.0.0.1:{free_port()}"
        # Not as a flag, which an earlier version of the service would not know.
        super().__init__([*command, "--grpc", self.target], log, {"OJS_GRPC_HTTP": self.http_target})


class HttpServer(Process):
    """The bare HTTP server, on a free port of the loopback interface."""

    def __init__(self, directory: Path) -> None:
        self.http_target = f"127.0.0.1:{free_port()}"
        command = [sys.executable, "-m", "benchmarks.bare_http", "--http", self.http_target]
        super().__init__(command, directory / "bare-http.log")


def bare_server(directory: Path) -> GrpcServer:
    """Starts the bare server."""
    return GrpcServer([sys.executable, "-m", "benchmarks.bare"], directory / "bare.log")


def _tree(root: int) -> list[int]:
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and (fields := _stat(int(entry.name))):
            children.setdefault(int(fields[1]), []).append(int(entry.name))
    found, left = [], [root]
    while left:
        found.append(left.pop())
        left += children.get(found[-1], [])
    return found


def _cpu_seconds(pid: int) -> float:
    fields = _stat(pid)
    return (int(fields[11]) + int(fields[12])) / _TICKS_PER_SECOND if fields else 0.0


def _stat(pid: int) -> list[str]:
    """The fields of /proc/PID/stat after the command's name, which may contain anything; [] when it is gone."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return []
