"""Jobs that wait for a time."""

from ojs_grpc.stores.ports import ExpiredJobs, Promotion
from ojs_grpc.stores.redis import keys, record
from ojs_grpc.stores.redis.base import ANSWER_BYTES, MOST_PROMOTED, RedisBase


class RedisSchedule(RedisBase):
    """Implements `ScheduleStore`."""

    async def promote(self, now: int, limit: int) -> Promotion:
        promoted = 0
        while True:
            most = min(limit - promoted, MOST_PROMOTED)
            arguments: list[str | bytes | int] = [now, most, self._process, int(self.log_events)]
            count, next_at, queues = await self._run("promote", keys.DUE, arguments)
            self._tell(0, queues)
            promoted += count
            if promoted >= limit or next_at is None or next_at > now:
                return Promotion(promoted, next_at)

    async def expired(self, now: int, limit: int) -> ExpiredJobs:
        next_at, *found = await self._run("expired", keys.TTL, [now, limit, ANSWER_BYTES])
        return ExpiredJobs([record.job_of(data) for data in found], next_at)
