"""From a request to a handler and back, as an ASGI application: paths, headers, bodies, errors, in one place.

The way of a call is short on purpose: no request or response objects, and what a path without parameters leads to is
one look into a dictionary.
"""

from collections.abc import Iterable
from time import perf_counter
from urllib.parse import parse_qsl

import structlog

from ojs_grpc.bindings.http.body import limit_of, read_document
from ojs_grpc.bindings.http.call import Call, CallerGone, Query, Receive
from ojs_grpc.bindings.http.media import check_media, media_of
from ojs_grpc.bindings.http.paths import Methods, Paths
from ojs_grpc.bindings.http.route import Answer, Body, Route, Stream
from ojs_grpc.bindings.http.sending import Scope, Send, refuse, send_answer, send_head, send_stream
from ojs_grpc.bindings.http.status import MethodNotAllowed, UnknownPath
from ojs_grpc.core.clock import Clock
from ojs_grpc.core.envelope import SPECVERSION
from ojs_grpc.core.limits import Limits
from ojs_grpc.core.tracing import given_request_id, new_request_id
from ojs_grpc.errors import OJSError, ServerBusy, Unsupported
from ojs_grpc.operations.system import HTTP
from ojs_grpc.telemetry.recorder import Recorder

log = structlog.get_logger(__name__)

_BUSY_RETRY_SECONDS = 1.0
_NO_QUERY = Query({})
_SPOKEN = SPECVERSION.encode()
_VERSION = (b"ojs-version", _SPOKEN)
_BODY_METHODS = frozenset({"POST", "PUT", "PATCH"})


class App:
    """The application.

    Args:
        max_calls: calls under way at once; more are refused, unless their route is vital. Streams don't count.
        recorder: where every call is noted.
    """

    def __init__(
        self, routes: Iterable[Route], clock: Clock, limits: Limits, max_calls: int, recorder: Recorder
    ) -> None:
        self._paths = Paths(routes)
        self._clock = clock
        self._limits = limits
        self._max_calls = max_calls
        self._recorder = recorder
        self._calls = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers one request."""
        start = perf_counter()
        headers = dict(scope["headers"])
        now = self._clock.now()
        given = headers.get(b"x-request-id")
        request_id = (given and given_request_id(given.decode("latin-1"))) or new_request_id(now)
        common = [(b"content-type", media_of(headers)), _VERSION, (b"x-request-id", request_id.encode())]
        methods, parameters = self._paths.find(scope["raw_path"].decode("ascii"))
        route = methods.get(scope["method"])
        try:
            if route is None:
                route = _other_route(methods, scope)
            query = _read_query(scope["query_string"]) if scope["query_string"] else _NO_QUERY
            answer = await self._handle(route, Call({}, parameters, query, headers, request_id, now, receive), receive)
        except CallerGone:
            return
        except OJSError as error:
            status = await refuse(error, request_id, common, receive, send)
        except Exception:  # a bug; the server goes on
            log.exception("unexpected error", request_id=request_id)
            status = await refuse(OJSError("internal error"), request_id, common, receive, send)
        else:
            if isinstance(answer, Answer):
                status = await send_answer(answer, common, receive, send)
            elif scope["method"] == "HEAD":
                status = await send_head(answer, common, send)
            else:
                status = await send_stream(answer, request_id, common, receive, send)
        name = f"{route.method} {route.path}" if route else "unknown"
        self._recorder.call(HTTP, name, str(status), perf_counter() - start)

    async def _handle(self, route: Route, call: Call, receive: Receive) -> Answer | Stream:
        """Reads the body into the call and has the handler answer it.

        Raises:
            OJSError: the call is refused, by the handler or before.
            CallerGone: nobody waits for an answer.
        """
        if self._calls >= self._max_calls and not route.vital:
            raise ServerBusy(_BUSY_RETRY_SECONDS)
        self._calls += 1
        try:
            version = call.headers.get(b"ojs-version", _SPOKEN)
            if version != _SPOKEN:
                _check_version(version.decode("latin-1"))
            if route.method in _BODY_METHODS or route.body is not Body.NONE:
                check_media(call.headers)
                if route.body is not Body.NONE:
                    limit = limit_of(route, self._limits)
                    call.document = await read_document(route.body, call.headers, receive, limit)
            return await route.handler(call)
        finally:
            self._calls -= 1


def _other_route(methods: Methods, scope: Scope) -> Route:
    """The route of a request whose method has none by its name: HEAD is GET without the body.

    Raises:
        UnknownPath: nothing is there.
        MethodNotAllowed: what is there has other methods.
    """
    if not methods:
        raise UnknownPath(scope["path"])
    if scope["method"] == "HEAD" and "GET" in methods:
        return methods["GET"]
    raise MethodNotAllowed(scope["method"], sorted({*methods, *(("HEAD",) if "GET" in methods else ())}))


def _check_version(text: str) -> None:
    """Checks the version that a caller speaks: 1, 1.0, 1.0.x, with or without what follows a hyphen.

    Raises:
        Unsupported: it is another one.
    """
    major, _, minor = text.strip().partition("-")[0].partition(".")
    minor, _, patch = minor.partition(".")
    if major != "1" or minor not in {"", "0"} or (patch and not patch.isdigit()):
        raise Unsupported(f"OJS-Version {text[:50]!r} is not supported, only {SPECVERSION}")


def _read_query(query: bytes) -> Query:
    return Query(dict(parse_qsl(query.decode("latin-1"), keep_blank_values=True)))
