"""The body of a request: read up to its limit, and parsed."""

import asyncio
from contextlib import suppress
from typing import Any

from ojs_grpc.bindings.http.call import CallerGone, Headers, Receive
from ojs_grpc.bindings.http.route import Body, Route
from ojs_grpc.bindings.http.status import BodyTooLarge, UnsupportedCompression
from ojs_grpc.codec.json_text import parse
from ojs_grpc.core.limits import Limits
from ojs_grpc.errors import InvalidPayload, Violation

# JSON takes more room than protobuf does: escapes, and numbers as digits.
_JSON_SLACK = 4
_LINGER_SECONDS = 2.0


def limit_of(route: Route, limits: Limits) -> int:
    """How many bytes the body of a request for this endpoint may have."""
    return limits.request_bytes if route.large else _JSON_SLACK * limits.envelope_bytes


async def read_document(kind: Body, headers: Headers, receive: Receive, limit: int) -> dict[str, Any]:
    """The body as a JSON object; an empty one if there is none and none is required.

    Raises:
        InvalidPayload: it is no JSON object, or missing.
        UnsupportedCompression: it is compressed.
        BodyTooLarge: it is over the limit.
        CallerGone: the caller went away meanwhile.
    """
    if b"content-encoding" in headers and headers[b"content-encoding"].lower() != b"identity":
        raise UnsupportedCompression([Violation("content-encoding", "must not be set")])
    length = headers.get(b"content-length", b"")
    if length.isdigit() and int(length) > limit:
        raise _too_large(limit)
    message = await receive()
    if message["type"] == "http.disconnect":
        raise CallerGone
    data: bytes = message["body"]
    if message["more_body"] or len(data) > limit:
        data = await _read_rest(data, receive, limit, more=message["more_body"])
    if data:
        return parse(data)
    if kind is Body.REQUIRED:
        raise InvalidPayload([Violation("body", "must be a JSON object, not empty")])
    return {}


async def linger(receive: Receive) -> None:
    """Reads on without keeping anything, until the caller closes the connection or a little time has passed.

    A connection that is closed while the caller still sends loses the answer on its way.
    """
    with suppress(TimeoutError):
        async with asyncio.timeout(_LINGER_SECONDS):
            while (await receive())["type"] != "http.disconnect":
                pass


async def _read_rest(data: bytes, receive: Receive, limit: int, *, more: bool) -> bytes:
    parts, size = [data], len(data)
    while more:
        if size > limit:
            raise _too_large(limit)
        message = await receive()
        if message["type"] == "http.disconnect":
            raise CallerGone
        more = message["more_body"]
        parts.append(message["body"])
        size += len(message["body"])
    if size > limit:
        raise _too_large(limit)
    return b"".join(parts)


def _too_large(limit: int) -> BodyTooLarge:
    return BodyTooLarge([Violation("body", f"must be at most {limit} bytes")])
