"""`ojs-grpc` as a subprocess, as people run it."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

COMMAND = str(Path(sys.executable).with_name("ojs-grpc"))

# Far more than anything here needs on an idle machine.
PATIENCE_S = 40.0


# Settings of ours; and what would have each of many processes compile all modules again, a third of its start.
_NOT_PASSED_ON = ("OJS_GRPC_", "PYTHONDONTWRITEBYTECODE")


def environment(**variables: str) -> dict[str, str]:
    """This process' environment without settings of ours, and with these."""
    return {key: value for key, value in os.environ.items() if not key.startswith(_NOT_PASSED_ON)} | variables


def run(*arguments: str, cwd: Path | None = None, **variables: str) -> subprocess.CompletedProcess[str]:
    """Runs a command to its end."""
    return subprocess.run(
        [COMMAND, *arguments],
        cwd=cwd,
        env=environment(**variables),
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )


_FREE_PORTS = ("--grpc", "127.0.0.1:0", "--http", "127.0.0.1:0")


class Serving:
    """`ojs-grpc serve` on free ports, its log kept. A context manager: ready on entry, gone after exit."""

    def __init__(self, *arguments: str, processes: int = 1, cwd: Path | None = None, **variables: str) -> None:
        self._command = [COMMAND, "serve", *_FREE_PORTS, "--log-format", "json", *arguments]
        if processes > 1:
            self._command += ["--processes", str(processes)]
        self._processes = processes
        self._cwd = cwd
        self._variables = variables
        self._events: list[Mapping[str, Any]] = []
        self._changed = threading.Condition()
        self._process: subprocess.Popen[str]

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(
            self._command, cwd=self._cwd, env=environment(**self._variables), stderr=subprocess.PIPE, text=True
        )
        self._reader = threading.Thread(target=self._read)
        self._reader.start()
        try:
            self.wait_for("serving", self._processes)
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        for pid in [*self.children, self.pid]:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
        self._process.wait()
        self._reader.join()
        if self._process.stderr is not None:
            self._process.stderr.close()

    @property
    def pid(self) -> int:
        """The process that was started."""
        return self._process.pid

    @property
    def children(self) -> list[int]:
        """The processes that it has started and that serve."""
        try:
            found = Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text().split()
        except OSError:
            return []
        return [int(pid) for pid in found if "resource_tracker" not in _command_line(int(pid))]

    @property
    def address(self) -> str:
        """Where it answers."""
        return str(self.events("serving")[0]["grpc"])

    @property
    def http_address(self) -> str:
        """Where it answers over HTTP."""
        return str(self.events("serving")[0]["http"])

    def events(self, name: str = "") -> list[Mapping[str, Any]]:
        """The log so far, or the entries for one event."""
        with self._changed:
            return [event for event in self._events if name in ("", event["event"])]

    def wait_for(self, name: str, count: int = 1) -> list[Mapping[str, Any]]:
        """Returns when the log has so many entries of an event."""
        deadline = time.monotonic() + PATIENCE_S
        with self._changed:
            while len(found := [event for event in self._events if event["event"] == name]) < count:
                if not self._changed.wait(deadline - time.monotonic()):
                    raise AssertionError(f"no {name!r} in the log: {self._events}")
                ended = self._events[-1]["event"] == "end of log" and name != "end of log"
                assert not ended, f"ended without {name!r}: {self._events}"
        return found

    def hears(self, number: signal.Signals) -> bool:
        """Whether it was started, and has a handler for a signal."""
        try:
            status = Path(f"/proc/{self.pid}/status").read_text()
        except (AttributeError, OSError):
            return False
        caught = next(line.split()[1] for line in status.splitlines() if line.startswith("SigCgt"))
        return bool(int(caught, 16) >> (number - 1) & 1)

    def signal(self, number: signal.Signals) -> None:
        """Sends a signal to the process that was started."""
        self._process.send_signal(number)

    def wait(self) -> int:
        """Waits for its end; the exit status."""
        return self._process.wait(PATIENCE_S)

    def stop(self) -> int:
        """Stops it as a service manager does; the exit status."""
        self.signal(signal.SIGTERM)
        return self.wait()

    def _read(self) -> None:
        assert self._process.stderr is not None
        for line in self._process.stderr:
            try:
                event = json.loads(line)
            except ValueError:
                event = {"event": "not json", "line": line}
            self._note(event)
        self._note({"event": "end of log"})

    def _note(self, event: Mapping[str, Any]) -> None:
        with self._changed:
            self._events.append(event)
            self._changed.notify_all()


def _command_line(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_text().replace("\0", " ")
    except OSError:
        return ""
