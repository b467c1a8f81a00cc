"""An HTTP/1.1 client that costs next to nothing, so that the load never is what limits the figures.

It knows only what the bench sends: one kind of request, one at a time on a connection that stays open, and answers with
a Content-Length.
"""

import asyncio
from typing import cast

_END = b"\r\n\r\n"
_LENGTH = b"content-length: "


class CallFailed(Exception):
    """An answer was no success, or the connection ended."""


def post(target: str, path: str, body: bytes) -> bytes:
    """The request as it travels."""
    headers = {
        "host": target,
        "accept": "*/*",
        "user-agent": "ojs-bench",
        # As all SDKs send it.
        "ojs-version": "1.0",
        "content-type": "application/json",
        "content-length": str(len(body)),
    }
    lines = [f"POST {path} HTTP/1.1", *(f"{name}: {value}" for name, value in headers.items())]
    return "\r\n".join(lines).encode() + _END + body


class Connection(asyncio.Protocol):
    """One connection; a call at a time."""

    def __init__(self) -> None:
        self._transport: asyncio.Transport | None = None
        self._answer: asyncio.Future[bytes] | None = None
        self._data = b""

    @classmethod
    async def open(cls, target: str) -> "Connection":
        """Connects to HOST:PORT."""
        host, _, port = target.rpartition(":")
        _, connection = await asyncio.get_running_loop().create_connection(cls, host, int(port))
        return connection

    async def call(self, request: bytes) -> bytes:
        """Sends a request; the body of its answer."""
        if self._transport is None:
            raise CallFailed("the connection has ended")
        self._answer = asyncio.get_running_loop().create_future()
        self._transport.write(request)
        return await self._answer

    def close(self) -> None:
        """Closes the connection."""
        if self._transport is not None:
            self._transport.close()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(CallFailed(f"the connection ended: {exc}"))

    def data_received(self, data: bytes) -> None:
        self._data += data
        head, end, body = self._data.partition(_END)
        if not end:
            return
        at = head.index(_LENGTH) + len(_LENGTH)
        if len(body) < int(head[at:].partition(b"\r\n")[0]):
            return
        self._data = b""
        if self._answer is None or self._answer.done():
            return
        if head.startswith(b"HTTP/1.1 2"):
            self._answer.set_result(body)
        else:
            self._answer.set_exception(CallFailed(self._problem(head, body)))

    @staticmethod
    def _problem(head: bytes, body: bytes) -> str:
        return f"{head.partition(_END[:2])[0].decode()}: {body[:500].decode(errors='replace')}"
