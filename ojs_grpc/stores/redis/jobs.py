"""Jobs by id."""

from collections.abc import Iterator, Sequence

from ojs_grpc.core import states
from ojs_grpc.core.transition import Transition
from ojs_grpc.errors import DuplicateJob, InvalidRequest, OJSError, Violation
from ojs_grpc.stores.ports import Unit
from ojs_grpc.stores.redis import keys, record
from ojs_grpc.stores.redis.base import MOST_APPLIED, MOST_INSERTED, RedisBase, portions

# What insert.lua says of a unit.
_STORED, _REPEATED, _KEY_REUSED, _TAKEN = range(4)


class RedisJobs(RedisBase):
    """Implements `JobStore`."""

    async def insert(self, units: Sequence[Unit], now: int) -> list[OJSError | bytes | None]:
        answers: list[OJSError | bytes | None] = []
        for portion in _portions(units):
            answers += await self._insert(portion, now)
        return answers

    async def _insert(self, units: Sequence[Unit], now: int) -> list[OJSError | bytes | None]:
        names: list[str] = []
        arguments: list[str | bytes | int] = [now, self._process, len(units)]
        for unit in units:
            _add_unit(unit, now, names, arguments)
        result = await self._run("insert", names, arguments)
        ready: set[str] = set()
        for unit, code in zip(units, result[::2], strict=True):
            if code == _STORED:
                ready.update(job.queue for job in unit.jobs if job.state == states.AVAILABLE)
        self._tell_ready([*ready])
        return [_answer(code, detail) for code, detail in zip(result[::2], result[1::2], strict=True)]

    async def read(self, job_ids: Sequence[str]) -> list[bytes | None]:
        if not job_ids:
            return []
        result = await self._run("read", [keys.job(job_id) for job_id in job_ids], [])
        return [
            None if data is None else record.job_of(data, worker)
            for data, worker in zip(result[::2], result[1::2], strict=True)
        ]

    async def apply(self, transitions: Sequence[Transition], now: int) -> list[bytes | None]:
        answers: list[bytes | None] = []
        for portion in portions(transitions, MOST_APPLIED):
            answers += await self._apply(portion, now)
        return answers

    async def _apply(self, transitions: Sequence[Transition], now: int) -> list[bytes | None]:
        arguments: list[str | bytes | int] = [now, self._process]
        for change in transitions:
            arguments += (
                change.state,
                change.lease,
                "" if change.overdue_at is None else change.overdue_at,
                change.to,
                change.attempt,
                change.due_at,
                int(change.dead),
                int(change.fence),
                change.tail,
            )
        result = await self._run("apply", [keys.job(change.job_id) for change in transitions], arguments)
        self._tell_ready([*{record.queue_of(data) for data in result if data and data[0] == states.AVAILABLE}])
        return [None if data is None else record.job_of(data) for data in result]


def _portions(units: Sequence[Unit]) -> Iterator[Sequence[Unit]]:
    """The units in order, as many at once as one script should store; a unit is never divided."""
    first = weight = 0
    for place, unit in enumerate(units):
        if weight and weight + len(unit.jobs) > MOST_INSERTED:
            yield units[first:place]
            first, weight = place, 0
        weight += len(unit.jobs)
    if units:
        yield units[first:]


def _add_unit(unit: Unit, now: int, names: list[str], arguments: list[str | bytes | int]) -> None:
    """Adds what insert.lua wants to know of a unit."""
    reserved = [job.reserved for job in unit.jobs]
    marks = "".join("1" if mark else "0" for mark in reserved) if any(reserved) else ""
    arguments += (len(unit.jobs), marks)
    if unit.key is None:
        arguments.append("")
    else:
        names.append(keys.idempotency(unit.key.key))
        arguments += (unit.key.fingerprint, unit.key.reply, unit.key.expires_at)
    for job in unit.jobs:
        names.append(keys.job_at(keys.place_of(job.queue), job.id))
        arguments.append(record.pack(job, now))


def _answer(code: int, detail: bytes) -> OJSError | bytes | None:
    if code == _REPEATED:
        return detail
    if code == _KEY_REUSED:
        rule = "was used before with another request"
        return InvalidRequest([Violation("x-ojs-idempotency-key", rule)])
    if code == _TAKEN:
        return DuplicateJob(detail.decode())
    return None
