"""One server, asked over gRPC and over HTTP."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx

from tests.clock import FakeClock
from tests.grpc.service import Service, run_service
from tests.http.service import open_client


class Pair:
    """A server and a client of each binding; `http` raises nothing, `send` wants success."""

    def __init__(self, grpc: Service, http: httpx.AsyncClient) -> None:
        self.grpc = grpc
        self.http = http

    async def send(self, method: str, path: str, document: Any = None, **more: Any) -> Any:  # noqa: ANN401
        """The document that the server answers with."""
        content = None if document is None else json.dumps(document).encode()
        answer = await self.http.request(method, path, content=content, **more)
        assert answer.is_success, answer.text
        return json.loads(answer.content)

    async def job(self, job_id: str) -> dict[str, Any]:
        """The job as HTTP gives it."""
        job: dict[str, Any] = (await self.send("GET", f"/ojs/v1/jobs/{job_id}"))["job"]
        return job

    async def enqueue(self, **document: Any) -> dict[str, Any]:  # noqa: ANN401
        """Enqueues a job over HTTP; as HTTP gives it."""
        job: dict[str, Any] = (await self.send("POST", "/ojs/v1/jobs", document))["job"]
        return job

    async def fetch(self, queue: str = "default", **more: Any) -> dict[str, Any]:  # noqa: ANN401
        """Fetches one job over HTTP."""
        (job,) = (await self.send("POST", "/ojs/v1/workers/fetch", {"queues": [queue], **more}))["jobs"]
        found: dict[str, Any] = job
        return found


@asynccontextmanager
async def run_pair(clock: FakeClock, url: str, **settings: Any) -> AsyncIterator[Pair]:  # noqa: ANN401
    """Runs a server with both bindings on free ports."""
    async with (
        run_service(clock, url, http="127.0.0.1:0", **settings) as service,
        open_client(service.server.http_port) as client,
    ):
        yield Pair(service, client)
