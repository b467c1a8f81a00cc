"""JSON schemas of arguments: registered by URI, and what jobs that name one are checked against (wire section 1.2)."""

import asyncio
import re
from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from time import perf_counter
from typing import Any, Final, NamedTuple

import structlog
from ojs_grpc_pb.v1.job_pb2 import BatchJobEntry, EnqueueRequest
from ojs_grpc_pb.v1.service_pb2 import RegisterCronRequest
from ojs_grpc_pb.v1.workflow_pb2 import WorkflowStep

from ojs_grpc.codec import exact
from ojs_grpc.codec.json_text import dump, parse
from ojs_grpc.codec.values import render_value
from ojs_grpc.core.limits import Limits
from ojs_grpc.core.schema import Schema
from ojs_grpc.core.validation import type_info
from ojs_grpc.errors import (
    InvalidRequest,
    NotFound,
    OJSError,
    SchemaExists,
    SchemaViolation,
    StoreError,
    Violation,
)
from ojs_grpc.operations.coalescing import Coalescer
from ojs_grpc.operations.kept_values import check_value
from ojs_grpc.stores.ports import Document, Outdated, Page, Store, Unit, Write

Template = EnqueueRequest | BatchJobEntry | WorkflowStep | RegisterCronRequest
"""What says of which type a job is to be, and with which arguments."""

log = structlog.get_logger(__name__)

KIND: Final = "schema"

_MOST_BYTES = 256 * 1024
_NESTING = 64
_VERSION_CHARS = 64
_URI = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:[!-~]+")
# So long another server goes by what was registered before, or by the lack of it.
_FRESH_MS = 1000
_MOST_READY = 128
_MAX_READS = 256
# After so long, others have their turn.
_SLICE_SECONDS = 0.005
# Each round means that somebody else wrote in between.
_ROUNDS = 20


class Registered(NamedTuple):
    """A schema of the registry.

    Attributes:
        type: of the jobs that it is made for; not enforced.
        version: as it was said, a number or a text.
        created_at: ms since the epoch.
        schema: empty in a listing.
    """

    uri: str
    type: str
    version: int | str
    created_at: int
    schema: dict[str, Any]


class _Ready(NamedTuple):
    """What a URI stands for until `until`: a schema, or none. `version` is that of the document, 0 for none."""

    version: int
    schema: Schema | None
    until: int


class Schemas:
    """Operations on schemas."""

    def __init__(self, store: Store, limits: Limits) -> None:
        self._store = store
        self._limits = limits
        self._ready: OrderedDict[str, _Ready] = OrderedDict()
        self._reads: Coalescer[str, Document | None] = Coalescer(self._read_documents, _MAX_READS)

    async def register(
        self, uri: str, type: str, version: int | str, schema: dict[str, Any]
    ) -> tuple[Registered, bool]:
        """Registers a schema; and whether it is new, rather than the same as before.

        Raises:
            InvalidRequest: or PayloadTooLarge: a rule is broken; `schema_error` in the details says what is wrong with
                the schema itself.
            SchemaExists: there is another one of this URI.
        """
        self._check(uri, type, version)
        _check_schema(schema)
        for _ in range(_ROUNDS):
            now = self._store.clock.now()
            (document,) = await self._read_documents([uri])
            if document is not None:
                present = _registered(document)
                if (present.type, present.version, present.schema) != (type, version, schema):
                    raise SchemaExists(uri)
                return present, False
            registered = Registered(uri, type, version, now, schema)
            (outcome,) = await self._store.insert([Unit(writes=[Write(KIND, uri, 0, _data(registered))])], now)
            if isinstance(outcome, OJSError):
                raise outcome
            if not isinstance(outcome, Outdated):
                self._ready.pop(uri, None)
                return registered, True
        raise StoreError(f"schema {uri} kept changing")

    async def list(self, limit: int, cursor: str) -> Page[Registered]:
        """Schemas by URI, without their text."""
        page = await self._store.list_documents(KIND, cursor, limit)
        return Page([_head(document) for document in page.rows], page.next_cursor, page.total)

    async def get(self, uri: str) -> Registered:
        """The schema of this URI.

        Raises:
            NotFound: there is none.
        """
        (document,) = await self._read_documents([uri])
        if document is None:
            raise NotFound("schema", uri)
        return _registered(document)

    async def delete(self, uri: str) -> None:
        """Removes a schema; jobs that are enqueued already are not affected.

        Raises:
            NotFound: there is none.
        """
        await self.get(uri)
        await self._store.insert([Unit(writes=[Write(KIND, uri, None, None)])], self._store.clock.now())
        self._ready.pop(uri, None)

    async def check(self, job: Template) -> None:
        """Checks the arguments of a job that names a schema, if it is registered.

        Raises:
            SchemaViolation: they are not what it says; nothing else is checked.
        """
        if job.schema:
            ready = await self._load({job.schema})
            _check_args(job, ready[job.schema])

    async def check_each(self, jobs: Sequence[Template], field: str) -> None:
        """The same for all entries of a list.

        Raises:
            SchemaViolation: with `index` in its details and the list's name and `[index].` before each field.
        """
        ready = await self._load({job.schema for job in jobs if job.schema})
        since = perf_counter()
        for index, job in enumerate(jobs):
            if not job.schema:
                continue
            try:
                _check_args(job, ready[job.schema])
            except SchemaViolation as error:
                broken = [Violation(f"{field}[{index}].{path}", rule) for path, rule in error.violations]
                raise SchemaViolation(broken, {**error.details, "index": str(index)}) from None
            if perf_counter() - since > _SLICE_SECONDS:
                await asyncio.sleep(0)
                since = perf_counter()

    def forget(self) -> None:
        """What is registered was deleted behind its back."""
        self._ready.clear()

    async def _load(self, uris: Iterable[str]) -> Mapping[str, Schema | None]:
        """What each URI stands for."""
        now = self._store.clock.now()
        found: dict[str, Schema | None] = {}
        stale = []
        for uri in uris:
            ready = self._ready.get(uri)
            if ready is None or now >= ready.until:
                stale.append(uri)
            else:
                found[uri] = ready.schema
        if stale:
            documents = await asyncio.gather(*map(self._reads.submit, stale))
            for uri, document in zip(stale, documents, strict=True):
                found[uri] = self._prepare(uri, document, now)
                # This may have taken a while.
                await asyncio.sleep(0)
        return found

    def _prepare(self, uri: str, document: Document | None, now: int) -> Schema | None:
        version = 0 if document is None else document.version
        ready = self._ready.pop(uri, None)
        schema = _compile(document) if ready is None or ready.version != version else ready.schema
        self._ready[uri] = _Ready(version, schema, now + _FRESH_MS)
        if len(self._ready) > _MOST_READY:
            self._ready.popitem(last=False)
        return schema

    async def _read_documents(self, uris: Sequence[str]) -> Sequence[Document | None]:
        return await self._store.documents(KIND, uris)

    def _check(self, uri: str, type: str, version: int | str) -> None:
        broken = []
        if len(uri) > self._limits.schema_chars:
            broken.append(Violation("uri", f"must be at most {self._limits.schema_chars} characters"))
        elif not _URI.fullmatch(uri):
            broken.append(Violation("uri", "must be a URI, such as urn:ojs:schema:email.send:v1"))
        rule, _ = type_info(type, self._limits)
        if rule:
            broken.append(Violation("type", rule))
        if isinstance(version, str) and not 0 < len(version) <= _VERSION_CHARS:
            broken.append(Violation("version", f"must be from 1 to {_VERSION_CHARS} characters"))
        if broken:
            raise InvalidRequest(broken)


def _check_schema(schema: dict[str, Any]) -> None:
    """Checks a schema.

    Raises:
        InvalidRequest: or PayloadTooLarge: it is none, or too large.
    """
    check_value(schema, "schema", _MOST_BYTES, _NESTING)
    try:
        Schema(schema)
    except ValueError as error:
        rule = str(error)
        raise InvalidRequest([Violation("schema", rule)], {"schema_error": rule}) from None


def _check_args(job: Template, schema: Schema | None) -> None:
    if schema is None:
        return
    broken = schema.violations(_args(job))
    if broken:
        raise SchemaViolation(broken, {"schema": job.schema})


def _args(job: Template) -> list[Any]:
    """The arguments as they were said, large integers included."""
    args = [render_value(value) for value in job.args]
    exact.apply({"args": args}, [item for item in job.exact.items() if item[0].startswith("/args/")])
    return args


def _compile(document: Document | None) -> Schema | None:
    if document is None:
        return None
    try:
        return Schema(_registered(document).schema)
    except (ValueError, InvalidRequest) as error:
        # Another version of this server registered what this one cannot read.
        log.warning("a registered schema is not used", uri=document.name, error=str(error))
        return None


# A document is what a listing shows, and behind the first line the schema.


def _data(registered: Registered) -> bytes:
    head = registered._asdict()
    schema = head.pop("schema")
    return dump(head) + b"\n" + dump(schema)


def _head(document: Document) -> Registered:
    return Registered(**parse(document.data.partition(b"\n")[0]), schema={})


def _registered(document: Document) -> Registered:
    return _head(document)._replace(schema=parse(document.data.partition(b"\n")[2]))
