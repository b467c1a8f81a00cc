"""Progress: how far jobs are (behaviour section 17)."""

from collections import deque
from email.utils import formatdate
from typing import Any

from ojs_grpc_pb.v1.events_pb2 import Event

from ojs_grpc.bindings.http.call import Call
from ojs_grpc.bindings.http.holder import read_holder
from ojs_grpc.bindings.http.route import Answer, Body, Chunks, Route, Stream
from ojs_grpc.bindings.http.sse import HEAD, HEARTBEAT, SHUTDOWN, frame, open_events
from ojs_grpc.codec.members import Members
from ojs_grpc.codec.times import time_text
from ojs_grpc.core import states
from ojs_grpc.core.event_rendering import KEEPALIVE
from ojs_grpc.core.events import Kind
from ojs_grpc.errors import JobNotFound, ServerStopping
from ojs_grpc.operations.engine import Engine
from ojs_grpc.operations.event_filters import Filters
from ojs_grpc.operations.events import EventStream
from ojs_grpc.operations.progress import Progress, Report, View

_DIGITS = 12
_ENDS = {states.COMPLETED: "completed", states.CANCELLED: "cancelled", states.DISCARDED: "failed"}
_TOLD = frozenset(
    {Kind.JOB_PROGRESS, Kind.JOB_COMPLETED, Kind.JOB_CANCELLED, Kind.JOB_DISCARDED, Kind.JOB_EXPIRED}
)


class ProgressHandlers:
    """Endpoints on progress."""

    def __init__(self, engine: Engine) -> None:
        self._events = engine.events
        self._progress = engine.progress

    def routes(self) -> list[Route]:
        """The endpoints."""
        path = "/ojs/v1/jobs/{id}/progress"
        return [
            Route("PUT", path, self.report, Body.REQUIRED),
            Route("GET", path, self.get),
            Route("GET", f"{path}/stream", self.stream),
            Route("POST", "/ojs/v1/workers/progress", self.report_percentage, Body.REQUIRED),
        ]

    async def report(self, call: Call) -> Answer:
        """Keeps how far a job is, a number from 0 to 1; also a heartbeat of the job."""
        members = Members(call.document)
        fraction = members.number("progress")
        report = _read_report(members, fraction if fraction is not None else _percentage(members))
        holder = read_holder(members)
        members.finish()
        return _answer(await self._progress.report(call.path["id"], report, holder))

    async def report_percentage(self, call: Call) -> Answer:
        """The same in percent, as SDKs report it."""
        members = Members(call.document)
        job_id = members.required_text("job_id", "id")
        fraction = _percentage(members)
        report = _read_report(members, fraction if fraction is not None else members.number("progress"))
        holder = read_holder(members)
        members.finish()
        return _answer(await self._progress.report(job_id, report, holder))

    async def get(self, call: Call) -> Answer:
        """How far a job is."""
        return _answer(await self._progress.get(call.path["id"]))

    async def stream(self, call: Call) -> Stream:
        """How far a job is, whenever that changes, until it has ended."""
        job_id = call.path["id"]
        # Before the job is read: no change after that is missed.
        events = await open_events(self._events, Filters(kinds=_TOLD, job_id=job_id))
        try:
            view = await self._progress.get(job_id)
        except BaseException:
            events.close()
            raise
        return Stream(_Frames(events, self._progress, view))


class _Frames(Chunks):
    """Progress as it is reported, until the job has ended."""

    def __init__(self, events: EventStream, progress: Progress, view: View) -> None:
        self._events = events
        self._progress = progress
        self._job_id = view.job_id
        self._waiting = deque([HEAD, _frame(view)])
        self._ended = view.state in states.TERMINAL

    async def __anext__(self) -> bytes:
        if self._waiting:
            return self._waiting.popleft()
        if self._ended:
            raise StopAsyncIteration
        try:
            event = Event.FromString(await anext(self._events))
            if event.type == KEEPALIVE:
                return HEARTBEAT
            view = await self._progress.get(self._job_id)
        except ServerStopping:
            self._ended = True
            return SHUTDOWN
        except JobNotFound:
            raise StopAsyncIteration from None
        self._ended = view.state in states.TERMINAL
        return _frame(view)

    async def aclose(self) -> None:
        self._events.close()


def _frame(view: View) -> bytes:
    """How far a job is, as a frame; the last one has the name of how it ended."""
    document = {"progress": view.fraction, "data": view.data, "updated_at": time_text(view.updated_at)}
    if view.state not in _ENDS:
        return frame("progress", document)
    return frame(_ENDS[view.state], {**document, "state": states.state_name(view.state)})


def _percentage(members: Members) -> float | None:
    percentage = members.number("percentage")
    # 33.3 % are 0.333, and not the nearest double below.
    return None if percentage is None else round(percentage / 100, _DIGITS)


def _read_report(members: Members, fraction: float | None) -> Report:
    return Report(fraction, members.text("message"), members.object("data"), members.object("checkpoint"))


def _answer(view: View) -> Answer:
    document: dict[str, Any] = {
        "job_id": view.job_id,
        "state": states.state_name(view.state),
        "progress": view.fraction,
        "data": view.data,
        "updated_at": time_text(view.updated_at),
    }
    if view.message is not None:
        document["message"] = view.message
    headers = [
        (b"cache-control", b"no-cache"),
        (b"last-modified", formatdate(view.updated_at / 1000, usegmt=True).encode()),
    ]
    if view.fraction is not None:
        headers.append((b"x-ojs-progress", str(view.fraction).encode()))
    return Answer(document, 200, headers)
