"""The two gRPC clients that the load can use, with the same methods.

`http2` is cheap and therefore the default: it shows what the server can do. `grpcio` is grpc.aio, as a Python producer
uses it: it needs about as much CPU as the server and so measures both (see http2.py).
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Protocol, TypeAlias

import grpc
import grpc.aio

from benchmarks.http2 import Connection, StreamReading

CLIENTS = ("http2", "grpcio")

UnaryCall: TypeAlias = Callable[..., Awaitable[bytes]]


class Client(Protocol):
    """Calls one method of one server."""

    def call(self, request: bytes) -> Awaitable[bytes]:
        """Makes a unary call; raises if the answer is not OK."""

    async def read(self, request: bytes, limit: int, patience: float) -> StreamReading:
        """Counts a stream's messages until there are `limit`, it ends, or none has come for `patience` seconds."""

    async def close(self) -> None:
        """Closes the connection, and with it any open stream."""


class Http2Client:
    """The load's own client."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def call(self, request: bytes) -> Awaitable[bytes]:
        return self._connection.call(request)

    async def read(self, request: bytes, limit: int, patience: float) -> StreamReading:
        reading = self._connection.read_stream(request, limit)
        await reading.wait(patience)
        return reading

    async def close(self) -> None:
        self._connection.close()


class GrpcioClient:
    """grpc.aio with raw bytes."""

    def __init__(self, target: str, method: str) -> None:
        self._channel = open_channel(target)
        self._unary = unary(self._channel, method)
        self._stream = server_stream(self._channel, method)

    def call(self, request: bytes) -> Awaitable[bytes]:
        return self._unary(request)

    async def read(self, request: bytes, limit: int, patience: float) -> StreamReading:
        reading, call = StreamReading(limit), self._stream(request)

        async def count() -> None:
            try:
                async for message in call:
                    reading.count(1, len(message))
            finally:
                reading.end(None)

        counter = asyncio.ensure_future(count())
        await reading.wait(patience)
        await asyncio.sleep(0)
        if counter.done():
            counter.result()
        call.cancel()
        await asyncio.gather(counter, return_exceptions=True)
        return reading

    async def close(self) -> None:
        await self._channel.close()


def open_channel(target: str) -> grpc.aio.Channel:
    """A grpc.aio channel with a connection of its own, for replies of any size."""
    own_connection, any_size = ("grpc.use_local_subchannel_pool", 1), ("grpc.max_receive_message_length", -1)
    return grpc.aio.insecure_channel(target, options=[own_connection, any_size])


def unary(channel: grpc.aio.Channel, method: str) -> UnaryCall:
    """A unary method of a channel, from bytes to bytes."""
    call: Any = channel.unary_unary(method)
    return call  # type: ignore[no-any-return]


def server_stream(channel: grpc.aio.Channel, method: str) -> Callable[[bytes], Any]:
    """A streaming method of a channel, from bytes to a grpc.aio.UnaryStreamCall of bytes."""
    call: Any = channel.unary_stream(method)
    return call  # type: ignore[no-any-return]


async def open_client(kind: str, target: str, method: str) -> Client:
    """A client of the given kind, one of CLIENTS."""
    if kind == "grpcio":
        return GrpcioClient(target, method)
    return Http2Client(await Connection.open(target, method))
