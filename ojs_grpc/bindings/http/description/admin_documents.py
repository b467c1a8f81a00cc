"""What operators see, as the admin UI and the command line of the spec's project read it."""

from ojs_grpc.bindings.http.description.schemas import (
    STATE,
    TIME,
    Schema,
    answered,
    array,
    either,
    mapping,
    number,
    one_of,
    ref,
    text,
    truth,
    whole,
)
from ojs_grpc.core import states

_COUNTS: dict[str, Schema] = dict.fromkeys(map(states.state_name, states.ALL), whole())
_RATE = answered(
    dict.fromkeys(
        ("processed_per_minute", "failed_per_minute", "completed_per_min", "failed_per_min", "avg_latency_ms"), number()
    )
)
STATUS = one_of("active", "paused")
_TIMES: dict[str, Schema] = dict.fromkeys(
    ("enqueued_at", "scheduled_at", "started_at", "completed_at", "cancelled_at", "discarded_at"), TIME
)
SCHEMAS: dict[str, Schema] = {
    "Pages": answered(
        {
            "total": whole(),
            "page": whole(1),
            "per_page": whole(1),
            "limit": whole(1),
            "offset": whole(),
            "has_more": truth(),
        }
    ),
    "JobItem": answered(
        {
            "id": text(),
            "type": text(),
            "queue": text(),
            "state": STATE,
            **dict.fromkeys(("attempt", "max_attempts"), whole()),
            "priority": whole(-100, 100),
            "created_at": TIME,
        },
        {
            **_TIMES,
            "worker_id": text(),
            "workflow_id": text(),
            "dead_letter": truth(),
            "error": answered({"code": text(), "type": text(), "message": text()}),
        },
        "A job without what may be large.",
    ),
    "JobDetail": {
        "allOf": [
            ref("Job"),
            answered({"errors": array(ref("AttemptError")), "metadata": answered({"created_at": TIME}, _TIMES)}),
        ]
    },
    "QueueItem": answered(
        {
            "name": text(),
            "state": STATUS,
            "status": STATUS,
            "paused": truth(),
            "counts": answered(_COUNTS),
            "completed_total": whole(),
            "throughput": _RATE,
            "created_at": TIME,
        }
    ),
    "WorkerItem": answered(
        {
            "id": text(),
            "state": one_of("running", "quiet", "terminate", "stale"),
            "directive": text(),
            "queues": array(text()),
            "active_jobs": whole(),
        },
        {"last_heartbeat_at": TIME, "last_heartbeat": TIME},
    ),
    "DeadLetterStats": answered(
        {"total": whole(), "by_queue": mapping(whole())},
        {"by_type": mapping(whole()), "by_error_type": mapping(whole()), "oldest_at": TIME, "newest_at": TIME},
    ),
}

OVERVIEW = answered(
    {
        "queues": either(
            whole(),
            array(
                answered({"name": text(), "depth": whole(), "avg_duration_ms": number(), "error_rate": number(0, 1)})
            ),
            description="How many, or in detail each.",
        ),
        "workers": whole(),
        "jobs": answered(_COUNTS),
        "throughput": _RATE,
        "uptime_seconds": whole(),
        "queue_summary": mapping(whole()),
        "worker_summary": mapping(whole()),
    }
)
POINTS = array(
    answered(
        {
            "timestamp": TIME,
            **dict.fromkeys(("processed", "completed", "failed", "started", "enqueued"), whole()),
            "avg_latency_ms": number(),
        }
    )
)
