"""Hears what other processes publish, for as long as the store is open."""

import asyncio
from collections.abc import Callable, Mapping
from contextlib import suppress

from redis.exceptions import RedisError

from ojs_grpc.stores.redis.connection import CALL_SECONDS, Connections

_RETRY_SECONDS = 0.5
# A connection on which nothing was heard for so long is asked whether it still works.
_QUIET_SECONDS = 15.0


class Subscription:
    """One connection that listens, replaced when it breaks.

    Args:
        handlers: what to do with the messages of each channel.
        missed: called when it listens again after a break, in which messages may have been lost.
    """

    def __init__(
        self, connections: Connections, handlers: Mapping[str, Callable[[bytes], None]], missed: Callable[[], None]
    ) -> None:
        self._connections = connections
        self._handlers = {channel.encode(): handler for channel, handler in handlers.items()}
        self._missed = missed
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Returns when it listens, or could not at first; it goes on trying in the background."""
        listening = asyncio.Event()
        self._task = asyncio.create_task(self._run(listening), name="redis subscription")
        with suppress(TimeoutError):
            async with asyncio.timeout(CALL_SECONDS):
                await listening.wait()

    async def stop(self) -> None:
        """Ends the listening. May be called twice."""
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task
            self._task = None

    async def _run(self, listening: asyncio.Event) -> None:
        while True:
            with suppress(RedisError, OSError):
                await self._listen(listening)
            await asyncio.sleep(_RETRY_SECONDS)

    async def _listen(self, listening: asyncio.Event) -> None:
        connection = await self._connections.listen()
        try:
            await connection.send_command("SUBSCRIBE", *self._handlers)
            for _ in self._handlers:
                await connection.read_response()
            if listening.is_set():
                self._missed()
            listening.set()
            asked = False
            while True:
                message = await connection.read_response(timeout=CALL_SECONDS if asked else _QUIET_SECONDS)
                if message is not None:
                    asked = False
                    self._handle(message)
                elif asked:
                    return
                else:
                    asked = True
                    await connection.send_command("PING")
        finally:
            await connection.disconnect(nowait=True)

    def _handle(self, message: list[bytes]) -> None:
        # Anything else is the answer to a ping.
        if message[0] == b"message":
            self._handlers[message[1]](message[2])
