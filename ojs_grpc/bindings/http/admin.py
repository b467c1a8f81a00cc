"""What operators see and do, for the admin UI and the command line (behaviour section 20)."""

from collections.abc import Sequence
from typing import Any

from ojs_grpc.bindings.http.admin_documents import (
    render_bulk,
    render_counts,
    render_detail,
    render_history,
    render_item,
    render_overview,
    render_queue,
    render_worker,
    render_workers,
)
from ojs_grpc.bindings.http.admin_search import read_filter, read_query, read_states
from ojs_grpc.bindings.http.call import Call
from ojs_grpc.bindings.http.pagination import Paging, read_paging
from ojs_grpc.bindings.http.route import Answer, Body, Route
from ojs_grpc.codec.members import Members
from ojs_grpc.codec.times import time_text
from ojs_grpc.core import states
from ojs_grpc.errors import InvalidRequest, Violation
from ojs_grpc.operations.bulk import Bulk
from ojs_grpc.operations.engine import Engine
from ojs_grpc.operations.search import Search

_PREFIX = "/ojs/v1/admin"
_PER_PAGE = 20
_MOST_PER_PAGE = 100
_PERIODS = {"1m": 1, "5m": 5, "1h": 60}


class AdminHandlers:
    """Endpoints for operators."""

    def __init__(self, engine: Engine) -> None:
        self._admin = engine.admin
        self._jobs = engine.jobs
        self._queues = engine.queues
        self._dead_letters = engine.dead_letters

    def routes(self) -> list[Route]:
        """Those that the admin UI and the command line of the spec's project call, as far as we have what they show."""
        return [
            Route("GET", f"{_PREFIX}/stats", self.stats),
            Route("GET", f"{_PREFIX}/stats/history", self.history),
            Route("GET", f"{_PREFIX}/queues", self.queues),
            Route("GET", f"{_PREFIX}/queues/{{name}}", self.queue),
            Route("POST", f"{_PREFIX}/queues/{{name}}/pause", self.pause, Body.OPTIONAL),
            Route("POST", f"{_PREFIX}/queues/{{name}}/resume", self.resume, Body.OPTIONAL),
            Route("GET", f"{_PREFIX}/jobs", self.jobs),
            Route("POST", f"{_PREFIX}/jobs/bulk/retry", self.retry_all, Body.OPTIONAL),
            Route("POST", f"{_PREFIX}/jobs/bulk/cancel", self.cancel_all, Body.OPTIONAL),
            Route("POST", f"{_PREFIX}/jobs/bulk/delete", self.delete_all, Body.OPTIONAL),
            Route("DELETE", f"{_PREFIX}/queues/{{name}}/jobs", self.purge, Body.OPTIONAL),
            Route("GET", f"{_PREFIX}/jobs/{{id}}", self.job),
            Route("POST", f"{_PREFIX}/jobs/{{id}}/retry", self.retry, Body.OPTIONAL),
            Route("POST", f"{_PREFIX}/jobs/{{id}}/cancel", self.cancel, Body.OPTIONAL),
            Route("GET", f"{_PREFIX}/workers", self.workers),
            Route("GET", f"{_PREFIX}/workers/{{id}}", self.worker),
            Route("GET", f"{_PREFIX}/dead-letter", self.dead_letters),
            Route("DELETE", f"{_PREFIX}/dead-letter", self.delete_all_dead, Body.OPTIONAL),
            Route("GET", f"{_PREFIX}/dead-letter/stats", self.dead_letter_stats),
            Route("POST", f"{_PREFIX}/dead-letter/retry", self.retry_all_dead, Body.OPTIONAL),
            Route("POST", f"{_PREFIX}/dead-letter/{{id}}/retry", self.retry_dead, Body.OPTIONAL),
            Route("DELETE", f"{_PREFIX}/dead-letter/{{id}}", self.delete_dead),
            Route("GET", "/ojs/v1/jobs", self.list_jobs),
            Route("POST", "/ojs/v1/jobs/bulk/retry", self.retry_some, Body.OPTIONAL),
            Route("POST", "/ojs/v1/jobs/bulk/cancel", self.cancel_some, Body.OPTIONAL),
            Route("POST", "/ojs/v1/jobs/bulk/delete", self.delete_some, Body.OPTIONAL),
            Route("POST", "/ojs/v1/queues/{name}/purge", self.purge_some, Body.OPTIONAL),
            Route("GET", "/ojs/v1/dead-letter/stats", self.dead_letter_stats),
            Route("POST", "/ojs/v1/dead-letter/purge", self.purge_dead, Body.OPTIONAL),
        ]

    async def stats(self, call: Call) -> Answer:
        """Everything together, or one queue."""
        overview = await self._admin.overview(call.query.text("queue"))
        return Answer(render_overview(overview, detail=bool(call.query.truth("detail"))))

    async def history(self, call: Call) -> Answer:
        """The last hour, in steps."""
        period = call.query.text("period", "1h")
        if period not in _PERIODS:
            raise InvalidRequest([Violation("period", f"must be one of {', '.join(_PERIODS)}")])
        minutes = await self._admin.history(call.query.text("queue"))
        return Answer(render_history(period, _PERIODS[period], minutes))

    async def queues(self, call: Call) -> Answer:
        """All queues with their counts, by name."""
        paging = _read_paging(call)
        queues = await self._admin.queues()
        some = queues[paging.offset : paging.offset + paging.limit]
        items = [render_queue(counts, call.now) for counts in some]
        return Answer(_page(items, len(queues), paging))

    async def queue(self, call: Call) -> Answer:
        """One of them."""
        return Answer(render_queue(await self._admin.queue(call.path["name"]), call.now))

    async def pause(self, call: Call) -> Answer:
        """Stops delivery from a queue."""
        name = call.path["name"]
        await self._queues.pause(name)
        return Answer({"name": name, "state": "paused", "paused": True, "paused_at": time_text(call.now)})

    async def resume(self, call: Call) -> Answer:
        """Starts it again."""
        name = call.path["name"]
        await self._queues.resume(name)
        return Answer({"name": name, "state": "active", "paused": False, "resumed_at": time_text(call.now)})

    async def jobs(self, call: Call) -> Answer:
        """Jobs in short, state by state."""
        return Answer(await self._list(call, read_query(call.query)))

    async def list_jobs(self, call: Call) -> Answer:
        """The same for those who are no operators by path, under the name that lists of jobs have there."""
        document = await self._list(call, read_query(call.query))
        return Answer({"jobs": document["items"], "total": document["total"], "pagination": document["pagination"]})

    async def job(self, call: Call) -> Answer:
        """One job, whole."""
        return Answer(render_detail(await self._jobs.get(call.path["id"])))

    async def retry(self, call: Call) -> Answer:
        """Makes a discarded job available again."""
        return Answer(render_detail(await self._dead_letters.revive(call.path["id"])))

    async def cancel(self, call: Call) -> Answer:
        """Cancels a job; the body may say why."""
        members = Members(call.document)
        reason = members.text("reason") or ""
        members.finish()
        return Answer(render_detail((await self._jobs.cancel(call.path["id"], reason)).job))

    async def retry_all(self, call: Call) -> Answer:
        """Retries all discarded jobs of a filter, if that is confirmed."""
        return Answer(render_bulk("retry", "retried", await self._admin.bulk.retry_all(_confirmed(call))))

    async def cancel_all(self, call: Call) -> Answer:
        """Cancels all jobs of a filter that are not finished, if that is confirmed."""
        return Answer(render_bulk("cancel", "cancelled", await self._admin.bulk.cancel_all(_confirmed(call))))

    async def retry_some(self, call: Call) -> Answer:
        """As `retry_all`, for a caller who confirms nothing but names jobs or a filter."""
        ids, search = _said(call)
        bulk = await (self._admin.bulk.retry_all(search) if ids is None else self._admin.bulk.retry_each(ids))
        return Answer(render_bulk("retry", "retried", bulk))

    async def cancel_some(self, call: Call) -> Answer:
        """As `cancel_all`, for a caller who confirms nothing but names jobs or a filter."""
        ids, search = _said(call)
        bulk = await (self._admin.bulk.cancel_all(search) if ids is None else self._admin.bulk.cancel_each(ids))
        return Answer(render_bulk("cancel", "cancelled", bulk))

    async def delete_all(self, call: Call) -> Answer:
        """Deletes all finished jobs of a filter, if that is confirmed."""
        return Answer(render_bulk("delete", "deleted", await self._admin.bulk.delete_all(_confirmed(call))))

    async def delete_some(self, call: Call) -> Answer:
        """As `delete_all`, for a caller who confirms nothing but names jobs or a filter."""
        ids, search = _said(call)
        bulk = await (self._admin.bulk.delete_all(search) if ids is None else self._admin.bulk.delete_each(ids))
        return Answer(render_bulk("delete", "deleted", bulk))

    async def purge(self, call: Call) -> Answer:
        """Deletes finished jobs of a queue, in some states or in all, if that is confirmed."""
        _check_confirmed(call)
        wanted, bulk = await self._purge(call)
        return Answer({**render_bulk("delete", "deleted", bulk), "purged_count": bulk.succeeded, "states": wanted})

    async def purge_some(self, call: Call) -> Answer:
        """As `purge`, for a caller who confirms nothing."""
        wanted, bulk = await self._purge(call)
        return Answer({**render_bulk("delete", "deleted", bulk), "states": wanted})

    async def _purge(self, call: Call) -> tuple[list[str], Bulk]:
        wanted = read_states(call.document)
        search = read_filter({"older_than": call.document.get("older_than"), "queue": call.path["name"]}, call.now)
        return [states.state_name(state) for state in wanted], await self._admin.bulk.delete_all(search, wanted)

    async def workers(self, call: Call) -> Answer:
        """All workers, by id."""
        paging = _read_paging(call)
        workers = await self._admin.workers()
        some = workers[paging.offset : paging.offset + paging.limit]
        document = _page([render_worker(worker) for worker in some], len(workers), paging)
        return Answer({**document, "summary": render_workers(workers)})

    async def worker(self, call: Call) -> Answer:
        """One of them."""
        return Answer(render_worker(await self._admin.worker(call.path["id"])))

    async def dead_letters(self, call: Call) -> Answer:
        """Dead letters in short, by queue, the latest first."""
        return Answer(await self._list(call, read_query(call.query, dead=True)))

    async def dead_letter_stats(self, _: Call) -> Answer:
        """Dead letters in figures."""
        return Answer(render_counts(await self._admin.dead_letter_stats()))

    async def retry_dead(self, call: Call) -> Answer:
        """Makes a dead letter available again."""
        return Answer(render_detail(await self._dead_letters.retry(call.path["id"])))

    async def delete_dead(self, call: Call) -> Answer:
        """Deletes a dead letter."""
        await self._dead_letters.delete(call.path["id"])
        return Answer(b"", 204)

    async def retry_all_dead(self, call: Call) -> Answer:
        """Retries all dead letters of a filter, if that is confirmed."""
        return Answer(render_bulk("retry", "retried", await self._admin.bulk.retry_dead(_confirmed(call, dead=True))))

    async def delete_all_dead(self, call: Call) -> Answer:
        """Deletes all dead letters of a filter, if that is confirmed."""
        bulk = await self._admin.bulk.delete_dead(_confirmed(call, dead=True))
        return Answer({**render_bulk("delete", "deleted", bulk), "purged_count": bulk.succeeded})

    async def purge_dead(self, call: Call) -> Answer:
        """Deletes all dead letters, or those older than the query says."""
        bulk = await self._admin.bulk.delete_dead(read_query(call.query, now=call.now, dead=True))
        return Answer(render_bulk("delete", "deleted", bulk))

    async def _list(self, call: Call, search: Search) -> dict[str, Any]:
        paging = _read_paging(call)
        found = await self._admin.finder.page(search, paging.offset, paging.limit)
        return _page([render_item(job) for job in found.jobs], found.total, paging, more=found.more)


def _read_paging(call: Call) -> Paging:
    return read_paging(call, _PER_PAGE, _MOST_PER_PAGE)


def _page(items: Sequence[Any], total: int, paging: Paging, *, more: bool | None = None) -> dict[str, Any]:
    """A list as the admin UI reads it, by pages."""
    has_more = paging.offset + len(items) < total if more is None else more
    page = {
        "total": total,
        "page": paging.offset // paging.limit + 1,
        "per_page": paging.limit,
        "limit": paging.limit,
        "offset": paging.offset,
        "has_more": has_more,
    }
    return {"items": items, "total": total, "pagination": page}


def _confirmed(call: Call, *, dead: bool = False) -> Search:
    """What a bulk change is about.

    Raises:
        InvalidRequest: it is not confirmed, or the filter breaks a rule.
    """
    _check_confirmed(call)
    return read_filter(call.document, call.now, dead=dead)


def _check_confirmed(call: Call) -> None:
    if call.document.get("confirm") is not True:
        raise InvalidRequest([Violation("confirm", "must be true, because this changes many jobs")])


def _said(call: Call) -> tuple[list[str] | None, Search]:
    """The jobs that a bulk change names, or its filter.

    Raises:
        InvalidRequest: it says neither, or breaks a rule.
    """
    members = Members(call.document)
    ids = members.texts("job_ids")
    members.finish()
    if ids is None and not members.name_of("filter"):
        raise InvalidRequest([Violation("filter", "is required, unless there are job_ids")])
    return ids, read_filter(call.document, call.now) if ids is None else Search(state=states.DISCARDED)
