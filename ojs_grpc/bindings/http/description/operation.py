"""What the description says of an endpoint, and of a group of them."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from ojs_grpc.bindings.http.description.schemas import Schema


class Parameter(NamedTuple):
    """A parameter of a query.

    Attributes:
        comma: a list, its items separated by commas.
    """

    name: str
    schema: Schema
    description: str = ""
    comma: bool = False


class Operation(NamedTuple):
    """One endpoint.

    Attributes:
        id: a name for programs, unlike all others.
        method: such as POST.
        path: as OpenAPI has it, `/ojs/v1/jobs/{id}`.
        answers: the document of each successful status; None for no body.
        query: what may stand behind the question mark.
        body: the document that a request has; None for none.
        needs_body: a request without a body is refused.
        refusals: statuses of errors besides those that every endpoint has.
        text: the media type of an answer that is no JSON.
        headers: of successful answers, besides those of all.
        takes: headers of the request that mean something here.
    """

    id: str
    method: str
    path: str
    summary: str
    answers: Mapping[int, Schema | None]
    query: Sequence[Parameter] = ()
    body: Schema | None = None
    needs_body: bool = True
    refusals: Sequence[int] = ()
    text: str = ""
    headers: Mapping[str, Schema] = {}
    takes: Sequence[str] = ()


class Noun(NamedTuple):
    """Endpoints that belong together, and the schemas that they share.

    Attributes:
        name: as the description groups them.
        schemas: by name, among the components.
    """

    name: str
    description: str
    operations: Sequence[Operation]
    schemas: Mapping[str, Schema] = {}


_NUMBER: Schema = {"type": "integer", "minimum": 0, "maximum": 10**9}

PAGING: Sequence[Parameter] = (
    Parameter("limit", _NUMBER, "Rows on a page; as many as a page may have if it is more."),
    Parameter("cursor", {"type": "string"}, "`pagination.next_cursor` of the page before."),
    Parameter("offset", {**_NUMBER, "maximum": 10_000}, "Rows before the page, where no cursor says more."),
    Parameter("page", {**_NUMBER, "minimum": 1}, "In place of the offset: which page, the first one being 1."),
    Parameter("per_page", _NUMBER, "In place of the limit."),
)
"""What every list takes (see `pagination.Paging`)."""
