"""What the description promises of each endpoint, held against a server: whatever is sent, it answers as described."""

import asyncio
import itertools
import threading
from collections.abc import Callable, Iterator
from typing import Any, Final

import httpx
import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, Phase, given, seed, settings
from schemathesis import Case, GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
    unsupported_method,
)

from ojs_grpc.bindings.http.description.document import describe
from tests.clock import FakeClock
from tests.http.service import run_web

CHECKS: Final = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    unsupported_method,
]
EXAMPLES: Final = 6

schema = schemathesis.openapi.from_dict(describe())
# A stream has no end.
OPERATIONS: Final = [
    operation.ok() for operation in schema.exclude(path_regex="/stream$|[}]/events$").get_all_operations()
]


JOB: Final = {"type": "test.job", "args": []}
# What chance hardly ever gives a request, by path.
NEEDED: Final[dict[str, dict[str, Any]]] = {
    "/ojs/v1/cron": {"expression": "@daily", "cron": None, "timezone": None, "job_template": JOB},
    "/ojs/v1/workflows": {
        "type": "batch",
        "steps": None,
        "jobs": [JOB, {"type": "chain", "steps": [JOB, JOB]}],
        "callbacks": {"on_complete": JOB},
    },
    "/ojs/v1/jobs/{id}/nack": {"error": {"message": "it broke"}, "worker_id": None, "lease": None},
}


class World:
    """What stands in the server, so that not every id leads nowhere."""

    def __init__(self, client: httpx.Client) -> None:
        self._client = client
        self._turns = itertools.count()

    def enliven(self, case: Case) -> None:
        """Gives every second case the name of something that is there."""
        if next(self._turns) % 2:
            return
        if isinstance(case.path_parameters, dict):
            for name in case.path_parameters.keys() & {"id", "name", "uri"}:
                case.path_parameters[name] = self._make(case.path, name)
        if isinstance(case.body, dict):
            case.body.update(NEEDED.get(case.path, {}))
            if isinstance(case.body.get("job_id"), str):
                case.body["job_id"] = self._claim()

    def _make(self, path: str, name: str) -> str:
        """Something that the path can be about."""
        makers: list[tuple[bool, Callable[[], str]]] = [
            (name == "uri", self._register),
            (name == "name" and "/cron" in path, self._schedule),
            (name == "name", lambda: "default"),
            ("/workflows" in path, self._compose),
            ("/dead-letter" in path or path.endswith("/retry"), self._bury),
            ("/workers" in path, self._employ),
            ("/checkpoint" in path, self._save),
            (path.endswith(("/ack", "/nack", "/progress")), self._claim),
            (path.endswith("/activate"), lambda: self._enqueue(options={"pending": True})),
        ]
        return next((make for fits, make in makers if fits), self._enqueue)()

    def _enqueue(self, **attributes: Any) -> str:  # noqa: ANN401
        job = self._post("/jobs", {**JOB, **attributes})["job"]
        return str(job["id"])

    def _claim(self, queue: str = "claimed", **options: Any) -> str:  # noqa: ANN401
        self._enqueue(options={"queue": queue, **options})
        return str(self._post("/workers/fetch", {"queues": [queue]})["jobs"][0]["id"])

    def _save(self) -> str:
        job_id = self._claim()
        self._post(f"/jobs/{job_id}/checkpoint", {"state": {"step": 1}, "metadata": {"_replay_log": "[]"}})
        return job_id

    def _employ(self) -> str:
        self._post("/workers/heartbeat", {"worker_id": "worker-1"})
        return "worker-1"

    def _bury(self) -> str:
        job_id = self._claim("buried", retry={"max_attempts": 1, "on_exhaustion": "dead_letter"})
        self._post("/workers/nack", {"job_id": job_id, "error": {"message": "it broke"}})
        return job_id

    def _compose(self) -> str:
        return str(self._post("/workflows", {"type": "chain", "steps": [JOB, JOB]})["id"])

    def _schedule(self) -> str:
        self._post("/cron", {"name": "nightly", "expression": "0 0 * * *", **JOB})
        return "nightly"

    def _register(self) -> str:
        document = {"uri": "urn:test:1", "type": "test.job", "version": "1", "schema": {"type": "array"}}
        return str(self._post("/schemas", document)["schema"]["uri"])

    def _post(self, path: str, document: dict[str, Any]) -> Any:  # noqa: ANN401
        answer = self._client.post(f"/ojs/v1{path}", json=document)
        assert answer.is_success, answer.text
        return answer.json()


def hurry(case: Case) -> None:
    """Has nothing be waited for."""
    if isinstance(case.body, dict):
        case.body.pop("wait_ms", None)
    if isinstance(case.query, dict):
        case.query.pop("wait", None)


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    """A server in a thread of its own: what sends the requests is not asynchronous."""
    started: threading.Event = threading.Event()
    found: list[str] = []
    ends: list[Callable[[], object]] = []

    async def serve() -> None:
        over = asyncio.Event()
        loop = asyncio.get_running_loop()
        async with run_web(FakeClock()) as web:
            found.append(f"http://{web.address}")
            ends.append(lambda: loop.call_soon_threadsafe(over.set))
            started.set()
            await over.wait()

    thread = threading.Thread(target=asyncio.run, args=(serve(),))
    thread.start()
    assert started.wait(20)
    yield found[0]
    ends[0]()
    thread.join(20)


@pytest.fixture(scope="module")
def session() -> Iterator[requests.Session]:
    """Keeps connections open."""
    with requests.Session() as session:
        session.trust_env = False
        yield session


@pytest.fixture(scope="module")
def world(address: str) -> Iterator[World]:
    """What stands in that server."""
    with httpx.Client(base_url=address, timeout=20, trust_env=False) as client:
        yield World(client)


def has_the_body_of_an_error(_: Any, response: Any, __: Case) -> None:  # noqa: ANN401
    """Every error has the body of the spec."""
    if response.status_code >= 400 and response.status_code != 503:
        error = response.json()["error"]
        assert error["code"]
        assert error["code"] == error["type"]
        assert error["request_id"] == response.headers["x-request-id"][0]


@pytest.mark.slow
@pytest.mark.deep
@pytest.mark.parametrize("mode", GenerationMode)
@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda operation: operation.definition.raw["operationId"])
def test_it_answers_as_described(
    operation: Any, mode: GenerationMode, address: str, world: World, session: requests.Session  # noqa: ANN401
) -> None:
    """No status, header or body that is not described, and never a failure."""

    @seed(1)
    @settings(
        max_examples=EXAMPLES,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(operation.as_strategy(generation_mode=mode))
    def ask(case: Case) -> None:
        world.enliven(case)
        hurry(case)
        case.call_and_validate(
            address, session, checks=CHECKS, additional_checks=[has_the_body_of_an_error], timeout=20
        )

    ask()
