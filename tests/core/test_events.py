"""Events: their names, their ids, and what subscribers are given of them (behaviour section 18)."""

from typing import Any

import pytest
from google.protobuf.json_format import MessageToDict
from google.protobuf.struct_pb2 import Struct, Value
from hypothesis import given
from hypothesis import strategies as st
from ojs_grpc_pb.v1.events_pb2 import Event
from ojs_grpc_pb.v1.job_pb2 import Job

from ojs_grpc.core.duration import timestamp_ms, to_timestamp
from ojs_grpc.core.event_rendering import GAP, KEEPALIVE, gap, keepalive, render, subject_of
from ojs_grpc.core.events import EventId, Kind, StoredEvent, id_text, kind_of, kinds_of, name_of, parse_id
from ojs_grpc.core.ids import is_id
from ojs_grpc.core.members import text_member
from tests.clock import START

JOB_ID = "01970000-0000-7000-8000-000000000000"
TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
SPAN = f"00-{TRACE}-00f067aa0ba902b7-01"
ABOUT = {"job_type": "email.send", "queue": "mail"}

IDS = st.builds(
    EventId,
    st.integers(0, 2**48 - 1),
    st.integers(0, 2**46 - 1),
    st.integers(0, 2**20 - 1),
    st.integers(0, 255),
)


def event(kind: int, detail: bytes = b"", *, attempt: int = 0, value: int = 0, **subject: Any) -> Event:  # noqa: ANN401
    """What subscribers get of an event, about a job of type email.send in the queue mail unless it says otherwise."""
    about = Job(**(subject or {"id": JOB_ID, "type": "email.send", "queue": "mail"}))
    stored = StoredEvent(EventId(START, 1, 2, 3), kind, START + 5, attempt, value, about.SerializeToString(), detail)
    return Event.FromString(render(stored, subject_of(stored)))


def data(told: Event) -> dict[str, Any]:
    """Its data as JSON."""
    return MessageToDict(told.data)


def job(**fields: Any) -> dict[str, Any]:  # noqa: ANN401
    """A subject with more than the usual fields."""
    return {"id": JOB_ID, "type": "email.send", "queue": "mail", **fields}


# Names


def test_every_kind_has_a_name_by_which_it_is_found() -> None:
    """The spec's: a family and what happened."""
    assert [kind_of(name_of(kind)) for kind in Kind] == list(Kind)
    assert {name_of(kind).split(".")[0] for kind in Kind} == {
        "job", "queue", "worker", "workflow", "cron", "dead_letter"
    }  # fmt: skip
    assert name_of(Kind.JOB_COMPLETED) == "job.completed"
    assert name_of(Kind.WORKFLOW_STEP_COMPLETED) == "workflow.step_completed"
    assert name_of(Kind.DEAD_LETTER_ADDED) == "dead_letter.added"


def test_a_dead_job_is_a_discarded_one() -> None:
    """Another text of the spec calls it so; what is told is always job.discarded."""
    assert kind_of("job.dead") is Kind.JOB_DISCARDED
    assert name_of(Kind.JOB_DISCARDED) == "job.discarded"


def test_what_nobody_knows_has_no_name() -> None:
    """A newer server may have logged it, or a newer client may ask for it."""
    assert name_of(255) == ""
    assert kind_of("job.teleported") is None


def test_a_pattern_is_all_that_begins_so() -> None:
    """A family of events, or all of them; a name is itself."""
    assert kinds_of("cron.*") == {Kind.CRON_TRIGGERED, Kind.CRON_SKIPPED}
    assert kinds_of("*") == set(Kind)
    assert kinds_of("job.dead") == {Kind.JOB_DISCARDED}
    assert kinds_of("teleport.*") == kinds_of("job.teleported") == kinds_of("") == set()


# Ids


@given(IDS)
def test_an_id_survives_as_text(number: EventId) -> None:
    """Every bit of it, in a UUIDv7 with a prefix."""
    text = id_text(number)

    assert parse_id(text) == number
    assert text.startswith("evt_")
    assert is_id(text.removeprefix("evt_"))


@given(IDS, IDS)
def test_ids_sort_by_time_and_number_as_text(one: EventId, two: EventId) -> None:
    """As whoever keeps them in an index expects of a UUIDv7."""
    assert (id_text(one) < id_text(two)) == (one < two)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "evt_",
        JOB_ID,
        f"evt_{JOB_ID}\n",
        f"evt_{JOB_ID[:-1]}",
        f"EVT_{JOB_ID}",
        "evt_01970000-0000-7000-8000-00000000000A",
        "evt_01970000-0000-4000-8000-000000000000",
        "evt_01970000-0000-7000-c000-000000000000",
    ],
)
def test_what_is_no_id_is_refused(text: str) -> None:
    """With the rule in words."""
    with pytest.raises(ValueError, match="must be the id of an event"):
        parse_id(text)


# What is told


def test_an_event_says_what_happened_to_whom_and_when() -> None:
    """The fields that all events have."""
    told = event(Kind.JOB_ENQUEUED, **job(workflow_id="workflow-1"))

    assert (told.type, told.job_id, told.job_type) == ("job.enqueued", JOB_ID, "email.send")
    assert (told.queue, told.workflow_id) == ("mail", "workflow-1")
    assert timestamp_ms(told.timestamp) == START + 5
    assert parse_id(told.id) == EventId(START, 1, 2, 3)


@pytest.mark.parametrize(
    ("kind", "fields", "expected"),
    [
        (Kind.JOB_ENQUEUED, {}, {}),
        (Kind.JOB_STARTED, {"detail": b"w-1", "attempt": 2}, {"worker_id": "w-1", "attempt": 2}),
        (Kind.JOB_STARTED, {"attempt": 1}, {"worker_id": "", "attempt": 1}),
        (Kind.JOB_COMPLETED, {"attempt": 1, "value": 1333}, {"duration_ms": 1333, "attempt": 1}),
        (
            Kind.JOB_HEARTBEAT,
            {"detail": b"w-1", "attempt": 3, "value": START + 1},
            {"worker_id": "w-1", "attempt": 3, "visible_until": "2025-06-15T15:06:40.001Z"},
        ),
        (Kind.JOB_CANCELLED, {"detail": text_member("reason", "late")}, {"reason": "late"}),
        (Kind.DEAD_LETTER_DELETED, {}, {}),
    ],
)
def test_the_data_of_an_event_of_a_job(kind: Kind, fields: dict[str, Any], expected: dict[str, Any]) -> None:
    """Type and queue, and what the kind needs; what was decided elsewhere is passed on as it is."""
    assert data(event(kind, **fields)) == ABOUT | expected


def test_an_enqueued_job_says_what_is_not_usual() -> None:
    """Its priority if it has one, and the time for which it was scheduled; without milliseconds that are zero."""
    told = event(Kind.JOB_ENQUEUED, **job(priority=-5, scheduled_at=to_timestamp(START)))
    assert data(told) == ABOUT | {"priority": -5, "scheduled_at": "2025-06-15T15:06:40Z"}


def test_a_scheduled_job_says_for_when() -> None:
    """And its priority does not matter yet."""
    told = event(Kind.JOB_SCHEDULED, **job(priority=5, scheduled_at=to_timestamp(START + 250)))
    assert data(told) == ABOUT | {"scheduled_at": "2025-06-15T15:06:40.250Z"}


@pytest.mark.parametrize("plain", [{"a": [1, None]}, {}, [1, 2], "text", 7, True, None])
def test_a_result_is_any_value(plain: Any) -> None:  # noqa: ANN401
    """Whether it travels in the spec's field, in ours, or wrapped for clients that know only the spec's."""
    holder = Struct()
    holder["ojs.value"] = plain
    tails = [Job(result=holder), Job(result=holder, result_value=holder.fields["ojs.value"])]
    if isinstance(plain, dict):
        tails.append(Job(result=holder["ojs.value"]))

    for tail in tails:
        assert data(event(Kind.JOB_COMPLETED, tail.SerializeToString()))["result"] == plain


def test_the_deepest_result_still_parses() -> None:
    """An event nests deeper than a job, and parsers stop at a hundred levels."""
    inner = Value(number_value=1)
    for _ in range(30):
        outer = Value()
        outer.struct_value.fields["a"].CopyFrom(inner)
        inner = outer
    tail = Job(result=Struct(fields={"a": inner}))

    assert event(Kind.JOB_COMPLETED, tail.SerializeToString()).data.fields["result"].struct_value == tail.result


def test_the_trace_is_told() -> None:
    """The producer's own id, else that of the W3C context in `meta`; in every event of the job."""
    traced = job(meta={"traceparent": SPAN})
    assert data(event(Kind.JOB_STARTED, b"w", **traced))["trace_id"] == TRACE
    assert data(event(Kind.JOB_CANCELLED, **traced, trace_id="mine"))["trace_id"] == "mine"


@pytest.mark.parametrize("value", ["", "mine", SPAN.upper(), 7, None])
def test_what_is_no_trace_is_not_told(value: Any) -> None:  # noqa: ANN401
    """A producer may have put anything there."""
    assert "trace_id" not in data(event(Kind.JOB_CANCELLED, **job(meta={"traceparent": value})))


def test_events_of_others_say_no_more_than_they_know() -> None:
    """A queue has no job, a worker neither; a workflow has its id among the data too."""
    paused = event(Kind.QUEUE_PAUSED, queue="mail")
    assert (paused.queue, paused.job_id, data(paused)) == ("mail", "", {"queue": "mail"})
    done = event(Kind.WORKFLOW_COMPLETED, text_member("workflow_name", "etl"), workflow_id="workflow-1")
    assert (done.workflow_id, data(done)) == ("workflow-1", {"workflow_id": "workflow-1", "workflow_name": "etl"})


def test_a_later_member_wins() -> None:
    """What the detail says itself is not said twice."""
    told = event(Kind.CRON_TRIGGERED, text_member("job_type", "other"), type="email.send")
    assert data(told) == {"job_type": "other"}


def test_a_stream_speaks_for_itself_without_an_id() -> None:
    """Nobody can go on after what is not in the log."""
    alive, missing = Event.FromString(keepalive(START)), Event.FromString(gap(3, "evt_x", START))

    assert (alive.type, alive.id, data(alive)) == (KEEPALIVE, "", {})
    assert (missing.type, missing.id, data(missing)) == (GAP, "", {"missed": 3, "after": "evt_x"})
    assert timestamp_ms(alive.timestamp) == START
