"""What operations work with inside the writer's transaction."""

import sqlite3
from collections import defaultdict

from ojs_grpc.core.states import AVAILABLE, CANCELLED, COMPLETED, DISCARDED
from ojs_grpc.stores.sqlite.statements import load

_SQL = load("queues")
_LAST_NUMBER = "SELECT last FROM counter"
_TAKE_NUMBERS = "UPDATE counter SET last = ?"

# Queue names come from callers: the bound keeps a client that invents them from filling memory.
_MAX_KNOWN = 16_384


class Tally:
    """How an operation changes the counts that `queues` keeps. Queues are keys here, as in the tables."""

    def __init__(self) -> None:
        self._changes: defaultdict[int, list[int]] = defaultdict(lambda: [0, 0, 0])

    def enter(self, queue: int, state: int, jobs: int = 1, *, dead: bool = False) -> None:
        """So many jobs are in this state from now on."""
        if state == AVAILABLE:
            self._changes[queue][0] += jobs
        elif state in (COMPLETED, CANCELLED):
            self._changes[queue][1] += jobs
        elif state == DISCARDED and dead:
            self._changes[queue][2] += jobs

    def leave(self, queue: int, state: int, jobs: int = 1, *, dead: bool = False) -> None:
        """So many jobs were in this state."""
        self.enter(queue, state, -jobs, dead=dead)

    def rows(self) -> list[tuple[int, int, int, int]]:
        """Available, finished and dead to add, and the queue."""
        return [(*counts, queue) for queue, counts in self._changes.items() if any(counts)]  # type: ignore[misc]


class Session:
    """The writer's connection inside a transaction, and what operations on it share.

    Attributes:
        db: the connection.
        ready: queues that got available jobs in this transaction.
    """

    def __init__(self, db: sqlite3.Connection) -> None:
        self.db = db
        self.ready: set[str] = set()
        self._keys: dict[str, int] = {}
        self._names: dict[int, str] = {}

    def numbers(self, count: int) -> range:
        """Takes `count` numbers that nobody ever had. Servers on one file share them, hence no memory of the last."""
        if not count:
            return range(0)
        # Two statements, because RETURNING costs as much as three.
        (last,) = self.db.execute(_LAST_NUMBER).fetchone()
        self.db.execute(_TAKE_NUMBERS, (last + count,))
        return range(last + 1, last + count + 1)

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

    def count(self, tally: Tally) -> None:
        """Writes what has changed in the counts of queues."""
        self.db.executemany(_SQL["count"], tally.rows())

    def forget(self) -> None:
        """Something was rolled back, so what is remembered may never have been."""
        self._keys.clear()
        self._names.clear()

    def _know(self, key: int, name: str) -> None:
        if len(self._keys) >= _MAX_KNOWN:
            self.forget()
        self._keys[name] = key
        self._names[key] = name
