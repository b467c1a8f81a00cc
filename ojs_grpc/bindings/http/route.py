"""What the nouns of this binding declare, and what their handlers give back."""

from abc import abstractmethod
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from enum import Enum
from typing import Any, NamedTuple

from ojs_grpc.bindings.http.call import Call


class Body(Enum):
    """Whether a request has a body; what is not `NONE` must be a JSON object where it is sent."""

    NONE = "none"
    OPTIONAL = "optional"
    REQUIRED = "required"


class Answer(NamedTuple):
    """What a handler answers.

    Attributes:
        document: a JSON object; or its text, already UTF-8.
        status: an HTTP status, a successful one: errors are raised. With 204 nothing of the document is sent.
        headers: besides those of every answer, such as `Location`; written as they are.
        media: the type of an answer that is no JSON of the spec.
        on_lost: called if the caller is gone before the answer is written.
    """

    document: Mapping[str, Any] | bytes
    status: int = 200
    headers: Sequence[tuple[bytes, bytes]] = ()
    media: str = ""
    on_lost: Callable[[], None] | None = None


class Chunks(AsyncIterator[bytes]):
    """The parts of a stream."""

    @abstractmethod
    async def aclose(self) -> None:
        """Ends it, also before its first part was asked for."""


class Stream(NamedTuple):
    """An answer without an end, such as server-sent events.

    Attributes:
        chunks: what is sent, each part at once. It is closed when the caller goes away or the server stops; an
            `OJSError` in it ends the stream. It should raise its errors before it is given back, while there is still
            an error to answer.
        media: its type.
        headers: besides those of every answer.
    """

    chunks: Chunks
    media: str = "text/event-stream"
    headers: Sequence[tuple[bytes, bytes]] = ((b"cache-control", b"no-cache"), (b"x-accel-buffering", b"no"))


Handler = Callable[[Call], Awaitable[Answer | Stream]]


class Route(NamedTuple):
    """One endpoint.

    Attributes:
        method: such as GET.
        path: whole, with parameters in braces: `/ojs/v1/jobs/{id}`; `{uri:path}` also takes slashes.
        handler: answers a call.
        body: whether there is one.
        large: the body may be as large as `Limits.request_bytes`, not only as large as a job.
        vital: answered however many calls are under way: what whoever watches over the server asks.
    """

    method: str
    path: str
    handler: Handler
    body: Body = Body.NONE
    large: bool = False
    vital: bool = False
