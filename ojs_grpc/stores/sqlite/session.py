"""What operations work with inside the writer's transaction."""

import sqlite3
from collections.abc import Callable, Sequence
from typing import NamedTuple, Self

from ojs_grpc.core.rate_limit import QueueRules, RateLimit
from ojs_grpc.stores.sqlite.statements import load

_SQL = load("queues")
_LAST_NUMBER = "SELECT last FROM counter WHERE only_row = 1"
_TAKE_NUMBERS = "UPDATE counter SET last = ? WHERE only_row = 1"

# Queue names come from callers: the bound keeps a client that invents them from filling memory.
_MAX_KNOWN = 16_384


class Held(NamedTuple):
    """A limit, and the key of what it is about in `limits`."""

    used: int
    limit: RateLimit


class News(NamedTuple):
    """What is to be told once a transaction is stored.

    Attributes:
        ready: names of queues that may have jobs to claim.
        ended: whether endings were noted.
        logged: whether events were.
    """

    ready: list[str]
    ended: bool
    logged: bool


Announce = Callable[[News], None]


class Session:
    """The writer's connection inside a transaction, and what operations on it share.

    Attributes:
        db: the connection.
        rules: what operators set for queues.
        bounded: whether any queue has a bound.
        limited: whether any queue has a limit.
        log_events: whether events are logged.
        ready, ended, logged: as in `News`, of this transaction so far.
    """

    def __init__(self, db: sqlite3.Connection, rules: QueueRules | None = None, *, log_events: bool = True) -> None:
        self.db = db
        self.rules = rules or QueueRules()
        of_queues = (self.rules.default, *self.rules.by_name.values())
        self.bounded = any(rule.max_depth for rule in of_queues)
        self.limited = any(rule.limit for rule in of_queues)
        self.log_events = log_events
        self.ready: set[str] = set()
        self.ended = False
        self.logged = False
        self._keys: dict[str, int] = {}
        self._names: dict[int, str] = {}
        self._limits: dict[int, Sequence[Held]] = {}

    def numbers(self, count: int) -> range:
        """Takes `count` numbers that nobody ever had. Servers on one file share them, hence no memory of the last."""
        if not count:
            return range(0)
        # Two statements, because RETURNING costs as much as three.
        (last,) = self.db.execute(_LAST_NUMBER).fetchone()
        self.db.execute(_TAKE_NUMBERS, (last + count,))
        return range(last + 1, last + count + 1)

    def queue_limit(self, name: str) -> RateLimit | None:
        """What the operator limits a queue to."""
        return self.rules.of(name).limit

    def queue_key(self, name: str, now: int) -> int:
        """A queue's key; the queue exists from now on."""
        key = self._keys.get(name)
        if key is None:
            row = self.db.execute(_SQL["key"], (name,)).fetchone()
            if row is None:
                row = self.db.execute(_SQL["create"], (name, now)).fetchall()[0]
            key = int(row[0])
            self._know(key, name)
        return key

    def queue_name(self, key: int) -> str:
        """The name of a queue that exists."""
        name = self._names.get(key)
        if name is None:
            name = str(self.db.execute(_SQL["name"], (key,)).fetchone()[0])
            self._know(key, name)
        return name

    def lane_limits(self, lane: int, look_up: Callable[[Self, int], Sequence[Held]]) -> Sequence[Held]:
        """The limits of a lane's jobs, which never change; looked up if they are not remembered."""
        limits = self._limits.get(lane)
        if limits is None:
            if len(self._limits) >= _MAX_KNOWN:
                self.forget()
            limits = self._limits[lane] = look_up(self, lane)
        return limits

    def take_news(self) -> News:
        """What is to be told, and from now on no more."""
        news = News(list(self.ready), self.ended, self.logged)
        self.ready.clear()
        self.ended = self.logged = False
        return news

    def forget(self) -> None:
        """Something was rolled back, so what is remembered may never have been."""
        self._keys.clear()
        self._names.clear()
        self._limits.clear()

    def _know(self, key: int, name: str) -> None:
        if len(self._keys) >= _MAX_KNOWN:
            self.forget()
        self._keys[name] = key
        self._names[key] = name
