"""The one writer: what arrives while a commit is under way shares the next transaction.

Statements run on the event loop's thread, because SQLite's module gives up Python's lock at every row: beside a busy
loop, another thread would wait for it again and again. Only COMMIT, which waits for the disk, runs in a thread of its
own. A caller hears of its operation after the commit.
"""

import asyncio
import random
import sqlite3
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from time import monotonic
from typing import Any, TypeVar

from ojs_grpc.errors import StoreUnavailable
from ojs_grpc.stores.sqlite.connection import LOCK_SECONDS
from ojs_grpc.stores.sqlite.failure import is_locked, translate
from ojs_grpc.stores.sqlite.session import Announce, Session

T = TypeVar("T")

# A transaction takes no further operation after so long, since the loop serves nobody else meanwhile.
_GROUP_SECONDS = 0.01


class _Call:
    """One operation, and the future that its caller waits for.

    Attributes:
        deadline: on the monotonic clock, for getting the lock.
        alone: it was in a group whose commit failed, so that it may be the guilty one.
    """

    __slots__ = ("alone", "deadline", "error", "future", "operation", "result")

    def __init__(self, operation: Callable[[Session], object], future: asyncio.Future[Any]) -> None:
        self.operation = operation
        self.future = future
        self.deadline = monotonic() + LOCK_SECONDS
        self.alone = False
        self.result: object = None
        self.error: Exception | None = None

    def settle(self) -> None:
        """Tells the caller, unless it went away."""
        if self.future.done():
            return
        if self.error is None:
            self.future.set_result(self.result)
        else:
            self.future.set_exception(translate(self.error))


class GroupCommit:
    """Runs operations in transactions on the writer's connection.

    Args:
        announce: told after each commit what operations had to tell.
    """

    def __init__(self, session: Session, announce: Announce) -> None:
        self._db = session.db
        self._session = session
        self._announce = announce
        self._committer = ThreadPoolExecutor(1, "sqlite-commit")
        self._waiting: deque[_Call] = deque()
        self._work: asyncio.Task[None] | None = None
        self._closed = False
        self._dirty = False
        self.healthy = True
        """Whether the last transaction was stored."""

    async def run(self, operation: Callable[[Session], T]) -> T:
        """Runs an operation in a transaction, together with others, and returns when it is stored.

        Raises:
            StoreTimeout: another process kept the database locked.
            StoreUnavailable: nothing was stored.
            Exception: what the operation raised; nothing of it was stored, and the others of its group were.
        """
        if self._closed:
            raise StoreUnavailable("sqlite: the store is closed")
        loop = asyncio.get_running_loop()
        call = _Call(operation, loop.create_future())
        self._waiting.append(call)
        if self._work is None:
            self._work = loop.create_task(self._serve())
        result: T = await call.future
        return result

    async def close(self) -> None:
        """Lets what was begun end, and takes nothing more."""
        self._closed = True
        if self._work is not None:
            await self._work
        self._committer.shutdown()

    async def _serve(self) -> None:
        """Lives as long as calls wait."""
        try:
            while self._waiting:
                if await self._begin():
                    await self._finish(self._execute())
                    # One turn for all others, also where nothing above had to wait.
                    await asyncio.sleep(0)
        finally:
            self._work = None

    async def _begin(self) -> bool:
        """Opens a transaction. False if nobody waits for it any more."""
        while self._waiting:
            try:
                self._db.execute("BEGIN IMMEDIATE")
            except sqlite3.Error as error:
                self._give_up(error)
                # Short, as the lock is free only for moments between two groups of a busy process.
                await asyncio.sleep(random.uniform(0.0005, 0.003))
            else:
                return True
        return False

    def _give_up(self, error: sqlite3.Error) -> None:
        """Refuses the calls that waited long enough for the lock; all of them, if it isn't about a lock."""
        now = monotonic()
        while self._waiting and (not is_locked(error) or self._waiting[0].deadline < now):
            call = self._waiting.popleft()
            call.error = error
            call.settle()
            self.healthy = False

    def _execute(self) -> list[_Call]:
        """Runs what waits, within the transaction."""
        changes = self._db.total_changes
        stop = monotonic() + _GROUP_SECONDS
        group: list[_Call] = []
        while self._waiting and self._db.in_transaction:
            call = self._waiting[0]
            if group and (call.alone or group[-1].alone or monotonic() > stop):
                break
            self._waiting.popleft()
            if not call.future.cancelled():
                self._execute_one(call, group)
                group.append(call)
        self._dirty = self._db.total_changes != changes
        return group

    def _execute_one(self, call: _Call, before: Sequence[_Call]) -> None:
        try:
            # The first operation has nobody to protect, and is mostly the only one.
            if before:
                self._db.execute("SAVEPOINT operation")
            call.result = call.operation(self._session)
            if before:
                self._db.execute("RELEASE operation")
        except Exception as error:  # noqa: BLE001 - the caller gets it, whatever it is
            call.error = error
            self._session.forget()
            if before:
                self._undo_one()
            else:
                self._end_transaction()

    def _undo_one(self) -> None:
        # After some errors SQLite has rolled back everything by itself, which `_finish` finds out.
        if self._db.in_transaction:
            try:
                self._db.execute("ROLLBACK TO operation")
                self._db.execute("RELEASE operation")
            except sqlite3.Error:
                self._end_transaction()

    async def _finish(self, group: list[_Call]) -> None:
        """Commits, and tells the callers."""
        news = self._session.take_news()
        try:
            await self._commit()
        except sqlite3.Error as error:
            self._roll_back(group, error)
            return
        self.healthy = True
        for call in group:
            call.settle()
        self._announce(news)

    async def _commit(self) -> None:
        if not self._db.in_transaction:
            raise sqlite3.OperationalError("the transaction was rolled back")
        if not self._dirty:
            self._db.execute("COMMIT")
        else:
            await asyncio.get_running_loop().run_in_executor(self._committer, self._db.execute, "COMMIT")

    def _roll_back(self, group: list[_Call], error: sqlite3.Error) -> None:
        """Undoes a group; those of its calls that may be innocent wait again, each for a transaction of its own."""
        self._end_transaction()
        self._session.forget()
        self.healthy = False
        again = []
        for call in group:
            if call.error is None and len(group) > 1:
                call.alone = True
                again.append(call)
            else:
                call.error = call.error or error
                call.settle()
        self._waiting.extendleft(reversed(again))

    def _end_transaction(self) -> None:
        if self._db.in_transaction:
            with suppress(sqlite3.Error):
                self._db.execute("ROLLBACK")
