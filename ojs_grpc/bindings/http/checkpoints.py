"""Checkpoints: from where jobs go on when they are run again (behaviour section 17)."""

from collections.abc import Sequence
from typing import Any

from ojs_grpc.bindings.http.call import Call
from ojs_grpc.bindings.http.holder import read_holder
from ojs_grpc.bindings.http.route import Answer, Body, Route
from ojs_grpc.codec.members import Members
from ojs_grpc.codec.times import time_text
from ojs_grpc.errors import NotFound
from ojs_grpc.operations.checkpoints import Checkpoint, Checkpoints
from ojs_grpc.operations.engine import Engine

_MOST = (1 << 63) - 1
# What the SDKs call; older ones say the beginning of the path twice.
_SDK_PATHS = ("/ojs/v1/checkpoints/{id}", "/ojs/v1/ojs/v1/checkpoints/{id}")
_FACTS = ("step_index", "metadata")
_REPLAY_LOG = "_replay_log"


class CheckpointsHandlers:
    """Endpoints on checkpoints."""

    def __init__(self, engine: Engine) -> None:
        self._checkpoints = engine.checkpoints

    def routes(self) -> list[Route]:
        """Those of the spec, and those of the SDKs."""
        path = "/ojs/v1/jobs/{id}/checkpoint"
        routes = [
            Route("PUT", path, self.save, Body.REQUIRED),
            Route("POST", path, self.save, Body.REQUIRED),
            Route("GET", path, self.load),
            Route("DELETE", path, self.clear),
        ]
        for path in _SDK_PATHS:
            routes += [
                Route("PUT", path, self.save, Body.REQUIRED),
                Route("POST", path, self.save, Body.REQUIRED),
                Route("GET", f"{path}/resume", self.resume),
                Route("DELETE", path, self.clear),
            ]
        return routes

    async def save(self, call: Call) -> Answer:
        """Replaces the checkpoint of an active job."""
        job_id, document = call.path["id"], call.document
        members = Members(document)
        if "state" not in document:
            members.refuse("state", "is required")
        sequence = members.whole("sequence", low=0, high=_MOST)
        holder = read_holder(members)
        members.finish()
        facts = {name: document[name] for name in _FACTS if name in document}
        checkpoint = await self._checkpoints.save(job_id, document["state"], holder, sequence, facts)
        return Answer({"checkpoint": _render(job_id, checkpoint)})

    async def load(self, call: Call) -> Answer:
        """The checkpoint of a job."""
        job_id = call.path["id"]
        return Answer({"checkpoint": _render(job_id, await self._checkpoints.load(job_id))})

    async def resume(self, call: Call) -> Answer:
        """What SDKs ask before a job that may have been run before; they fail without a log to replay."""
        job_id = call.path["id"]
        try:
            checkpoint = await self._checkpoints.load(job_id)
        except NotFound:
            return Answer({"has_checkpoint": False})
        metadata = checkpoint.facts.get("metadata")
        replay = metadata.get(_REPLAY_LOG) if isinstance(metadata, dict) else None
        if not isinstance(replay, str) or not replay:
            return Answer({"has_checkpoint": False})
        return Answer({"has_checkpoint": True, "checkpoint": _render(job_id, checkpoint)})

    async def clear(self, call: Call) -> Answer:
        """Forgets the checkpoint of a job, if there is one."""
        await self._checkpoints.clear(call.path["id"])
        return Answer({"deleted": True, "job_id": call.path["id"]})


async def add_checkpoints(checkpoints: Checkpoints, jobs: Sequence[dict[str, Any]]) -> None:
    """Gives fetched jobs that are run again their checkpoints, under both names that the spec has for them.

    Those that were given back before their first attempt had failed look like new ones: for these a worker has to ask.

    Raises:
        StoreError: the store failed; the jobs are as they were.
    """
    again = [job for job in jobs if job.get("attempt", 0) > 1 or job.get("errors")]
    for job, checkpoint in zip(again, await checkpoints.of([job["id"] for job in again]), strict=True):
        if checkpoint is not None:
            job["checkpoint"] = {"state": checkpoint.state, "sequence": checkpoint.sequence}
            job["last_checkpoint"] = checkpoint.state


def _render(job_id: str, checkpoint: Checkpoint) -> dict[str, Any]:
    return {
        "job_id": job_id,
        "state": checkpoint.state,
        "sequence": checkpoint.sequence,
        "created_at": time_text(checkpoint.created_at),
        **checkpoint.facts,
    }
