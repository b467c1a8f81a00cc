"""Cron entries."""

from ojs_grpc.bindings.http.description.operation import PAGING, Noun, Operation, Parameter
from ojs_grpc.bindings.http.description.schemas import (
    ANYTHING,
    TIME,
    Schema,
    answered,
    any_object,
    array,
    asked,
    constant,
    nullable,
    one_of,
    ref,
    text,
    truth,
    whole,
)

_TEMPLATE: dict[str, Schema] = {"type": text(), "args": array(ANYTHING)}
_TEMPLATE_MORE: dict[str, Schema] = {"meta": any_object(), "options": any_object(), "schema": text()}
_EXPRESSION = text("Five fields, six with seconds, or a word such as `@daily`.", minLength=1, examples=["*/5 * * * *"])
_POLICIES = ("skip", "allow", "cancel_previous", "enqueue")

_CRON_REQUEST = {
    "allOf": [
        asked(
            {"name": text(minLength=1)},
            {
                "expression": _EXPRESSION,
                "cron": _EXPRESSION,
                "timezone": text("By the IANA; UTC if it is left out.", examples=["Europe/Berlin"]),
                "overlap_policy": one_of(*_POLICIES, "cancel"),
                "enabled": truth(),
                "description": text(),
                "job_template": asked({}, description="The job, whose members may also stand beside."),
            },
        ),
        {"anyOf": [{"required": ["expression"]}, {"required": ["cron"]}]},
    ]
}
_CRON: dict[str, Schema] = {
    **_TEMPLATE,
    "name": text(),
    "expression": text(),
    "cron": text(),
    "timezone": text(),
    "job_template": answered(_TEMPLATE, _TEMPLATE_MORE),
    "overlap_policy": one_of(*_POLICIES),
    "enabled": truth(),
    "status": one_of("active", "disabled"),
    "run_count": whole(),
    "next_run_at": nullable(TIME),
    "last_run_at": nullable(TIME),
    "created_at": TIME,
}
_CRON_MORE: dict[str, Schema] = {**_TEMPLATE_MORE, "description": text()}
_CRON_ANSWER: dict[str, Schema] = {"cron": ref("Cron"), "cron_job": ref("Cron")}
_ITEM: Schema = {"allOf": [ref("Cron"), answered({"id": text(), "schedule": text(), "queue": text()})]}
_PAGED: dict[str, Schema] = {"total": whole(), "pagination": ref("Pagination")}
_QUERY = [Parameter("enabled", truth()), *PAGING]
_ENABLE: Schema = {**asked({"enabled": truth()}), "additionalProperties": False}
_REMOVED = answered({**_CRON_ANSWER, "deleted": constant(value=True), "name": text()})

NOUN = Noun(
    "cron",
    "Jobs that are enqueued by the clock.",
    [
        Operation(
            "registerCron",
            "POST",
            "/ojs/v1/cron",
            "Register an entry; one that has the name is replaced",
            {201: answered(_CRON_ANSWER), 200: answered(_CRON_ANSWER, description="It was replaced.")},
            body=ref("CronRequest"),
            refusals=[409],
        ),
        Operation(
            "listCrons",
            "GET",
            "/ojs/v1/cron",
            "List entries by name",
            {
                200: answered(
                    {"crons": array(ref("Cron")), "cron_jobs": array(ref("Cron")), "count": whole(), **_PAGED}
                )
            },
            query=_QUERY,
        ),
        Operation(
            "getCron",
            "GET",
            "/ojs/v1/cron/{name}",
            "Get an entry, its members also at the top",
            {200: answered({**_CRON, **_CRON_ANSWER}, _CRON_MORE)},
            refusals=[404],
        ),
        Operation(
            "enableCron",
            "PATCH",
            "/ojs/v1/cron/{name}",
            "Enable or disable an entry",
            {200: answered(_CRON_ANSWER)},
            body=_ENABLE,
            refusals=[404],
        ),
        Operation(
            "unregisterCron",
            "DELETE",
            "/ojs/v1/cron/{name}",
            "Remove an entry",
            {200: _REMOVED},
            refusals=[404],
        ),
        *(
            Operation(
                f"{action}Cron",
                "POST",
                f"/ojs/v1/cron/{{name}}/{action}",
                summary,
                {200: answered(_CRON_ANSWER)},
                body=any_object(),
                needs_body=False,
                refusals=[404],
            )
            for action, summary in (("pause", "Disable an entry"), ("resume", "Enable an entry"))
        ),
        Operation(
            "listCronItems",
            "GET",
            "/ojs/v1/crons",
            "List entries for the admin UI",
            {200: answered({"items": array(ref("CronItem")), **_PAGED})},
            query=_QUERY,
        ),
        Operation(
            "getCronItem",
            "GET",
            "/ojs/v1/crons/{name}",
            "Get an entry for the admin UI",
            {200: ref("CronItem")},
            refusals=[404],
        ),
        Operation(
            "enableCronItem",
            "PATCH",
            "/ojs/v1/crons/{name}",
            "Enable or disable an entry",
            {200: ref("CronItem")},
            body=_ENABLE,
            refusals=[404],
        ),
        Operation(
            "unregisterCronItem",
            "DELETE",
            "/ojs/v1/crons/{name}",
            "Remove an entry",
            {200: _REMOVED},
            refusals=[404],
        ),
    ],
    {"CronRequest": _CRON_REQUEST, "Cron": answered(_CRON, _CRON_MORE), "CronItem": _ITEM},
)
