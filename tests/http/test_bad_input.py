"""What no client should send: every endpoint refuses it with an error of the spec, and the server goes on."""

import asyncio
import itertools
import json
import tracemalloc
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from typing import Any, Final

import pytest

from ojs_grpc.bindings.http.handlers import all_routes
from ojs_grpc.bindings.http.route import Body, Route
from tests.clock import FakeClock
from tests.http.raw import Raw
from tests.http.service import OJS, UNKNOWN_ID, Web, run_web

JOBS: Final = "/ojs/v1/jobs"
LIMIT: Final = 4 * 16_384
BODY_METHODS: Final = ("POST", "PUT", "PATCH")
ENDLESS: Final = ("/stream", "/events")
CLOSED: Final = (ConnectionError, asyncio.IncompleteReadError)

MALFORMED: Final = {
    "a text": b'"text"',
    "an array": b"[]",
    "null": b"null",
    "half an object": b'{"a":1',
    "an object and more": b'{"a":1} x',
    "not JSON": b"a=1&b=2",
    "a comment": b'{"a":1/**/}',
    "a comma too many": b'{"a":1,}',
    "a name without quotes": b"{a:1}",
    "NaN": b'{"a":NaN}',
    "infinity": b'{"a":-Infinity}',
    "a number beyond doubles": b'{"a":-1e400}',
    "an integer of many digits": b'{"a":' + b"1" * 5000 + b"}",
    "not UTF-8": b'{"a":"\xe4"}',
    "UTF-16": '{"a":1}'.encode("utf-16"),
    "UTF-8 of half a pair": b'{"a":"\xed\xa0\x80"}',
    "half a pair": b'{"a":"\\udfff"}',
    "half a pair as a name": b'{"\\ud800":1}',
    "a byte order mark": b'\xef\xbb\xbf{"a":1}',
    "a NUL": b"\0",
    "a line break in a text": b'{"a":"\n"}',
    "brackets without end": b'{"a":' + b"[" * 20_000,
    "many brackets": b'{"a":' + b"[" * 10_000 + b"]" * 10_000 + b"}",
}

STRANGE_PARTS: Final = (
    "%00",
    "%0d%0a",
    "%2e%2e%2f",
    "a%2Fb",
    "%ff%fe",
    "%",
    "%zz",
    "%C3%A4",
    "%F0%9F%98%80",
    "-" * 36,
    UNKNOWN_ID.upper(),
    UNKNOWN_ID + "%0a",
    "{id}",
    "*",
    "..",
    ".",
    "%20",
    "'%3B--",
    "x" * 4000,
)
STRANGE_QUERIES: Final = (
    "%00=%00",
    "=",
    "&&&",
    "limit=-1",
    "limit=1e3",
    "limit=0x10",
    "limit=%D9%A1",
    "limit=99999999999999999999999",
    "offset=-1",
    "offset=abc",
    "page=0",
    "per_page=-5",
    "cursor=!!!",
    "cursor=%00",
    "cursor=" + "A" * 5000,
    "after=evt_x",
    "after=%00",
    "queue=UPPER",
    "queues=%00,a",
    "types=" + ",".join("abcdefgh" * 40),
    "job_types=%FF",
    "job_id=x",
    "enabled=maybe",
    "detail=2",
    "state=%00",
    "since=yesterday",
    "until=9999-99-99T00:00:00Z",
    "older_than=-1d",
    "period=1y",
    "channel=x:y",
    "reason=%FF%00",
    "%C3%A4=%F0%9F%98%80",
    "a" * 4000,
)
NAMES: Final = (
    *("id", "type", "args", "options", "meta", "jobs", "queues", "job_id", "error", "steps", "state", "filter", "uri"),
    *("name", "cron", "worker_id", "data", "confirm", "job_ids", "states", "older_than", "reason", "enabled", "schema"),
)
HEADERS: Final = {
    "an idempotency key that is too long": {"idempotency-key": "x" * 300},
    "an idempotency key of other characters": {b"idempotency-key": "ä".encode()},
    "an empty idempotency key": {"idempotency-key": ""},
    "a trace that is none": {"traceparent": "00-zz-zz-zz"},
    "a trace of zeros": {"traceparent": f"00-{'0' * 32}-{'0' * 16}-00"},
    "a trace that is too long": {"traceparent": "0" * 5000, "tracestate": "x" * 5000},
    "a trace of other characters": {b"traceparent": b"\xff\xfe", b"tracestate": b"\xff"},
    "an id that is too long": {"x-request-id": "x" * 5000},
    "an id of other characters": {b"x-request-id": b"\xff\x80"},
    "an accept of other characters": {b"accept": b"\xff, application/json"},
    "a cookie": {"cookie": "a=b"},
    "a range": {"range": "bytes=0-1"},
    "a condition": {"if-none-match": "*"},
}


@pytest.fixture
async def quiet(web: Web, capfd: pytest.CaptureFixture[str]) -> AsyncIterator[Web]:
    """A server that has nothing to say in its log, and still works afterwards."""
    yield web
    await web.get("/health")
    said = capfd.readouterr()
    assert "Traceback" not in said.out + said.err
    assert "unexpected error" not in said.out + said.err


def routes_of(web: Web, *methods: str, endless: bool = False) -> Iterator[tuple[Route, str]]:
    """The endpoints, and a path to each; those that have no end only if they are asked for."""
    engine = web.grpc.server.engine
    for route in all_routes(engine, lambda: False, conformance=False):
        is_endless = route.path.endswith(ENDLESS) and route.path != "/ojs/v1/events"
        if route.method in (methods or (route.method,)) and (endless or not is_endless):
            yield route, fill(route, UNKNOWN_ID)


def fill(route: Route, part: str) -> str:
    """The path with this for each parameter."""
    pieces = route.path.split("/")
    return "/".join(part if piece.startswith("{") else piece for piece in pieces)


def check_error(answer: Any, *statuses: int) -> Any:  # noqa: ANN401
    """The error that an answer is; one of these statuses, or any that says whose fault it is."""
    told = f"{answer.status_code} {answer.text[:200]}"
    assert answer.status_code in (statuses or range(400, 500)), told
    assert answer.headers["ojs-version"] == "1.0"
    assert answer.headers["content-type"] == OJS
    error = answer.json()["error"]
    assert error["code"] == error["type"], told
    assert error["message"]
    assert error["request_id"] == answer.headers["x-request-id"]
    return error


@pytest.mark.parametrize("kind", MALFORMED)
async def test_malformed_bodies(quiet: Web, kind: str) -> None:
    """400 from every endpoint that has a body, before anything else about it is looked at."""
    for route, path in routes_of(quiet, *BODY_METHODS):
        if route.body is Body.NONE:
            continue
        answer = await quiet.client.request(route.method, path, content=MALFORMED[kind])
        error = check_error(answer, 400)
        assert error["code"] == "invalid_payload", (path, error)


async def test_missing_bodies(quiet: Web) -> None:
    """400 from every endpoint that needs one."""
    for route, path in routes_of(quiet, *BODY_METHODS):
        answer = await quiet.client.request(route.method, path)
        if route.body is Body.REQUIRED:
            assert check_error(answer, 400)["code"] == "invalid_payload"
        else:
            assert answer.status_code < 500


@pytest.mark.parametrize(
    "value", [None, True, 0, -1, 1.5, 10**30, 1e308, "", "\0", "😀", [], [None], [[]], {}, {"": None}, [{}], [[[{}]]]]
)
async def test_members_of_any_type(quiet: Web, value: object) -> None:
    """Whatever stands where something else should: refused by its name, or not asked for."""
    for route, path in routes_of(quiet, *BODY_METHODS):
        answer = await quiet.client.request(route.method, path, json=dict.fromkeys(NAMES, value))
        assert answer.status_code < 500, path
        if answer.status_code >= 400:
            check_error(answer)


@pytest.mark.parametrize("encoding", ["gzip", "deflate, br", "x" * 1000])
async def test_bodies_that_are_compressed(quiet: Web, encoding: str) -> None:
    """400 from every endpoint that has a body."""
    for route, path in routes_of(quiet, *BODY_METHODS):
        if route.body is not Body.NONE:
            answer = await quiet.client.request(
                route.method, path, content=b"{}", headers={"content-encoding": encoding}
            )
            assert check_error(answer, 400)["code"] == "unsupported_compression"


async def test_bodies_of_another_type(quiet: Web) -> None:
    """400 from every endpoint that could have one."""
    for route, path in routes_of(quiet, *BODY_METHODS):
        for media in ("text/html", "multipart/form-data; boundary=x", "application", ";", "a" * 5000):
            answer = await quiet.client.request(route.method, path, content=b"{}", headers={"content-type": media})
            assert check_error(answer, 400)["details"]["field"] == "content-type"


async def test_other_versions_of_the_spec(quiet: Web) -> None:
    """422 from every endpoint."""
    for route, path in routes_of(quiet):
        for version in ("2.0", "0", "1.0.0.0.0", "latest", "x" * 5000):
            answer = await quiet.client.request(route.method, path, headers={"ojs-version": version})
            media = answer.headers["content-type"]
            assert (answer.status_code, answer.json()["error"]["code"]) == (422, "unsupported"), (path, version)
            assert "application/json" in media


@pytest.mark.parametrize("kind", HEADERS)
async def test_strange_headers(quiet: Web, kind: str) -> None:
    """They are overlooked, or refused."""
    headers: Any = HEADERS[kind]
    for route, path in routes_of(quiet):
        answer = await quiet.client.request(route.method, path, headers=headers)
        assert answer.status_code < 500, path
        assert 0 < len(answer.headers["x-request-id"]) <= 128
    document = {"type": "test.job", "args": []}
    enqueued = await quiet.client.post(JOBS, json=document, headers={"content-type": OJS, **headers})
    assert enqueued.status_code in {201, 400}, enqueued.text


@pytest.mark.parametrize("part", STRANGE_PARTS, ids=lambda part: part[:12])
async def test_strange_paths(quiet: Web, part: str) -> None:
    """Nothing is there, or no such name may be."""
    for route, _ in routes_of(quiet):
        if "{" not in route.path:
            continue
        async with Raw(quiet.address) as raw:
            target = fill(route, part).encode()
            await raw.write(
                b"%b %b HTTP/1.1\r\nhost: x\r\ncontent-length: 2\r\n\r\n{}" % (route.method.encode(), target)
            )
            answer = await raw.read_answer()
        assert answer.status < 500, target
        if answer.status >= 400:
            assert answer.error["code"], target


@pytest.mark.parametrize(
    "target",
    [
        b"/\xff",
        b"/ojs/v1/jobs/\xe4",
        b"*",
        b"http://x/ojs/v1/nothing",
        b"//ojs/v1/nothing",
        b"/ojs/v1/../v1/health",
        b"/",
    ],
)
async def test_targets_that_are_no_paths(quiet: Web, target: bytes) -> None:
    """400 or 404."""
    async with Raw(quiet.address) as raw:
        await raw.write(b"GET %b HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n" % target)
        said = await raw.read_rest()

    assert said.startswith((b"HTTP/1.1 400", b"HTTP/1.1 404")), said[:200]


@pytest.mark.parametrize(
    ("start", "piece"),
    [
        (b"GET /", b"x" * 10_000),
        (b"GET /?", b"a=b&" * 2500),
        (b"GET / HTTP/1.1\r\nx: ", b"x" * 10_000),
        (b"GET / HTTP/1.1\r\n", b"x: y\r\n" * 2000),
        (b"POST /ojs/v1/jobs HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n2;", b"x" * 10_000),
        (b"POST /ojs/v1/jobs HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n", b"x: y\r\n" * 2000),
        (b"POST /ojs/v1/jobs HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\nx: ", b"x" * 10_000),
    ],
    ids=["path", "query", "header", "headers", "extension", "trailers", "trailer"],
)
async def test_heads_without_end(quiet: Web, start: bytes, piece: bytes) -> None:
    """The connection is closed before much of it has come, and nothing of it is kept."""
    sent = 0
    async with Raw(quiet.address) as raw:
        with suppress(*CLOSED):
            await raw.write(start)
            while sent < 100 << 20:
                await raw.write(piece)
                sent += len(piece)
                await asyncio.sleep(0)

    assert sent < 10 << 20


@pytest.mark.parametrize("query", STRANGE_QUERIES, ids=lambda query: query[:20])
async def test_strange_queries(quiet: Web, query: str) -> None:
    """They are overlooked, or refused with 400 or 404."""
    for route, path in routes_of(quiet, "GET"):
        if "{" in route.path:
            continue
        answer = await quiet.client.get(f"{path}?{query}")
        assert answer.status_code in {200, 400, 404}, (path, answer.text[:200])
        if answer.status_code >= 400:
            check_error(answer)


async def test_cursors_of_other_lists(quiet: Web) -> None:
    """A cursor means something only where it was given."""
    for index in range(3):
        await quiet.enqueue(options={"queue": f"q{index}"})
        await quiet.bury(queue=f"dead{index}")
        await quiet.post(
            "/cron", {"name": f"c{index}", "expression": "@daily", "type": "a", "args": []}, status=201
        )
        document = {"uri": f"urn:a:{index}", "type": "a", "version": "1", "schema": {}}
        await quiet.post("/schemas", document, status=201)
    lists = ("/queues", "/dead-letter", "/cron", "/schemas")
    cursors = {path: (await quiet.get(path, limit=1))["pagination"]["next_cursor"] for path in lists}

    for path, (source, cursor) in itertools.product(lists, cursors.items()):
        answer = await quiet.client.get(f"/ojs/v1{path}", params={"cursor": cursor, "limit": "1"})
        assert answer.status_code == 200 if path == source else answer.status_code in {200, 400}, (path, source)


async def test_methods_that_a_path_does_not_have(quiet: Web) -> None:
    """405, and the header names those that it has."""
    have: dict[str, set[str]] = {}
    for route, path in routes_of(quiet):
        have.setdefault(path, set()).add(route.method)
    for path, methods in have.items():
        if "GET" in methods:
            methods.add("HEAD")
        for method in {"GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "PROPFIND"} - methods:
            answer = await quiet.client.request(method, path)
            assert check_error(answer, 405)["code"] == "method_not_allowed"
            assert set(answer.headers["allow"].split(", ")) >= methods


async def test_head_of_everything(quiet: Web) -> None:
    """As GET, without the body, also where GET has no end; and the connection is still good."""
    job = await quiet.enqueue()
    for route in {route.path: route for route, _ in routes_of(quiet, "GET", endless=True)}.values():
        async with Raw(quiet.address) as raw:
            target = fill(route, job["id"]).encode()
            await raw.write(b"HEAD %b HTTP/1.1\r\nhost: x\r\n\r\n" % target)
            await raw.write(b"HEAD %b HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n" % target)
            first, second, body = (await raw.read_rest()).split(b"\r\n\r\n")
        for head in (first, second):
            assert head.startswith((b"HTTP/1.1 200", b"HTTP/1.1 404")), (route.path, head)
        assert body == b"", route.path


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/events/stream?channel=x", 400),
        ("/events/stream?channel=job:x", 404),
        (f"/events/stream?channel=job:{UNKNOWN_ID}", 404),
        ("/events/stream?channel=queue:UPPER", 400),
        ("/events/stream?job_id=x", 400),
        (f"/jobs/{UNKNOWN_ID}/events", 404),
        (f"/jobs/{UNKNOWN_ID}/progress/stream", 404),
        ("/queues/UPPER/events", 400),
        ("/queues/%00/events", 400),
    ],
)
async def test_streams_that_never_begin(quiet: Web, path: str, status: int) -> None:
    """An error as any other, and no stream of events."""
    answer = await quiet.client.get(f"/ojs/v1{path}", headers={"accept": "text/event-stream"})

    check_error(answer, status)


@pytest.mark.parametrize(
    "request_",
    [
        b"POST /ojs/v1/jobs HTTP/1.1\r\nhost: x\r\ncontent-length: abc\r\n\r\n{}",
        b"POST /ojs/v1/jobs HTTP/1.1\r\nhost: x\r\ncontent-length: -1\r\n\r\n{}",
        b"POST /ojs/v1/jobs HTTP/1.1\r\nhost: x\r\ncontent-length: 99999999999999999999999999\r\n\r\n{}",
        b"POST /ojs/v1/jobs HTTP/1.1\r\nhost: x\r\ncontent-length: 2\r\ncontent-length: 3\r\n\r\n{}",
        b"POST /ojs/v1/jobs HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\ncontent-length: 2\r\n\r\n{}",
        b"POST /ojs/v1/jobs HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n{}\r\n",
        b"POST /ojs/v1/jobs HTTP/9.9\r\nhost: x\r\n\r\n",
        b"GET  HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\nbad header\r\n\r\n",
        b"GET / HTTP/1.1\r\nhost: x\r\nx: \0\r\n\r\n",
        b"\0\0\0\0\r\n\r\n",
    ],
)
async def test_what_breaks_the_rules_of_http(quiet: Web, request_: bytes) -> None:
    """400 like any other, and the connection is closed."""
    async with Raw(quiet.address) as raw:
        await raw.write(request_)
        said = await raw.read_rest()

    head, _, body = said.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 400"), said[:200]
    assert b"\r\nojs-version: 1.0\r\n" in head
    assert b"\r\nconnection: close" in head
    error = json.loads(body)["error"]
    assert error["code"] == "invalid_payload"
    assert f"\r\nx-request-id: {error['request_id']}\r\n".encode() in head


@pytest.mark.parametrize("chunked", [False, True], ids=["with a length", "in chunks"])
async def test_a_body_without_end(clock: FakeClock, chunked: bool) -> None:  # noqa: FBT001
    """413 before all of it has come; nothing of what comes then is kept, and the connection is closed."""
    length = b"transfer-encoding: chunked" if chunked else b"content-length: 10000000000"
    piece = b"x" * 65_536
    sent = 0
    async with run_web(clock, envelope_bytes=LIMIT // 4) as web, Raw(web.address) as raw:
        tracemalloc.start()
        await raw.write(b"POST %b HTTP/1.1\r\nhost: x\r\n%b\r\n\r\n" % (JOBS.encode(), length))
        refused = asyncio.create_task(raw.read_answer())
        with suppress(*CLOSED):
            while not refused.done() or sent < 100 * len(piece):
                await raw.write(b"10000\r\n%b\r\n" % piece if chunked else piece)
                sent += len(piece)
                await asyncio.sleep(0)
        answer = await refused
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        with suppress(*CLOSED):
            raw.close_sending()
            assert await raw.read_rest() == b""
        await web.get("/health")

    assert (answer.status, answer.error["code"]) == (413, "payload_too_large")
    assert answer.headers["connection"] == "close"
    assert peak < 4 << 20


async def test_duplicate_names(quiet: Web) -> None:
    """The last one counts."""
    body = b'{"type":"a","type":"test.job","args":[1],"args":[{"x":1,"x":2}]}'

    answer = await quiet.client.post(JOBS, content=body)

    assert answer.status_code == 201
    assert (answer.json()["job"]["type"], answer.json()["job"]["args"]) == ("test.job", [{"x": 2}])


async def test_jobs_that_nest_too_deep(quiet: Web) -> None:
    """413, wherever it is that they nest."""
    deep: Any = {}
    for _ in range(60):
        deep = {"a": [deep]}
    for document in (
        {"args": [deep]},
        {"args": [], "meta": deep},
        {"args": [], "x_mine": deep},
        {"args": [], "options": {"x_mine": deep}},
        {"args": [], "retry": {"x_mine": deep}},
        {"args": [], "unique": {"x_mine": deep}},
    ):
        answer = await quiet.client.post(JOBS, content=json.dumps({"type": "test.job", **document}))
        assert check_error(answer, 413)["code"] in {"payload_too_large", "metadata_too_large"}


async def test_numbers_beyond_doubles(quiet: Web) -> None:
    """They are JSON, but nothing that can be carried on: 400, wherever they stand."""
    job = await quiet.enqueue()
    await quiet.fetch_one()
    beyond = 10**400
    for path, document in (
        ("/jobs", {"type": "test.job", "args": [beyond]}),
        ("/jobs", {"type": "test.job", "args": [], "meta": {"a": beyond}}),
        ("/jobs", {"type": "test.job", "args": [], "x_mine": beyond}),
        ("/jobs", {"type": "test.job", "args": [], "priority": beyond}),
        ("/jobs", {"type": "test.job", "args": [], "timeout": beyond}),
        ("/workers/fetch", {"queues": ["a"], "count": beyond}),
        ("/workers/ack", {"job_id": job["id"], "result": beyond}),
        ("/workers/nack", {"job_id": job["id"], "error": {"message": "", "details": {"a": beyond}}}),
        ("/workers/progress", {"job_id": job["id"], "percentage": beyond}),
        ("/workers/heartbeat", {"worker_id": "a", "visibility_timeout_ms": beyond}),
    ):
        answer = await quiet.client.post(f"/ojs/v1{path}", json=document)
        check_error(answer, 400)
