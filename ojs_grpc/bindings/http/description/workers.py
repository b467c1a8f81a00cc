"""What workers do: fetch, ack, nack, heartbeat."""

from ojs_grpc.bindings.http.description.operation import Noun, Operation
from ojs_grpc.bindings.http.description.schemas import (
    ANYTHING,
    MILLISECONDS,
    QUEUE,
    STATE,
    TIME,
    UUID,
    Schema,
    answered,
    any_object,
    array,
    asked,
    constant,
    either,
    one_of,
    ref,
    text,
    truth,
    whole,
)

_JOB_ID = text(minLength=1)
_IDS = array(text())
HOLDER: dict[str, Schema] = {
    "worker_id": text("Whoever claimed the job."),
    "lease": whole(0, (1 << 63) - 1, "The claim; any if it is left out."),
}
"""How a worker says that it holds a job."""

_ACK = {"result": ANYTHING, **HOLDER}
_NACK = {"error": ref("ReportedError"), "requeue": truth("Give the job back without an attempt."), **HOLDER}
_SERVERLESS_NACK = {**_NACK, "error": either(ref("ReportedError"), text("A message."))}

_ACKNOWLEDGED = answered(
    {
        "acknowledged": constant(value=True),
        "id": text(pattern=UUID),
        "job_id": text(pattern=UUID),
        "state": constant("completed"),
        "completed_at": TIME,
    }
)
_FAILED = answered(
    {
        "id": text(pattern=UUID),
        "job_id": text(pattern=UUID),
        "state": STATE,
        "attempt": whole(),
        "max_attempts": whole(),
    },
    {"next_attempt_at": TIME, "retry_delay_ms": whole(), "discarded_at": TIME, "completed_at": TIME},
)
_REPORTED_ERROR = asked(
    {},
    {
        "code": text("For programs."),
        "type": text("For programs; where one of the two is missing, the other one counts."),
        "message": text("For people."),
        "retryable": truth("False ends the job."),
        "details": any_object(),
        "backtrace": either(text(), array(text()), description="Lines, the most recent call first."),
    },
)

NOUN = Noun(
    "workers",
    "What workers do.",
    [
        Operation(
            "fetch",
            "POST",
            "/ojs/v1/workers/fetch",
            "Claim jobs",
            {200: answered({"jobs": array(ref("Job"))}, {"job": ref("Job")})},
            body=asked(
                {"queues": array(text(pattern=QUEUE, maxLength=128), "The first one first.", minItems=1)},
                {
                    "count": whole(0, 2**31 - 1, "How many at most; 0 is 1."),
                    "worker_id": text(maxLength=255),
                    "visibility_timeout_ms": MILLISECONDS,
                    "wait_ms": {**MILLISECONDS, "description": "How long to wait for the first one; at most a minute."},
                },
            ),
        ),
        Operation(
            "ack",
            "POST",
            "/ojs/v1/workers/ack",
            "Complete a job",
            {200: _ACKNOWLEDGED},
            body=asked({"job_id": _JOB_ID}, _ACK),
            refusals=[404, 409],
        ),
        Operation(
            "nack",
            "POST",
            "/ojs/v1/workers/nack",
            "Fail an attempt, or give a job back",
            {200: _FAILED},
            body=asked({"job_id": _JOB_ID}, _NACK, "It needs an error, unless `requeue` is true."),
            refusals=[404, 409],
        ),
        Operation(
            "heartbeat",
            "POST",
            "/ojs/v1/workers/heartbeat",
            "Say that a worker lives, which extends what it holds",
            {
                200: answered(
                    {
                        "state": one_of("running", "quiet", "terminate"),
                        "directive": one_of("", "quiet", "terminate"),
                        "jobs_extended": _IDS,
                        "server_time": TIME,
                    },
                    {"revoked": array(text(), "What the worker does not hold any more.")},
                    "What the worker is to do.",
                )
            },
            body=asked(
                {"worker_id": text(minLength=1, maxLength=255)},
                {
                    "job_id": text("Only this job."),
                    "state": one_of("running", "quiet", "terminate"),
                    "active_jobs": either(_IDS, whole(None), description="What it runs, or how much."),
                    "active_job_ids": _IDS,
                    "visibility_timeout_ms": MILLISECONDS,
                    "lease": HOLDER["lease"],
                },
            ),
            refusals=[404, 409],
        ),
        Operation(
            "ackJob",
            "POST",
            "/ojs/v1/jobs/{id}/ack",
            "Complete a job",
            {200: _ACKNOWLEDGED},
            body=asked({}, _ACK),
            needs_body=False,
            refusals=[404, 409],
        ),
        Operation(
            "nackJob",
            "POST",
            "/ojs/v1/jobs/{id}/nack",
            "Fail an attempt, or give a job back",
            {200: _FAILED},
            body=asked({}, _SERVERLESS_NACK),
            refusals=[404, 409],
        ),
    ],
    {"ReportedError": _REPORTED_ERROR},
)
