"""Results of jobs, and waiting for them (behaviour section 9)."""

import asyncio
from typing import Any

from ojs_grpc_pb.v1.job_pb2 import Job

from ojs_grpc.bindings.http.call import Call
from ojs_grpc.bindings.http.route import Answer, Route
from ojs_grpc.bindings.http.sse import open_events
from ojs_grpc.bindings.http.status import StillWaiting
from ojs_grpc.codec.job import render_job
from ojs_grpc.core import states
from ojs_grpc.core.events import Kind
from ojs_grpc.operations.engine import Engine
from ojs_grpc.operations.event_filters import Filters

# Clients give up after 30 s.
_MOST_SECONDS = 25
_MOST = 10**9
_ENDS = frozenset({Kind.JOB_COMPLETED, Kind.JOB_CANCELLED, Kind.JOB_DISCARDED, Kind.JOB_EXPIRED})
_MEMBERS = ("state", "result", "error", "completed_at")


class ResultsHandlers:
    """Endpoints on results."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def routes(self) -> list[Route]:
        """What the admin UI and the command line ask for."""
        return [Route("GET", "/ojs/v1/jobs/{id}/result", self.get)]

    async def get(self, call: Call) -> Answer:
        """What a job resulted in so far; with `wait`, answers when it has ended, or `timeout` seconds have passed."""
        job_id = call.path["id"]
        if call.query.truth("wait"):
            seconds = min(call.query.whole("timeout", _MOST_SECONDS, 0, _MOST), _MOST_SECONDS)
            job = await call.unless_gone(self._await_end(job_id, seconds))
        else:
            job = await self._engine.jobs.get(job_id)
        document = render_job(job)
        found: dict[str, Any] = {name: document[name] for name in _MEMBERS if name in document}
        return Answer({"job_id": job_id, **found})

    async def _await_end(self, job_id: str, seconds: int) -> bytes:
        # Before the job is read: no change after that is missed.
        events = await open_events(self._engine.events, Filters(kinds=_ENDS, job_id=job_id))
        try:
            async with asyncio.timeout(seconds):
                while True:
                    job = await self._engine.jobs.get(job_id)
                    if Job.FromString(job).state in states.TERMINAL:
                        return job
                    await anext(events)
        except TimeoutError:
            raise StillWaiting(job_id) from None
        finally:
            events.close()
