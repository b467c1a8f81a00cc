"""A client that writes what a test wants, byte by byte."""

import asyncio
import json
import socket
from typing import Any, NamedTuple, Self

from tests.grpc.service import patience


class RawAnswer(NamedTuple):
    """One answer as it came."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def document(self) -> Any:  # noqa: ANN401 - any JSON
        """The body, parsed."""
        return json.loads(self.body)

    @property
    def error(self) -> Any:  # noqa: ANN401
        """What an error says."""
        return self.document["error"]


class Raw:
    """A connection; use it as a context manager."""

    def __init__(self, address: str, receive_bytes: int = 0) -> None:
        self._address = address
        self._receive_bytes = receive_bytes
        self._reader: asyncio.StreamReader
        self._writer: asyncio.StreamWriter

    async def __aenter__(self) -> Self:
        """Connects."""
        host, _, port = self._address.rpartition(":")
        connection = socket.socket()
        if self._receive_bytes:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, self._receive_bytes)
        connection.setblocking(False)  # noqa: FBT003 - the socket's own method
        try:
            await asyncio.get_running_loop().sock_connect(connection, (host, int(port)))
        except OSError:
            connection.close()
            raise
        self._reader, self._writer = await asyncio.open_connection(sock=connection)
        return self

    async def __aexit__(self, *_: object) -> None:
        """Goes away."""
        self.abort()

    @property
    def client(self) -> tuple[str, int]:
        """The address from which it comes."""
        host, port = self._writer.get_extra_info("sockname")[:2]
        return host, port

    async def write(self, data: bytes) -> None:
        """Sends."""
        self._writer.write(data)
        await self._writer.drain()

    async def post(self, path: str, document: Any) -> None:  # noqa: ANN401
        """Sends a POST, without waiting for its answer."""
        body = json.dumps(document).encode()
        await self.write(
            b"POST %b HTTP/1.1\r\nhost: x\r\ncontent-length: %d\r\n\r\n%b" % (path.encode(), len(body), body)
        )

    async def read_head(self) -> bytes:
        """The head of the next answer."""
        async with patience():
            return await self._reader.readuntil(b"\r\n\r\n")

    async def read_answer(self) -> RawAnswer:
        """The next answer, which must have a Content-Length."""
        head = (await self.read_head()).decode().split("\r\n")
        async with patience():
            headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in head[1:] if line)}
            body = await self._reader.readexactly(int(headers["content-length"]))
        return RawAnswer(int(head[0].split()[1]), headers, body)

    async def read_rest(self) -> bytes:
        """All that comes until the other side closes."""
        async with patience():
            return await self._reader.read()

    def close_sending(self) -> None:
        """Says that nothing more will be sent."""
        self._writer.write_eof()

    def abort(self) -> None:
        """Goes away at once."""
        self._writer.transport.abort()
