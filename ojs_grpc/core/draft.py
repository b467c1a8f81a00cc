"""A job to enqueue, between the request and the envelope.

Nobody looks into most of what a request says, so it stays bytes all the way: bindings write a draft from what they got,
be it a message or JSON, and `EnvelopeReader.read_draft` makes the job of it.
"""

from collections.abc import Sequence
from typing import NamedTuple

from google.protobuf.struct_pb2 import Value
from ojs_grpc_pb.v1.job_pb2 import BatchJobEntry, EnqueueOptions, EnqueueRequest, Job

from ojs_grpc.core.records import maker
from ojs_grpc.core.wire import bytes_field

Entry = EnqueueRequest | BatchJobEntry

_ARG_TAG = bytes_field(Job.ARGS_FIELD_NUMBER, b"")[:1]
_TYPE_TAG = bytes_field(EnqueueRequest.TYPE_FIELD_NUMBER, b"")[:1]
_ENTRY_ARG_TAG = bytes_field(EnqueueRequest.ARGS_FIELD_NUMBER, b"")[:1]
_OPTIONS_TAG = bytes_field(EnqueueRequest.OPTIONS_FIELD_NUMBER, b"")[:1]
_FREQUENT_TAGS = frozenset({_TYPE_TAG, _ENTRY_ARG_TAG, _OPTIONS_TAG})


class Draft(NamedTuple):
    """What a client says of one job.

    Attributes:
        type: as it was said; nothing is checked yet.
        id: chosen by the client; None if it chose none.
        args: the arguments, each a serialised `Value` behind its length.
        options: a serialised `EnqueueOptions`.
        others: `exact`, `schema` and `ext`, as fields of a `Job`.
    """

    type: str
    id: str | None
    args: Sequence[bytes]
    options: bytes
    others: bytes = b""

    def args_fields(self) -> bytes:
        """The arguments, as fields of a `Job`."""
        return _ARG_TAG.join((b"", *self.args))

    def values(self) -> Sequence[Value]:
        """The arguments, parsed."""
        return Job.FromString(self.args_fields()).args

    def entry(self) -> bytes:
        """The draft as a serialised message: an `EnqueueRequest` or a `BatchJobEntry`, which have the same fields."""
        return b"".join(
            (
                bytes_field(EnqueueRequest.TYPE_FIELD_NUMBER, self.type.encode()),
                _ENTRY_ARG_TAG.join((b"", *self.args)),
                bytes_field(EnqueueRequest.OPTIONS_FIELD_NUMBER, self.options) if self.options else b"",
                b"" if self.id is None else bytes_field(EnqueueRequest.ID_FIELD_NUMBER, self.id.encode()),
                # These have the same numbers in all messages.
                self.others,
            )
        )

    def request(self) -> EnqueueRequest:
        """The draft as a message."""
        return EnqueueRequest.FromString(self.entry())


new_draft = maker(Draft)
"""Makes a draft of all of its fields."""


def draft_of(entry: Entry, options: EnqueueOptions | None = None) -> Draft:
    """The draft of a message.

    Args:
        options: in place of the entry's own.
    """
    # Protobuf writes fields by number: the type, the arguments one by one, the options, and what few entries have.
    data = entry.SerializeToString()
    args: list[bytes] = []
    own = b""
    at = 0
    while at < len(data):
        tag, start = data[at : at + 1], at + 1
        if tag not in _FREQUENT_TAGS:
            return _with_others(entry, args, own if options is None else options.SerializeToString())
        begin, length = start + 1, data[start]
        if length > 127:
            begin, length = _long(data, start)
        at = begin + length
        if tag == _ENTRY_ARG_TAG:
            args.append(data[start:at])
        elif tag == _OPTIONS_TAG:
            own = data[begin:at]
    return new_draft((entry.type, None, args, own if options is None else options.SerializeToString(), b""))


def _with_others(entry: Entry, args: Sequence[bytes], options: bytes) -> Draft:
    others = Job(schema=entry.schema, exact=entry.exact, ext=entry.ext if entry.HasField("ext") else None)
    return Draft(entry.type, entry.id if entry.HasField("id") else None, args, options, others.SerializeToString())


def _long(data: bytes, start: int) -> tuple[int, int]:
    """Where a field's content begins whose length begins at `start`, and that length."""
    length, shift, at = data[start] & 127, 7, start + 1
    while data[at - 1] > 127:
        length |= (data[at] & 127) << shift
        shift += 7
        at += 1
    return at, length
