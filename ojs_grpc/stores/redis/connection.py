"""The one place that knows how to connect to Redis, and what can go wrong with that.

A call takes a connection out of a small pool and puts it back. Nothing is tried twice: a call whose connection broke
may have been executed, and executed again it would store or lease twice.
"""

import asyncio
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

import hiredis
from redis.asyncio.connection import ConnectionPool
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import NoScriptError, RedisError, ResponseError
from redis.exceptions import TimeoutError as RedisTimeoutError

from ojs_grpc.errors import StoreError, StoreTimeout, StoreUnavailable

if TYPE_CHECKING:
    from redis.asyncio.connection import AbstractConnection

CALL_SECONDS: Final = 3.0
_CONNECT_SECONDS = 2.0
# Calls at once; more wait in line. Redis executes one at a time anyway.
_CONNECTIONS = 16

# A server that answers so works, but not now: starting, full, a replica or just become one, without a majority, unable
# to write.
_NOT_NOW = re.compile(
    r"\b(LOADING|READONLY|MISCONF|OOM|CLUSTERDOWN|MASTERDOWN|NOREPLICAS|TRYAGAIN|UNBLOCKED|BUSY"
    r"|max number of clients)\b"
)
# redis-py turns some of them into classes of their own and takes the word away.
_NOT_NOW_ERRORS = ("ReadOnlyError", "OutOfMemoryError", "MasterDownError", "ClusterDownError", "TryAgainError")


class Connections:
    """Connections to one Redis."""

    def __init__(self, url: str) -> None:
        self._factory = ConnectionPool.from_url(
            url,
            # Cheaper to parse than RESP3, and no server pushes anything unasked.
            protocol=2,
            client_name="ojs-grpc",
            # Time is kept here, once a call, and not for each read and write.
            socket_timeout=None,
            socket_connect_timeout=_CONNECT_SECONDS,
            retry=Retry(NoBackoff(), 0),
        )
        self._idle: list[AbstractConnection] = []
        self._free = asyncio.Semaphore(_CONNECTIONS)
        self._closed = False

    async def call(self, *words: str | bytes | float) -> Any:  # noqa: ANN401 - whatever the command replies
        """Sends one command and returns its reply.

        Raises:
            StoreUnavailable: there is no connection, or Redis cannot serve now. The command may have been executed.
            StoreTimeout: no reply in time. The command may have been executed, and may still be.
            StoreError: Redis refused the command.
            NoScriptError: it names a script that Redis does not have.
        """
        with _translated(CALL_SECONDS):
            async with asyncio.timeout(CALL_SECONDS), self._free:
                return await self._exchange(_pack(words))

    async def wait(self, seconds: float, *words: str | bytes | float) -> Any:  # noqa: ANN401 - as above
        """As `call`, for a command that Redis may answer after so many seconds; nobody waits in line for it."""
        seconds += CALL_SECONDS
        with _translated(seconds):
            async with asyncio.timeout(seconds):
                return await self._exchange(_pack(words))

    def open(self) -> None:
        """Lets calls connect, again after `close`."""
        self._closed = False

    async def listen(self) -> "AbstractConnection":
        """A connection of the caller's own, for subscriptions; raises what redis-py does."""
        connection = self._new()
        await connection.connect()  # type: ignore[no-untyped-call]  # redis-py
        return connection

    async def close(self) -> None:
        """Closes what is idle now, and what is in use when its call ends."""
        self._closed = True
        await self._drop_idle()

    async def _exchange(self, packed: bytes) -> Any:  # noqa: ANN401 - as above
        connection = await self._take()
        try:
            await connection.send_packed_command([packed], check_health=False)
            return await connection.read_response()
        except ResponseError:
            raise
        except (RedisError, OSError):
            # What broke this one broke most likely all that wait.
            await self._drop_idle()
            raise
        finally:
            # redis-py has closed it if anything but an error reply came.
            if connection.is_connected and not self._closed:
                self._idle.append(connection)
            else:
                await connection.disconnect(nowait=True)

    async def _take(self) -> "AbstractConnection":
        if self._closed:
            raise StoreUnavailable("the store is closed")
        connection = self._idle.pop() if self._idle else self._new()
        try:
            # Connects, anew if the server has closed it meanwhile: nothing was sent yet, so nothing can happen twice.
            await self._factory.ensure_connection(connection)
        except BaseException:
            await connection.disconnect(nowait=True)
            raise
        return connection

    def _new(self) -> "AbstractConnection":
        connection: AbstractConnection = self._factory.make_connection()  # type: ignore[no-untyped-call]  # redis-py
        return connection

    async def _drop_idle(self) -> None:
        dropped, self._idle = self._idle, []
        for connection in dropped:
            await connection.disconnect(nowait=True)


def _pack(words: tuple[str | bytes | float, ...]) -> bytes:
    packed: bytes = hiredis.pack_command(words)  # type: ignore[arg-type]  # stub: a tuple of one
    return packed


@contextmanager
def _translated(seconds: float) -> Iterator[None]:
    """What goes wrong inside, in the store's words."""
    try:
        yield
    except NoScriptError:
        raise
    except TimeoutError:
        raise StoreTimeout(f"Redis did not answer within {seconds:g} s") from None
    except (RedisError, OSError) as error:
        raise _store_error(error) from error


def _store_error(error: Exception) -> StoreError:
    if isinstance(error, RedisConnectionError | RedisTimeoutError | OSError):
        return StoreUnavailable(f"Redis is unreachable: {error}")
    if _NOT_NOW.search(str(error)) or type(error).__name__ in _NOT_NOW_ERRORS:
        return StoreUnavailable(f"Redis cannot serve now: {error}")
    return StoreError(f"Redis refused a command: {error}")
