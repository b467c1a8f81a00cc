"""What a call carries beside its message (behaviour section 1.6)."""

from collections.abc import Callable, Mapping
from functools import cached_property
from typing import Any, cast

import grpc

from ojs_grpc import __version__
from ojs_grpc.core.tracing import given_request_id, new_request_id, trace_context
from ojs_grpc.errors import InvalidRequest, Violation
from ojs_grpc.operations.delivery import Holder
from ojs_grpc.operations.jobs import CallContext
from ojs_grpc.operations.system import CONFORMANCE_LEVEL

REQUEST_ID = "x-ojs-request-id"

_SERVER = (("x-ojs-server-version", __version__), ("x-ojs-conformance-level", str(CONFORMANCE_LEVEL)))
_DEDUPLICATED = ("x-ojs-deduplicated", "true")

Context = grpc.aio.ServicerContext[Any, Any]


class Call:
    """One call: its metadata, read once, and its gRPC context."""

    def __init__(self, context: Context, now: int) -> None:
        self.context = context
        self._is_open = False
        self.metadata: Mapping[str, str | bytes] = dict(context.invocation_metadata() or ())
        given = given_request_id(self._text(REQUEST_ID))
        self.has_request_id = bool(given)
        self.request_id = given or new_request_id(now)
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
        trace = trace_context(self._text("traceparent"), self._text("tracestate"))
        return CallContext(self._text("x-ojs-idempotency-key"), trace)

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

    def _text(self, key: str) -> str:
        value = self.metadata.get(key, "")
        return value if isinstance(value, str) else value.decode("ascii", errors="replace")

