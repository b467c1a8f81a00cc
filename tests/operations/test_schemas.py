"""Schemas: what is registered, and what jobs that name one must look like, on every store."""

from typing import Any
from unittest import mock

import pytest
from google.protobuf.json_format import ParseDict
from google.protobuf.struct_pb2 import ListValue
from ojs_grpc_pb.v1.job_pb2 import BatchJobEntry, EnqueueBatchRequest, EnqueueRequest, Job

from ojs_grpc.core.draft import draft_of
from ojs_grpc.core.envelope import Defaults
from ojs_grpc.core.limits import Limits
from ojs_grpc.core.schema import DIALECT
from ojs_grpc.errors import InvalidRequest, NotFound, PayloadTooLarge, SchemaExists, SchemaViolation
from ojs_grpc.operations import schemas as module
from ojs_grpc.operations.alarm import Alarm
from ojs_grpc.operations.changes import Changes
from ojs_grpc.operations.jobs import CallContext, Enqueued, Jobs
from ojs_grpc.operations.schemas import Schemas
from ojs_grpc.stores.ports import Store
from tests.clock import START, FakeClock
from tests.store.building import write

URI = "urn:ojs:schema:email.send:v1"
EMAIL = {
    "$schema": DIALECT,
    "type": "array",
    "prefixItems": [
        {"type": "string", "pattern": "^[^@]+@[^@]+$"},
        {"type": "object", "properties": {"copies": {"type": "integer"}}, "required": ["copies"]},
    ],
    "minItems": 1,
}


@pytest.fixture
def schemas(store: Store) -> Schemas:
    """The registry, empty."""
    return Schemas(store, Limits())


def request(args: list[Any], schema: str = URI, **exact: str) -> EnqueueRequest:
    """A job with these arguments that names a schema."""
    values = ParseDict(args, ListValue()).values
    return EnqueueRequest(type="email.send", args=values, schema=schema, exact=exact)


def entry(args: list[Any], schema: str = URI) -> BatchJobEntry:
    """The same in a batch."""
    return BatchJobEntry(type="email.send", args=ParseDict(args, ListValue()).values, schema=schema)


async def register(schemas: Schemas, schema: dict[str, Any], uri: str = URI) -> None:
    """Registers a schema."""
    await schemas.register(uri, "email.send", 1, schema)


# The registry


async def test_a_schema_comes_back(schemas: Schemas) -> None:
    """With all that was said of it, and when."""
    registered, is_new = await schemas.register(URI, "email.send", "2", EMAIL)

    assert is_new
    assert registered == await schemas.get(URI)
    assert registered == (URI, "email.send", "2", START, EMAIL)


async def test_the_same_schema_twice_is_one(schemas: Schemas, clock: FakeClock) -> None:
    """A client that registers its schemas whenever it starts is not refused; another schema is."""
    await register(schemas, EMAIL)
    clock.advance(1000)

    registered, is_new = await schemas.register(URI, "email.send", 1, EMAIL)

    assert (registered.created_at, is_new) == (START, False)
    with pytest.raises(SchemaExists):
        await schemas.register(URI, "email.send", 2, EMAIL)
    with pytest.raises(SchemaExists):
        await schemas.register(URI, "email.send", 1, {})


async def test_schemas_are_listed_by_uri(schemas: Schemas) -> None:
    """Page by page, without their text."""
    uris = [f"urn:x:{letter}" for letter in "cab"]
    for uri in uris:
        await register(schemas, EMAIL, uri)

    first = await schemas.list(2, "")
    second = await schemas.list(2, first.next_cursor)

    assert [row.uri for page in (first, second) for row in page.rows] == sorted(uris)
    assert (first.total, second.next_cursor) == (3, "")
    assert first.rows[0].schema == {}


async def test_a_deleted_schema_is_gone(schemas: Schemas) -> None:
    """Jobs that name it are not checked any more, and another one may take its place."""
    await register(schemas, EMAIL)
    await schemas.delete(URI)

    with pytest.raises(NotFound):
        await schemas.get(URI)
    with pytest.raises(NotFound):
        await schemas.delete(URI)
    await schemas.check(request([7]))
    await register(schemas, {"maxItems": 0})
    with pytest.raises(SchemaViolation):
        await schemas.check(request([7]))


@pytest.mark.parametrize(
    ("fields", "broken"),
    [
        ({"uri": ""}, "uri"),
        ({"uri": "email.send"}, "uri"),
        ({"uri": "urn:with space"}, "uri"),
        ({"uri": "urn:x\n"}, "uri"),
        ({"uri": "urn:" + "x" * 2048}, "uri"),
        ({"type": "Not OK"}, "type"),
        ({"version": ""}, "version"),
        ({"version": "x" * 65}, "version"),
    ],
)
async def test_names_that_are_none_are_refused(schemas: Schemas, fields: dict[str, Any], broken: str) -> None:
    """With the field."""
    said: dict[str, Any] = {"uri": URI, "type": "email.send", "version": 1, "schema": EMAIL, **fields}
    with pytest.raises(InvalidRequest) as refusal:
        await schemas.register(**said)
    assert [field for field, _ in refusal.value.violations] == [broken]


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "nonsense"},
        {"minItems": -1},
        {"$schema": "http://json-schema.org/draft-07/schema#"},
        {"$schema": 2020},
        {"$ref": "#/$defs/missing"},
        {"$ref": "http://127.0.0.1:1/schema"},
        {"$ref": "file:///etc/passwd"},
        {"$id": "https://example.com/a", "items": {"$ref": "b"}},
        {"items": {"$dynamicRef": "https://example.com/a#b"}},
        {"pattern": "("},
        {"pattern": "(?=look)around"},
        {"pattern": "(a{1000}){1000}"},
    ],
)
async def test_a_schema_that_is_none_is_refused(schemas: Schemas, schema: dict[str, Any]) -> None:
    """Or one that would read something from elsewhere, or take too long."""
    with pytest.raises(InvalidRequest) as refusal:
        await register(schemas, schema)
    assert refusal.value.details["schema_error"]
    assert len(refusal.value.message) < 500


@pytest.mark.parametrize(
    "schema", [{"enum": ["x" * 262_144]}, {"const": [[[[{"a": eval("[" * 60 + "]" * 60)}]]]]}]  # noqa: S307
)
async def test_a_schema_that_is_too_large_is_refused(schemas: Schemas, schema: dict[str, Any]) -> None:
    """In bytes, or in depth."""
    with pytest.raises(PayloadTooLarge):
        await register(schemas, schema)


# The checks


async def test_arguments_are_as_their_schema_says(schemas: Schemas) -> None:
    """All of them together, as an array."""
    await register(schemas, EMAIL)

    await schemas.check(request(["a@b", {"copies": 2}]))

    with pytest.raises(SchemaViolation) as refusal:
        await schemas.check(request(["a@b", {"copies": 2.5}]))
    ((field, rule),) = refusal.value.violations
    assert (field, rule) == ("args[1].copies", '2.5 is not of type "integer"')
    assert refusal.value.details == {"schema": URI}
    with pytest.raises(SchemaViolation) as refusal:
        await schemas.check(request([]))
    assert refusal.value.violations[0].field == "args"


async def test_what_is_wrong_is_told_in_short(schemas: Schemas) -> None:
    """However much it is."""
    await register(schemas, {"items": {"type": "integer"}})

    with pytest.raises(SchemaViolation) as refusal:
        await schemas.check(request(["x" * 1000] * 1000))

    assert len(refusal.value.violations) == 10
    assert all(len(rule) < 310 for _, rule in refusal.value.violations)


async def test_large_integers_are_checked_as_they_were_said(schemas: Schemas) -> None:
    """Not as the doubles that carry them."""
    await register(schemas, {"items": {"const": 9_007_199_254_740_993}})

    await schemas.check(request([9_007_199_254_740_992], **{"/args/0": "9007199254740993"}))

    with pytest.raises(SchemaViolation):
        await schemas.check(request([9_007_199_254_740_992]))


async def test_a_schema_that_nobody_registered_checks_nothing(schemas: Schemas) -> None:
    """Until somebody registers it."""
    await schemas.check(request([7]))

    await register(schemas, EMAIL)

    with pytest.raises(SchemaViolation):
        await schemas.check(request([7]))


async def test_a_pattern_takes_no_long_time(schemas: Schemas) -> None:
    """Also one that would, for an engine that goes back."""
    await register(schemas, {"items": {"pattern": "^(a+)+$"}})

    with pytest.raises(SchemaViolation):
        await schemas.check(request(["a" * 100_000 + "!"]))


async def test_a_batch_is_checked_job_by_job(schemas: Schemas) -> None:
    """The first that is wrong is named; those without a schema are not checked."""
    await register(schemas, EMAIL)
    await schemas.check_each([entry([7], ""), entry(["a@b"]), entry([7], "urn:other")], "jobs")

    with pytest.raises(SchemaViolation) as refusal:
        await schemas.check_each([entry(["a@b"]), entry([7])], "jobs")

    assert [field for field, _ in refusal.value.violations] == ["jobs[1].args[0]"]
    assert refusal.value.details == {"schema": URI, "index": "1"}


# Calls that are repeated


@pytest.fixture
def jobs(store: Store, schemas: Schemas) -> Jobs:
    """Enqueues into the store."""
    return Jobs(store, Changes(store, lambda _: None, Alarm(), Alarm()), Defaults(), schemas)


def stored(enqueued: Enqueued) -> list[Job]:
    """The jobs of an answer."""
    return [Job.FromString(job) for job in enqueued.jobs]


async def test_a_repeated_call_is_answered_whatever_its_schema_says_now(schemas: Schemas, jobs: Jobs) -> None:
    """It was checked when it came first."""
    single, batch = request([7]), EnqueueBatchRequest(jobs=[entry([7]), entry([8])])
    first = await jobs.enqueue(draft_of(single), CallContext("key-1"))
    firsts = await jobs.enqueue_batch(batch, CallContext("key-2"))
    await register(schemas, EMAIL)
    schemas.forget()

    assert stored(await jobs.enqueue(draft_of(single), CallContext("key-1"))) == stored(first)
    assert stored(await jobs.enqueue_batch(batch, CallContext("key-2"))) == stored(firsts)
    for key in ("", "key-3", "key-3"):
        with pytest.raises(SchemaViolation):
            await jobs.enqueue(draft_of(single), CallContext(key))
        with pytest.raises(SchemaViolation):
            await jobs.enqueue_batch(batch, CallContext(key))
    with pytest.raises(InvalidRequest, match="idempotency"):
        await jobs.enqueue(draft_of(request([9])), CallContext("key-1"))


# Several servers


async def test_other_servers_follow_within_a_second(store: Store, clock: FakeClock) -> None:
    """Whatever they knew before: none, one, another one."""
    here, there = Schemas(store, Limits()), Schemas(store, Limits())
    await there.check(request([7]))

    await register(here, EMAIL)
    clock.advance(1000)
    with pytest.raises(SchemaViolation):
        await there.check(request([7]))

    await here.delete(URI)
    await register(here, {"items": {"type": "integer"}})
    clock.advance(1000)
    await there.check(request([7]))


async def test_a_schema_is_read_once_a_second(schemas: Schemas, store: Store, clock: FakeClock) -> None:
    """However many jobs name it."""
    await register(schemas, EMAIL)
    with mock.patch.object(type(store), "documents", autospec=True, side_effect=type(store).documents) as reads:
        for _ in range(2):
            for _ in range(10):
                await schemas.check(request(["a@b"]))
            clock.advance(1000)

    assert reads.call_count == 2


async def test_few_schemas_are_kept_ready(schemas: Schemas, monkeypatch: pytest.MonkeyPatch) -> None:
    """Those that were read last; the others are read again when they are named."""
    monkeypatch.setattr(module, "_MOST_READY", 2)
    for number in range(5):
        await register(schemas, EMAIL, f"urn:x:{number}")
        await schemas.check(request(["a@b"], f"urn:x:{number}"))

    assert list(schemas._ready) == ["urn:x:3", "urn:x:4"]
    many = [entry(["a@b"], f"urn:x:{number}") for number in range(5)]
    with pytest.raises(SchemaViolation):
        await schemas.check_each([*many, entry([7], "urn:x:0")], "jobs")


async def test_a_schema_that_cannot_be_read_checks_nothing(schemas: Schemas, store: Store) -> None:
    """As when a newer server registered what this one does not know."""
    await register(schemas, EMAIL)
    for data in (b"what?", b'{"uri":"urn:x","type":"t","version":1,"created_at":1}\n{"type":"later"}'):
        await write(store, module.KIND, URI, data)
        schemas._ready.clear()

        await schemas.check(request([7]))
