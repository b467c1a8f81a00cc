"""The marks by which people follow a call: its request id, and the W3C trace context that its jobs keep."""

import re

from ojs_grpc.core.ids import new_id

_REQUEST_ID_CHARS = 128
_VISIBLE = re.compile(r"[\x21-\x7e]+")
_TRACEPARENT = re.compile(r"[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}(-.*)?")
_TRACESTATE_CHARS = 512


def given_request_id(text: str) -> str:
    """The request id that a caller gives, cut to its bound; empty if it is not visible ASCII."""
    text = text[:_REQUEST_ID_CHARS]
    return text if _VISIBLE.fullmatch(text) else ""


def new_request_id(now: int) -> str:
    """A request id for a call that came without."""
    return f"req_{new_id(now, 0)}"


def trace_context(parent: str, state: str) -> dict[str, str]:
    """The trace context of these two headers; empty if there is none that is valid."""
    if not parent or not _TRACEPARENT.fullmatch(parent):
        return {}
    trace = {"traceparent": parent}
    if state and len(state) <= _TRACESTATE_CHARS:
        trace["tracestate"] = state
    return trace
