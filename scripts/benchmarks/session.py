"""What every row has at hand: the service on its store, the bare server, the load generators."""

import contextlib
import shlex
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks import bare, bare_http, calls, payload
from benchmarks.calls import Load
from benchmarks.load import Generator
from benchmarks.meter import Window, measure
from benchmarks.processes import GrpcServer, HttpServer, bare_server
from benchmarks.stores import Store, open_store

SERVE = f"{sys.executable} -m ojs_grpc serve"


@dataclass(frozen=True)
class Scale:
    """How much of everything is measured. Seconds are those of one window."""

    rounds: int
    seconds: float
    streamed: int
    fetched: int
    samples: int
    waiting: int
    finished: int
    idle_seconds: float
    million: int = 1_000_000


FULL = Scale(
    rounds=9,
    seconds=0.8,
    streamed=30_000,
    fetched=4_000,
    samples=500,
    waiting=40_000,
    finished=20_000,
    idle_seconds=10.0,
)
QUICK = Scale(
    rounds=5,
    seconds=0.4,
    streamed=5_000,
    fetched=700,
    samples=150,
    waiting=20_000,
    finished=2_000,
    idle_seconds=3.0,
)


@dataclass
class Session:
    """One run of the bench.

    Attributes:
        loads: two generators; the first makes the load, the second whatever happens beside it.
        reply_bytes: size of the service's answer to Enqueue, which the bare server imitates.
        http_reply_bytes: the same over HTTP.
        envelope_bytes: size of what the service stores once per job.
    """

    scale: Scale
    store: Store
    store_name: str
    serve: Sequence[str]
    client: str
    appendonly: str
    directory: Path
    service: GrpcServer
    bare: GrpcServer
    loads: tuple[Generator, Generator]
    reply_bytes: int = 0
    envelope_bytes: int = 0
    http_reply_bytes: int = 0
    _queues: int = field(default=0, init=False)

    def fresh_queue(self, row: str) -> str:
        """A queue name that nothing has used."""
        self._queues += 1
        return f"bench-{row.replace('_', '-')}-{self._queues}"

    def enqueue_window(self, queue: str, in_flight: int, seconds: float, server: GrpcServer | None = None) -> Window:
        """Unary Enqueue calls on the service, or on another server."""
        return self.numbered_window(payload.enqueue(queue), in_flight, seconds, server)

    def numbered_window(
        self, request: bytes, in_flight: int, seconds: float, server: GrpcServer | None = None
    ) -> Window:
        """Unary Enqueue calls with this request, which may hold a `NUMBER_PLACE`."""
        return self._unary_window(server, payload.ENQUEUE, request, in_flight, seconds, self.client)

    def batch_window(
        self, queue: str, jobs: int, in_flight: int, seconds: float, server: GrpcServer | None = None
    ) -> Window:
        """EnqueueBatch calls on the service, or on another server, counted in jobs."""
        request = payload.enqueue_batch(queue, jobs)
        window = self._unary_window(server, payload.ENQUEUE_BATCH, request, in_flight, seconds, "grpcio")
        return window.scaled(jobs)

    def bare_window(self, queue: str, in_flight: int, seconds: float) -> Window:
        """Unary calls on the bare server, with the same bytes as `enqueue_window`."""
        method = bare.unary_method(self.reply_bytes)
        return self._unary_window(self.bare, method, payload.enqueue(queue), in_flight, seconds, self.client)

    def http_window(
        self, queue: str, in_flight: int, seconds: float, bare_server: HttpServer | None = None
    ) -> Window:
        """Enqueueing over HTTP on the service, or as many bytes to and from the bare server."""
        server = bare_server or self.service
        body = payload.enqueue_json(queue)
        if not self.http_reply_bytes:
            self.http_reply_bytes = len(self._post(self.service.http_target, payload.HTTP_ENQUEUE, body))
        path = f"{bare_http.PATH}{self.http_reply_bytes}" if bare_server else payload.HTTP_ENQUEUE

        def run() -> Load:
            return self.loads[0].run(
                calls.post_repeat,
                target=server.http_target,
                path=path,
                body=body,
                in_flight=in_flight,
                seconds=seconds,
            )

        return measure(server, None if bare_server else self.store, run)

    @contextlib.contextmanager
    def bare_http(self) -> Iterator[HttpServer]:
        """The bare HTTP server."""
        server = HttpServer(self.directory)
        try:
            server.wait_until(lambda: self._post(server.http_target, f"{bare_http.PATH}1", b"{}") == b"x")
            yield server
        finally:
            server.stop()

    def fill(self, queue: str, jobs: int, batch: int = 500, target: str | None = None) -> Load:
        """Enqueues `jobs` jobs, a multiple of `batch`, in batches."""
        return self.loads[0].run(
            calls.repeat,
            target=target or self.service.target,
            method=payload.ENQUEUE_BATCH,
            request=payload.enqueue_batch(queue, batch),
            in_flight=2,
            calls=jobs // batch,
            client="grpcio",
        )

    def call(self, method: str, request: bytes, target: str | None = None) -> bytes:
        """One unary call of the service."""
        return self.loads[0].run(calls.call_once, target=target or self.service.target, method=method, request=request)

    @contextlib.contextmanager
    def another_service(self, store: Store | None = None, *settings: str) -> Iterator[GrpcServer]:
        """A second server process, on the same store or on another one, with these settings."""
        serve = [*self.serve, *settings]
        server = start_service(serve, store or self.store, self.directory / "second.log", self.loads[0])
        try:
            yield server
        finally:
            server.stop()

    @contextlib.contextmanager
    def another_store(self) -> Iterator[Store | None]:
        """A new store of the same kind; None when this run's store was given, not made."""
        if not self.store.private:
            yield None
            return
        store = open_store(self.store_name, self.directory / "second", self.appendonly)
        try:
            yield store
        finally:
            store.close()

    def _post(self, target: str, path: str, body: bytes) -> bytes:
        return self.loads[0].run(calls.post_once, target=target, path=path, body=body)

    def _unary_window(
        self,
        server: GrpcServer | None,
        method: str,
        request: bytes,
        in_flight: int,
        seconds: float,
        client: str,
    ) -> Window:
        """Calls on a server; on the service, with its store's figures, if none is named."""
        target = server or self.service

        def run() -> Load:
            return self.loads[0].run(
                calls.repeat,
                target=target.target,
                method=method,
                request=request,
                in_flight=in_flight,
                seconds=seconds,
                client=client,
            )

        return measure(target, None if server else self.store, run)


def start_service(serve: Sequence[str], store: Store, log: Path, generator: Generator) -> GrpcServer:
    """Starts the service on a store and waits until its Health says OK."""
    server = GrpcServer([*serve, "--store", store.url], log)
    _wait_healthy(server, generator)
    return server


@contextlib.contextmanager
def open_session(store_name: str, scale: Scale, serve: str, client: str, appendonly: str) -> Iterator[Session]:
    """Starts everything, and stops it at the end whatever happens."""
    with contextlib.ExitStack() as stack:
        # Short, because a unix socket's path may have 107 bytes only.
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="ojs-bench-")))
        loads = Generator(), Generator()
        for generator in loads:
            stack.callback(generator.stop)
        store = open_store(store_name, directory / "first", appendonly)
        stack.callback(store.close)
        bare_process = bare_server(directory)
        stack.callback(bare_process.stop)
        service = start_service(shlex.split(serve), store, directory / "service.log", loads[0])
        stack.callback(service.stop)
        bare_process.wait_until(lambda: len(_call(loads[0], bare_process, bare.READY_METHOD, b"")) == 1)

        session = Session(
            scale, store, store_name, shlex.split(serve), client, appendonly, directory, service, bare_process, loads
        )
        reply = session.call(payload.ENQUEUE, payload.enqueue(session.fresh_queue("first")))
        session.reply_bytes, session.envelope_bytes = len(reply), payload.envelope_bytes(reply)
        _check_batch(session)
        for window in (session.enqueue_window, session.bare_window):
            window(session.fresh_queue("warm"), 16, 0.3)
        yield session


def _check_batch(session: Session) -> None:
    stored = payload.batch_count(
        session.call(payload.ENQUEUE_BATCH, payload.enqueue_batch(session.fresh_queue("first"), 500))
    )
    if stored != 500:
        raise RuntimeError(f"EnqueueBatch of 500 jobs returned {stored}")


def _wait_healthy(server: GrpcServer, generator: Generator) -> None:
    server.wait_until(lambda: payload.is_healthy(_call(generator, server, payload.HEALTH, payload.health())))


def _call(generator: Generator, server: GrpcServer, method: str, request: bytes) -> bytes:
    return generator.run(calls.call_once, target=server.target, method=method, request=request, patience=2.0)
