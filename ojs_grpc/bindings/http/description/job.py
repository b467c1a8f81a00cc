"""Jobs: as clients say them, and as the server answers them (wire section 2.1)."""

from ojs_grpc.bindings.http.description.schemas import (
    ANYTHING,
    ASKED_DURATION,
    ASKED_TIME,
    JOB_TYPE,
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
    number,
    one_of,
    ref,
    text,
    truth,
    whole,
)
from ojs_grpc.core import retry

_ARGS = array(ANYTHING, "What the job works on.")
_TEXTS = array(text())
_TAGS = array(text(minLength=1, maxLength=255), maxItems=100, uniqueItems=True)
_PRIORITY = either(whole(-100, 100), one_of("HIGH", "NORMAL", "LOW"), description="The higher, the sooner.")
_ON_CONFLICT = ("reject", "replace", "replace_except_schedule", "ignore")

_RETRY_POLICY = asked(
    {},
    {
        "max_attempts": whole(0, 2**31 - 1, "Runs in all; 0 counts as 1."),
        "initial_interval": ASKED_DURATION,
        "initial_interval_ms": MILLISECONDS,
        "initial_delay_ms": MILLISECONDS,
        "backoff_coefficient": number(1),
        "multiplier": number(1, description="Alias of `backoff_coefficient`."),
        "max_interval": ASKED_DURATION,
        "max_interval_ms": MILLISECONDS,
        "jitter": truth("Whether waits are spread at random."),
        "non_retryable_errors": array(text(), "Codes or types of errors, or `prefix.*`, that end the job at once."),
        "on_exhaustion": one_of(*retry.EXHAUSTIONS),
        "backoff_strategy": one_of(*retry.STRATEGIES),
        "backoff_type": one_of(*retry.STRATEGIES),
        "backoff": one_of(*retry.STRATEGIES),
        "strategy": one_of(*retry.STRATEGIES),
    },
)
_UNIQUE_POLICY = asked(
    {},
    {
        "keys": array(one_of("type", "queue", "args", "meta"), "What makes two jobs the same."),
        "key": either(text(), _TEXTS, description="Some of the above, or members of the arguments."),
        "args_keys": array(text(), "Members of the arguments that count; all if it is empty."),
        "meta_keys": array(text(), "Members of `meta` that count."),
        "period": ASKED_DURATION,
        "period_ms": MILLISECONDS,
        "states": array(STATE, "Which states count."),
        "on_conflict": one_of(*_ON_CONFLICT, "use_existing"),
    },
)
_RATE = asked({"limit": whole(1, 100_000)}, {"period": ASKED_DURATION, "period_ms": MILLISECONDS})
_RATE_LIMIT = asked(
    {},
    {
        "key": text("What is limited; the queue if it is empty."),
        "concurrency": whole(1, 2**31 - 1, "Jobs at once."),
        "rate": ref("Rate"),
        "throttle": ref("Rate"),
        "max_per_second": whole(1, 100_000, "Short for a rate."),
        "on_limit": constant("wait"),
    },
)

_META = any_object("What the client wants to keep with the job.")
_OPTIONS: dict[str, Schema] = {
    "queue": text(pattern=QUEUE, maxLength=128),
    "priority": _PRIORITY,
    "meta": _META,
    "tags": _TAGS,
    "scheduled_at": ASKED_TIME,
    "delay_until": ASKED_TIME,
    "expires_at": ASKED_TIME,
    "ttl": ASKED_DURATION,
    "timeout": ASKED_DURATION,
    "timeout_ms": MILLISECONDS,
    "visibility_timeout": ASKED_DURATION,
    "visibility_timeout_ms": MILLISECONDS,
    "retry": ref("RetryPolicy"),
    "retry_policy": ref("RetryPolicy"),
    "max_attempts": whole(0, 2**31 - 1),
    "unique": ref("UniquePolicy"),
    "rate_limit": ref("RateLimit"),
    "pending": truth("The job waits until it is activated."),
    "trace_id": text(maxLength=255),
}
_TEMPLATE: dict[str, Schema] = {
    "type": text(pattern=JOB_TYPE, maxLength=255, examples=["email.send"]),
    "args": _ARGS,
}
_TEMPLATE_MORE: dict[str, Schema] = {
    "options": ref("JobOptions"),
    "schema": text("The URI of the schema that the arguments keep to.", minLength=1, maxLength=2048),
    **_OPTIONS,
}

_ATTEMPT_ERROR = answered(
    {"code": text(), "type": text(), "message": text()},
    {
        "attempt": whole(),
        "occurred_at": TIME,
        "retryable": truth(),
        "details": any_object(),
        "backtrace": _TEXTS,
    },
    "How an attempt failed.",
)
_JOB = answered(
    {
        "specversion": constant("1.0"),
        "id": text(pattern=UUID),
        "type": text(),
        "queue": text(),
        "args": _ARGS,
        "meta": _META,
        "priority": whole(-100, 100),
        "state": STATE,
        "attempt": whole(description="How many times the job was claimed."),
        "max_attempts": whole(),
        "created_at": TIME,
    },
    {
        **dict.fromkeys(("enqueued_at", "started_at", "completed_at", "cancelled_at", "discarded_at"), TIME),
        **dict.fromkeys(("activated_at", "re_enqueued_at", "next_attempt_at", "lease_expires_at"), TIME),
        "scheduled_at": text("As the client wrote it."),
        "expires_at": text("As the client wrote it."),
        "timeout": whole(description="Seconds."),
        "timeout_ms": whole(),
        "visibility_timeout": whole(description="Seconds."),
        "visibility_timeout_ms": whole(),
        "retry": any_object("The retry policy as the client wrote it, aliases replaced."),
        "unique": any_object("The unique policy, likewise."),
        "rate_limit": any_object("The rate limit, likewise."),
        "schema": text(),
        "tags": _TEXTS,
        "trace_id": text(),
        "options": any_object("Options that nobody knows."),
        "error": ref("AttemptError"),
        "errors": array(ref("AttemptError"), "The last ones, oldest first."),
        "result": ANYTHING,
        "retry_delay_ms": whole(),
        "lease": whole(description="Names the claim."),
        "dead_letter": truth(),
        "worker_id": text(),
        "workflow_id": text(),
        "parent_results": array(ANYTHING),
        "previous_state": STATE,
    },
    "A job as it stands; attributes that nobody knows come back as they were sent.",
)

SCHEMAS: dict[str, Schema] = {
    "Job": _JOB,
    "AttemptError": _ATTEMPT_ERROR,
    "JobRequest": asked(
        _TEMPLATE,
        {
            "id": text("A UUIDv7; a new one if it is left out.", pattern=UUID),
            "specversion": text(pattern=r"^1\.0(\.[0-9A-Za-z.+-]+)?$", examples=["1.0"]),
            **_TEMPLATE_MORE,
        },
        "A job to enqueue. Options stand in `options` or beside it.",
    ),
    "JobTemplate": asked(_TEMPLATE, _TEMPLATE_MORE, "A job that something else makes."),
    "JobOptions": asked({}, {**_OPTIONS, "metadata": _META}),
    "RetryPolicy": _RETRY_POLICY,
    "UniquePolicy": _UNIQUE_POLICY,
    "RateLimit": _RATE_LIMIT,
    "Rate": _RATE,
}

# The command line of the spec's project looks for them there.
AT_TOP: dict[str, Schema] = {
    **dict.fromkeys(("id", "type", "queue", "scheduled_at"), text()),
    **dict.fromkeys(("state", "previous_state"), STATE),
    **dict.fromkeys(("attempt", "max_attempts"), whole()),
    "priority": whole(-100, 100),
    **dict.fromkeys(("created_at", "started_at", "completed_at"), TIME),
}
"""Members of a job that may also stand beside it; not where the request has the header `OJS-Version`."""

JOB_ANSWER: Schema = answered({"job": ref("Job")}, AT_TOP)
