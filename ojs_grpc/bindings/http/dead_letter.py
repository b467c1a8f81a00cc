"""Dead letters: list, get, retry, delete."""

from functools import partial
from typing import Any

from ojs_grpc.bindings.http.call import Call
from ojs_grpc.bindings.http.job_document import render_for
from ojs_grpc.bindings.http.pagination import pagination, read_page, read_paging
from ojs_grpc.bindings.http.route import Answer, Body, Route
from ojs_grpc.operations.engine import Engine


class DeadLetterHandlers:
    """Endpoints on dead letters."""

    def __init__(self, engine: Engine) -> None:
        self._dead_letters = engine.dead_letters

    def routes(self) -> list[Route]:
        """Those of the spec."""
        return [
            Route("GET", "/ojs/v1/dead-letter", self.list),
            Route("GET", "/ojs/v1/dead-letter/{id}", self.get),
            Route("POST", "/ojs/v1/dead-letter/{id}/retry", self.retry, Body.OPTIONAL),
            Route("DELETE", "/ojs/v1/dead-letter/{id}", self.delete),
        ]

    async def list(self, call: Call) -> Answer:
        """Those of a queue, or of all, oldest first within a queue."""
        paging = read_paging(call)
        page = await read_page(paging, partial(self._dead_letters.list, call.query.text("queue")))
        more, cursor = bool(page.next_cursor), page.next_cursor
        return Answer(
            {
                "jobs": [_render(call, job) for job in page.rows],
                "total": page.total,
                "pagination": pagination(page.total, has_more=more, next_cursor=cursor, paging=paging),
            }
        )

    async def get(self, call: Call) -> Answer:
        """One of them."""
        return Answer({"job": _render(call, await self._dead_letters.get(call.path["id"]))})

    async def retry(self, call: Call) -> Answer:
        """Makes it available again."""
        job = render_for(call, await self._dead_letters.retry(call.path["id"]))
        return Answer({"job": {**job, "re_enqueued_at": job["enqueued_at"]}})

    async def delete(self, call: Call) -> Answer:
        """Removes it for good."""
        job_id = call.path["id"]
        await self._dead_letters.delete(job_id)
        return Answer({"deleted": True, "id": job_id, "job_id": job_id})


def _render(call: Call, job: bytes) -> dict[str, Any]:
    document = render_for(call, job)
    if call.is_sdk:
        # As the SDK for JavaScript has it.
        document["total_attempts"] = document["attempt"]
    return document
