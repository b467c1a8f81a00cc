"""uvicorn's protocol, with a shorter way out for answers that are known as a whole: nearly all of ours.

It looks at every header twice with a regular expression and writes head and body apart, which costs as much as making
the answer. What our handlers give needs no such look, and goes out in one piece.
"""

import asyncio
import time
from collections import deque
from collections.abc import Iterable, MutableMapping
from typing import Any
from urllib.parse import unquote

import httptools
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle

from ojs_grpc.bindings.http.media import OJS
from ojs_grpc.bindings.http.status import error_document
from ojs_grpc.codec.json_text import dump
from ojs_grpc.core.envelope import SPECVERSION
from ojs_grpc.core.tracing import new_request_id
from ojs_grpc.errors import InvalidPayload, Violation

Message = MutableMapping[str, Any]

_MAX_HEAD_BYTES = 65_536
# As httptools has it.
_MAX_TARGET_BYTES = 65_535
_FRAMING = frozenset({b"content-length", b"transfer-encoding"})
# Whatever is appended is gone.
_TRAILERS: deque[tuple[bytes, bytes]] = deque(maxlen=0)


class Cycle(RequestResponseCycle):
    """One request and its answer. The head waits for the first part of the body, so a stream begins with an empty one.

    Names and values of headers must be valid.
    """

    head: Message | None = None
    _is_read = False

    async def receive(self) -> Message:  # type: ignore[override] # its own types of messages
        """Gives the next part of the body, or the news that the caller has gone."""
        if self._is_read or self.more_body or self.disconnected or self.waiting_for_100_continue:
            return await super().receive()  # type: ignore[return-value]
        # All of it is there, as it nearly always is: nothing to wait for.
        self._is_read = True
        self.message_event.clear()
        if self.flow.read_paused:
            self.flow.resume_reading()
        body = bytes(self.body)
        self.body.clear()
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(self, message: Message) -> None:  # type: ignore[override] # its own types of messages
        """Sends a part of the answer."""
        if self.response_started:
            await super().send(message)  # type: ignore[arg-type]
        elif self.head is None:
            self.head = message
        elif message.get("more_body"):
            await super().send(self.head)  # type: ignore[arg-type]
            await super().send(message)  # type: ignore[arg-type]
        else:
            if self.flow.write_paused and not self.disconnected:
                await self.flow.drain()
            if not self.disconnected:
                self._send_whole(self.head, message.get("body", b""))

    def _send_whole(self, head: Message, body: bytes) -> None:
        if self.scope["method"] == "HEAD":
            body = b""
        headers = (*self.default_headers, *head["headers"])
        self.transport.write(_whole(head["status"], headers, body, keep_alive=self.keep_alive))
        self.response_started = self.response_complete = True
        self.message_event.set()
        if not self.keep_alive:
            self.transport.close()
        self.on_response()


class _Framed:
    """Takes a body that comes without its head.

    Args:
        connection: gets the body.
    """

    def __init__(self, connection: "Protocol") -> None:
        self.on_body = connection.on_body
        self.on_message_complete = connection.on_message_complete
        self._begun = False

    def on_message_begin(self) -> None:
        """Begins; what comes behind the body is for nobody here."""
        if self._begun:
            raise ValueError("another request behind a body")
        self._begun = True


class Protocol(HttpToolsProtocol):
    """One connection. A head or trailers without end are refused; uvicorn would keep all of them.

    It is closed when it has been idle for too long. The timer runs on through what comes, and looks when it fires:
    uvicorn's, set anew with each answer, can be seen in the time of a request.

    Clients that offer another protocol, as Java's does with every first request (`Upgrade: h2c`), are answered in this
    one. What follows such a head is their body, but the parser stops before it: it goes on with a new one.
    """

    _reads_message = False
    _body_came = False
    _bare_bytes = 0
    _has_own_parser = True
    _idle_since = 0.0

    def data_received(self, data: bytes) -> None:
        """Takes what has come."""
        self._body_came = False
        try:
            self._parse(data)
        except httptools.HttpParserError:
            self.send_400_response(f"must be HTTP/1.1, with a target of at most {_MAX_TARGET_BYTES} bytes")
            return
        if self._reads_message and not self._body_came and not self.transport.is_closing():
            self._bare_bytes += len(data)
            if self._bare_bytes > _MAX_HEAD_BYTES:
                self.send_400_response(f"must have a head and trailers of at most {_MAX_HEAD_BYTES} bytes")

    def send_400_response(self, msg: str) -> None:
        """Refuses what is no request, in the way in which everything is refused, and closes the connection."""
        request_id = new_request_id(time.time_ns() // 1_000_000)
        body = dump(error_document(InvalidPayload([Violation("request", msg)]), request_id))
        headers = (
            *self.server_state.default_headers,
            (b"content-type", OJS.encode()),
            (b"ojs-version", SPECVERSION.encode()),
            (b"x-request-id", request_id.encode()),
            (b"content-length", b"%d" % len(body)),
        )
        self.transport.write(_whole(400, headers, body, keep_alive=False))
        self.transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        """Ends with the connection."""
        super().connection_lost(exc)
        if self.timeout_keep_alive_task is not None:
            self.timeout_keep_alive_task.cancel()

    def on_response_complete(self) -> None:
        """Goes on to the next request, which may be there already."""
        self.server_state.total_requests += 1
        if self.transport.is_closing():
            return
        self.flow.resume_reading()
        if self.pipeline:
            self._start_asgi_task(*self.pipeline.pop())
            return
        self._idle_since = self.loop.time()
        if self.timeout_keep_alive_task is None:
            self._watch_idleness(self.timeout_keep_alive)

    def timeout_keep_alive_handler(self) -> None:
        """Closes the connection if no other request began since the last answer."""
        is_idle = self.cycle.response_complete and self.headers is _TRAILERS  # type: ignore[comparison-overlap]
        left = self._idle_since + self.timeout_keep_alive - self.loop.time() if is_idle else self.timeout_keep_alive
        if left > 0:
            self._watch_idleness(left)
        elif not self.transport.is_closing():
            self.transport.close()

    def _unset_keepalive_if_required(self) -> None:
        """Nothing: see above."""

    def _watch_idleness(self, seconds: float) -> None:
        self.timeout_keep_alive_task = self.loop.call_later(seconds, self.timeout_keep_alive_handler)

    def on_message_begin(self) -> None:
        """Begins to read a head."""
        super().on_message_begin()
        self._reads_message, self._bare_bytes = True, 0

    def on_headers_complete(self) -> None:
        """Begins a request. uvicorn looks for what is not here: WebSockets, a limit of its own, a root path."""
        parser, scope = self.parser, self.scope
        before: RequestResponseCycle | None = self.cycle
        version = parser.get_http_version()
        path, scope["query_string"] = _split(self.url)
        scope["raw_path"] = path
        scope["path"] = unquote(path.decode("ascii"))
        scope["method"] = parser.get_method().decode("ascii")
        scope["http_version"] = version
        self.cycle = Cycle(
            scope,
            self.transport,
            self.flow,
            self.logger,
            self.access_logger,
            self.access_log,
            self.server_state.default_headers,
            asyncio.Event(),
            self.expect_100_continue,
            version != "1.0" and parser.should_keep_alive(),
            self.on_response_complete,
        )
        # What comes behind a body are no headers.
        self.headers = _TRAILERS  # type: ignore[assignment]
        if before is None or before.response_complete:
            self._start_asgi_task(self.cycle, self.app)
        else:
            # One answer after the other.
            self.flow.pause_reading()
            self.pipeline.appendleft((self.cycle, self.app))

    def on_body(self, body: bytes) -> None:
        """Takes a part of the body, which has its own limit."""
        self._body_came = True
        super().on_body(body)

    def on_message_complete(self) -> None:
        """Has all of a request."""
        if self.parser.should_upgrade():
            return
        super().on_message_complete()
        self._reads_message = False
        if not self._has_own_parser:
            self._has_own_parser = True
            self.parser = httptools.HttpRequestParser(self)

    def _parse(self, data: bytes) -> None:
        """Parses what has come.

        Raises:
            HttpParserError: it breaks the rules of HTTP.
        """
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            head = [b"%b: %b\r\n" % header for header in self.scope["headers"] if header[0] in _FRAMING]
            self._has_own_parser = False
            self.parser = httptools.HttpRequestParser(_Framed(self))
            self.parser.feed_data(b"POST / HTTP/1.1\r\n%b\r\n" % b"".join(head))
            if rest := data[upgrade.args[0] :]:
                self._parse(rest)


def _split(url: bytes) -> tuple[bytes, bytes]:
    """The path of a request's target, and its query.

    Raises:
        HttpParserInvalidURLError: it has neither, or is too long.
    """
    if url.startswith(b"/") and b"#" not in url and len(url) <= _MAX_TARGET_BYTES:
        path, _, query = url.partition(b"?")
        return path, query
    # With a host before the path, as proxies are asked. This refuses what is too long.
    parsed = httptools.parse_url(url)
    return parsed.path or b"/", parsed.query or b""


def _whole(status: int, headers: Iterable[tuple[bytes, bytes]], body: bytes, *, keep_alive: bool) -> bytes:
    """An answer as it stands on the wire."""
    parts = [STATUS_LINE[status]]
    for name, value in headers:
        parts += (name, b": ", value, b"\r\n")
    parts += (b"\r\n" if keep_alive else b"connection: close\r\n\r\n", body)
    return b"".join(parts)
