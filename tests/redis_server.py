"""A redis-server process of a test's own, which the test may stop, freeze and lose."""

import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path
from typing import Self

_START_SECONDS = 10.0


class PrivateRedis:
    """A redis-server on a unix socket in `folder`, without persistence unless `options` say otherwise.

    A context manager: started on entry, stopped on exit. The folder's path must be short (a unix socket's path has at
    most 107 bytes): pytest's tmp_path does, unless the test's name is very long.
    """

    def __init__(self, folder: Path, *options: str) -> None:
        self._socket = folder / "redis.sock"
        self._folder = folder
        self._options = options
        self._process: subprocess.Popen[bytes] | None = None

    @staticmethod
    def installed() -> bool:
        """Whether there is a redis-server to run."""
        return shutil.which("redis-server") is not None

    @property
    def url(self) -> str:
        """What `open_store` takes."""
        return f"unix://{self._socket}"

    @property
    def pid(self) -> int:
        """The running process."""
        return self._running().pid

    def start(self) -> None:
        """Starts the server and returns when it answers."""
        assert self._process is None, "already started"
        self._socket.unlink(missing_ok=True)
        command = ["redis-server", "--port", "0", "--unixsocket", str(self._socket), "--dir", str(self._folder)]
        command += ["--save", "", "--appendonly", "no", "--daemonize", "no", *self._options]
        with (self._folder / "redis.log").open("ab") as log:
            self._process = subprocess.Popen(command, stdout=log, stderr=log)
        deadline = time.monotonic() + _START_SECONDS
        while self.command("PING") != b"+PONG\r\n":
            if self._process.poll() is not None or time.monotonic() > deadline:
                text = (self._folder / "redis.log").read_text()
                self.kill()
                raise RuntimeError(f"redis-server did not start:\n{text}")
            time.sleep(0.01)

    def stop(self) -> None:
        """Ends the server as an operator would; does nothing if it is not running."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """Ends the server without any warning; does nothing if it is not running."""
        self._end(signal.SIGKILL)

    def pause(self) -> None:
        """Freezes the process: connections stay open and nothing is answered."""
        self._running().send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Lets a frozen process go on."""
        self._running().send_signal(signal.SIGCONT)

    def command(self, *words: str) -> bytes:
        """Sends one command over a connection of its own; the first 64 KiB of the raw reply, empty if unreachable."""
        line = "".join(f"${len(word.encode())}\r\n{word}\r\n" for word in words)
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(_START_SECONDS)
            try:
                connection.connect(str(self._socket))
                connection.sendall(f"*{len(words)}\r\n{line}".encode())
                return connection.recv(65536)
            except OSError:
                return b""

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _running(self) -> subprocess.Popen[bytes]:
        assert self._process is not None, "not started"
        return self._process

    def _end(self, how: signal.Signals) -> None:
        if self._process is None:
            return
        self._process.send_signal(signal.SIGCONT)  # a frozen process would not hear anything but SIGKILL
        self._process.send_signal(how)
        self._process.wait()
        self._process = None
