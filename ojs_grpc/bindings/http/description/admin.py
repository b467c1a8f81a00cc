"""What operators see and do."""

from ojs_grpc.bindings.http.description.admin_documents import OVERVIEW, POINTS, SCHEMAS, STATUS
from ojs_grpc.bindings.http.description.operation import PAGING, Noun, Operation, Parameter
from ojs_grpc.bindings.http.description.schemas import (
    STATE,
    TIME,
    Schema,
    answered,
    any_object,
    array,
    asked,
    constant,
    mapping,
    one_of,
    ref,
    text,
    truth,
    whole,
)
from ojs_grpc.core import states

_ADMIN = "/ojs/v1/admin"

_TERMINAL = one_of(*map(states.state_name, sorted(states.TERMINAL)))
_OLDER = text("A point in time, or how long ago: `7d`, `P7D`.")
_QUEUE = Parameter("queue", text(), "Only of this queue.")
_SEARCH = (
    _QUEUE,
    Parameter("state", STATE, "Only in this state."),
    Parameter("type", text(), "Only of this type; a `*` at the end stands for anything."),
    Parameter("since", TIME, "Only those created then or later."),
    Parameter("until", TIME, "Only those created before."),
    Parameter("error_type", text(), "Only those whose last error is of this type."),
    Parameter("older_than", _OLDER),
)
_PAGES = tuple(parameter for parameter in PAGING if parameter.name != "cursor")
_FILTER: dict[str, Schema] = {
    "queue": text(),
    "state": STATE,
    "type": text(),
    "since": TIME,
    "until": TIME,
    "error_type": text(),
    "older_than": _OLDER,
}
_CONFIRM: dict[str, Schema] = {"confirm": constant(value=True)}
_CONFIRMED = asked(_CONFIRM, {"filter": asked({}, _FILTER), **_FILTER}, "The filter may also stand beside `confirm`.")
_NAMED = asked(
    {}, {"job_ids": array(text()), "filter": asked({}, _FILTER)}, "Jobs, or a filter: one of the two must be there."
)
_BULK: dict[str, Schema] = {
    "action": one_of("retry", "cancel", "delete"),
    **dict.fromkeys(("matched", "succeeded", "failed"), whole()),
    "has_more": truth(),
    "errors": array(answered({"job_id": text(), "error": text()}), "Some of those that failed."),
}
_RETRIED = {200: answered({**_BULK, "retried": whole()})}
_CANCELLED = {200: answered({**_BULK, "cancelled": whole()})}
_DELETED = {200: answered({**_BULK, "deleted": whole()})}

_JOB = {200: ref("JobDetail")}
_PAUSED: dict[str, Schema] = {"name": text(), "state": STATUS, "paused": truth()}


def _listed(item: str, **more: Schema) -> dict[int, Schema | None]:
    return {200: answered({"items": array(ref(item)), "total": whole(), "pagination": ref("Pages"), **more})}


NOUN = Noun(
    "admin",
    "What operators see and do.",
    [
        Operation(
            "stats",
            "GET",
            f"{_ADMIN}/stats",
            "Count everything, or one queue",
            {200: OVERVIEW},
            query=[_QUEUE, Parameter("detail", truth(), "Tell of each queue.")],
            refusals=[404],
        ),
        Operation(
            "statsHistory",
            "GET",
            f"{_ADMIN}/stats/history",
            "Count the last hour in steps",
            {200: answered({"period": text(), "data": POINTS, "data_points": POINTS})},
            query=[Parameter("period", one_of("1m", "5m", "1h"), "A step."), _QUEUE],
            refusals=[404],
        ),
        Operation(
            "adminListQueues", "GET", f"{_ADMIN}/queues", "List queues by name", _listed("QueueItem"), query=_PAGES
        ),
        Operation(
            "adminGetQueue",
            "GET",
            f"{_ADMIN}/queues/{{name}}",
            "Get a queue",
            {200: ref("QueueItem")},
            refusals=[400, 404],
        ),
        Operation(
            "adminPauseQueue",
            "POST",
            f"{_ADMIN}/queues/{{name}}/pause",
            "Stop delivery from a queue",
            {200: answered({**_PAUSED, "paused_at": TIME})},
            body=any_object(),
            needs_body=False,
        ),
        Operation(
            "adminResumeQueue",
            "POST",
            f"{_ADMIN}/queues/{{name}}/resume",
            "Start delivery again",
            {200: answered({**_PAUSED, "resumed_at": TIME})},
            body=any_object(),
            needs_body=False,
        ),
        Operation(
            "adminPurgeQueue",
            "DELETE",
            f"{_ADMIN}/queues/{{name}}/jobs",
            "Delete finished jobs of a queue",
            {200: answered({**_BULK, "deleted": whole(), "purged_count": whole(), "states": array(_TERMINAL)})},
            body=asked(_CONFIRM, {"states": array(_TERMINAL), "older_than": _OLDER}),
            needs_body=False,
        ),
        Operation(
            "adminListJobs",
            "GET",
            f"{_ADMIN}/jobs",
            "List jobs, state by state",
            _listed("JobItem"),
            query=[*_SEARCH, *_PAGES],
        ),
        Operation("adminGetJob", "GET", f"{_ADMIN}/jobs/{{id}}", "Get a job", _JOB, refusals=[404]),
        Operation(
            "adminRetryJob",
            "POST",
            f"{_ADMIN}/jobs/{{id}}/retry",
            "Make a discarded job available again",
            _JOB,
            body=any_object(),
            needs_body=False,
            refusals=[404, 409],
        ),
        Operation(
            "adminCancelJob",
            "POST",
            f"{_ADMIN}/jobs/{{id}}/cancel",
            "Cancel a job",
            _JOB,
            body=asked({}, {"reason": text()}),
            needs_body=False,
            refusals=[404, 409],
        ),
        *(
            Operation(
                f"admin{action.capitalize()}Jobs",
                "POST",
                f"{_ADMIN}/jobs/bulk/{action}",
                f"{action.capitalize()} all jobs of a filter",
                answers,
                body=_CONFIRMED,
                needs_body=False,
            )
            for action, answers in (("retry", _RETRIED), ("cancel", _CANCELLED), ("delete", _DELETED))
        ),
        Operation(
            "adminListWorkers",
            "GET",
            f"{_ADMIN}/workers",
            "List workers by id",
            _listed("WorkerItem", summary=mapping(whole())),
            query=_PAGES,
        ),
        Operation(
            "adminGetWorker",
            "GET",
            f"{_ADMIN}/workers/{{id}}",
            "Get a worker",
            {200: ref("WorkerItem")},
            refusals=[404],
        ),
        Operation(
            "adminListDeadLetters",
            "GET",
            f"{_ADMIN}/dead-letter",
            "List dead letters by queue, the latest first",
            _listed("JobItem"),
            query=[*_SEARCH, *_PAGES],
        ),
        Operation(
            "adminDeadLetterStats",
            "GET",
            f"{_ADMIN}/dead-letter/stats",
            "Count dead letters",
            {200: ref("DeadLetterStats")},
        ),
        Operation(
            "adminRetryDeadLetters",
            "POST",
            f"{_ADMIN}/dead-letter/retry",
            "Retry all dead letters of a filter",
            _RETRIED,
            body=_CONFIRMED,
            needs_body=False,
        ),
        Operation(
            "adminDeleteDeadLetters",
            "DELETE",
            f"{_ADMIN}/dead-letter",
            "Delete all dead letters of a filter",
            {200: answered({**_BULK, "deleted": whole(), "purged_count": whole()})},
            body=_CONFIRMED,
            needs_body=False,
        ),
        Operation(
            "adminRetryDeadLetter",
            "POST",
            f"{_ADMIN}/dead-letter/{{id}}/retry",
            "Make a dead letter available again",
            _JOB,
            body=any_object(),
            needs_body=False,
            refusals=[404, 409],
        ),
        Operation(
            "adminDeleteDeadLetter",
            "DELETE",
            f"{_ADMIN}/dead-letter/{{id}}",
            "Delete a dead letter",
            {204: None},
            refusals=[404],
        ),
        Operation(
            "listJobs",
            "GET",
            "/ojs/v1/jobs",
            "List jobs, state by state",
            {200: answered({"jobs": array(ref("JobItem")), "total": whole(), "pagination": ref("Pages")})},
            query=[*_SEARCH, *_PAGES],
        ),
        *(
            Operation(
                f"{action}Jobs",
                "POST",
                f"/ojs/v1/jobs/bulk/{action}",
                f"{action.capitalize()} some jobs",
                answers,
                body=_NAMED,
                needs_body=False,
            )
            for action, answers in (("retry", _RETRIED), ("cancel", _CANCELLED), ("delete", _DELETED))
        ),
        Operation(
            "purgeQueue",
            "POST",
            "/ojs/v1/queues/{name}/purge",
            "Delete finished jobs of a queue",
            {200: answered({**_BULK, "deleted": whole(), "states": array(_TERMINAL)})},
            body=asked({}, {"states": array(_TERMINAL), "older_than": _OLDER}),
            needs_body=False,
        ),
        Operation(
            "deadLetterStats", "GET", "/ojs/v1/dead-letter/stats", "Count dead letters", {200: ref("DeadLetterStats")}
        ),
        Operation(
            "purgeDeadLetters",
            "POST",
            "/ojs/v1/dead-letter/purge",
            "Delete dead letters",
            _DELETED,
            query=_SEARCH,
            body=any_object(),
            needs_body=False,
        ),
    ],
    SCHEMAS,
)
