"""Every setting of the server: one frozen `Config`, with its default, its flag and its environment variable.

A field `drain_seconds` is `--drain-seconds` on the command line and `OJS_GRPC_DRAIN_SECONDS` in the environment. The
flag wins over the environment, the environment over the default; an empty variable is the same as none.
"""

import ipaddress
import math
import os
from argparse import ArgumentParser, Namespace
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, fields
from typing import Any, NamedTuple

OFF = "off"
"""The address of a binding that is not served."""

_NO_RULES = "none"
_ENV_PREFIX = "OJS_GRPC_"
_YEAR_SECONDS = 365 * 86_400
_YEAR_DAYS = 365
# One job with its errors and result has to fit into a reply that stock clients take, which is 4 MiB.
_MOST_ENVELOPE_BYTES = 2 << 20


def _setting(default: Any, text: str, parse: Callable[[str], Any], unit: str) -> Any:  # noqa: ANN401 - any type of field
    return field(default=default, metadata={"help": text, "parse": parse, "unit": unit})


def _whole(low: int, high: int) -> Callable[[str], int]:
    def parse(text: str) -> int:
        # Not all that int() takes: "1_0" and digits of other scripts are typing errors here.
        if not (text.isascii() and text.isdigit() and len(text) < 20 and low <= int(text) <= high):
            raise ValueError(f"must be a whole number from {low} to {high}")
        return int(text)

    return parse


def _number(low: float, high: float) -> Callable[[str], float]:
    def parse(text: str) -> float:
        try:
            number = float(text)
        except ValueError:
            number = math.nan
        if not low <= number <= high:
            raise ValueError(f"must be a number from {low:g} to {high:.12g}")
        return number

    return parse


def _truth(text: str) -> bool:
    if text.lower() in {"1", "true", "yes", "on"}:
        return True
    if text.lower() in {"0", "false", "no", "off"}:
        return False
    raise ValueError("must be true or false")


def _one_of(*choices: str) -> Callable[[str], str]:
    def parse(text: str) -> str:
        if text not in choices:
            raise ValueError(f"must be one of {', '.join(choices)}")
        return text

    return parse


def _address(text: str) -> str:
    split_address(text)
    return text


def _address_or_off(text: str) -> str:
    if text != OFF:
        split_address(text)
    return text


def _queues(text: str) -> str:
    # Only where there are rules, because this loads protobuf, and the command line should be quick.
    if text != _NO_RULES:
        from ojs_grpc.core.queue_rules import parse_queue_rules  # noqa: PLC0415

        parse_queue_rules(text)
    return text


_COUNT = _whole(1, 1_000_000_000)
_SECONDS = _number(0, 1000 * _YEAR_SECONDS)
_MORE_SECONDS = _number(0.001, 1000 * _YEAR_SECONDS)
_DAYS = _number(0, 1000 * _YEAR_DAYS)


@dataclass(frozen=True, slots=True)
class Config:
    """The settings of `ojs-grpc serve`; the help texts say what each is."""

    store: str = _setting(
        "sqlite:///ojs.db",
        "where jobs are kept: sqlite:///FILE, memory:, redis://HOST:PORT/DB, rediss://HOST:PORT/DB, unix:///SOCKET",
        str,
        "URL",
    )
    grpc: str = _setting(
        "127.0.0.1:9090", "address to listen on for gRPC; port 0 takes a free one", _address, "HOST:PORT"
    )
    http: str = _setting(
        "127.0.0.1:8080",
        "address to listen on for HTTP, or off",
        _address_or_off,
        "HOST:PORT",
    )
    insecure: bool = _setting(
        default=False,
        text="listen on other addresses than loopback although there is neither TLS nor authentication",
        parse=_truth,
        unit="BOOL",
    )
    processes: int = _setting(
        1, "server processes on the same ports; needs a store that they can share", _whole(1, 256), "N"
    )
    drain_seconds: float = _setting(30.0, "on SIGTERM, how long calls under way may take to finish", _SECONDS, "X")
    max_calls: int = _setting(
        1000,
        "calls under way at once in a process, of each binding; more are refused, streams don't count",
        _COUNT,
        "N",
    )
    long_poll_seconds: float = _setting(
        2.0, "how long a Fetch waits for a job unless it says otherwise", _SECONDS, "X"
    )
    visibility_seconds: float = _setting(
        1800.0, "length of a lease unless the job or the worker says otherwise", _MORE_SECONDS, "X"
    )
    timeout_seconds: float = _setting(1800.0, "longest execution unless the job says otherwise", _MORE_SECONDS, "X")
    silence_seconds: float = _setting(
        30.0, "a worker that sent heartbeats and then none for this long is dead; its jobs return", _MORE_SECONDS, "X"
    )
    envelope_bytes: int = _setting(1 << 20, "largest job, serialised", _whole(1, _MOST_ENVELOPE_BYTES), "N")
    batch_jobs: int = _setting(10_000, "most jobs in one EnqueueBatch", _COUNT, "N")
    finished_days: float = _setting(7.0, "completed and cancelled jobs are kept so long", _DAYS, "X")
    finished_count: int = _setting(1_000_000, "and at most so many of them a queue, the newest", _COUNT, "N")
    discarded_days: float = _setting(30.0, "discarded jobs that are no dead letters are kept so long", _DAYS, "X")
    dead_days: float = _setting(180.0, "dead letters are kept so long", _DAYS, "X")
    dead_count: int = _setting(10_000, "and at most so many of them a queue, the newest", _COUNT, "N")
    events_days: float = _setting(7.0, "events are kept so long", _DAYS, "X")
    events_count: int = _setting(
        1_000_000, "and at most so many of them, the newest; 0 for no event log", _whole(0, 1_000_000_000), "N"
    )
    queues: str = _setting(
        _NO_RULES,
        "what bounds queues: QUEUE:max_depth=N,concurrency=N,rate=N/60s; ..., where * is every other queue",
        _queues,
        "RULES",
    )
    allow_eviction: bool = _setting(
        default=False, text="accept a Redis that may evict jobs (maxmemory-policy)", parse=_truth, unit="BOOL"
    )
    conformance: bool = _setting(
        default=False,
        text="for the conformance suite only: POST /ojs/v1/admin/reset deletes everything, jobs may direct workers",
        parse=_truth,
        unit="BOOL",
    )
    log_format: str = _setting("console", "console or json", _one_of("console", "json"), "NAME")
    log_level: str = _setting(
        "info", "debug, info, warning or error", _one_of("debug", "info", "warning", "error"), "NAME"
    )

    def __post_init__(self) -> None:
        """Checks what concerns several fields, or the world.

        Raises:
            ValueError: with the setting and the rule.
        """
        for name, address in self.addresses().items():
            host, _ = split_address(address)
            if not self.insecure and not _is_loopback(host):
                raise ValueError(
                    f"--{name}={address}: {host} is no loopback address and there is neither TLS nor authentication;"
                    " say --insecure if everyone who can reach it may do everything"
                )
        if self.processes > 1 and self.store.startswith("memory:"):
            raise ValueError("--processes: a store in memory is private to one process")

    def addresses(self) -> dict[str, str]:
        """Where the bindings listen, by the name of the setting; without those that are off."""
        said = {"grpc": self.grpc, "http": self.http}
        return {name: address for name, address in said.items() if address != OFF}


class Setting(NamedTuple):
    """One setting, as people write it."""

    name: str
    flag: str
    variable: str
    default: str
    help: str


def settings() -> Iterator[Setting]:
    """All settings, in the order in which they are documented."""
    for entry in fields(Config):
        flag = "--" + entry.name.replace("_", "-")
        yield Setting(
            entry.name, flag, _ENV_PREFIX + entry.name.upper(), _show(entry.default), entry.metadata["help"]
        )


def add_flags(parser: ArgumentParser) -> None:
    """Adds a flag for every setting."""
    for setting, entry in zip(settings(), fields(Config), strict=True):
        text = f"{setting.help} [{setting.default}; {setting.variable}]".replace("%", "%%")
        if isinstance(entry.default, bool):
            parser.add_argument(setting.flag, nargs="?", const="true", metavar=entry.metadata["unit"], help=text)
        else:
            parser.add_argument(setting.flag, metavar=entry.metadata["unit"], help=text)


def read(flags: Namespace, environment: Mapping[str, str] = os.environ) -> Config:
    """The settings from flags, environment and defaults.

    Raises:
        ValueError: a value is not what it must be; names where it came from, and the rule.
    """
    values: dict[str, Any] = {}
    for setting, entry in zip(settings(), fields(Config), strict=True):
        text, source = getattr(flags, setting.name, None), setting.flag
        if text is None:
            text, source = environment.get(setting.variable) or None, setting.variable
        if text is None:
            continue
        try:
            values[setting.name] = entry.metadata["parse"](text)
        except ValueError as error:
            raise ValueError(f"{source}={text}: {error}") from None
    return Config(**values)


def split_address(address: str) -> tuple[str, int]:
    """Host and port of `host:port` or `[v6]:port`.

    Raises:
        ValueError: it is neither.
    """
    host, _, port = address.rpartition(":")
    bare = host[1:-1] if host.startswith("[") and host.endswith("]") else host
    # An IPv6 address without brackets would swallow its last group as a port.
    if not bare or (":" in bare and bare == host) or not (port.isascii() and port.isdigit()) or int(port) > 65535:
        raise ValueError("must be HOST:PORT or [IPV6]:PORT")
    return bare, int(port)


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _show(default: object) -> str:
    if isinstance(default, bool):
        return str(default).lower()
    return f"{default:g}" if isinstance(default, float) else str(default)
