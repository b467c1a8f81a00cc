"""What a request says: its document, path, query and headers (wire section 1.1)."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Mapping, MutableMapping, Sequence
from typing import Any, TypeVar

from ojs_grpc.core.tracing import trace_context
from ojs_grpc.errors import InvalidRequest, Violation
from ojs_grpc.operations.jobs import CallContext

Result = TypeVar("Result")
# Those of a request, by lower-case name, and those of an answer.
Headers = Mapping[bytes, bytes]
RawHeaders = list[tuple[bytes, bytes]]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]

_NO_CONTEXT = CallContext()


async def _for_ever() -> MutableMapping[str, Any]:
    """A caller who stays."""
    await asyncio.Event().wait()
    return {}


class CallerGone(Exception):
    """The caller went away; nobody waits for an answer."""



class Query:
    """The parameters after the question mark; of a parameter that repeats, the last one counts.

    Each method gives the default for a parameter that is missing or empty.
    """

    def __init__(self, parameters: Mapping[str, str]) -> None:
        self._parameters = parameters

    def text(self, name: str, default: str = "") -> str:
        """The parameter as it stands."""
        return self._parameters.get(name) or default

    def texts(self, name: str) -> Sequence[str]:
        """A list with commas; empty parts don't count."""
        return [part for part in self.text(name).split(",") if part]

    def whole(self, name: str, default: int, low: int, high: int) -> int:
        """A whole number.

        Raises:
            InvalidRequest: it is none, or out of range.
        """
        text = self.text(name)
        if not text:
            return default
        if not (text.isascii() and text.isdigit() and len(text) < 20 and low <= int(text) <= high):
            raise InvalidRequest([Violation(name, f"must be a whole number from {low} to {high}")])
        return int(text)

    def truth(self, name: str) -> bool | None:
        """True or false; None if it is missing.

        Raises:
            InvalidRequest: it is neither.
        """
        text = self.text(name).lower()
        if text in {"", "true", "false"}:
            return {"": None, "true": True, "false": False}[text]
        raise InvalidRequest([Violation(name, "must be true or false")])


class Call:
    """One request, its body parsed.

    Attributes:
        document: the body, a JSON object; empty without a body.
        path: the parameters of the path, decoded.
        query: the parameters of the query.
        headers: by lower-case name, as they came.
        request_id: the caller's, or a new one.
        now: when the request came, on the store's clock.
    """

    __slots__ = ("_receive", "document", "headers", "now", "path", "query", "request_id")

    def __init__(
        self,
        document: dict[str, Any],
        path: Mapping[str, str],
        query: Query,
        headers: Headers,
        request_id: str,
        now: int,
        receive: Receive = _for_ever,
    ) -> None:
        self.document = document
        self.path = path
        self.query = query
        self.headers = headers
        self.request_id = request_id
        self.now = now
        self._receive = receive

    @property
    def is_sdk(self) -> bool:
        """Whether the caller says which version it speaks, as all SDKs do and the official suite does not.

        Some answers cannot please both (wire section 0).
        """
        return b"ojs-version" in self.headers

    def header(self, name: str) -> str:
        """A header as text; empty if it is missing."""
        return self.headers.get(name.encode(), b"").decode("latin-1")

    @property
    def enqueue_context(self) -> CallContext:
        """The headers that an enqueue takes note of."""
        headers = self.headers
        if not (b"traceparent" in headers or b"idempotency-key" in headers or b"x-ojs-idempotency-key" in headers):
            return _NO_CONTEXT
        key = self.header("idempotency-key") or self.header("x-ojs-idempotency-key")
        return CallContext(key, trace_context(self.header("traceparent"), self.header("tracestate")))

    async def unless_gone(self, work: Coroutine[Any, Any, Result]) -> Result:
        """Does the work, and cancels it when the caller goes away.

        Raises:
            CallerGone: that happened.
        """
        return await unless_gone(self._receive, work)


async def unless_gone(receive: Receive, work: Coroutine[Any, Any, Result]) -> Result:
    """As `Call.unless_gone`, for a request whose body was read."""
    working, leaving = asyncio.create_task(work), asyncio.create_task(_gone(receive))
    try:
        await asyncio.wait({working, leaving}, return_when=asyncio.FIRST_COMPLETED)
        if working.done():
            return working.result()
        raise CallerGone
    finally:
        working.cancel()
        leaving.cancel()
        await asyncio.gather(working, leaving, return_exceptions=True)


async def _gone(receive: Receive) -> None:
    """Returns when the caller has gone away."""
    while (await receive())["type"] != "http.disconnect":
        pass
