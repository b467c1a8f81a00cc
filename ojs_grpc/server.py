"""The composition root: puts store, engine, duties and bindings together, and runs them until told to stop."""

import asyncio
import contextlib
import gc
import os
import signal
from collections.abc import Coroutine, Iterable
from typing import Self

import structlog

from ojs_grpc.bindings.grpc.server import GrpcServer
from ojs_grpc.bindings.http.server import HttpServer
from ojs_grpc.config import OFF, Config
from ojs_grpc.core.envelope import Defaults
from ojs_grpc.core.limits import Limits
from ojs_grpc.core.queue_rules import parse_queue_rules
from ojs_grpc.maintenance.cleaner import Cleaner
from ojs_grpc.maintenance.cron_firer import CronFirer
from ojs_grpc.maintenance.duty import Maintenance
from ojs_grpc.maintenance.expirer import Expirer
from ojs_grpc.maintenance.promoter import Promoter
from ojs_grpc.maintenance.reaper import Reaper
from ojs_grpc.maintenance.workflow_advancer import WorkflowAdvancer
from ojs_grpc.operations.engine import Engine
from ojs_grpc.stores import open_store
from ojs_grpc.stores.observed import observe
from ojs_grpc.stores.ports import Retention
from ojs_grpc.telemetry.recorder import Recorder

log = structlog.get_logger(__name__)

# New objects between two looks for cycles; calls make few, and reference counts free nearly everything.
_COLLECT_EVERY = 5000

_DAY_MS = 86_400_000


class Server:
    """One server process. `start` it, `stop` it; a context manager does both.

    Args:
        share_port: other processes listen on the same port.

    Raises:
        ValueError: there is no such store.
    """

    def __init__(self, config: Config, *, share_port: bool = False) -> None:
        self._config = config
        store = open_store(
            config.store,
            silence_ms=round(config.silence_seconds * 1000),
            rules=parse_queue_rules(config.queues),
            log_events=config.events_count > 0,
            allow_eviction=config.allow_eviction,
        )
        # Of several processes on one port, each has figures of its own.
        recorder = Recorder(str(os.getpid()) if share_port else "")
        store = observe(store, recorder)
        defaults, retention = _defaults(config), _retention(config)
        self.engine = Engine(store, defaults, recorder, conformance=config.conformance)
        self._maintenance = Maintenance(
            [
                Promoter(store, self.engine.due),
                Reaper(store, self.engine.changes, defaults.limits),
                Expirer(store, self.engine.changes, self.engine.expiry),
                CronFirer(store, self.engine.changes, self.engine.crons.alarm, defaults),
                WorkflowAdvancer(store, self.engine.changes, retention.finished_ms, self.engine.endings),
                Cleaner(store, retention),
            ],
            store.clock,
        )
        self._grpc = GrpcServer(
            self.engine,
            long_poll_seconds=config.long_poll_seconds,
            max_calls=config.max_calls,
            share_port=share_port,
        )
        self._http: HttpServer | None = None
        if config.http != OFF:
            self._http = HttpServer(
                self.engine, max_calls=config.max_calls, share_port=share_port, conformance=config.conformance
            )
        self.port = 0
        """The gRPC port, once started."""
        self.http_port = 0
        """The HTTP port, once started; 0 if that binding is off."""

    async def start(self) -> None:
        """Opens the store and answers calls.

        Raises:
            StoreUnavailable: the store cannot be reached.
            ValueError: the store is set up in a way that would lose jobs.
            OSError: the address cannot be bound.
        """
        await self.engine.start()
        try:
            self.port = await self._grpc.start(self._config.grpc)
            if self._http is not None:
                self.http_port = await self._http.start(self._config.http)
        except BaseException:
            await self._grpc.stop(0)
            await self.engine.stop()
            raise
        self._maintenance.start()
        http = _address(self._config.http, self.http_port) if self._http is not None else OFF
        grpc = _address(self._config.grpc, self.port)
        log.info("serving", grpc=grpc, http=http, port=self.port, store=self.engine.store.name)

    async def stop(self, grace_seconds: float | None = None) -> None:
        """Drains and closes everything, in the order of behaviour section 19."""
        grace = self._config.drain_seconds if grace_seconds is None else grace_seconds
        stops = [self._grpc.stop(grace)]
        if self._http is not None:
            stops.append(self._http.stop(grace))
        await asyncio.gather(*stops)
        await self._maintenance.stop()
        await self.engine.stop()
        log.info("stopped")

    async def __aenter__(self) -> Self:
        """Starts."""
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        """Stops without grace."""
        await self.stop(0)


async def serve(
    config: Config,
    *,
    share_port: bool = False,
    stop_on: Iterable[signal.Signals] = (signal.SIGTERM, signal.SIGINT),
) -> None:
    """Runs a server until it gets one of these signals; a second one cuts the drain short.

    Raises:
        ValueError: as `Server` and `Server.start`.
        StoreUnavailable: as `Server.start`.
        OSError: as `Server.start`.
    """
    signals: asyncio.Queue[signal.Signals] = asyncio.Queue()
    for number in stop_on:
        asyncio.get_running_loop().add_signal_handler(number, signals.put_nowait, number)
    server = Server(config, share_port=share_port)
    if not await _unless_signalled(signals, server.start()):
        log.info("stopped before it was ready")
        return
    _spare_the_collector()
    received = await signals.get()
    log.info("draining", signal=received.name, seconds=config.drain_seconds)
    if not await _unless_signalled(signals, server.stop()):
        log.warning("forced to stop")
        await server.stop(0)


def _spare_the_collector() -> None:
    """Tells Python's collector of cycles what lives as long as the process: a twelfth of a call goes into it else."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(_COLLECT_EVERY, 20, 20)


async def _unless_signalled(signals: asyncio.Queue[signal.Signals], work: Coroutine[None, None, None]) -> bool:
    """Does the work, and gives it up when a signal comes first; whether it was done."""
    working = asyncio.create_task(work)
    listening = asyncio.create_task(signals.get())
    await asyncio.wait({working, listening}, return_when=asyncio.FIRST_COMPLETED)
    if working.done():
        if listening.done():
            signals.put_nowait(listening.result())
        listening.cancel()
        await working
        return True
    working.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await working
    return False


def _address(said: str, port: int) -> str:
    """The address with the port that is really listened on."""
    return f"{said.rpartition(':')[0]}:{port}"


def _defaults(config: Config) -> Defaults:
    return Defaults(
        visibility_ms=round(config.visibility_seconds * 1000),
        timeout_ms=round(config.timeout_seconds * 1000),
        limits=Limits(envelope_bytes=config.envelope_bytes, batch_jobs=config.batch_jobs),
    )


def _retention(config: Config) -> Retention:
    return Retention(
        finished_ms=round(config.finished_days * _DAY_MS),
        finished_count=config.finished_count,
        discarded_ms=round(config.discarded_days * _DAY_MS),
        dead_ms=round(config.dead_days * _DAY_MS),
        dead_count=config.dead_count,
        events_ms=round(config.events_days * _DAY_MS),
        events_count=config.events_count,
    )
