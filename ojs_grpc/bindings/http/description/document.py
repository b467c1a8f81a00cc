"""The whole description: OpenAPI 3.1."""

import re
from collections.abc import Iterator, Sequence
from typing import Any, Final

from ojs_grpc import __version__
from ojs_grpc.bindings.http.description import (
    admin,
    cron,
    events,
    jobs,
    progress,
    queues,
    registry,
    system,
    workers,
    workflows,
)
from ojs_grpc.bindings.http.description.errors import ERROR, EVERYWHERE, REFUSALS, Refusal, codes_of
from ojs_grpc.bindings.http.description.operation import Noun, Operation, Parameter
from ojs_grpc.bindings.http.description.schemas import Schema, ref, text, whole
from ojs_grpc.bindings.http.media import JSON, OJS

NOUNS: Final[Sequence[Noun]] = (
    system.NOUN,
    jobs.NOUN,
    workers.NOUN,
    queues.QUEUES,
    queues.DEAD_LETTERS,
    cron.NOUN,
    workflows.NOUN,
    events.NOUN,
    progress.NOUN,
    registry.NOUN,
    admin.NOUN,
)

_DESCRIPTION = """\
The HTTP binding of the Open Job Spec, and what this server offers besides.

Unless it says otherwise, of a request: members may be null where they may be left out, and members that nobody knows
are taken. The limits that are not written here are in the manifest.
"""
_HEADERS: Final[dict[str, Schema]] = {
    "X-Request-Id": text("The caller's own, or a new one.", minLength=1),
    "OJS-Version": text("Of the spec.", pattern=r"^1\.0$"),
    "Retry-After": whole(1, description="Seconds."),
}
_EVERYWHERE: Final = ("X-Request-Id", "OJS-Version")
_TAKEN: Final[dict[str, Schema]] = {
    "X-Request-Id": text("Is answered, for those who search logs.", maxLength=128),
    "OJS-Version": text(
        "Of the spec. Who sends it gets some answers in the form that clients read.",
        pattern=r"^1(\.0(\.[0-9]+)?)?(-[0-9A-Za-z.-]*)?$",
    ),
    "Idempotency-Key": text("The request is done once, however often it is sent.", maxLength=256),
    "traceparent": text("As in W3C Trace Context; is kept with the job."),
    "tracestate": text("Likewise."),
    "Last-Event-ID": text("The event after which to go on."),
}
_PATH_PARAMETER: Final = re.compile(r"\{(\w+)\}")
_PATH_PARAMETERS: Final = {
    "id": "A job, a workflow, or a worker.",
    "name": "A queue, or a cron entry.",
    "uri": "Encoded, slashes included.",
}


def describe() -> dict[str, Any]:
    """The document."""
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Open Job Spec",
            "version": __version__,
            "summary": "A job service",
            "description": _DESCRIPTION,
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/"}],
        "tags": [{"name": noun.name, "description": noun.description} for noun in NOUNS],
        "paths": _paths(),
        "components": {
            "schemas": {"Error": ERROR} | {name: schema for noun in NOUNS for name, schema in noun.schemas.items()},
            "responses": {refusal.name: _refusal(status, refusal) for status, refusal in REFUSALS.items()},
            "headers": {name: _header(name, schema) for name, schema in _HEADERS.items()},
            "parameters": {name: {"name": name, "in": "header", "schema": _TAKEN[name]} for name in _TAKEN},
        },
    }


def _paths() -> dict[str, Any]:
    paths: dict[str, Any] = {}
    for noun in NOUNS:
        for operation in noun.operations:
            item = paths.setdefault(operation.path, {"parameters": [*_path_parameters(operation.path)]})
            item[operation.method.lower()] = _operation(noun, operation)
    return paths


def _operation(noun: Noun, operation: Operation) -> dict[str, Any]:
    parameters = [_query_parameter(parameter) for parameter in operation.query]
    parameters += [{"$ref": f"#/components/parameters/{name}"} for name in operation.takes]
    described = {
        "operationId": operation.id,
        "tags": [noun.name],
        "summary": operation.summary,
        "parameters": parameters,
        "responses": _responses(operation),
    }
    if operation.body is not None:
        content = {media: {"schema": operation.body} for media in (OJS, JSON)}
        described["requestBody"] = {"required": operation.needs_body, "content": content}
    return described


def _path_parameters(path: str) -> Iterator[dict[str, Any]]:
    for name in _PATH_PARAMETER.findall(path):
        description = _PATH_PARAMETERS[name]
        yield {"name": name, "in": "path", "required": True, "description": description, "schema": text(minLength=1)}
    for name in _EVERYWHERE:
        yield {"$ref": f"#/components/parameters/{name}"}


def _query_parameter(parameter: Parameter) -> dict[str, Any]:
    described = {"name": parameter.name, "in": "query", "schema": parameter.schema}
    if parameter.description:
        described["description"] = parameter.description
    return {**described, "style": "form", "explode": False} if parameter.comma else described


def _responses(operation: Operation) -> dict[str, Any]:
    """Successes, and the errors that it may have: of its own, of what it reads, and of all."""
    responses = {str(status): _answer(operation, schema) for status, schema in operation.answers.items()}
    refusals = {*operation.refusals, *EVERYWHERE}
    if operation.query or operation.body is not None or operation.method in {"POST", "PUT", "PATCH"}:
        refusals.add(400)
    if operation.body is not None:
        refusals.add(413)
    for status in sorted(refusals):
        responses.setdefault(str(status), {"$ref": f"#/components/responses/{REFUSALS[status].name}"})
    return responses


def _answer(operation: Operation, schema: Schema | None) -> dict[str, Any]:
    headers: dict[str, Schema] = {name: {"$ref": f"#/components/headers/{name}"} for name in _EVERYWHERE}
    headers |= {name: {"schema": rules} for name, rules in operation.headers.items()}
    described = {"description": (schema or {}).get("description") or operation.summary, "headers": headers}
    if schema is None:
        return described
    medias = [operation.text] if operation.text else [OJS, JSON]
    return {**described, "content": {media: {"schema": schema} for media in medias}}


def _refusal(status: int, refusal: Refusal) -> dict[str, Any]:
    headers = {name: {"$ref": f"#/components/headers/{name}"} for name in _EVERYWHERE}
    if refusal.retry_after:
        headers["Retry-After"] = {"$ref": "#/components/headers/Retry-After"}
    codes = ", ".join(f"`{code}`" for code in codes_of(status))
    return {
        "description": f"{refusal.meaning} Codes: {codes}.",
        "headers": headers,
        "content": {media: {"schema": ref("Error")} for media in (OJS, JSON)},
    }


def _header(name: str, schema: Schema) -> dict[str, Any]:
    return {"required": name in _EVERYWHERE, "schema": schema}
