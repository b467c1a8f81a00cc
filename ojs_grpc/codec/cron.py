"""Cron entries in JSON (wire section 1.2): the spec's form, and the one with the job in `job_template`."""

from typing import Any, Final

from ojs_grpc_pb.v1.service_pb2 import CronEntry, RegisterCronRequest

from ojs_grpc.codec.fields import Place, name_field
from ojs_grpc.codec.members import Members
from ojs_grpc.codec.template import read_template, render_template
from ojs_grpc.codec.times import timestamp_text
from ojs_grpc.core.cron_entry import CANCEL_PREVIOUS
from ojs_grpc.errors import InvalidRequest, Violation

_EXPRESSION: Final = ("cron", "expression")
_TEMPLATE: Final = "job_template"
# The rest of what `render_cron` gives is the server's, and ignored in a request.
_OWN: Final = frozenset(
    {
        "name",
        *_EXPRESSION,
        "timezone",
        "overlap_policy",
        "enabled",
        "description",
        _TEMPLATE,
        "status",
        "run_count",
        "next_run_at",
        "last_run_at",
    }
)
_POLICY_ALIASES: Final = {"cancel": CANCEL_PREVIOUS}


def read_cron(document: dict[str, Any], now: int) -> RegisterCronRequest:
    """A cron entry to register. What a `job_template` leaves out may stand beside it, and its `args` may be missing.

    Args:
        now: as in `read_enqueue`.

    Raises:
        InvalidRequest: or one of the kinds that `read_template` raises: with every broken rule that the engine does not
            look after. The engine's own errors are for `name_cron_fields`.
    """
    members = Members(document)
    template = members.object(_TEMPLATE)
    request = RegisterCronRequest(
        name=members.required_text("name"),
        cron=members.required_text(*_EXPRESSION),
        timezone=members.text("timezone") or "",
        overlap_policy=members.text("overlap_policy") or "",
        enabled=members.truth("enabled"),
        description=members.text("description") or "",
    )
    request.overlap_policy = _POLICY_ALIASES.get(request.overlap_policy, request.overlap_policy)
    job = {name: value for name, value in document.items() if name not in _OWN}
    if template is not None:
        # Null is absent, and leaves what stands beside.
        job = {"args": [], **job, **{name: value for name, value in template.items() if value is not None}}
    try:
        read = read_template(job, now)
    except InvalidRequest as error:
        found = name_cron_fields(error, document)
        if members.broken:
            raise InvalidRequest([*members.broken, *found.violations]) from None
        raise found from None
    members.finish()
    request.MergeFrom(
        RegisterCronRequest(
            type=read.type,
            args=read.args,
            options=read.options if read.options.ByteSize() else None,
            exact=read.exact,
            schema=read.schema,
            ext=read.ext if read.HasField("ext") else None,
        )
    )
    return request


def name_cron_fields(error: InvalidRequest, document: dict[str, Any]) -> InvalidRequest:
    """What the engine said of a request that `read_cron` read, its fields as the client wrote them."""
    violations = []
    for field, rule in error.violations:
        if field == "cron":
            violations.append(Violation(Members(document).name_of(*_EXPRESSION), rule))
        elif field in _OWN:
            violations.append(Violation(field, rule))
        else:
            violations.append(Violation(name_field(field, _places(document)), rule))
    return type(error)(violations, error.details)


def _places(document: dict[str, Any]) -> list[Place]:
    """Where members of the job may stand."""
    template = document.get(_TEMPLATE)
    return [*([(f"{_TEMPLATE}.", template)] if type(template) is dict else []), ("", document)]


def render_cron(entry: CronEntry) -> dict[str, Any]:
    """The entry as a document, in both forms at once."""
    template = render_template(entry)
    document = {
        **{name: value for name, value in template.items() if name not in _OWN},
        "name": entry.name,
        "expression": entry.cron,
        "cron": entry.cron,
        "timezone": entry.timezone,
        _TEMPLATE: template,
        "overlap_policy": entry.overlap_policy,
        "enabled": entry.enabled,
        "status": "active" if entry.enabled else "disabled",
        "run_count": entry.run_count,
        "next_run_at": timestamp_text(entry.next_run_at) if entry.HasField("next_run_at") else None,
        "last_run_at": timestamp_text(entry.last_run_at) if entry.HasField("last_run_at") else None,
        "created_at": timestamp_text(entry.created_at),
    }
    if entry.description:
        document["description"] = entry.description
    return document
