"""Events as JSON: each with all that says what happened and to whom."""

from typing import Any

import pytest
from google.protobuf.json_format import ParseDict
from google.protobuf.struct_pb2 import Struct
from ojs_grpc_pb.v1.events_pb2 import Event
from ojs_grpc_pb.v1.job_pb2 import Job

from ojs_grpc.codec.event import render_event
from ojs_grpc.core.duration import to_timestamp
from ojs_grpc.core.event_rendering import keepalive, render, subject_of
from ojs_grpc.core.events import EventId, Kind, StoredEvent, name_of
from ojs_grpc.core.members import number_member, text_member
from tests.clock import START
from tests.core.test_events import JOB_ID

ID = "evt_01970000-0000-7000-8000-000000000000"
TIME = "2025-06-15T15:06:40.000Z"


def event(type_: str, data: dict[str, Any] | None = None, **fields: Any) -> Event:  # noqa: ANN401
    """An event as subscribers over gRPC get it."""
    return Event(id=ID, type=type_, timestamp=to_timestamp(START), data=ParseDict(data or {}, Struct()), **fields)


def test_an_event_of_a_job() -> None:
    """In the envelope of the spec, with the job named in its data too, and integers as such."""
    told = event("job.completed", {"duration_ms": 7, "attempt": 1, "result": [1.5, None]}, job_id=JOB_ID, queue="mail")

    assert render_event(told) == {
        "specversion": "1.0",
        "id": ID,
        "type": "job.completed",
        "source": "ojs://ojs-grpc/api",
        "time": TIME,
        "subject": JOB_ID,
        "data": {
            "job_id": JOB_ID,
            "queue": "mail",
            "state": "completed",
            "duration_ms": 7,
            "attempt": 1,
            "result": [1.5, None],
        },
    }
    assert str(render_event(told)["data"]["duration_ms"]) == "7"


def test_bytes_are_an_event_too() -> None:
    """As streams and polls give them."""
    told = event("job.started", job_id=JOB_ID, job_type="email.send", workflow_id="w")

    assert render_event(told.SerializeToString()) == render_event(told)
    assert render_event(told)["data"]["workflow_id"] == "w"


@pytest.mark.parametrize(
    ("type_", "data", "fields", "subject"),
    [
        ("job.failed", {}, {"job_id": JOB_ID}, JOB_ID),
        ("dead_letter.added", {}, {"job_id": JOB_ID}, JOB_ID),
        ("queue.paused", {"queue": "mail"}, {"queue": "mail"}, "mail"),
        ("worker.quiet", {"worker_id": "w-1"}, {"queue": "mail"}, "w-1"),
        ("workflow.step_failed", {"workflow_id": "wf"}, {"workflow_id": "wf", "job_id": JOB_ID}, "wf"),
        ("cron.triggered", {"cron_name": "nightly"}, {"job_id": JOB_ID}, "nightly"),
    ],
)
def test_the_subject_is_whoever_it_is_about(
    type_: str, data: dict[str, Any], fields: dict[str, str], subject: str
) -> None:
    """A job, a queue, a worker, a workflow or a cron entry."""
    assert render_event(event(type_, data, **fields))["subject"] == subject


@pytest.mark.parametrize("kind", Kind)
def test_every_kind_of_event_can_be_said(kind: Kind) -> None:
    """With the state that it leaves a job in, if it is about the state of a job."""
    detail = {
        Kind.JOB_STARTED: b"worker-1",
        Kind.JOB_HEARTBEAT: b"worker-1",
        Kind.JOB_COMPLETED: b"",
    }.get(kind, text_member("worker_id", "worker-1") + number_member("attempt", 2))
    subject = Job(id=JOB_ID, type="email.send", queue="mail").SerializeToString()
    stored = StoredEvent(EventId(START, 1, 2, 3), kind, START, 1, 5, subject, detail)

    document = render_event(render(stored, subject_of(stored)))

    assert document["type"] == name_of(kind)
    assert document["data"]["job_type"] == "email.send"
    changes_a_job = kind < Kind.QUEUE_PAUSED or kind in {Kind.DEAD_LETTER_ADDED, Kind.DEAD_LETTER_RETRIED}
    assert ("state" in document["data"]) == changes_a_job


def test_what_is_not_in_the_log_has_no_id() -> None:
    """Nor a subject."""
    document = render_event(keepalive(START))

    assert document == {
        "specversion": "1.0",
        "type": "stream.keepalive",
        "source": "ojs://ojs-grpc/api",
        "time": TIME,
        "data": {},
    }
