"""What jobs of workflows leave behind."""

from ojs_grpc.stores.ports import EndedJobs, Ending
from ojs_grpc.stores.redis import keys
from ojs_grpc.stores.redis.base import RedisBase


class RedisWorkflows(RedisBase):
    """Implements `WorkflowStore`. Units forget endings (`packing.py`)."""

    async def endings(self, limit: int) -> EndedJobs:
        more, *found = await self._run("endings", keys.ENDED, [limit])
        return EndedJobs([_ending(member.decode()) for member in found], bool(more))


def _ending(member: str) -> Ending:
    """As `packing.ending_member` and links.lua write it."""
    state, job_id, workflow_id = member.split(" ", 2)
    return Ending(job_id, workflow_id, int(state))
