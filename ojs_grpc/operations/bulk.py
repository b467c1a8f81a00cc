"""Changes of many jobs at once, by operators."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import replace
from typing import Final, NamedTuple

from ojs_grpc.core import states
from ojs_grpc.errors import InvalidRequest, OJSError, Violation
from ojs_grpc.operations.dead_letter import DeadLetters
from ojs_grpc.operations.jobs import Jobs
from ojs_grpc.operations.search import Finder, Search
from ojs_grpc.stores.ports import LISTED, Store

MOST_CHANGED: Final = 10_000
"""Jobs that one bulk change is about at most."""

_MOST_ERRORS = 100
# Changes of one bulk call under way at once, and deletions.
_AT_ONCE = 50
_DELETED_AT_ONCE = 100
# Pages of the store that one bulk call looks at: of a million jobs. What is searched for may come last.
_MOST_PAGES = 5000
_LIVING = [state for state in states.ALL if state not in states.TERMINAL]


class Bulk(NamedTuple):
    """What became of the jobs of a bulk change.

    Attributes:
        matched: how many there were, those beyond `MOST_CHANGED` left out.
        errors: of the first that failed, their ids and why.
        more: whether there may be others, for another bulk change.
    """

    matched: int
    succeeded: int
    failed: int
    errors: Sequence[tuple[str, str]]
    more: bool = False


class BulkChanges:
    """Changes of many jobs. Each job is changed for itself: some may fail, and others be changed."""

    def __init__(self, store: Store, finder: Finder, jobs: Jobs, dead_letters: DeadLetters) -> None:
        self._store = store
        self._finder = finder
        self._jobs = jobs
        self._dead_letters = dead_letters

    async def retry_all(self, search: Search) -> Bulk:
        """Retries what is found among discarded jobs.

        Raises:
            InvalidRequest: a bad queue name.
        """
        return await self._change(search, [states.DISCARDED], self._dead_letters.revive)

    async def cancel_all(self, search: Search) -> Bulk:
        """Cancels what is found among jobs that are not finished.

        Raises:
            InvalidRequest: a bad queue name.
        """
        return await self._change(search, _LIVING, self._jobs.cancel)

    async def retry_each(self, job_ids: Sequence[str]) -> Bulk:
        """Retries these jobs.

        Raises:
            InvalidRequest: there are more than `MOST_CHANGED`.
        """
        return await self._change_each(job_ids, self._dead_letters.revive)

    async def cancel_each(self, job_ids: Sequence[str]) -> Bulk:
        """Cancels these jobs.

        Raises:
            InvalidRequest: there are more than `MOST_CHANGED`.
        """
        return await self._change_each(job_ids, self._jobs.cancel)

    async def delete_all(self, search: Search, of_states: Iterable[int] = states.TERMINAL) -> Bulk:
        """Deletes what is found among finished jobs, or among those in some final states.

        Raises:
            InvalidRequest: a bad queue name.
        """
        ids, more = await self._find(search, [state for state in LISTED if state in of_states])
        return (await self.delete_each(ids))._replace(more=more)

    async def delete_each(self, job_ids: Sequence[str]) -> Bulk:
        """Deletes these jobs, as far as they are finished.

        Raises:
            InvalidRequest: there are more than `MOST_CHANGED`.
        """
        _check_number(job_ids)
        outcomes: list[str] = []
        for first in range(0, len(job_ids), _DELETED_AT_ONCE):
            portion = job_ids[first : first + _DELETED_AT_ONCE]
            deleted = await self._store.delete_finished(portion, self._store.clock.now())
            outcomes += ["" if done else "there is no such job, or it is not finished" for done in deleted]
            # Others have their turn: an embedded store answers at once.
            await asyncio.sleep(0)
        return _bulk(job_ids, outcomes)

    async def delete_dead(self, search: Search) -> Bulk:
        """Deletes what is found among dead letters.

        Raises:
            InvalidRequest: a bad queue name.
        """
        return await self._change(replace(search, dead=True), [states.DISCARDED], self._dead_letters.delete)

    async def retry_dead(self, search: Search) -> Bulk:
        """Retries what is found among dead letters.

        Raises:
            InvalidRequest: a bad queue name.
        """
        return await self._change(replace(search, dead=True), [states.DISCARDED], self._dead_letters.retry)

    async def _change(
        self, search: Search, allowed: Iterable[int], change: Callable[[str], Awaitable[object]]
    ) -> Bulk:
        """Finds the jobs in these states, and then changes each."""
        ids, more = await self._find(search, allowed)
        return (await self._change_each(ids, change))._replace(more=more)

    async def _find(self, search: Search, allowed: Iterable[int]) -> tuple[list[str], bool]:
        """The ids of the jobs in these states, up to `MOST_CHANGED`, and whether there may be more."""
        self._finder.check_queue(search.queue)
        ids: list[str] = []
        more = False
        for state in allowed:
            if search.state in (0, state) and len(ids) <= MOST_CHANGED:
                # One that is too many says that there are more.
                walk = self._finder.walk(replace(search, state=state), MOST_CHANGED + 1 - len(ids), _MOST_PAGES)
                found = [job and job.id async for job, _ in walk]
                more = more or None in found
                ids += filter(None, found)
        return ids[:MOST_CHANGED], more or len(ids) > MOST_CHANGED

    async def _change_each(self, ids: Sequence[str], change: Callable[[str], Awaitable[object]]) -> Bulk:
        _check_number(ids)
        outcomes: list[str] = []
        for first in range(0, len(ids), _AT_ONCE):
            outcomes += await asyncio.gather(*[_try(change, job_id) for job_id in ids[first : first + _AT_ONCE]])
        return _bulk(ids, outcomes)


def _check_number(ids: Sequence[str]) -> None:
    if len(ids) > MOST_CHANGED:
        raise InvalidRequest([Violation("job_ids", f"must be at most {MOST_CHANGED}")])


def _bulk(ids: Sequence[str], outcomes: Sequence[str]) -> Bulk:
    """The report on these jobs, of which each was changed, or has a text that says why not."""
    errors = [(job_id, why) for job_id, why in zip(ids, outcomes, strict=True) if why]
    return Bulk(len(ids), len(ids) - len(errors), len(errors), errors[:_MOST_ERRORS])


async def _try(change: Callable[[str], Awaitable[object]], job_id: str) -> str:
    """Why a change failed; empty if it did not."""
    try:
        await change(job_id)
    except OJSError as error:
        return error.message
    return ""
