"""The HTTP server: start it, drain it (behaviour section 19), stop it."""

import asyncio
import logging
import socket

import uvicorn

from ojs_grpc.bindings.http.app import App
from ojs_grpc.bindings.http.handlers import all_routes
from ojs_grpc.bindings.http.protocol import Protocol
from ojs_grpc.config import split_address
from ojs_grpc.operations.engine import Engine
from ojs_grpc.operations.system import HTTP

# Connections kept open between calls: longer than the pools of clients, so that none is closed as it is being used.
_IDLE_SECONDS = 75
_LAST_BYTES_SECONDS = 0.5
_POLL_SECONDS = 0.01

# It speaks of broken requests and of errors in the application, which logs its own.
logging.getLogger("uvicorn.error").disabled = True


class HttpServer:
    """The engine's operations as the HTTP binding of the spec.

    Args:
        max_calls: calls under way at once; more are refused. Streams don't count.
        share_port: several processes listen on one port (SO_REUSEPORT).
        conformance: also serve what the official suite needs and nobody else should have (wire section 1.6).
    """

    def __init__(self, engine: Engine, *, max_calls: int, share_port: bool, conformance: bool = False) -> None:
        self._engine = engine
        self._share_port = share_port
        self._draining = False
        routes = all_routes(engine, lambda: self._draining, conformance=conformance)
        app = App(routes, engine.store.clock, engine.defaults.limits, max_calls, engine.recorder)
        self._uvicorn = uvicorn.Server(
            uvicorn.Config(
                app,
                http=Protocol,
                ws="none",
                lifespan="off",
                interface="asgi3",
                log_config=None,
                access_log=False,
                proxy_headers=False,
                server_header=False,
                timeout_keep_alive=_IDLE_SECONDS,
            )
        )
        self._dates: asyncio.Task[None] | None = None

    async def start(self, address: str) -> int:
        """Listens on `host:port` (0: any free port) and answers; the port.

        Raises:
            OSError: the address cannot be bound; with the address and the cause.
        """
        listening = _bind(address, share_port=self._share_port)
        port: int = listening.getsockname()[1]
        config = self._uvicorn.config
        config.load()
        self._uvicorn.lifespan = config.lifespan_class(config)
        try:
            await self._uvicorn.startup([listening])
        except BaseException:
            listening.close()
            raise
        self._dates = asyncio.create_task(self._keep_date())
        self._engine.system.serve(HTTP)
        return port

    async def stop(self, grace_seconds: float) -> None:
        """Says that it is not ready, ends streams, lets calls finish for as long as the grace, and closes."""
        self._draining = True
        if self._dates is None:
            return
        for listener in self._uvicorn.servers:
            listener.close()
        self._engine.end_streams()
        state = self._uvicorn.server_state
        for connection in list(state.connections):
            connection.shutdown()
        clock = asyncio.get_running_loop().time
        deadline = clock() + grace_seconds
        while (calls := set(state.tasks)) and (left := deadline - clock()) > 0:
            await asyncio.wait(calls, timeout=left)
        cut = set(state.tasks)
        for call in cut:
            call.cancel()
        await asyncio.gather(*cut, return_exceptions=True)
        await self._close_connections()
        self._dates.cancel()

    async def _close_connections(self) -> None:
        """Waits until what was answered is sent, for a moment, and closes what is open then."""
        connections = self._uvicorn.server_state.connections
        for _ in range(round(_LAST_BYTES_SECONDS / _POLL_SECONDS)):
            if not connections:
                return
            await asyncio.sleep(_POLL_SECONDS)
        for connection in list(connections):
            connection.transport.abort()

    async def _keep_date(self) -> None:
        """Renews the `Date` header once a second: all that uvicorn's own loop would do, ten times as often."""
        while True:
            await self._uvicorn.on_tick(0)
            await asyncio.sleep(1)


def _bind(address: str, *, share_port: bool) -> socket.socket:
    """A socket bound to the first of the host's addresses that this machine has.

    Raises:
        OSError: with the address and the cause.
    """
    host, port = split_address(address)
    problem = "no such address"
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except OSError as error:
        raise OSError(f"cannot listen on {address}: {error.strerror}") from None
    for family, kind, protocol, _, target in found:
        try:
            bound = socket.socket(family, kind, protocol)
        except OSError as error:  # no IPv6 here
            problem = str(error.strerror)
            continue
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT if share_port else socket.SO_REUSEADDR, 1)
        try:
            bound.bind(target)
        except OSError as error:
            bound.close()
            problem = str(error.strerror)
        else:
            bound.setblocking(False)  # noqa: FBT003 - the socket's own method
            return bound
    raise OSError(f"cannot listen on {address}: {problem}")
