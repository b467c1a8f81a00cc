"""Errors: one body for all, and what each status is for."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final, NamedTuple

from ojs_grpc.bindings.http.description.schemas import Schema, answered, array, text, truth, whole
from ojs_grpc.bindings.http.status import ENTRIES

EVERYWHERE: Final = (422, 429, 500, 503, 504)
"""Statuses that every endpoint may answer: another version of the spec, too many calls, the store."""


class Refusal(NamedTuple):
    """What a status of an error means.

    Attributes:
        name: of the response, among the components.
        retry_after: it comes with the seconds after which to try again.
    """

    name: str
    meaning: str
    retry_after: bool = False


REFUSALS: Mapping[int, Refusal] = MappingProxyType(
    {
        400: Refusal("Invalid", "The request breaks a rule; nothing was stored."),
        404: Refusal("NotFound", "There is no such thing."),
        408: Refusal("Waiting", "What was waited for has not happened yet."),
        409: Refusal("Conflict", "It cannot be done as things stand."),
        413: Refusal("TooLarge", "It is over a limit, which the manifest names."),
        422: Refusal("Unprocessable", "A retry policy is out of range, or `OJS-Version` names another version."),
        429: Refusal("TooMany", "Too many calls are under way, or a queue is full.", retry_after=True),
        500: Refusal("Failed", "The server failed."),
        503: Refusal("Unavailable", "The store cannot be reached, or the server is stopping.", retry_after=True),
        504: Refusal("TimedOut", "The store did not answer in time.", retry_after=True),
    }
)

ERROR: Final[Schema] = answered(
    {
        "error": answered(
            {
                "code": text("What went wrong, for programs."),
                "type": text("The same as `code`."),
                "message": text("What went wrong, for people."),
                "retryable": truth("Whether the same request may succeed later."),
                "details": answered(
                    {},
                    {
                        "field": text("The member that breaks a rule first."),
                        "validation": text("That rule."),
                        "validation_errors": array(answered({"path": text(), "message": text()})),
                        "index": whole(description="Which job of a batch."),
                        "resource_type": text("What was not found."),
                        "resource_id": text("Which one was not found."),
                    },
                    "Facts, also others than these.",
                ),
                "request_id": text("As in the header `X-Request-Id`."),
                "docs_url": text("Where to read on.", format="uri"),
                "doc_url": text("The same as `docs_url`.", format="uri"),
                "canonical_code": text("The name in the spec's catalogue.", pattern="^[A-Z_]+$"),
                "ojs_code": text("The number in the spec's catalogue.", pattern="^OJS-[0-9]{4}$"),
            },
            {"hint": text("What to do about it.")},
        )
    },
    description="The body of every error.",
)


def codes_of(status: int) -> list[str]:
    """The error codes that come with a status."""
    return sorted({entry.code or kind.code for kind, entry in ENTRIES.items() if entry.status == status})
