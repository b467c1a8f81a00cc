"""Jobs that something else makes later, a cron entry or a step; and what any request says, in JSON again."""

from collections.abc import Collection, Mapping
from typing import Any, Final

from ojs_grpc_pb.v1.job_pb2 import BatchJobEntry, EnqueueRequest
from ojs_grpc_pb.v1.service_pb2 import CronEntry, RegisterCronRequest
from ojs_grpc_pb.v1.workflow_pb2 import WorkflowStep

from ojs_grpc.codec import exact as exact_texts
from ojs_grpc.codec import options as option_objects
from ojs_grpc.codec import values
from ojs_grpc.codec.enqueue import read_enqueue
from ojs_grpc.codec.members import error_at
from ojs_grpc.core.attributes import UNKNOWN_OPTIONS
from ojs_grpc.core.envelope import Defaults, EnvelopeReader
from ojs_grpc.errors import InvalidRequest

_CORE: Final = EnvelopeReader(Defaults())

Request = EnqueueRequest | BatchJobEntry | WorkflowStep | RegisterCronRequest
Template = Request | CronEntry


def read_template(document: dict[str, Any], now: int, own: Collection[str] = ()) -> EnqueueRequest:
    """A job that something else makes later, such as a cron entry or a step: no `id` of its own.

    The type, args, options, exact, schema and ext of the answer are copied to the message of the thing that makes it.
    `ttl`, and an `expires_at` that counts from now, stay a duration (`options.ttl`).

    Args:
        own: members of the document that are the thing's own, and no attributes of the job: `name`, `depends_on`.

    Raises:
        As `read_enqueue`; `members.error_at` says where the document stood.
    """
    return read_enqueue({name: value for name, value in document.items() if name not in own and name != "id"}, now)


def render_template(template: Template) -> dict[str, Any]:
    """What `read_template` reads, `exact` applied: `type`, `args`, and where set `meta`, `options`, `schema`, unknown.

    Numbers, times and policies come back as they were said. `type` and `args` are always there.
    """
    flat = _render_flat(template)
    exact_texts.apply(flat, template.exact.items())
    unknown = flat.pop(UNKNOWN_OPTIONS, {})
    document = {"type": flat.pop("type"), "args": flat.pop("args")}
    options = {name: flat.pop(name) for name in list(flat) if name in option_objects.FLAT and name != "meta"}
    document.update(flat)
    if options or unknown:
        document["options"] = {**unknown, **options}
    return document


def verify_exact(request: Request) -> None:
    """Checks what a client says in `exact`: it must be what reading the job's JSON would give.

    Raises:
        InvalidRequest: it says something else than the other fields.
        PayloadTooLarge: it is larger than any job may be.
    """

    def render() -> dict[str, Any]:
        flat = _render_flat(request)
        # What the rules are about is judged elsewhere: here it only has to be there.
        attempts = request.options.retry.max_attempts or request.options.max_attempts
        return {**flat, "max_attempts": attempts} if attempts else flat

    def read(flat: dict[str, Any]) -> tuple[bytes, Mapping[str, str]]:
        entry = read_enqueue(flat, 0)
        found = dict(entry.exact)
        entry.ClearField("exact")
        return entry.SerializeToString(deterministic=True), found

    try:
        exact_texts.verify(request, render, read)
    except InvalidRequest:
        # What is wrong with the rest of the request, such as a time that is none, is told by its own name.
        _CORE.read(EnqueueRequest(type=request.type, options=request.options), None, 0)
        raise


def verify_entry(entry: BatchJobEntry | WorkflowStep, index: int, field: str) -> None:
    """As `verify_exact`, for an entry of a list.

    Raises:
        InvalidRequest: as `verify_exact`, with the place in the list.
    """
    try:
        verify_exact(entry)
    except InvalidRequest as error:
        raise error_at(error, f"{field}[{index}]", {"index": str(index)}) from None


def _render_flat(template: Template) -> dict[str, Any]:
    """The JSON form of the job, as `exact` points into it, all options beside each other."""
    flat: dict[str, Any] = {"type": template.type, "args": [values.render_value(arg) for arg in template.args]}
    flat.update(option_objects.render_options(template.options))
    if template.schema:
        flat["schema"] = template.schema
    for name, value in template.ext.fields.items():
        flat.setdefault(name, values.render_value(value))
    return flat
