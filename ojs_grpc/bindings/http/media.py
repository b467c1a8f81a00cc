"""Media types: what a request may be, and what its answer is (wire sections 0 and 1.1)."""

from collections.abc import Mapping

from ojs_grpc.errors import InvalidRequest, Violation

OJS = "application/openjobspec+json"
JSON = "application/json"

_OJS = OJS.encode()
_JSON = JSON.encode()
# The SDK for Python takes an answer for JSON only if its type contains `application/json`.
_FOR_SDKS = f'{OJS}; profile="{JSON}"'.encode()


def check_media(headers: Mapping[str, str]) -> None:
    """Checks the type of a body; a request may leave it out.

    Raises:
        InvalidRequest: it is another one.
    """
    given = headers.get("content-type", OJS)
    if given in {OJS, JSON} or not given or _name(given) in {OJS, JSON}:
        return
    raise InvalidRequest([Violation("content-type", f"must be {OJS} or {JSON}")])


def media_of(headers: Mapping[str, str]) -> bytes:
    """The type of the answer to a request."""
    accept = headers.get("accept")
    if accept and JSON in accept and OJS not in accept and JSON in map(_name, accept.split(",")):
        return _JSON
    return _FOR_SDKS if "ojs-version" in headers else _OJS


def _name(text: str) -> str:
    return text.partition(";")[0].strip().lower()
