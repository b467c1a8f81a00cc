"""A server with both bindings, a client for each, and what tests say to it again and again."""

import ssl
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import httpx

from ojs_grpc.bindings.http.protocol import Protocol
from ojs_grpc.bindings.http.server import HttpServer
from tests.clock import FakeClock
from tests.grpc.service import UNKNOWN_ID, Service, eventually, hold, hold_claims, patience, run_service

__all__ = [
    "OJS",
    "UNKNOWN_ID",
    "Web",
    "error_of",
    "eventually",
    "hold",
    "hold_claims",
    "open_client",
    "patience",
    "run_web",
]

OJS = "application/openjobspec+json"
# By default each client reads the certificates of all authorities, which takes longer than most tests; none is used.
_NO_CERTIFICATES = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
_HEADERS = {"content-type": OJS}


class Web:
    """A running server.

    Attributes:
        client: speaks HTTP to it, with absolute paths: `/ojs/v1/jobs`.
        grpc: speaks gRPC to it; also the server itself, its store and its clock.
    """

    def __init__(self, client: httpx.AsyncClient, grpc: Service) -> None:
        self.client = client
        self.grpc = grpc

    @property
    def clock(self) -> FakeClock:
        """The time of the server."""
        return self.grpc.clock

    @property
    def address(self) -> str:
        """Where HTTP is served, as `host:port`."""
        return f"127.0.0.1:{self.grpc.server.http_port}"

    @property
    def grpc_address(self) -> str:
        """Where gRPC is served."""
        return f"127.0.0.1:{self.grpc.server.port}"

    @property
    def connections(self) -> Mapping[tuple[str, int], Protocol]:
        """The server's ends of connections, by the address of the client."""
        return {connection.client: connection for connection in self._http._uvicorn.server_state.connections}

    @property
    def calls(self) -> int:
        """How many requests are under way, those included of which only the head has come, and streams."""
        return len(self._http._uvicorn.server_state.tasks)

    @property
    def listeners(self) -> int:
        """How many streams of events are open."""
        return self.grpc.server.engine.events.open_streams

    async def until_an_event_is_awaited(self) -> None:
        """Returns when somebody has heard all that happened so far, and waits for more."""
        subscribers = self.grpc.server.engine.events._subscribers
        await eventually(lambda: any(one._arrival and not one._arrival.done() for one in subscribers))

    async def until_draining(self) -> None:
        """Returns when the server has begun to stop, and listens no more."""
        await eventually(lambda: self._http._draining)

    @property
    def _http(self) -> HttpServer:
        server = self.grpc.server._http
        assert server is not None
        return server

    async def send(
        self,
        method: str,
        path: str,
        document: Any = None,  # noqa: ANN401 - any JSON
        *,
        status: int = 200,
        headers: Mapping[str, str] | None = None,
        **query: Any,  # noqa: ANN401
    ) -> Any:  # noqa: ANN401
        """Sends a request; the document of the answer, which must have this status. `path` begins after `/ojs/v1`."""
        answer = await self.client.request(
            method, f"/ojs/v1{path}", json=document, params=query, headers={**_HEADERS, **(headers or {})}
        )
        assert answer.status_code == status, answer.text
        return answer.json() if answer.content else None

    async def get(self, path: str, **more: Any) -> Any:  # noqa: ANN401
        """GET."""
        return await self.send("GET", path, **more)

    async def post(self, path: str, document: Any = None, **more: Any) -> Any:  # noqa: ANN401
        """POST."""
        return await self.send("POST", path, document, **more)

    async def put(self, path: str, document: Any = None, **more: Any) -> Any:  # noqa: ANN401
        """PUT."""
        return await self.send("PUT", path, document, **more)

    async def delete(self, path: str, **more: Any) -> Any:  # noqa: ANN401
        """DELETE."""
        return await self.send("DELETE", path, **more)

    async def enqueue(self, type: str = "test.job", args: Any = (), **attributes: Any) -> dict[str, Any]:  # noqa: ANN401
        """Enqueues a job; keywords are attributes, such as `options`."""
        document = {"type": type, "args": list(args), **attributes}
        return dict((await self.post("/jobs", document, status=201))["job"])

    async def fetch(self, count: int = 1, *queues: str, **members: Any) -> list[dict[str, Any]]:  # noqa: ANN401
        """Fetches what is there, from `default` unless queues are named."""
        document = {"queues": queues or ("default",), "count": count, "worker_id": "worker-1", **members}
        return list((await self.post("/workers/fetch", document))["jobs"])

    async def fetch_one(self, *queues: str, **members: Any) -> dict[str, Any]:  # noqa: ANN401
        """Fetches one job; there must be one."""
        (job,) = await self.fetch(1, *queues, **members)
        return job

    async def ack(self, job: Mapping[str, Any], **members: Any) -> dict[str, Any]:  # noqa: ANN401
        """Completes the job."""
        return dict(await self.post("/workers/ack", {"job_id": job["id"], **members}))

    async def nack(self, job: Mapping[str, Any], **members: Any) -> dict[str, Any]:  # noqa: ANN401
        """Fails the job, unless `requeue` is among the members."""
        error = {} if "requeue" in members else {"error": {"code": "boom", "message": "it broke"}}
        return dict(await self.post("/workers/nack", {"job_id": job["id"], **error, **members}))

    async def job(self, job_id: str) -> dict[str, Any]:
        """The job as it stands."""
        return dict((await self.get(f"/jobs/{job_id}"))["job"])

    async def hold_job(self, **options: Any) -> dict[str, Any]:  # noqa: ANN401
        """Makes a job that a worker holds."""
        await self.enqueue(options=options)
        return await self.fetch_one()

    async def bury(self, queue: str = "default", **options: Any) -> dict[str, Any]:  # noqa: ANN401
        """Makes a dead letter."""
        retry = {"max_attempts": 1, "on_exhaustion": "dead_letter"}
        await self.enqueue(options={"queue": queue, "retry": retry, **options})
        job = await self.fetch_one(queue)
        await self.nack(job)
        return await self.job(job["id"])


async def error_of(web: Web, status: int, code: str, method: str, path: str, *document: Any, **more: Any) -> Any:  # noqa: ANN401
    """Sends a request that is refused with this status and code; the error."""
    answer = await web.send(method, path, *document, status=status, **more)
    error = answer["error"]
    assert error["code"] == error["type"] == code, error
    assert error["docs_url"] == error["doc_url"]
    assert isinstance(error["retryable"], bool)
    assert error["message"]
    return error


def open_client(port: int) -> httpx.AsyncClient:
    """A client of a server on this machine."""
    address = f"http://127.0.0.1:{port}"
    return httpx.AsyncClient(base_url=address, timeout=20, trust_env=False, verify=_NO_CERTIFICATES)


@asynccontextmanager
async def run_web(clock: FakeClock, url: str = "memory:", **settings: Any) -> AsyncIterator[Web]:  # noqa: ANN401
    """Runs a server with both bindings on free ports, its store going by this clock."""
    async with (
        run_service(clock, url, http="127.0.0.1:0", **settings) as service,
        open_client(service.server.http_port) as client,
    ):
        yield Web(client, service)
