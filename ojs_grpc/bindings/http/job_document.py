"""Jobs as answers show them: the official SDKs and the command line look for things that the spec does not have."""

from typing import Any, Final

from ojs_grpc_pb.v1.job_pb2 import Job

from ojs_grpc.bindings.http.call import Call
from ojs_grpc.codec.job import render_job, render_new
from ojs_grpc.operations.jobs import Enqueued

_AT_TOP: Final = (
    "id", "type", "queue", "state", "attempt", "max_attempts", "priority", "created_at", "scheduled_at", "started_at",
    "completed_at", "previous_state",
)  # fmt: skip


def render_for(call: Call, job: Job | bytes) -> dict[str, Any]:
    """The job as this caller reads it."""
    return _fit(call, render_job(job))


def render_enqueued_for(call: Call, enqueued: Enqueued, place: int, asked: dict[str, Any]) -> dict[str, Any]:
    """The job that was enqueued at a place, as `render_for` has it; what it holds is not the caller's to change.

    Args:
        asked: what was asked for.
    """
    if not enqueued.new:
        return render_for(call, enqueued.standing[place])
    return _fit(call, render_new(enqueued.new[place], asked["type"], asked["args"], enqueued.stored_at))


def reads_only_objects(call: Call) -> bool:
    """Whether the caller is the SDK for Go, which cannot read a job at all whose result is no object."""
    return call.is_sdk and call.header("user-agent").startswith("Go-http-client")


def wrap_for(call: Call, job: dict[str, Any]) -> dict[str, Any]:
    """An answer with one job; the command line, which is none of the SDKs, looks for what it shows at the top."""
    if call.is_sdk:
        return {"job": job}
    return {"job": job, **{name: job[name] for name in _AT_TOP if name in job}}


def _fit(call: Call, document: dict[str, Any]) -> dict[str, Any]:
    if call.is_sdk:
        # The SDK for JavaScript takes these seconds for milliseconds; all SDKs know `timeout_ms`.
        document.pop("timeout", None)
        if "result" in document and reads_only_objects(call) and not isinstance(document["result"], dict):
            del document["result"]
        if unique := document.get("unique"):
            document["unique"] = {"key": unique.get("args_keys") or unique.get("keys", []), **unique}
    return document
