"""Where jobs are kept. `open_store` turns a URL into one of the stores; only this module names them.

A store is imported when its URL is opened, so that one that is not used needs nothing installed.
"""

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, Final, NamedTuple
from urllib.parse import parse_qsl, unquote, urlsplit

from ojs_grpc.core.clock import Clock, SystemClock
from ojs_grpc.core.rate_limit import QueueRules

if TYPE_CHECKING:
    from ojs_grpc.stores.ports import Store

_NO_RULES: Final = QueueRules()
_SYNCHRONOUS = ("full", "normal")
_REDIS_OPTIONS = ("db", "username", "password")
_TLS_OPTIONS = ("ssl_ca_certs", "ssl_ca_path", "ssl_cert_reqs", "ssl_certfile", "ssl_check_hostname", "ssl_keyfile")


class _Request(NamedTuple):
    """What `open_store` was asked for, the URL taken apart; `place` is what stands between scheme and options."""

    url: str
    place: str
    options: Mapping[str, str]
    clock: Clock
    silence_ms: int
    rules: QueueRules
    log_events: bool
    allow_eviction: bool


class _Scheme(NamedTuple):
    options: Sequence[str]
    build: Callable[[_Request], "Store"]


def open_store(
    url: str,
    *,
    clock: Clock | None = None,
    silence_ms: int = 30_000,
    rules: QueueRules = _NO_RULES,
    log_events: bool = True,
    allow_eviction: bool = False,
) -> "Store":
    """The store that a URL names, built but not yet opened: await its `open`.

    The URL is one of

        sqlite:///relative.db   sqlite:////absolute.db   an SQLite file; `?synchronous=normal` survives a crash of the
                                                         process, but not of the machine
        memory:                                          SQLite in memory, for this process alone
        redis://  rediss://  unix://                     Redis over TCP, over TLS, and on a socket

    Args:
        url: characters of a path, a user name or a password that mean something in URLs are percent-encoded.
        clock: the time; left out, the system's (which Redis then corrects).
        silence_ms: a worker that has sent heartbeats and then none for this long is dead (behaviour section 6.3).
        rules: what operators set for queues; all servers on one store should have the same.
        log_events: write every change into the event log.
        allow_eviction: use a Redis that may throw jobs away when its memory is full.

    Raises:
        ValueError: no such scheme or option, or nothing that is a URL. The message never shows a password.
    """
    name, separator, rest = url.partition(":")
    scheme = _SCHEMES.get(name.lower()) if separator else None
    if scheme is None:
        # Of what is no URL, nothing is repeated: it may hold a password.
        shown = f" {name!r}" if rest.startswith("//") and name.isalnum() else ""
        raise ValueError(f"unknown store scheme{shown}; known are {', '.join(SCHEMES)}, as in sqlite:///ojs.db")
    place, _, query = rest.partition("?")
    options = dict(parse_qsl(query, keep_blank_values=True))
    for option in options:
        if option not in scheme.options:
            known = f"known are {', '.join(scheme.options)}" if scheme.options else "it takes none"
            raise ValueError(f"unknown option {option!r} for a store at {name}:; {known}")
    return scheme.build(
        _Request(url, place, options, clock or SystemClock(), silence_ms, rules, log_events, allow_eviction)
    )


def _sqlite(request: _Request) -> "Store":
    from ojs_grpc.stores.sqlite.store import SqliteStore

    path = unquote(request.place.removeprefix("///"))
    if not request.place.startswith("///") or not path or path.endswith("/"):
        raise ValueError("an SQLite store is sqlite:///relative.db or sqlite:////absolute.db")
    synchronous = request.options.get("synchronous", "full").lower()
    if synchronous not in _SYNCHRONOUS:
        raise ValueError(f"option synchronous must be one of {', '.join(_SYNCHRONOUS)}")
    return SqliteStore(
        path,
        clock=request.clock,
        silence_ms=request.silence_ms,
        rules=request.rules,
        log_events=request.log_events,
        synchronous=synchronous.upper(),
    )


def _memory(request: _Request) -> "Store":
    from ojs_grpc.stores.sqlite.store import SqliteStore

    if request.place not in ("", "//"):
        raise ValueError("a store in memory is memory: and has no path")
    return SqliteStore(
        None, clock=request.clock, silence_ms=request.silence_ms, rules=request.rules, log_events=request.log_events
    )


def _redis(request: _Request) -> "Store":
    from ojs_grpc.stores.redis.store import RedisStore

    _check_address(request)
    return RedisStore(
        request.url,
        clock=request.clock,
        silence_ms=request.silence_ms,
        rules=request.rules,
        log_events=request.log_events,
        allow_eviction=request.allow_eviction,
    )


def _check_address(request: _Request) -> None:
    """Refuses what is no address of a Redis.

    The parsers that read the URL later quote what they stumble over, which may be half a password.
    """
    try:
        parts = urlsplit(request.url)
        numbers = [request.options.get("db", "0"), "0" if parts.scheme == "unix" else parts.path.strip("/") or "0"]
        db_is_fine = all(number.isdecimal() for number in numbers)
        fine = request.place.startswith("//") and parts.port != 0 and not parts.fragment and db_is_fine
    except ValueError:
        fine = False
    if not fine:
        raise ValueError(
            "a Redis store is redis://[[user]:password@]host[:port][/db] or unix://[[user]:password@]/path[?db=n];"
            " other characters in a user name or a password are percent-encoded"
        )


_SCHEMES: Final[Mapping[str, _Scheme]] = MappingProxyType(
    {
        "sqlite": _Scheme(("synchronous",), _sqlite),
        "memory": _Scheme((), _memory),
        "redis": _Scheme(_REDIS_OPTIONS, _redis),
        "rediss": _Scheme((*_REDIS_OPTIONS, *_TLS_OPTIONS), _redis),
        "unix": _Scheme(_REDIS_OPTIONS, _redis),
    }
)

SCHEMES: Final = tuple(_SCHEMES)
"""What a store's URL may begin with."""
