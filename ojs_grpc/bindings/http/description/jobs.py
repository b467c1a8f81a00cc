"""Jobs: enqueue, get, cancel, activate."""

from ojs_grpc.bindings.http.description import job
from ojs_grpc.bindings.http.description.operation import Noun, Operation, Parameter
from ojs_grpc.bindings.http.description.schemas import (
    ANYTHING,
    STATE,
    TIME,
    answered,
    array,
    asked,
    constant,
    ref,
    text,
    truth,
    whole,
)

ENQUEUE_HEADERS = ("Idempotency-Key", "traceparent", "tracestate")

_LOCATION = {"Location": text("Where the job is.", pattern="^/ojs/v1/jobs/")}
_CHANGED = answered({"job": {"allOf": [ref("Job"), answered({"previous_state": STATE})]}}, job.AT_TOP)

NOUN = Noun(
    "jobs",
    "What producers do.",
    [
        Operation(
            "enqueue",
            "POST",
            "/ojs/v1/jobs",
            "Enqueue a job",
            {
                201: job.JOB_ANSWER,
                200: answered(
                    {"job": ref("Job"), "deduplicated": constant(value=True)},
                    job.AT_TOP,
                    "A job that is there already stands for it.",
                ),
            },
            body=ref("JobRequest"),
            refusals=[409],
            headers=_LOCATION,
            takes=ENQUEUE_HEADERS,
        ),
        Operation(
            "enqueueBatch",
            "POST",
            "/ojs/v1/jobs/batch",
            "Enqueue many jobs, or none of them",
            {
                201: answered(
                    {"jobs": array(ref("Job"), "In the order of the request."), "count": whole()},
                    {"deduplicated": constant(value=True), "enqueued": whole(), "failed": whole()},
                )
            },
            body=asked({"jobs": array(ref("JobRequest"), minItems=1)}),
            refusals=[409],
            takes=ENQUEUE_HEADERS,
        ),
        Operation("getJob", "GET", "/ojs/v1/jobs/{id}", "Get a job", {200: job.JOB_ANSWER}, refusals=[404]),
        Operation(
            "getResult",
            "GET",
            "/ojs/v1/jobs/{id}/result",
            "Get what a job resulted in, or wait for it",
            {
                200: answered(
                    {"job_id": text(), "state": STATE},
                    {"result": ANYTHING, "error": ref("AttemptError"), "completed_at": TIME},
                )
            },
            query=[
                Parameter("wait", truth(), "Answer when the job has ended."),
                Parameter("timeout", whole(0, 10**9), "Seconds; at most 25, which is the default."),
            ],
            refusals=[404, 408],
        ),
        Operation(
            "cancelJob",
            "DELETE",
            "/ojs/v1/jobs/{id}",
            "Cancel a job",
            {200: _CHANGED},
            query=[Parameter("reason", text())],
            refusals=[404, 409],
        ),
        Operation(
            "cancelJobByPost",
            "POST",
            "/ojs/v1/jobs/{id}/cancel",
            "Cancel a job",
            {200: _CHANGED},
            body=asked({}, {"reason": text()}),
            needs_body=False,
            refusals=[404, 409],
        ),
        Operation(
            "activateJob",
            "POST",
            "/ojs/v1/jobs/{id}/activate",
            "Make a pending job available",
            {200: _CHANGED},
            refusals=[404, 409],
        ),
    ],
    job.SCHEMAS,
)
