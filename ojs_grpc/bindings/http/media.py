"""Media types: what a request may be, and what its answer is (wire sections 0 and 1.1)."""

from ojs_grpc.bindings.http.call import Headers
from ojs_grpc.errors import InvalidRequest, Violation

OJS = "application/openjobspec+json"
JSON = "application/json"

_OJS = OJS.encode()
_JSON = JSON.encode()
_ANY = b"*/*"
_KNOWN = frozenset({_OJS, _JSON})
# The SDK for Python takes an answer for JSON only if its type contains `application/json`.
_FOR_SDKS = f'{OJS}; profile="{JSON}"'.encode()


def check_media(headers: Headers) -> None:
    """Checks the type of a body; a request may leave it out.

    Raises:
        InvalidRequest: it is another one.
    """
    given = headers.get(b"content-type")
    if not given or given in _KNOWN or _name(given) in _KNOWN:
        return
    raise InvalidRequest([Violation("content-type", f"must be {OJS} or {JSON}")])


def media_of(headers: Headers) -> bytes:
    """The type of the answer to a request."""
    accept = headers.get(b"accept")
    if accept and accept != _ANY and _JSON in accept and _OJS not in accept and _JSON in map(_name, accept.split(b",")):
        return _JSON
    return _FOR_SDKS if b"ojs-version" in headers else _OJS


def _name(value: bytes) -> bytes:
    return value.partition(b";")[0].strip().lower()
