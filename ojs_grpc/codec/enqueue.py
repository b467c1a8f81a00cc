"""What clients enqueue in JSON (wire sections 2.1 and 2.2): one way for HTTP, batches, cron and workflows.

A hot path: producers send the same options over and over, so their bytes are kept, by a key that is the object itself.
"""

import marshal
import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

from ojs_grpc_pb.v1.job_pb2 import EnqueueOptions, EnqueueRequest, Job

from ojs_grpc.codec import options as option_objects
from ojs_grpc.codec import values
from ojs_grpc.codec.fields import attribute_of, name_job_fields
from ojs_grpc.codec.members import Members, error_at
from ojs_grpc.core.attributes import KNOWN, OPTIONS, UNKNOWN_OPTIONS
from ojs_grpc.core.draft import Draft, new_draft
from ojs_grpc.core.envelope import SPECVERSION, Defaults, EnvelopeReader
from ojs_grpc.core.wire import bytes_field
from ojs_grpc.errors import InvalidRequest, InvalidRetryPolicy, PayloadTooLarge, Violation

_EXACT: Final = Job.EXACT_FIELD_NUMBER
_SCHEMA: Final = Job.SCHEMA_FIELD_NUMBER
_EXT: Final = Job.EXT_FIELD_NUMBER
_META: Final = EnqueueOptions.META_FIELD_NUMBER

# Documents with only these need no look at what else there is.
_FREQUENT: Final = frozenset(("type", "args", "options", "meta", "id"))
_VERSIONS: Final = re.compile(r"1\.0(\.[0-9A-Za-z.+-]+)?")
# Tells what else is wrong with a request that is refused anyway.
_CORE: Final = EnvelopeReader(Defaults())

# What follows from options is kept for so many different ones, the larger ones excepted.
_KEPT_OPTIONS: Final = 1024
_KEPT_BYTES: Final = 1024
_kept: dict[bytes, tuple[bytes, bytes]] = {}

_NOTHING: Final[Mapping[str, Any]] = {}


def read_draft(document: dict[str, Any], now: int) -> Draft:
    """A job to enqueue, options nested or flat. The document is not changed.

    Args:
        now: what relative times count from, ms since the epoch.

    Raises:
        InvalidRequest: with every broken rule that `EnvelopeReader` does not look after.
        InvalidRetryPolicy: only the retry policy breaks rules.
        PayloadTooLarge: it nests too deep.
    """
    args, type_, nested = document.get("args"), document.get("type"), document.get("options", _NOTHING)
    broken: list[Violation] = []
    retry_broken: list[Violation] = []
    if type(args) is not list or type(type_) is not str or not type_ or type(nested) is not dict:
        args, type_, nested = _check_frequent(document, broken)
    exact: dict[str, str] = {}
    meta, job_id = document.get("meta"), document.get("id")
    plain = _FREQUENT.issuperset(document)
    flat = _NOTHING if plain else _flat(document)
    if meta is not None and (type(meta) is not dict or "meta" in nested or "metadata" in nested):
        flat, meta = {**flat, "meta": meta}, None
    if job_id is not None and (type(job_id) is not str or not job_id):
        broken.append(Violation("id", "must be a UUIDv7 in lower case"))
        job_id = None
    items = values.list_items(args, "args", "/args", exact)
    others = b"" if plain else _read_others(document, exact, broken)
    options, more = _read_options(nested, flat, now, broken, retry_broken)
    if meta is not None:
        options += bytes_field(_META, values.struct_bytes(meta, "meta", "/meta", exact))
    if exact:
        more += _exact_fields(exact)
    draft = new_draft((type_, job_id, items, options, others + more))
    if broken or retry_broken:
        raise _refusal(draft, document, now, broken, retry_broken)
    return draft


def read_enqueue(document: dict[str, Any], now: int) -> EnqueueRequest:
    """As `read_draft`, as a message."""
    return read_draft(document, now).request()


def read_batch(document: dict[str, Any], now: int, most: int) -> Iterator[bytes]:
    """The jobs of `{"jobs": [...]}`, one by one, as serialised BatchJobEntries.

    Raises:
        InvalidRequest: the first broken job's violations, as `jobs[3].type`, its place in `details["index"]`; or one
            of the kinds that `read_draft` raises.
        PayloadTooLarge: there are more than `most`.
    """
    members = Members(document)
    jobs = members.array("jobs")
    if jobs is None and not members.broken:
        members.refuse("jobs", "is required")
    members.finish()
    if len(jobs or ()) > most:
        raise PayloadTooLarge([Violation("jobs", f"must be at most {most}")])
    for index, job in enumerate(jobs or ()):
        yield _read_entry(job, index, now)


def _read_entry(job: Any, index: int, now: int) -> bytes:  # noqa: ANN401 - whatever a client sent
    """A job of a batch."""
    field = f"jobs[{index}]"
    if type(job) is not dict:
        raise InvalidRequest([Violation(field, "must be an object")], {"index": str(index)})
    try:
        return read_draft(job, now).entry()
    except InvalidRequest as error:
        raise error_at(error, field, {"index": str(index)}) from None


def _refusal(
    draft: Draft, document: dict[str, Any], now: int, broken: list[Violation], retry_broken: list[Violation]
) -> InvalidRequest:
    """The error with every broken rule, those of the core among them: a client learns of all its mistakes at once.

    Args:
        draft: what could be read. What the core says of an attribute that is broken already means nothing.
    """
    named = {attribute_of(field) for field, _ in (*broken, *retry_broken)}
    try:
        _CORE.read_draft(draft, now)
    except InvalidRequest as error:
        found = broken if type(error) is not InvalidRetryPolicy else retry_broken
        found += [each for each in name_job_fields(error, document).violations if attribute_of(each.field) not in named]
    return InvalidRequest([*broken, *retry_broken]) if broken else InvalidRetryPolicy(retry_broken)


def _check_frequent(document: dict[str, Any], broken: list[Violation]) -> tuple[list[Any], str, dict[str, Any]]:
    """The args, type and options of a document; at least one of them may be missing, or is not what it should be."""
    members = Members(document, "", broken)
    args = members.array("args")
    if not members.name_of("args"):
        members.refuse("args", "is required")
    return args or [], members.required_text("type"), members.object("options") or {}


def _flat(document: dict[str, Any]) -> Mapping[str, Any]:
    """The options that stand beside `options`, but for `meta`, which is rarely the same twice."""
    flat = option_objects.FLAT
    return {name: value for name, value in document.items() if name in flat and name != "meta" and value is not None}


def _read_options(
    nested: dict[str, Any],
    flat: Mapping[str, Any],
    now: int,
    broken: list[Violation],
    retry_broken: list[Violation],
) -> tuple[bytes, bytes]:
    """The options of a draft, and its other fields that follow from them."""
    momentary = option_objects.MOMENTARY
    if momentary.isdisjoint(nested) and momentary.isdisjoint(flat):
        return _read_lasting(nested, flat, now, broken, retry_broken)
    moments = option_objects.read_momentary(nested, flat, now)
    broken += moments.broken
    nested = {name: value for name, value in nested.items() if name not in momentary}
    flat = {name: value for name, value in flat.items() if name not in momentary}
    options, others = _read_lasting(nested, flat, now, broken, retry_broken)
    return moments.data + options, _exact_fields(moments.exact) + others


def _read_lasting(
    nested: dict[str, Any],
    flat: Mapping[str, Any],
    now: int,
    broken: list[Violation],
    retry_broken: list[Violation],
) -> tuple[bytes, bytes]:
    """As `_read_options`, of the options that a producer sends with every job."""
    key = marshal.dumps((nested, {**flat}) if flat else nested, 2)
    kept = _kept.get(key)
    if kept is not None:
        return kept
    reading = option_objects.read(nested, flat, now)
    broken += reading.broken
    retry_broken += reading.retry_broken
    unknown = {name: value for name, value in nested.items() if name not in OPTIONS}
    others = b""
    if unknown:
        ext = {UNKNOWN_OPTIONS: unknown}
        others = bytes_field(_EXT, values.struct_bytes(ext, UNKNOWN_OPTIONS, "", reading.exact))
    others += _exact_fields(reading.exact)
    if len(key) <= _KEPT_BYTES and not (reading.broken or reading.retry_broken):
        if len(_kept) >= _KEPT_OPTIONS:
            _kept.clear()
        _kept[key] = reading.data, others
    return reading.data, others


def _read_others(document: dict[str, Any], exact: dict[str, str], broken: list[Violation]) -> bytes:
    """What few documents have: a version, a schema, attributes that nobody knows."""
    members = Members(document, "", broken)
    version = members.text("specversion")
    if version is not None and not _VERSIONS.fullmatch(version):
        members.refuse("specversion", f'must be "{SPECVERSION}"')
    schema = members.required_text("schema") if members.name_of("schema") else ""
    parts = [bytes_field(_SCHEMA, schema.encode())] if schema else []
    if unknown := {name: value for name, value in document.items() if name not in KNOWN}:
        parts.append(bytes_field(_EXT, values.unknown_bytes(unknown, "", exact)))
    return b"".join(parts)


def _exact_fields(exact: Mapping[str, str]) -> bytes:
    entries = [bytes_field(1, pointer.encode()) + bytes_field(2, text.encode()) for pointer, text in exact.items()]
    return b"".join([bytes_field(_EXACT, entry) for entry in entries])
