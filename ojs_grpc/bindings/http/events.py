"""Events, polled and streamed (behaviour section 18, wire section 1.3)."""

import asyncio
from collections.abc import Awaitable, Sequence
from typing import Any

from ojs_grpc_pb.v1.job_pb2 import Job

from ojs_grpc.bindings.http.call import Call, Query
from ojs_grpc.bindings.http.route import Answer, Route, Stream
from ojs_grpc.bindings.http.sse import (
    STATE_CHANGED,
    STATE_CHANGES,
    Frames,
    Naming,
    Replay,
    Single,
    Told,
    frame,
    open_events,
)
from ojs_grpc.codec.event import render_event
from ojs_grpc.codec.times import time_text
from ojs_grpc.core import states
from ojs_grpc.core.events import kinds_of, name_of, parse_id
from ojs_grpc.errors import InvalidRequest, JobNotFound, Violation
from ojs_grpc.operations.bookmark import event_in
from ojs_grpc.operations.engine import Engine
from ojs_grpc.operations.event_filters import Filters, read_filters
from ojs_grpc.operations.events import Polled

_DEFAULT_LIMIT = 100
_MAX_LIMIT = 1000
_MOST = 10**9
# To render so many takes a few milliseconds, in which nobody else gets a turn.
_SLICE = 100


class EventsHandlers:
    """Endpoints on events."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._limits = engine.defaults.limits

    def routes(self) -> list[Route]:
        """The endpoints."""
        return [
            Route("GET", "/ojs/v1/events", self.poll),
            Route("GET", "/ojs/v1/events/stream", self.stream),
            Route("GET", "/ojs/v1/jobs/{id}/events", self.stream_job),
            Route("GET", "/ojs/v1/queues/{name}/events", self.stream_queue),
        ]

    async def poll(self, call: Call) -> Answer:
        """A page of the log."""
        limit = min(call.query.whole("limit", 0, 0, _MOST) or _DEFAULT_LIMIT, _MAX_LIMIT)
        page = await self._engine.events.poll(self._filters(call.query), call.query.text("after"), limit)
        events: list[dict[str, Any]] = []
        for start in range(0, len(page.events), _SLICE):
            events += map(render_event, page.events[start : start + _SLICE])
            await asyncio.sleep(0)
        document: dict[str, Any] = {"events": events, "has_more": page.more}
        return Answer({**document, "cursor": page.cursor} if page.cursor else document)

    async def stream(self, call: Call) -> Stream:
        """What happens, as it happens."""
        channel = call.query.text("channel", "all")
        kind, _, name = channel.partition(":")
        if kind == "job" and name:
            await self._engine.jobs.get(name)
            filters = self._filters(call.query, job_id=name)
        elif kind == "queue" and name:
            filters = self._filters(call.query, queue=name)
        elif channel == "all":
            filters = self._filters(call.query)
        else:
            raise InvalidRequest([Violation("channel", "must be all, job:<id> or queue:<name>")])
        events = await open_events(self._engine.events, filters, _after(call))
        return Stream(Frames(events, _naming(call.query, Naming.TYPES), channel))

    async def stream_job(self, call: Call) -> Stream:
        """What happens to a job, until it has ended."""
        job_id = call.path["id"]
        wanted = _wanted(call.query)
        naming = _naming(call.query, Naming.STATES)
        after = _after(call)
        channel = f"job:{job_id}"
        # Before the job is read: no change after that is missed.
        events = await open_events(self._engine.events, Filters(job_id=job_id), after)
        try:
            job = Job.FromString(await self._engine.jobs.get(job_id))
        except BaseException:
            events.close()
            raise
        if job.state not in states.TERMINAL:
            return Stream(Frames(events, naming, channel, wanted, _IsOver(self._engine, job_id)))
        events.close()
        if not after:
            return Stream(Single(_present(job, call.now)))

        def poll(cursor: str) -> Awaitable[Polled]:
            return self._engine.events.poll(Filters(job_id=job_id), cursor, _DEFAULT_LIMIT)

        return Stream(Replay(poll, after, naming, channel, wanted))

    async def stream_queue(self, call: Call) -> Stream:
        """What happens to a queue and its jobs."""
        queue = call.path["name"]
        await self._engine.events.check_queue(queue, self._limits)
        events = await open_events(self._engine.events, self._filters(call.query, queue=queue), _after(call))
        return Stream(Frames(events, _naming(call.query, Naming.STATES), f"queue:{queue}"))

    def _filters(self, query: Query, queue: str = "", job_id: str = "") -> Filters:
        """What the query asks for, within one queue or one job if it is named."""
        queues = [queue] if queue else [*query.texts("queues"), *query.texts("queue")]
        job_id = job_id or query.text("job_id")
        types = _types(query)
        workflow_id = query.text("workflow_id")
        return read_filters(queues, types, job_id, workflow_id, self._limits, query.texts("job_types"))


class _IsOver:
    """Whether an event is the last one of a job: a dead letter that was retried has ended more than once."""

    def __init__(self, engine: Engine, job_id: str) -> None:
        self._engine = engine
        self._job_id = job_id

    async def __call__(self, _: Told) -> bool:
        try:
            job = Job.FromString(await self._engine.jobs.get(self._job_id))
        except JobNotFound:
            return True
        return job.state in states.TERMINAL


def _types(query: Query) -> Sequence[str]:
    """The types of events that a query asks for, changes of state one by one."""
    named = [*query.texts("types"), *query.texts("event_types")]
    if STATE_CHANGED not in named:
        return named
    return [*(name for name in named if name != STATE_CHANGED), *sorted(STATE_CHANGES)]


def _wanted(query: Query) -> frozenset[str] | None:
    """The same, patterns resolved; None for all."""
    types = _types(query)
    return frozenset(name_of(kind) for name in types for kind in kinds_of(name)) if types else None


def _naming(query: Query, default: Naming) -> Naming:
    """Who asks for types of events by name gets them by name."""
    named = [*query.texts("types"), *query.texts("event_types")]
    if not named:
        return default
    return Naming.STATES if STATE_CHANGED in named else Naming.TYPES


def _after(call: Call) -> str:
    """The event after which a stream goes on; what a header says wrong is overlooked, as streams are opened again."""
    last = call.header("last-event-id")
    if last:
        try:
            parse_id(last)
        except ValueError:
            return ""
        return last
    return event_in(call.query.text("after"))


def _present(job: Job, now: int) -> bytes:
    """What there is to say of a job that is not going to change."""
    state = states.state_name(job.state)
    document = {
        "job_id": job.id,
        "queue": job.queue,
        "type": job.type,
        "from": state,
        "to": state,
        "state": state,
        "timestamp": time_text(now),
        "event": STATE_CHANGED,
    }
    return frame(STATE_CHANGED, document)
