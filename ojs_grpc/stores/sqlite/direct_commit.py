"""The writer of a database in memory: there is no disk to wait for and no other process, so nothing is put off."""

import sqlite3
from collections.abc import Callable
from typing import TypeVar

from ojs_grpc.errors import StoreUnavailable
from ojs_grpc.stores.sqlite.failure import translate
from ojs_grpc.stores.sqlite.session import Announce, Session

T = TypeVar("T")


class DirectCommit:
    """Runs each operation at once, in a transaction of its own. Used like `GroupCommit`."""

    def __init__(self, session: Session, announce: Announce) -> None:
        self._db = session.db
        self._session = session
        self._announce = announce
        self._closed = False
        self.healthy = True
        """Whether the last transaction was stored."""

    async def run(self, operation: Callable[[Session], T]) -> T:
        """Runs an operation in a transaction.

        Raises:
            StoreUnavailable: nothing was stored.
            Exception: what the operation raised; nothing of it was stored.
        """
        if self._closed:
            raise StoreUnavailable("sqlite: the store is closed")
        try:
            self._db.execute("BEGIN")
            result = operation(self._session)
            self._db.execute("COMMIT")
        except sqlite3.Error as error:
            self._undo()
            self.healthy = False
            raise translate(error) from error
        except BaseException:
            self._undo()
            raise
        self.healthy = True
        self._announce(self._session.take_news())
        return result

    async def close(self) -> None:
        """Takes nothing more."""
        self._closed = True

    def _undo(self) -> None:
        if self._db.in_transaction:
            self._db.execute("ROLLBACK")
        self._session.forget()
        self._session.take_news()
