"""An event as JSON says it, in the manner of CloudEvents (wire section 4.7)."""

from typing import Any, Final

from ojs_grpc_pb.v1.events_pb2 import Event

from ojs_grpc.codec.times import timestamp_text
from ojs_grpc.codec.values import render_struct

SOURCE: Final = "ojs://ojs-grpc/api"

_SPECVERSION = "1.0"
_STATE_OF = {
    "job.enqueued": "available",
    "job.started": "active",
    "job.completed": "completed",
    "job.failed": "active",
    "job.discarded": "discarded",
    "job.retrying": "retryable",
    "job.cancelled": "cancelled",
    "job.heartbeat": "active",
    "job.scheduled": "scheduled",
    "job.expired": "discarded",
    "job.progress": "active",
    "dead_letter.added": "discarded",
    "dead_letter.retried": "available",
}
# Where whoever an event is about is named, by the family of the event.
_SUBJECT_OF = {"queue": "queue", "worker": "worker_id", "workflow": "workflow_id", "cron": "cron_name"}


def render_event(event: Event | bytes) -> dict[str, Any]:
    """The event, also as it is serialised.

    `data` names the job and the state that the event leaves it in beside what the kind of event says.
    """
    if isinstance(event, bytes):
        event = Event.FromString(event)
    data = _about(event) | render_struct(event.data)
    document = {
        "specversion": _SPECVERSION,
        "id": event.id,
        "type": event.type,
        "source": SOURCE,
        "time": timestamp_text(event.timestamp),
        "subject": _subject(event, data),
        "data": data,
    }
    return {name: value for name, value in document.items() if value != ""}


def _about(event: Event) -> dict[str, Any]:
    """Whom the event is about, as far as that is said outside of its data."""
    data = {
        "job_id": event.job_id,
        "job_type": event.job_type,
        "queue": event.queue,
        "workflow_id": event.workflow_id,
        "state": _STATE_OF.get(event.type, ""),
    }
    return {name: value for name, value in data.items() if value}


def _subject(event: Event, data: dict[str, Any]) -> str:
    family = event.type.partition(".")[0]
    name = _SUBJECT_OF.get(family)
    return str(data.get(name, "")) if name else event.job_id
