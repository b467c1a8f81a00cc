"""The limit: a grpc.aio server that moves the same bytes as the service and does nothing else.

The method's name says what to send, so that one server serves every row:

    /bench.Bare/Unary<SIZE>            any request -> SIZE bytes
    /bench.Bare/Stream<SIZE>x<COUNT>   any request -> COUNT messages of SIZE bytes

Run as `python -m benchmarks.bare --grpc HOST:PORT`. The settings are those a plain asyncio service would have: uvloop,
one process, one event loop, no interceptor, raw bytes instead of messages.
"""

import argparse
import contextlib
import re
from collections.abc import AsyncIterator
from typing import Any, TypeAlias

import grpc
import grpc.aio
import uvloop

PREFIX = "/bench.Bare/"
READY_METHOD = f"{PREFIX}Unary1"

Handler: TypeAlias = "grpc.RpcMethodHandler[Any, Any]"

_METHOD = re.compile(r"/bench\.Bare/(?:Unary(?P<unary>\d+)|Stream(?P<size>\d+)x(?P<count>\d+))")


def unary_method(reply_bytes: int) -> str:
    """The method that answers with `reply_bytes` bytes."""
    return f"{PREFIX}Unary{reply_bytes}"


def stream_method(message_bytes: int, count: int) -> str:
    """The method that streams `count` messages of `message_bytes` bytes."""
    return f"{PREFIX}Stream{message_bytes}x{count}"


class BareHandlers(grpc.GenericRpcHandler):
    """Makes a handler out of a method's name, once per name."""

    def __init__(self) -> None:
        self._handlers: dict[str, Handler] = {}

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> "Handler | None":
        method = handler_call_details.method
        if method not in self._handlers and (match := _METHOD.fullmatch(method)):
            self._handlers[method] = _handler(match)
        return self._handlers.get(method)


def _handler(match: re.Match[str]) -> Handler:
    if match["unary"]:
        reply = bytes(int(match["unary"]))

        async def answer(_request: bytes, _context: object) -> bytes:
            return reply

        return grpc.unary_unary_rpc_method_handler(answer)

    message, count = bytes(int(match["size"])), int(match["count"])

    async def stream(_request: bytes, _context: object) -> AsyncIterator[bytes]:
        for _ in range(count):
            yield message

    return grpc.unary_stream_rpc_method_handler(stream)


async def serve(address: str) -> None:
    """Serves until the process is stopped."""
    server = grpc.aio.server()
    server.add_generic_rpc_handlers((BareHandlers(),))
    server.add_insecure_port(address)
    await server.start()
    await server.wait_for_termination()


def main() -> None:
    """Serves at the address given on the command line."""
    parser = argparse.ArgumentParser(description="A bare grpcio server to compare with.")
    parser.add_argument("--grpc", required=True, metavar="HOST:PORT")
    arguments = parser.parse_args()
    with contextlib.suppress(KeyboardInterrupt):
        uvloop.run(serve(arguments.grpc))


if __name__ == "__main__":
    main()
