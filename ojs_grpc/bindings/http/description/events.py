"""Events, polled and streamed."""

from ojs_grpc.bindings.http.description.operation import Noun, Operation, Parameter
from ojs_grpc.bindings.http.description.schemas import (
    JOB_TYPE,
    QUEUE,
    TIME,
    answered,
    any_object,
    array,
    constant,
    ref,
    text,
    truth,
    whole,
)

_SSE = "text/event-stream"
_TYPES = (
    Parameter("types", array(text(examples=["job.*"])), "Only events of these types.", comma=True),
    Parameter("event_types", array(text()), "The same.", comma=True),
)
_OF_JOBS = (
    *_TYPES,
    Parameter("job_types", array(text(pattern=JOB_TYPE)), "Only of jobs of these types.", comma=True),
    Parameter("job_id", text(), "Only of this job."),
    Parameter("workflow_id", text(), "Only of this workflow."),
)
_QUEUES = (
    Parameter("queues", array(text(pattern=QUEUE)), "Only of these queues.", comma=True),
    Parameter("queue", array(text(pattern=QUEUE)), "The same.", comma=True),
)
_AFTER = (Parameter("after", text(), "The event after which to go on."),)

NOUN = Noun(
    "events",
    "What happened, and what happens.",
    [
        Operation(
            "pollEvents",
            "GET",
            "/ojs/v1/events",
            "List events in the order of the log",
            {200: answered({"events": array(ref("Event")), "has_more": truth()}, {"cursor": text("For `after`.")})},
            query=[*_OF_JOBS, *_QUEUES, *_AFTER, Parameter("limit", whole(0, 10**9), "At most 1000; 100 if it is 0.")],
        ),
        Operation(
            "streamEvents",
            "GET",
            "/ojs/v1/events/stream",
            "Stream events as they happen",
            {200: text()},
            query=[Parameter("channel", text(), "`all`, `job:<id>` or `queue:<name>`."), *_OF_JOBS, *_QUEUES, *_AFTER],
            refusals=[404],
            text=_SSE,
            takes=["Last-Event-ID"],
        ),
        Operation(
            "streamJobEvents",
            "GET",
            "/ojs/v1/jobs/{id}/events",
            "Stream the events of a job until it ends",
            {200: text()},
            query=[*_TYPES, *_AFTER],
            refusals=[404],
            text=_SSE,
            takes=["Last-Event-ID"],
        ),
        Operation(
            "streamQueueEvents",
            "GET",
            "/ojs/v1/queues/{name}/events",
            "Stream the events of a queue",
            {200: text()},
            query=[*_OF_JOBS, *_AFTER],
            refusals=[404],
            text=_SSE,
            takes=["Last-Event-ID"],
        ),
    ],
    {
        "Event": answered(
            {
                "specversion": constant("1.0"),
                "id": text(),
                "type": text(examples=["job.completed"]),
                "source": text(),
                "time": TIME,
                "data": any_object("Whom it is about, and what the type of event says besides."),
            },
            {"subject": text()},
        )
    },
)
