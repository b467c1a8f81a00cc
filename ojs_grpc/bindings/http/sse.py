"""Streams of events as server-sent events, in the form that all SDKs can read.

A frame has one `data` line, which is a JSON object in ASCII, and ends with an empty line; lines end with LF alone.
"""

import json
from collections import deque
from collections.abc import Awaitable, Callable
from enum import Enum
from functools import lru_cache
from typing import Any, Final, NamedTuple

from ojs_grpc_pb.v1.events_pb2 import Event

from ojs_grpc.bindings.http.route import Chunks
from ojs_grpc.codec.event import render_event
from ojs_grpc.core.event_rendering import GAP, KEEPALIVE
from ojs_grpc.errors import ServerStopping
from ojs_grpc.operations.event_filters import Filters
from ojs_grpc.operations.events import Events, EventStream, Polled

STATE_CHANGED: Final = "job.state_changed"
KEEPALIVE_SECONDS: Final = 10.0
HEAD: Final = b"retry: 3000\n\n"
"""What a stream begins with."""
HEARTBEAT: Final = b":heartbeat\n\n"
"""What it says when it has had nothing to say for long."""

ENDS: Final = frozenset({"job.completed", "job.cancelled", "job.discarded", "job.expired"})
"""Events that may be the last ones of a job."""

STATE_CHANGES: Final = frozenset(
    {"job.enqueued", "job.scheduled", "job.started", "job.retrying", "dead_letter.retried", *ENDS}
)

_FROM = {
    "job.started": "available",
    "job.completed": "active",
    "job.retrying": "active",
    "job.discarded": "active",
    "dead_letter.retried": "discarded",
}
# Readers with a fixed buffer stop at a longer line.
_MAX_LINE_BYTES = 60_000
_COPIED = ("job_id", "job_type", "queue", "workflow_id", "worker_id", "state", "attempt")


class Naming(Enum):
    """How events are named: each by its own type, or all changes of a job's state alike."""

    TYPES = "types"
    STATES = "states"


class Told(NamedTuple):
    """An event as it is sent, and its own type."""

    type: str
    frame: bytes


async def _never(_: Told) -> bool:
    return False


async def open_events(events: Events, filters: Filters, after: str = "") -> EventStream:
    """A stream that has found its place, so that the caller hears of all that it does from now on.

    Raises:
        OJSError: as `Events.subscribe`, or the store failed.
    """
    stream = events.subscribe(filters, after, KEEPALIVE_SECONDS)
    try:
        await stream.begin()
    except BaseException:
        stream.close()
        raise
    return stream


class Frames(Chunks):
    """The frames of an open stream of events. Close it.

    Args:
        channel: how the caller names what it reads, repeated where some of it was lost.
        wanted: types of events to send; None for all.
        is_last: whether a stream ends with an event.
    """

    def __init__(
        self,
        events: EventStream,
        naming: Naming,
        channel: str,
        wanted: frozenset[str] | None = None,
        is_last: Callable[[Told], Awaitable[bool]] = _never,
    ) -> None:
        self._events = events
        self._naming = naming
        self._channel = channel
        self._wanted = wanted
        self._is_last = is_last
        self._begun = False
        self._ended = False

    async def __anext__(self) -> bytes:
        if not self._begun:
            self._begun = True
            return HEAD
        while not self._ended:
            try:
                told = tell(await anext(self._events), self._naming, self._channel)
            except ServerStopping:
                self._ended = True
                return SHUTDOWN
            self._ended = told.type in ENDS and await self._is_last(told)
            if self._wanted is None or told.type in self._wanted or told.type in {KEEPALIVE, GAP}:
                return told.frame
        raise StopAsyncIteration

    async def aclose(self) -> None:
        """Ends the stream. May be called twice."""
        self._ended = True
        self._events.close()


class Replay(Chunks):
    """Frames of what stands in the log already.

    Args:
        poll: reads on in the log, from a cursor.
        after: where to begin.
    """

    def __init__(
        self,
        poll: Callable[[str], Awaitable[Polled]],
        after: str,
        naming: Naming,
        channel: str,
        wanted: frozenset[str] | None = None,
    ) -> None:
        self._poll = poll
        self._cursor = after
        self._naming = naming
        self._channel = channel
        self._wanted = wanted
        self._waiting = deque([HEAD])
        self._more = True

    async def __anext__(self) -> bytes:
        while not self._waiting and self._more:
            page = await self._poll(self._cursor)
            self._cursor, self._more = page.cursor, page.more
            found = [tell(message, self._naming, self._channel) for message in page.events]
            self._waiting += [told.frame for told in found if self._wanted is None or told.type in self._wanted]
        if not self._waiting:
            raise StopAsyncIteration
        return self._waiting.popleft()

    async def aclose(self) -> None:
        """Nothing is open."""


class Single(Chunks):
    """One frame."""

    def __init__(self, sent: bytes) -> None:
        self._waiting = deque([HEAD, sent])

    async def __anext__(self) -> bytes:
        if not self._waiting:
            raise StopAsyncIteration
        return self._waiting.popleft()

    async def aclose(self) -> None:
        """Nothing is open."""


def frame(name: str, document: dict[str, Any], id: str = "") -> bytes:
    """One frame."""
    head = f"id: {id}\n" if id else ""
    return f"{head}event: {name}\ndata: {_encode(document)}\n\n".encode("ascii")


_encode = json.JSONEncoder(ensure_ascii=True, separators=(",", ":"), check_circular=False, allow_nan=False).encode

SHUTDOWN: Final = frame("server.shutdown", {"reason": "the server is stopping", "grace_period_ms": 0})
"""What a stream says last when the server stops."""


# Whoever listens gets the same bytes of an event.
@lru_cache(maxsize=64)
def tell(message: bytes, naming: Naming, channel: str) -> Told:
    """A serialised `ojs.v1.Event` as it is sent.

    The data are the event as polls give it, with the members that readers look for at the top beside. Where events are
    named by states, `type` is the job's type instead of the event's.
    """
    event = Event.FromString(message)
    if event.type == KEEPALIVE:
        return Told(KEEPALIVE, HEARTBEAT)
    document = render_event(event)
    if event.type == GAP:
        return Told(GAP, _dropped(document, channel))
    _flatten(document)
    name = event.type
    if naming is Naming.STATES:
        document["type"] = document.get("job_type", "")
        name = STATE_CHANGED if event.type in STATE_CHANGES else event.type
    sent = frame(name, document, event.id)
    if len(sent) > _MAX_LINE_BYTES:
        for large in ("result", "error", "last_error", "stack_trace"):
            document["data"].pop(large, None)
        sent = frame(name, {**document, "truncated": True}, event.id)
    return Told(event.type, sent)


def _flatten(document: dict[str, Any]) -> None:
    """Copies what readers look for to the top."""
    data = document["data"]
    document |= {name: data[name] for name in _COPIED if name in data}
    document["event"], document["timestamp"] = document["type"], document["time"]
    if document["type"] in STATE_CHANGES:
        document["to"] = data["state"]
        if before := _FROM.get(document["type"]):
            document["from"] = before
        elif document["type"] == "job.enqueued" and "scheduled_at" in data:
            document["from"] = "scheduled"
    if "progress_percent" in data:
        document["progress"] = int(data["progress_percent"])
    if "progress_message" in data:
        document["message"] = data["progress_message"]


def _dropped(document: dict[str, Any], channel: str) -> bytes:
    missed = document["data"]["missed"]
    told = {"channel": channel, "dropped_count": missed, "timestamp": document["time"]}
    if after := document["data"].get("after"):
        told["after"] = after
    return f":events-dropped {missed}\n\n".encode() + frame("system.events_dropped", told)
