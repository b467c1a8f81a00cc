"""Jobs by id."""

from collections.abc import Sequence
from typing import Any

from ojs_grpc.core.transition import Transition
from ojs_grpc.errors import DuplicateJob, InvalidRequest, QueueFull, Violation
from ojs_grpc.stores.ports import Duplicates, Outcome, Outdated, Unit
from ojs_grpc.stores.redis import keys, packing, record
from ojs_grpc.stores.redis.base import MOST_APPLIED, RedisBase, portions

# Why insert.lua did not do a unit.
_REPEATED, _KEY_REUSED, _TAKEN, _OUTDATED, _DUPLICATES, _FULL = range(1, 7)


class RedisJobs(RedisBase):
    """Implements `JobStore`."""

    async def insert(self, units: Sequence[Unit], now: int) -> list[Outcome]:
        outcomes: list[Outcome] = []
        for portion in packing.portions(units):
            outcomes += await self._insert(portion, now)
        return outcomes

    async def _insert(self, portion: Sequence[Unit], now: int) -> list[Outcome]:
        names, described = packing.describe(portion, self._rules, now, log_events=self.log_events)
        ended, queues, *refused = await self._run("insert", names, [*self._call(now), *described])
        self._tell(ended, queues)
        outcomes: list[Outcome] = [None] * len(portion)
        for place, code, detail in zip(refused[::3], refused[1::3], refused[2::3], strict=True):
            outcomes[place] = _refusal(code, detail)
        return outcomes

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
        arguments = self._call(now)
        for change in transitions:
            arguments += packing.describe_change(change, log_events=self.log_events)
        names = [keys.job(change.job_id) for change in transitions]
        ended, queues, *result = await self._run("apply", names, arguments)
        self._tell(ended, queues)
        return [None if data is None else record.job_of(data) for data in result]


def _refusal(code: int, detail: Any) -> Outcome:  # noqa: ANN401 - as insert.lua says
    outcome: Outcome = None
    if code == _REPEATED:
        outcome = detail
    elif code == _KEY_REUSED:
        rule = "was used before with another request"
        outcome = InvalidRequest([Violation("x-ojs-idempotency-key", rule)])
    elif code == _TAKEN:
        outcome = DuplicateJob(detail.decode())
    elif code == _OUTDATED:
        outcome = Outdated()
    elif code == _DUPLICATES:
        found = zip(detail[::3], detail[1::3], detail[2::3], strict=True)
        outcome = Duplicates({place: record.job_of(data, worker) for place, data, worker in found})
    elif code == _FULL:
        depth, bound, queue = detail.decode().split()
        outcome = QueueFull(queue, int(depth), int(bound))
    return outcome
