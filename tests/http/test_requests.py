"""What holds for every request: paths, methods, media types, versions, ids, errors (wire sections 1.1 and 1.5)."""

import asyncio
from unittest import mock

import pytest

from ojs_grpc.errors import StoreError, StoreTimeout, StoreUnavailable
from tests.clock import FakeClock
from tests.http.raw import Raw
from tests.http.service import OJS, UNKNOWN_ID, Web, error_of, run_web

HEALTH = "/ojs/v1/health"
FETCH = {"queues": ["default"]}


async def test_every_answer_says_which_version_it_speaks(web: Web) -> None:
    """Errors do too."""
    for path in (HEALTH, "/nothing/here"):
        answer = await web.client.get(path)
        assert answer.headers["ojs-version"] == "1.0"


async def test_every_answer_has_a_date_and_hides_its_server(web: Web) -> None:
    """As HTTP demands; and nobody needs to know what serves it."""
    answer = await web.client.get(HEALTH)

    assert answer.headers["date"].endswith("GMT")
    assert "server" not in answer.headers


@pytest.mark.parametrize("version", ["1", "1.0", "1.0.0", "1.0.7", "1.0.0-rc.1", "1.0-draft"])
async def test_versions_that_are_understood(web: Web, version: str) -> None:
    """Whatever a 1.0 is called."""
    await web.get("/health", headers={"OJS-Version": version})


@pytest.mark.parametrize("version", ["2.0", "0.9", "1.1", "10", "one", "", "1.0.x"])
async def test_versions_that_are_not(web: Web, version: str) -> None:
    """422, so that nobody takes the answer for one of that version."""
    await error_of(web, 422, "unsupported", "GET", "/health", headers={"OJS-Version": version})


@pytest.mark.parametrize(
    ("headers", "media"),
    [
        ({}, OJS),
        ({"Accept": "*/*"}, OJS),
        ({"Accept": OJS}, OJS),
        ({"Accept": f"{OJS}, application/json"}, OJS),
        ({"Accept": "application/json"}, "application/json"),
        ({"Accept": "application/json, text/plain, */*"}, "application/json"),
        ({"Accept": "application/vnd.x+application/json"}, OJS),
        ({"Accept": "application/openjobspec+protobuf"}, OJS),
        ({"OJS-Version": "1.0"}, f'{OJS}; profile="application/json"'),
        ({"OJS-Version": "1.0", "Accept": OJS}, f'{OJS}; profile="application/json"'),
    ],
)
async def test_the_media_type_of_an_answer(web: Web, headers: dict[str, str], media: str) -> None:
    """The spec's own, in the form that the caller can read."""
    answer = await web.client.get(HEALTH, headers=headers)

    assert answer.headers["content-type"] == media


@pytest.mark.parametrize(
    "media", ["", OJS, "application/json", "application/json; charset=utf-8", "APPLICATION/JSON", f"{OJS};charset=x"]
)
async def test_media_types_of_a_body_that_are_taken(web: Web, media: str) -> None:
    """With or without parameters."""
    await web.post("/workers/fetch", FETCH, headers={"content-type": media})


@pytest.mark.parametrize("media", ["text/plain", "application/x-www-form-urlencoded", "application/jsonx", "json"])
async def test_media_types_of_a_body_that_are_not(web: Web, media: str) -> None:
    """400, as the spec says, and not 415."""
    error = await error_of(
        web, 400, "invalid_request", "POST", "/workers/fetch", FETCH, headers={"content-type": media}
    )

    assert error["details"]["field"] == "content-type"


async def test_without_a_media_type(web: Web) -> None:
    """A body is JSON unless it says otherwise."""
    answer = await web.client.post("/ojs/v1/workers/fetch", content=b'{"queues":["a"]}')

    assert "content-type" not in answer.request.headers
    assert answer.status_code == 200


async def test_the_media_type_of_a_request_without_a_body_does_not_matter(web: Web) -> None:
    """Some clients always send one."""
    await web.get("/health", headers={"content-type": "text/plain"})


@pytest.mark.parametrize("given", ["abc", "x" * 128, "!~"])
async def test_a_request_id_is_echoed(web: Web, given: str) -> None:
    """In the header, and in an error."""
    answer = await web.client.get("/ojs/v1/nothing", headers={"X-Request-ID": given})

    assert answer.headers["x-request-id"] == given
    assert answer.json()["error"]["request_id"] == given


async def test_a_long_request_id_is_cut(web: Web) -> None:
    """To 128 characters."""
    answer = await web.client.get(HEALTH, headers={"X-Request-Id": "x" * 129})

    assert answer.headers["x-request-id"] == "x" * 128


@pytest.mark.parametrize("given", [b"", b"a b", "ä".encode(), b"\xff"])
async def test_a_request_id_that_is_none(web: Web, given: bytes) -> None:
    """A new one is made instead."""
    answer = await web.client.get(HEALTH, headers={b"x-request-id": given})

    assert answer.headers["x-request-id"].startswith("req_")


async def test_request_ids_differ(web: Web) -> None:
    """Each request without one gets its own."""
    answers = [await web.client.get(HEALTH) for _ in range(3)]

    assert len({answer.headers["x-request-id"] for answer in answers}) == 3


@pytest.mark.parametrize(
    "path", ["/", "/ojs", "/ojs/v1", "/ojs/v2/jobs", "/ojs/v1/jobs/x/y", "/ojs/v1/health/", "/%00", "/%ff/é"]
)
async def test_a_path_that_nobody_has(web: Web, path: str) -> None:
    """404 with a body as any other error."""
    answer = await web.client.get(path)

    error = answer.json()["error"]
    assert answer.status_code == 404
    assert error["code"] == "not_found"
    assert error["details"]["resource_type"] == "endpoint"
    assert isinstance(error["hint"], str)


async def test_slashes_at_the_start_count_as_one(web: Web) -> None:
    """Clients put addresses together carelessly."""
    async with Raw(web.address) as raw:
        await raw.write(b"GET //ojs/v1/health HTTP/1.1\r\nhost: x\r\n\r\n")
        answer = await raw.read_answer()

    assert answer.status == 200


@pytest.mark.parametrize(
    ("target", "status"),
    [
        (b"/ojs/v1/health", 200),
        (b"/ojs/v1/health?", 200),
        (b"/ojs/v1/queues?limit=1?", 400),
        (b"/ojs/v1/health#part?x", 200),
        (b"http://host/ojs/v1/health", 200),
        (b"http://host:1/ojs/v1/queues?limit=x", 400),
        (b"http://host", 404),
        (b"*", 404),
        (b"/%zz", 404),
        (b"/\xff", 400),
        (b"health", 400),
    ],
)
async def test_targets_in_all_their_forms(web: Web, target: bytes, status: int) -> None:
    """A path with or without a query, or all of an address, as proxies are asked; what is none is refused."""
    async with Raw(web.address) as raw:
        await raw.write(b"GET %b HTTP/1.1\r\nhost: x\r\n\r\n" % target)
        answer = await raw.read_answer()

    assert answer.status == status
    if status >= 400:
        assert answer.error["code"]


@pytest.mark.parametrize(("length", "status"), [(65_535, 200), (65_536, 400)])
async def test_the_length_of_a_target(web: Web, length: int, status: int) -> None:
    """One that is too long is refused, also where it comes at once with its head, and told the limit."""
    async with Raw(web.address) as raw:
        await raw.write(b"GET %b HTTP/1.1\r\nhost: x\r\n\r\n" % b"/ojs/v1/health?".ljust(length, b"x"))
        answer = await raw.read_answer()

    assert answer.status == status
    if status == 400:
        assert "at most 65535 bytes" in answer.error["message"]


async def test_a_slash_within_a_parameter(web: Web) -> None:
    """It is written `%2F`, and part of the name then."""
    error = await error_of(web, 404, "not_found", "GET", "/jobs/a%2Fb%20c")

    assert error["details"]["resource_id"] == "a/b c"


async def test_a_method_that_the_suite_invents(web: Web) -> None:
    """An answer, and the connection stays."""
    answer = await web.client.request("ASSERT", "/")

    assert answer.status_code in {400, 404}


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("PUT", "/ojs/v1/jobs", {"POST"}),
        ("PATCH", f"/ojs/v1/jobs/{UNKNOWN_ID}", {"DELETE", "GET", "HEAD"}),
        ("HEAD", "/ojs/v1/workers/ack", {"POST"}),
        ("OPTIONS", "/ojs/v1/health", {"GET", "HEAD"}),
    ],
)
async def test_a_method_that_a_path_does_not_have(web: Web, method: str, path: str, allowed: set[str]) -> None:
    """405, and which it has."""
    answer = await web.client.request(method, path)

    assert answer.status_code == 405
    assert allowed <= set(answer.headers["allow"].split(", "))
    if method != "HEAD":
        assert answer.json()["error"]["code"] == "method_not_allowed"


async def test_head_is_get_without_the_body(web: Web) -> None:
    """With the same headers."""
    answer = await web.client.head(HEALTH)

    assert answer.status_code == 200
    assert int(answer.headers["content-length"]) > 0
    assert answer.content == b""


async def test_errors_say_where_to_read_on(web: Web) -> None:
    """A hint, documents, and the names of the spec's catalogue."""
    error = await error_of(web, 404, "not_found", "GET", f"/jobs/{UNKNOWN_ID}")

    assert isinstance(error["hint"], str)
    assert error["docs_url"].startswith("https://")
    assert (error["canonical_code"], error["ojs_code"]) == ("NOT_FOUND", "OJS-3000")
    assert (error["details"]["resource_type"], error["details"]["resource_id"]) == ("job", UNKNOWN_ID)


async def test_a_bug_is_no_secret_told(web: Web, capsys: pytest.CaptureFixture[str]) -> None:
    """500 without a word of what happened; the log has it."""
    with mock.patch.object(web.grpc.server.engine.jobs, "get", side_effect=RuntimeError("secret")):
        error = await error_of(web, 500, "backend_error", "GET", f"/jobs/{UNKNOWN_ID}")

    assert error["message"] == "internal error"
    assert "Traceback" not in str(error)


@pytest.mark.parametrize(
    ("problem", "status", "code"),
    [
        (StoreUnavailable("it is away", 2.5), 503, "backend_unavailable"),
        (StoreTimeout("it is slow"), 504, "backend_timeout"),
        (StoreError("it is odd"), 500, "backend_error"),
    ],
)
async def test_a_store_that_fails(web: Web, problem: StoreError, status: int, code: str) -> None:
    """Try again; where it is known, when."""
    with mock.patch.object(web.grpc.server.engine.jobs, "get", side_effect=problem):
        answer = await web.client.get(f"/ojs/v1/jobs/{UNKNOWN_ID}")

    assert answer.status_code == status
    assert answer.json()["error"]["code"] == code
    assert answer.json()["error"]["retryable"]
    assert answer.headers.get("retry-after") == {503: "3", 504: "1", 500: None}[status]


async def test_more_calls_than_are_admitted(clock: FakeClock) -> None:
    """429 at once, and the server goes on; whoever watches over it is answered all the same."""
    async with run_web(clock, max_calls=1) as web:
        waiting = asyncio.create_task(web.fetch(wait_ms=5000))
        await web.grpc.until_a_poll_waits()
        answer = await web.client.get("/ojs/v1/queues")
        vital = [await web.client.get(path) for path in (HEALTH, "/health", "/ready", "/metrics")]
        await web.grpc.enqueue()
        await waiting
        after = await web.client.get("/ojs/v1/queues")

    assert answer.status_code == 429
    assert answer.json()["error"]["code"] == "rate_limited"
    assert int(answer.headers["retry-after"]) >= 1
    assert [one.status_code for one in vital] == [200] * 4
    assert after.status_code == 200


@pytest.mark.parametrize("query", ["limit=x", "limit=-1", "page=0", "offset=1.5", "limit=99999999999999999999"])
async def test_a_number_in_a_query_that_is_none(web: Web, query: str) -> None:
    """400 that names the parameter."""
    answer = await web.client.get(f"/ojs/v1/queues?{query}")

    assert answer.status_code == 400
    assert answer.json()["error"]["details"]["field"] == query.partition("=")[0]
