"""The gRPC server: start it, drain it (behaviour section 19), stop it."""

import asyncio

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from ojs_grpc.bindings.grpc.handlers import SERVICE, Handlers
from ojs_grpc.bindings.grpc.health import HealthServicer
from ojs_grpc.bindings.grpc.servicer import Servicer
from ojs_grpc.operations.engine import Engine

_SERVING = health_pb2.HealthCheckResponse.SERVING
_NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING

# Above our own limit, so that a request somewhat too large gets our answer and not gRPC's bare one.
_RECEIVE_SLACK = 1 << 20


class GrpcServer:
    """The engine's operations as `ojs.v1.OJSService`, with reflection and `grpc.health.v1`.

    Args:
        share_port: several processes listen on one port (SO_REUSEPORT).
    """

    def __init__(self, engine: Engine, *, long_poll_seconds: float, max_calls: int, share_port: bool) -> None:
        self._engine = engine
        self._servicer = Servicer(engine, long_poll_seconds)
        self._health = HealthServicer()
        self._updates: set[asyncio.Task[None]] = set()
        self._server = grpc.aio.server(
            options=(
                ("grpc.so_reuseport", int(share_port)),
                ("grpc.max_receive_message_length", engine.defaults.limits.request_bytes + _RECEIVE_SLACK),
                ("grpc.max_send_message_length", -1),
                # Workers keep idle streams alive with pings; don't take these for abuse.
                ("grpc.keepalive_permit_without_calls", 1),
                ("grpc.http2.min_ping_interval_without_data_ms", 5_000),
                # Notice a worker that vanished without closing its connection.
                ("grpc.keepalive_time_ms", 30_000),
                ("grpc.keepalive_timeout_ms", 10_000),
            )
        )
        self._server.add_generic_rpc_handlers((Handlers(self._servicer, max_calls),))
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self._server)
        reflection.enable_server_reflection(
            (SERVICE.full_name, health.SERVICE_NAME, reflection.SERVICE_NAME), self._server
        )

    async def start(self, address: str) -> int:
        """Listens on `host:port` (0: any free port) and answers; the port.

        Raises:
            OSError: the address cannot be bound.
        """
        try:
            port = self._server.add_insecure_port(address)
        except RuntimeError as error:
            raise OSError(f"cannot listen on {address}: {error}") from None
        self._engine.system.on_change = self._announce
        await self._set_health(_SERVING)
        await self._server.start()
        return port

    async def stop(self, grace_seconds: float) -> None:
        """Says NOT_SERVING, ends streams, lets unary calls finish for as long as the grace, and closes."""
        self._servicer.draining = True
        await self._health.stop()
        self._engine.end_streams()
        await self._server.stop(grace_seconds)

    def _announce(self, healthy: bool) -> None:  # noqa: FBT001 - a callback
        task = asyncio.create_task(self._set_health(_SERVING if healthy else _NOT_SERVING))
        self._updates.add(task)
        task.add_done_callback(self._updates.discard)

    async def _set_health(self, status: int) -> None:
        for name in (health.OVERALL_HEALTH, SERVICE.full_name):
            await self._health.set(name, status)
