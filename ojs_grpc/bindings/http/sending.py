"""Answers, errors and streams as ASGI messages."""

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping
from contextlib import aclosing
from typing import Any

import structlog

from ojs_grpc.bindings.http.body import linger
from ojs_grpc.bindings.http.call import CallerGone, RawHeaders, Receive, unless_gone
from ojs_grpc.bindings.http.route import Answer, Stream
from ojs_grpc.bindings.http.status import BodyTooLarge, entry_of, error_document, error_headers
from ojs_grpc.codec.json_text import dump
from ojs_grpc.errors import OJSError, StoreError

log = structlog.get_logger(__name__)

Scope = MutableMapping[str, Any]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

# Parts of a stream that are sent before others have their turn.
_SLICE = 50


async def send_answer(answer: Answer, headers: RawHeaders, receive: Receive, send: Send) -> int:
    """Writes an answer, and gives its status; its `on_lost` is called if that was in vain.

    Args:
        headers: those of every answer, the content type first.
    """
    if answer.on_lost is not None and _is_gone(receive):
        answer.on_lost()
        return answer.status
    document = answer.document
    body = document if isinstance(document, bytes) else dump(document)
    if answer.media:
        headers[0] = (b"content-type", answer.media.encode())
    if answer.headers:
        headers += answer.headers
    if answer.status == 204:
        body = b""
    else:
        headers.append((b"content-length", b"%d" % len(body)))
    try:
        await send({"type": "http.response.start", "status": answer.status, "headers": headers})
        await send({"type": "http.response.body", "body": body})
    except BaseException:
        if answer.on_lost is not None:
            answer.on_lost()
        raise
    return answer.status


async def refuse(error: OJSError, request_id: str, headers: RawHeaders, receive: Receive, send: Send) -> int:
    """Writes an error, and gives its status."""
    if isinstance(error, StoreError):
        log.warning("call failed", request_id=request_id, code=error.code, error=error.message)
    body = dump(error_document(error, request_id))
    headers += error_headers(error)
    status = entry_of(error).status
    headers.append((b"content-length", b"%d" % len(body)))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    if isinstance(error, BodyTooLarge):
        # All of the answer, but for the word that it is all: that would close the connection.
        await send({"type": "http.response.body", "body": body, "more_body": True})
        await linger(receive)
        body = b""
    await send({"type": "http.response.body", "body": body})
    return status


async def send_stream(stream: Stream, request_id: str, headers: RawHeaders, receive: Receive, send: Send) -> int:
    """Writes a stream until it ends or nobody reads it any more, and gives its status."""

    async def write() -> None:
        turn = 0
        async for chunk in stream.chunks:
            await send({"type": "http.response.body", "body": chunk, "more_body": True})
            turn += 1
            if turn % _SLICE == 0:
                # Where much waits, none of this gives others their turn.
                await asyncio.sleep(0)

    async with aclosing(stream.chunks):
        headers[0] = (b"content-type", stream.media.encode())
        headers += stream.headers
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        # A stream may be quiet for long: the caller learns at once that it is open.
        await send({"type": "http.response.body", "body": b"", "more_body": True})
        try:
            await unless_gone(receive, write())
        except CallerGone:
            return 200
        except OJSError as error:
            log.debug("stream ended", request_id=request_id, code=error.code)
        except Exception:  # a bug; the server goes on
            log.exception("unexpected error", request_id=request_id)
    await send({"type": "http.response.body", "body": b""})
    return 200


async def send_head(stream: Stream, headers: RawHeaders, send: Send) -> int:
    """Writes the head of a stream and nothing else, and gives its status."""
    await stream.chunks.aclose()
    headers[0] = (b"content-type", stream.media.encode())
    headers += stream.headers
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": b""})
    return 200


def _is_gone(receive: Receive) -> bool:
    """Whether the caller went away: one step into `receive`, which has something to say only then."""
    step = receive().__await__()
    try:
        next(step)
    except StopIteration as end:
        return bool(end.value["type"] == "http.disconnect")
    step.close()
    return False
