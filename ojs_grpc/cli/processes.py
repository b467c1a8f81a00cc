"""`--processes N`: N server processes on the same ports, and the parent that watches them (design section 9).

The parent never imports grpc and spawns instead of forking, because nothing of grpc survives a fork. It tells the
processes to stop by a signal that nobody else sends: a service manager sends SIGTERM, and a terminal SIGINT, to all
processes at once, and together with what the parent forwards that would be a second signal, which forces.
"""

import multiprocessing
import os
import signal
import sys
import threading
import time
from contextlib import ExitStack
from dataclasses import replace
from multiprocessing import connection
from multiprocessing.process import BaseProcess

import structlog

from ojs_grpc.cli.address import reserve
from ojs_grpc.cli.logs import configure_logs
from ojs_grpc.config import OFF, Config

log = structlog.get_logger(__name__)

_STOP = signal.SIGUSR1
# Python itself ends with 1 after an exception.
_CANNOT_START = 3
_FINE = (0, -_STOP)  # the latter: it was told to stop before it listened to signals

_RESTART_SECONDS = 1.0
_LOOK_SECONDS = 0.2


def run_processes(config: Config) -> int:
    """Runs the processes until SIGTERM or SIGINT; a second signal forces. Restarts one that dies.

    Returns:
        1 if they cannot start, or if one did not stop as it should.

    Raises:
        OSError: the port cannot be had.
    """
    with ExitStack() as reservations:
        found = {}
        for name, address in config.addresses().items():
            reservation, found[name] = reserve(address)
            reservations.enter_context(reservation)
        return _Parent(replace(config, grpc=found["grpc"], http=found.get("http", OFF))).run()


class _Parent:
    def __init__(self, config: Config) -> None:
        self._config = config
        self._context = multiprocessing.get_context("spawn")
        self._processes: list[BaseProcess] = []
        self._restarts: list[float] = []
        """When to start one again, for each that died."""
        self._signals = 0
        self._forwarded = 0
        self._failed = False

    def run(self) -> int:
        """Watches over the processes until the last has ended."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._count)
        first = self._processes = [self._spawn() for _ in range(self._config.processes)]
        while self._processes or (self._restarts and not self._signals):
            connection.wait([process.sentinel for process in self._processes], _LOOK_SECONDS)
            self._forward()
            for ended in [process for process in self._processes if not process.is_alive()]:
                self._bury(ended, is_first=ended in first)
            if not self._signals:
                self._restart()
        return 1 if self._failed else 0

    def _count(self, *_: object) -> None:
        self._signals += 1

    def _forward(self) -> None:
        while self._forwarded < self._signals:
            self._forwarded += 1
            for process in self._processes:
                if process.is_alive() and process.pid is not None:
                    os.kill(process.pid, _STOP)

    def _bury(self, ended: BaseProcess, *, is_first: bool) -> None:
        self._processes = [process for process in self._processes if process is not ended]
        if self._signals:
            self._failed |= ended.exitcode not in _FINE
        elif is_first and ended.exitcode == _CANNOT_START:
            # It has said why, and another try would meet the same.
            self._failed = True
            self._signals = 1
        else:
            log.error("a server process died, starting another", exit_status=ended.exitcode)
            self._restarts.append(time.monotonic() + _RESTART_SECONDS)

    def _restart(self) -> None:
        now = time.monotonic()
        due = [at for at in self._restarts if at <= now]
        self._restarts = [at for at in self._restarts if at > now]
        self._processes += [self._spawn() for _ in due]

    def _spawn(self) -> BaseProcess:
        process = self._context.Process(target=_run_child, args=(self._config,), name="ojs-grpc server")
        process.start()
        return process


def _run_child(config: Config) -> None:
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_IGN)
    threading.Thread(target=_stop_with_parent, daemon=True).start()
    configure_logs(config.log_format, config.log_level)
    from ojs_grpc.cli.serve import serve

    try:
        status = serve(config, share_port=True, stop_on=(_STOP,))
    except ValueError as error:
        print(f"ojs-grpc: {error}", file=sys.stderr)
        status = 2
    raise SystemExit(_CANNOT_START if status else 0)


def _stop_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os.kill(os.getpid(), _STOP)
