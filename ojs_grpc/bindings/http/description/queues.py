"""Queues and dead letters."""

from ojs_grpc.bindings.http.description.job import JOB_ANSWER
from ojs_grpc.bindings.http.description.operation import PAGING, Noun, Operation, Parameter
from ojs_grpc.bindings.http.description.schemas import (
    TIME,
    Schema,
    answered,
    any_object,
    array,
    constant,
    either,
    number,
    one_of,
    ref,
    text,
    truth,
    whole,
)

_STATUS = one_of("active", "paused")
_COUNTS: dict[str, Schema] = dict.fromkeys(
    ("available", "active", "scheduled", "retryable", "completed", "discarded"), whole()
)
_STATUS_ANSWER: dict[str, Schema] = {
    "queue": answered({"name": text(), "paused": truth()}),
    "name": text(),
    "paused": truth(),
    "status": _STATUS,
}
_STATS = answered(
    {
        "queue": either(
            answered({"name": text(), "paused": truth(), **_COUNTS}),
            text(),
            description="Its name alone if the request has the header `OJS-Version`.",
        ),
        "name": text(),
        "status": _STATUS,
        "paused": truth(),
        **_COUNTS,
        "stats": answered(
            {
                **_COUNTS,
                "dead": whole(),
                "completed_last_hour": whole(),
                "failed_last_hour": whole(),
                "avg_duration_ms": number(),
                "avg_wait_ms": number(),
                "throughput_per_second": number(),
            }
        ),
        "computed_at": TIME,
    }
)

QUEUES = Noun(
    "queues",
    "Which queues there are, and how they are.",
    [
        Operation(
            "listQueues",
            "GET",
            "/ojs/v1/queues",
            "List queues by name",
            {200: answered({"queues": array(ref("Queue")), "total": whole(), "pagination": ref("Pagination")})},
            query=PAGING,
        ),
        Operation(
            "queueStats",
            "GET",
            "/ojs/v1/queues/{name}/stats",
            "Count what is in a queue; all zero for one that was never seen",
            {200: ref("QueueStats")},
            refusals=[400],
        ),
        Operation(
            "pauseQueue",
            "POST",
            "/ojs/v1/queues/{name}/pause",
            "Stop delivery from a queue",
            {200: answered({**_STATUS_ANSWER, "paused_at": TIME})},
            body=any_object(),
            needs_body=False,
        ),
        Operation(
            "resumeQueue",
            "POST",
            "/ojs/v1/queues/{name}/resume",
            "Start delivery again",
            {200: answered({**_STATUS_ANSWER, "resumed_at": TIME})},
            body=any_object(),
            needs_body=False,
        ),
    ],
    {
        "Queue": answered(
            {"name": text(), "status": _STATUS, "paused": truth(), "available": whole(), "created_at": TIME}
        ),
        "QueueStats": _STATS,
        "Pagination": answered(
            {"total": whole(), "has_more": truth(), "limit": whole(), "offset": whole()},
            {"next_cursor": text("For the next page.")},
        ),
    },
)

DEAD_LETTERS = Noun(
    "dead letters",
    "Discarded jobs that wait for somebody's decision.",
    [
        Operation(
            "listDeadLetters",
            "GET",
            "/ojs/v1/dead-letter",
            "List dead letters, oldest first within a queue",
            {200: answered({"jobs": array(ref("Job")), "total": whole(), "pagination": ref("Pagination")})},
            query=[Parameter("queue", text(), "Only those of this queue."), *PAGING],
        ),
        Operation(
            "getDeadLetter", "GET", "/ojs/v1/dead-letter/{id}", "Get a dead letter", {200: JOB_ANSWER}, refusals=[404]
        ),
        Operation(
            "retryDeadLetter",
            "POST",
            "/ojs/v1/dead-letter/{id}/retry",
            "Make a dead letter available again",
            {200: JOB_ANSWER},
            body=any_object(),
            needs_body=False,
            refusals=[404, 409],
        ),
        Operation(
            "deleteDeadLetter",
            "DELETE",
            "/ojs/v1/dead-letter/{id}",
            "Remove a dead letter for good",
            {200: answered({"deleted": constant(value=True), "id": text(), "job_id": text()})},
            refusals=[404],
        ),
    ],
)
