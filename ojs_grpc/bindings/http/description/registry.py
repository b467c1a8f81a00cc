"""The registry of JSON schemas."""

from ojs_grpc.bindings.http.description.operation import PAGING, Noun, Operation
from ojs_grpc.bindings.http.description.schemas import (
    JOB_TYPE,
    TIME,
    Schema,
    answered,
    any_object,
    array,
    asked,
    constant,
    either,
    ref,
    text,
    whole,
)

_VERSION = either(whole(), text(minLength=1, maxLength=64))
_HEAD: dict[str, Schema] = {"uri": text(), "type": text(), "version": _VERSION, "created_at": TIME}
_HEAD_ANSWER = answered({"schema": ref("SchemaHead")})

NOUN = Noun(
    "schemas",
    "What the arguments of jobs must be like.",
    [
        Operation(
            "listSchemas",
            "GET",
            "/ojs/v1/schemas",
            "List schemas by URI",
            {200: answered({"schemas": array(ref("SchemaHead")), "pagination": ref("Pagination")})},
            query=PAGING,
        ),
        Operation(
            "registerSchema",
            "POST",
            "/ojs/v1/schemas",
            "Register a schema",
            {201: _HEAD_ANSWER, 200: _HEAD_ANSWER},
            body=asked(
                {
                    "uri": text(
                        pattern="^[A-Za-z][A-Za-z0-9+.-]*:[!-~]+$",
                        maxLength=2048,
                        examples=["urn:ojs:schema:email.send:v1"],
                    ),
                    "type": text(pattern=JOB_TYPE, maxLength=255),
                    "schema": any_object("JSON Schema 2020-12, of the array of arguments."),
                },
                {"version": _VERSION},
            ),
            refusals=[409],
        ),
        Operation(
            "getSchema",
            "GET",
            "/ojs/v1/schemas/{uri}",
            "Get a schema",
            {200: answered({"schema": ref("RegisteredSchema")})},
            refusals=[404],
        ),
        Operation(
            "deleteSchema",
            "DELETE",
            "/ojs/v1/schemas/{uri}",
            "Remove a schema",
            {200: answered({"deleted": constant(value=True), "uri": text()})},
            refusals=[404],
        ),
    ],
    {"SchemaHead": answered(_HEAD), "RegisteredSchema": answered({**_HEAD, "schema": any_object()})},
)
