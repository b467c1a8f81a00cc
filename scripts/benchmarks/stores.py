"""What `--store` means, and what can be seen of a store from outside.

memory             memory:, in the server's process
sqlite             a new file in a temporary directory
sqlite:...         the file given
redis              a new redis-server on a unix socket, without snapshots
redis://... etc.   the Redis given; it is not emptied, but its slow log is
"""

import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import redis

from benchmarks.processes import Process

_SCRIPT_COMMANDS = ("evalsha", "eval", "fcall", "evalsha_ro", "eval_ro", "fcall_ro")


class SlowCall(NamedTuple):
    """A command that took long, in milliseconds."""

    ms: float
    command: str


class Store:
    """A store that lives in the server's process: its CPU is the server's, and its calls cannot be seen."""

    def __init__(self, url: str, *, private: bool) -> None:
        self.url = url
        self.private = private
        """Made for this run, so that a second one can be made beside it."""

    @property
    def kind(self) -> str:
        """`memory`, `sqlite` or `redis`."""
        scheme = self.url.partition(":")[0]
        return scheme if scheme in ("memory", "sqlite") else "redis"

    def cpu_seconds(self) -> float | None:
        """CPU time of the store's own process so far."""
        return None

    def script_calls(self) -> int | None:
        """Store calls so far: one script is one call."""
        return None

    def close(self) -> None:
        """Stops what was started for this store."""


class RedisStore(Store):
    """A Redis, seen through INFO, MONITOR and SLOWLOG."""

    def __init__(self, url: str, process: Process | None = None) -> None:
        super().__init__(url, private=process is not None)
        self._process = process
        self._client = redis.Redis.from_url(url)

    def ping(self) -> bool:
        return bool(self._client.ping())

    def cpu_seconds(self) -> float:
        cpu = self._info("cpu")
        return float(cpu["used_cpu_sys"]) + float(cpu["used_cpu_user"])

    def script_calls(self) -> int:
        stats = self._info("commandstats")
        return sum(stats[f"cmdstat_{name}"]["calls"] for name in _SCRIPT_COMMANDS if f"cmdstat_{name}" in stats)

    def used_memory(self) -> int:
        """Bytes in use, without the buffers of the connections, whose size depends on what was sent last."""
        memory = self._info("memory")
        return int(memory["used_memory"]) - int(memory.get("mem_clients_normal", 0))

    @contextmanager
    def watch_calls(self) -> Iterator[Counter[str]]:
        """Counts the commands that clients send meanwhile, by name; what scripts do inside does not count."""
        counter: Counter[str] = Counter()
        begin, end = "bench-watch-begins", "bench-watch-ends"
        with self._client.monitor() as monitor:  # type: ignore[no-untyped-call]

            def listen() -> None:
                for event in monitor.listen():
                    command = event["command"]
                    if begin in command:  # What came before is the bench's own connection.
                        counter.clear()
                    elif end in command:
                        return
                    elif event["client_type"] != "lua":
                        counter[command.partition(" ")[0].lower()] += 1

            listener = threading.Thread(target=listen, daemon=True)
            listener.start()
            self._client.echo(begin)
            try:
                yield counter
            finally:
                self._client.echo(end)
                listener.join(5)

    @contextmanager
    def watch_slow_calls(self, microseconds: int = 100) -> Iterator[list[SlowCall]]:
        """Collects every command slower than `microseconds`; the list is filled at the end."""
        slow: list[SlowCall] = []
        names = ("slowlog-log-slower-than", "slowlog-max-len")
        before = {name: str(self._client.config_get(name)[name]) for name in names}
        self._client.config_set(names[0], microseconds)
        self._client.config_set(names[1], 200_000)
        self._client.slowlog_reset()
        try:
            yield slow
            slow += [
                SlowCall(entry["duration"] / 1000, entry["command"].decode(errors="replace")[:120])
                for entry in self._client.slowlog_get(200_000)
            ]
        finally:
            for name, value in before.items():
                self._client.config_set(name, value)

    def close(self) -> None:
        self._client.close()
        if self._process is not None:
            self._process.stop()

    def _info(self, section: str) -> dict[str, Any]:
        return dict(self._client.info(section))


def open_store(name: str, directory: Path, appendonly: str = "no") -> Store:
    """The store that `--store` names; what is made for it lies in `directory`.

    Args:
        appendonly: for a private Redis: `no`, `everysec` or `always`.
    """
    directory.mkdir(parents=True, exist_ok=True)
    if name == "redis":
        return _start_redis(directory, appendonly)
    if name == "sqlite":
        # Four slashes mean an absolute path, whether or not the third one counts as part of it.
        return Store(f"sqlite:////{str(directory / 'bench.db').lstrip('/')}", private=True)
    if name in ("memory", "memory:"):
        return Store("memory:", private=True)
    if name.startswith("sqlite:"):
        return Store(name, private=False)
    return RedisStore(name)


def _start_redis(directory: Path, appendonly: str) -> RedisStore:
    socket = directory / "redis.sock"
    append = ["--appendonly", "no"] if appendonly == "no" else ["--appendonly", "yes", "--appendfsync", appendonly]
    place = ["--port", "0", "--unixsocket", str(socket), "--dir", str(directory)]
    process = Process(["redis-server", *place, "--save", "", *append], directory / "redis.log")
    store = RedisStore(f"unix://{socket}", process)
    process.wait_until(store.ping)
    return store
