"""What a call carries beside its message (behaviour section 1.6)."""

import re
from collections.abc import Callable, Mapping
from functools import cached_property
from typing import Any, cast

import grpc

from ojs_grpc import __version__
from ojs_grpc.core.ids import new_id
from ojs_grpc.errors import InvalidRequest, Violation
from ojs_grpc.operations.delivery import Holder
from ojs_grpc.operations.jobs import CallContext
from ojs_grpc.operations.system import CONFORMANCE_LEVEL

REQUEST_ID = "x-ojs-request-id"

_REQUEST_ID_CHARS = 128
_VISIBLE = re.compile(r"[\x21-\x7e]+")
_TRACEPARENT = re.compile(r"[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}(-.*)?")
_TRACESTATE_CHARS = 512
_SERVER = (("x-ojs-server-version", __version__), ("x-ojs-conformance-level", str(CONFORMANCE_LEVEL)))
_DEDUPLICATED = ("x-ojs-deduplicated", "true")

Context = grpc.aio.ServicerContext[Any, Any]


class Call:
    """One call: its metadata, read once, and its gRPC context."""

    def __init__(self, context: Context, now: int) -> None:
        self.context = context
        self._is_open = False
        self.metadata: Mapping[str, str | bytes] = dict(context.invocation_metadata() or ())
        given = self._text(REQUEST_ID)[:_REQUEST_ID_CHARS]
        self.has_request_id = _VISIBLE.fullmatch(given) is not None
        self.request_id = given if self.has_request_id else f"req_{new_id(now, 0)}"
        self.deduplicated = False
        """Whether the answer has jobs that were there before, instead of those in the request."""

    @property
    def answer_metadata(self) -> tuple[tuple[str, str], ...]:
        """What every answer carries."""
        metadata = ((REQUEST_ID, self.request_id), *_SERVER)
        return (*metadata, _DEDUPLICATED) if self.deduplicated else metadata

    @cached_property
    def enqueue_context(self) -> CallContext:
        """The metadata that an enqueue takes note of."""
        if not self.metadata:
            return CallContext()
        return CallContext(self._text("x-ojs-idempotency-key"), self._trace())

    def holder(self, lease: int, worker_id: str) -> Holder:
        """How the caller shows that it holds a job: by our fields, or by metadata for clients without them.

        Raises:
            InvalidRequest: the lease is no positive number.
        """
        text = self._text("x-ojs-lease")
        if text and not lease:
            if not text.isascii() or not text.isdigit() or len(text) > 18:
                raise InvalidRequest([Violation("x-ojs-lease", "must be a positive number")])
            lease = int(text)
        if lease < 0:
            raise InvalidRequest([Violation("lease", "must not be negative")])
        return Holder(lease, worker_id or self._text("x-ojs-worker-id"))

    def seconds_left(self, default: float) -> float:
        """How long an answer may take: until shortly before the caller's deadline, at most `default`."""
        # Without a deadline it is None, whatever its type says.
        left = cast("float | None", self.context.time_remaining())
        return default if left is None else min(default, max(left - 0.05, left * 0.5, 0.0))

    async def open(self) -> None:
        """Sends the initial metadata, once.

        Raises:
            CancelledError: the caller is gone. After this, nothing tells: gRPC takes an answer for anyone.
        """
        if not self._is_open:
            self._is_open = True
            await self.context.send_initial_metadata(self.answer_metadata)

    def on_end(self, callback: Callable[[], None]) -> None:
        """Has this called when the call is over, however it ended."""
        self.context.add_done_callback(lambda _: callback())  # type: ignore[arg-type]

    def _trace(self) -> dict[str, str]:
        parent, state = self._text("traceparent"), self._text("tracestate")
        if not _TRACEPARENT.fullmatch(parent):
            return {}
        trace = {"traceparent": parent}
        if state and len(state) <= _TRACESTATE_CHARS:
            trace["tracestate"] = state
        return trace

    def _text(self, key: str) -> str:
        value = self.metadata.get(key, "")
        return value if isinstance(value, str) else value.decode("ascii", errors="replace")

