"""Bodies of requests: what is JSON, how large they may be, and callers who leave (wire sections 1.1 and 2.7)."""

import asyncio
import json
from collections.abc import AsyncIterator

import pytest

from tests.clock import FakeClock
from tests.http.raw import Raw
from tests.http.service import OJS, Web, error_of, eventually, run_web

JOBS = "/ojs/v1/jobs"
FETCH = "/ojs/v1/workers/fetch"
LIMIT = 4096
JOB = {"type": "test.job", "args": []}


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b" ",
        b"{",
        b"[]",
        b"null",
        b'"text"',
        b"{}{}",
        b"{'a':1}",
        b'{"a":NaN}',
        b'{"a":Infinity}',
        b'{"a":1e999}',
        b"\xff",
        b'\xef\xbb\xbf{"queues":["a"]}',
        b'{"a":"\\ud800"}',
        b"[" * 100_000,
        b'{"a":' * 100_000,
        b'{"a":' + b"1" * 5000 + b"}",
    ],
)
async def test_a_body_that_is_no_object(web: Web, body: bytes) -> None:
    """400 `invalid_payload`, whatever is wrong with it."""
    answer = await web.client.post(FETCH, content=body, headers={"content-type": OJS})

    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "invalid_payload")


async def test_an_optional_body_may_be_missing(web: Web) -> None:
    """Or be an empty object."""
    for body in (b"", b"{}"):
        job = await web.enqueue()
        answer = await web.client.post(f"{JOBS}/{job['id']}/cancel", content=body)
        assert answer.status_code == 200


async def test_an_optional_body_that_is_no_object(web: Web) -> None:
    """It counts where it is sent."""
    job = await web.enqueue()

    await error_of(web, 400, "invalid_payload", "POST", f"/jobs/{job['id']}/cancel", [1])


@pytest.mark.parametrize("encoding", ["gzip", "zstd", "br", "compress"])
async def test_compressed_bodies_are_refused(web: Web, encoding: str) -> None:
    """They would be read as JSON otherwise."""
    await error_of(web, 400, "unsupported_compression", "POST", "/jobs", JOB, headers={"content-encoding": encoding})


async def test_a_body_that_says_it_is_not_compressed(web: Web) -> None:
    """That is fine."""
    await web.post("/jobs", JOB, status=201, headers={"content-encoding": "identity"})


async def test_a_body_over_the_limit(clock: FakeClock) -> None:
    """413 before it is read, and the connection is closed."""
    async with run_web(clock, envelope_bytes=LIMIT // 4) as web, Raw(web.address) as raw:
        await raw.write(b"POST %b HTTP/1.1\r\nhost: x\r\ncontent-length: %d\r\n\r\n{" % (JOBS.encode(), LIMIT + 1))
        answer = await raw.read_answer()
        raw.close_sending()
        rest = await raw.read_rest()

    assert (answer.status, answer.error["code"]) == (413, "payload_too_large")
    assert answer.headers["connection"] == "close"
    assert rest == b""


async def test_a_body_at_the_limit(clock: FakeClock) -> None:
    """It is read; what counts then is the size of the job."""
    padding = LIMIT - len(json.dumps({"type": "test.job", "args": [], "x": ""}).encode())
    async with run_web(clock, envelope_bytes=LIMIT // 4) as web:
        body = json.dumps({"type": "test.job", "args": [], "x": "a" * padding})
        answer = await web.client.post(JOBS, content=body)
        over = await web.client.post(JOBS, content=body + " ")

    assert len(body) == LIMIT
    assert answer.json()["error"]["details"]["field"] != "body"
    assert over.status_code == 413
    assert over.json()["error"]["details"]["field"] == "body"


async def test_a_chunked_body_over_the_limit(clock: FakeClock) -> None:
    """413 as soon as that is known; the caller, who still sends, gets to read it."""

    async def endless() -> AsyncIterator[bytes]:
        for _ in range(200):
            yield b"a" * 1000

    async with run_web(clock, envelope_bytes=LIMIT // 4) as web:
        answer = await web.client.post(JOBS, content=endless())
        after = await web.client.get("/ojs/v1/health")

    assert answer.status_code == 413
    assert answer.headers["connection"] == "close"
    assert after.status_code == 200


async def test_a_chunked_body(web: Web) -> None:
    """It is put together."""

    async def parts() -> AsyncIterator[bytes]:
        for byte in json.dumps(JOB).encode():
            yield bytes((byte,))

    answer = await web.client.post(JOBS, content=parts())

    assert answer.status_code == 201


async def test_a_batch_may_be_larger_than_a_job(clock: FakeClock) -> None:
    """Its limit is that of a request."""
    async with run_web(clock, envelope_bytes=LIMIT // 4) as web:
        document = {"jobs": [{"type": "test.job", "args": ["a" * 500]}] * 20}
        answer = await web.post("/jobs/batch", document, status=201)

    assert answer["count"] == 20


async def test_a_caller_who_leaves_in_the_middle(web: Web, capfd: pytest.CaptureFixture[str]) -> None:
    """Nothing is stored, and nothing is worth a word in the log."""
    async with Raw(web.address) as raw:
        await raw.write(b'POST %b HTTP/1.1\r\nhost: x\r\ncontent-length: 100\r\n\r\n{"type"' % JOBS.encode())
        await eventually(lambda: web.calls)
    await eventually(lambda: not web.calls)

    assert "error" not in capfd.readouterr().out
    assert await web.grpc.counts() == {}


async def test_what_is_no_http(web: Web) -> None:
    """400, and the server goes on."""
    async with Raw(web.address) as raw:
        await raw.write(b"\x16\x03\x01 hello\r\n\r\n")
        assert (await raw.read_rest()).startswith(b"HTTP/1.1 400")
    await web.get("/health")


async def test_calls_one_after_the_other_on_one_connection(web: Web) -> None:
    """Also when they are sent before the first is answered."""
    request = b"GET /ojs/v1/health HTTP/1.1\r\nhost: x\r\n\r\n"
    async with Raw(web.address) as raw:
        await raw.write(request * 3)
        answers = [await raw.read_answer() for _ in range(3)]

    assert [answer.status for answer in answers] == [200] * 3


@pytest.mark.parametrize("start", [b"GET /%b", b"GET / HTTP/1.1\r\nx: %b", b"GET / HTTP/1.1\r\n%b"])
async def test_a_head_without_an_end(web: Web, start: bytes) -> None:
    """400: nobody has so much to say before the body."""
    endless = b"a: b\r\n" * 2730 if start.endswith(b"\n%b") else b"a" * 16_384
    async with Raw(web.address) as raw:
        await raw.write(start % endless)
        for _ in range(4):
            await raw.write(endless)
        assert (await raw.read_rest()).startswith(b"HTTP/1.1 400")
    await web.get("/health")


@pytest.mark.parametrize("framing", ["content-length: 29", "transfer-encoding: chunked"])
@pytest.mark.parametrize("at_once", [True, False])
async def test_a_client_that_offers_another_protocol(web: Web, framing: str, at_once: bool) -> None:  # noqa: FBT001
    """As Java's and curl's do: it is answered in this one, body and all, and so is what it sends afterwards."""
    body = b'{"type":"test.job","args":[]}'
    if "chunked" in framing:
        body = b"1d\r\n%b\r\n0\r\n\r\n" % body
    offer = b"connection: Upgrade, HTTP2-Settings\r\nupgrade: h2c\r\nhttp2-settings: AAMAAABkAAQAoAAAAAIAAAAA\r\n"
    request = b"POST %b HTTP/1.1\r\nhost: x\r\n%b%b\r\n\r\n%b" % (JOBS.encode(), offer, framing.encode(), body)
    async with Raw(web.address) as raw:
        for _ in range(2):
            for part in [request] if at_once else (request[i : i + 1] for i in range(len(request))):
                await raw.write(part)
                await asyncio.sleep(0)
            assert (await raw.read_answer()).status == 201
