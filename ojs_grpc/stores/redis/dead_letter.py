"""Dead letters."""

from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Sequence
from typing import NamedTuple

from ojs_grpc.errors import InvalidRequest, Violation
from ojs_grpc.stores.ports import Page
from ojs_grpc.stores.redis import keys, record
from ojs_grpc.stores.redis.base import MOST_APPLIED, portions
from ojs_grpc.stores.redis.queues import RedisQueues


class _Cursor(NamedTuple):
    """The last dead letter of a page."""

    queue: str
    ended_at: str
    job_id: str

    def encode(self) -> str:
        return urlsafe_b64encode("/".join(self).encode()).decode()

    @staticmethod
    def decode(text: str) -> "_Cursor":
        try:
            # Queue names and ids hold no slash.
            queue, ended_at, job_id = urlsafe_b64decode(text).decode().split("/")
            cursor = _Cursor(queue, str(int(ended_at)), job_id)
        except ValueError:
            cursor = _Cursor("", "", "")
        if cursor.encode() != text:
            raise InvalidRequest([Violation("cursor", "must be the next_cursor of an earlier page")])
        return cursor


class RedisDeadLetters(RedisQueues):
    """Implements `DeadLetterStore`."""

    async def dead_letters(self, queue: str, cursor: str, limit: int, max_bytes: int) -> Page[bytes]:
        start = _Cursor.decode(cursor) if cursor else _Cursor("", "", "")
        names = [queue] if queue else sorted(await self._queues())
        if not names:
            return Page([], "")
        first = sum(name < start.queue for name in names)
        after = start if first < len(names) and names[first] == start.queue else _Cursor("", "", "")
        total, more, *found = await self._run(
            "dead_letters",
            [keys.of_queue("dead", name) for name in names],
            [limit, max_bytes, first + 1, after.ended_at, after.job_id],
        )
        rows = [record.job_of(data) for data in found[1::2]]
        if not more:
            return Page(rows, "", total)
        last_id, last = found[-2:]
        end = _Cursor(record.queue_of(last), str(record.header_of(last).ended_at), last_id.decode())
        return Page(rows, end.encode(), total)

    async def delete_finished(self, job_ids: Sequence[str], now: int) -> list[bool]:
        """As in `OperatorStore`."""
        deleted: list[bool] = []
        for portion in portions(job_ids, MOST_APPLIED):
            names = [keys.job(job_id) for job_id in portion]
            deleted += map(bool, await self._run("delete_finished", names, [now, int(self.log_events)]))
        return deleted

    async def delete_dead(self, job_id: str, now: int) -> bool:
        return bool(await self._run("delete_dead", [keys.job(job_id)], [now, int(self.log_events)]))
