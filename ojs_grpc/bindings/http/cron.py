"""Cron entries: register, list, get, enable or disable, unregister."""

from functools import partial
from typing import Any

from ojs_grpc_pb.v1.service_pb2 import CronEntry

from ojs_grpc.bindings.http.call import Call
from ojs_grpc.bindings.http.pagination import Paging, pagination, read_page, read_paging
from ojs_grpc.bindings.http.route import Answer, Body, Route
from ojs_grpc.codec.cron import name_cron_fields, read_cron, render_cron
from ojs_grpc.codec.members import Members
from ojs_grpc.core.envelope import DEFAULT_QUEUE
from ojs_grpc.errors import InvalidRequest
from ojs_grpc.operations.engine import Engine
from ojs_grpc.stores.ports import Page


class CronHandlers:
    """Endpoints on cron entries. Clients and the official suite have different names for one, so answers have both."""

    def __init__(self, engine: Engine) -> None:
        self._crons = engine.crons

    def routes(self) -> list[Route]:
        """Those of the spec, and what the admin UI and the command line ask for besides."""
        return [
            Route("POST", "/ojs/v1/cron", self.register, Body.REQUIRED),
            Route("GET", "/ojs/v1/cron", self.list),
            Route("GET", "/ojs/v1/cron/{name}", self.get),
            Route("PATCH", "/ojs/v1/cron/{name}", self.set_enabled, Body.REQUIRED),
            Route("DELETE", "/ojs/v1/cron/{name}", self.unregister),
            Route("POST", "/ojs/v1/cron/{name}/pause", self.pause, Body.OPTIONAL),
            Route("POST", "/ojs/v1/cron/{name}/resume", self.resume, Body.OPTIONAL),
            Route("GET", "/ojs/v1/crons", self.list_items),
            Route("GET", "/ojs/v1/crons/{name}", self.get_item),
            Route("PATCH", "/ojs/v1/crons/{name}", self.set_item_enabled, Body.REQUIRED),
            Route("DELETE", "/ojs/v1/crons/{name}", self.unregister),
        ]

    async def register(self, call: Call) -> Answer:
        """Adds an entry; 200 if it replaces one."""
        request = read_cron(call.document, call.now)
        try:
            entry, created = await self._crons.register(request)
        except InvalidRequest as error:
            raise name_cron_fields(error, call.document) from None
        return _answer(entry, 201 if created else 200)

    async def list(self, call: Call) -> Answer:
        """Entries by name; all, or those that are enabled or not."""
        page, paging = await self._page(call)
        entries = [render_cron(entry) for entry in page.rows]
        document = {"crons": entries, "cron_jobs": entries, "count": len(entries)}
        return Answer(document | _paged(page, paging))

    async def get(self, call: Call) -> Answer:
        """An entry."""
        return _answer(await self._crons.get(call.path["name"]))

    async def set_enabled(self, call: Call) -> Answer:
        """Enables or disables an entry; nothing else can be changed but by registering it again."""
        return _answer(await self._crons.set_enabled(call.path["name"], enabled=_read_enabled(call.document)))

    async def pause(self, call: Call) -> Answer:
        """Disables an entry."""
        return _answer(await self._crons.set_enabled(call.path["name"], enabled=False))

    async def resume(self, call: Call) -> Answer:
        """Enables it again."""
        return _answer(await self._crons.set_enabled(call.path["name"], enabled=True))

    async def list_items(self, call: Call) -> Answer:
        """Entries as the admin UI reads them."""
        page, paging = await self._page(call)
        return Answer({"items": [_render_item(entry) for entry in page.rows]} | _paged(page, paging))

    async def get_item(self, call: Call) -> Answer:
        """One of them."""
        return Answer(_render_item(await self._crons.get(call.path["name"])))

    async def set_item_enabled(self, call: Call) -> Answer:
        """As `set_enabled`."""
        enabled = _read_enabled(call.document)
        return Answer(_render_item(await self._crons.set_enabled(call.path["name"], enabled=enabled)))

    async def unregister(self, call: Call) -> Answer:
        """Removes an entry, as it was."""
        entry = render_cron(await self._crons.unregister(call.path["name"]))
        return Answer({"cron": entry, "cron_job": entry, "deleted": True, "name": entry["name"]})

    async def _page(self, call: Call) -> tuple[Page[CronEntry], Paging]:
        paging = read_paging(call)
        return await read_page(paging, partial(self._crons.page, enabled=call.query.truth("enabled"))), paging


def _read_enabled(document: dict[str, Any]) -> bool:
    members = Members(document)
    enabled = members.truth("enabled")
    if not members.name_of("enabled"):
        members.refuse("enabled", "is required")
    for name in sorted(document.keys() - {"enabled"}):
        members.refuse(name, "cannot be changed here: register the entry again")
    members.finish()
    return bool(enabled)


def _paged(page: Page[CronEntry], paging: Paging) -> dict[str, Any]:
    """What every list of entries says of its place in all of them."""
    more, cursor = bool(page.next_cursor), page.next_cursor
    return {
        "total": page.total,
        "pagination": pagination(page.total, has_more=more, next_cursor=cursor, paging=paging),
    }


def _render_item(entry: CronEntry) -> dict[str, Any]:
    """An entry as the admin UI reads it."""
    document = render_cron(entry)
    queue = document.get("options", {}).get("queue", DEFAULT_QUEUE)
    return {**document, "id": entry.name, "schedule": entry.cron, "queue": queue}


def _answer(entry: CronEntry, status: int = 200) -> Answer:
    """An answer with one entry; the command line looks for its members at the top."""
    document = render_cron(entry)
    return Answer({**document, "cron": document, "cron_job": document}, status)
