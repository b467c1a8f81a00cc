"""What clients enqueue in JSON."""

from typing import Any

import pytest
from google.protobuf.json_format import MessageToDict
from ojs_grpc_pb.v1.job_pb2 import BatchJobEntry, EnqueueRequest

from ojs_grpc.codec import enqueue
from ojs_grpc.codec.enqueue import read_batch, read_enqueue
from ojs_grpc.core.attributes import SYSTEM
from ojs_grpc.errors import InvalidRequest, InvalidRetryPolicy, PayloadTooLarge
from tests.codec.documents import NOW

ID = "01970000-0000-7000-8000-000000000000"
LARGE = 2**53 + 1


def read(**document: Any) -> EnqueueRequest:  # noqa: ANN401 - any JSON value
    """The request of a job with these attributes."""
    return read_enqueue({"type": "a", "args": [], **document}, NOW)


def broken(**document: Any) -> list[tuple[str, str]]:  # noqa: ANN401 - any JSON value
    """The rules that a job with these attributes breaks."""
    with pytest.raises(InvalidRequest) as refusal:
        read(**document)
    return list(refusal.value.violations)


def test_the_least_that_a_job_has() -> None:
    """Nothing is said of what is left out."""
    assert read() == EnqueueRequest(type="a")


def test_a_document_stays_as_it_is() -> None:
    """Readers do not write."""
    document = {"type": "a", "args": [1], "queue": "q", "x": {"y": 1}, "options": {"priority": 1, "z": 2}}
    before = repr(document)

    read_enqueue(document, NOW)

    assert repr(document) == before


def test_all_that_stands_at_the_top() -> None:
    """Ids, schemas and attributes that nobody knows have their own fields."""
    request = read(id=ID, schema="urn:a", specversion="1.0", x=[1, None], y=None, z={"n": LARGE})

    assert (request.id, request.schema) == (ID, "urn:a")
    assert MessageToDict(request.ext) == {"x": [1.0, None], "y": None, "z": {"n": float(LARGE)}}
    assert request.exact == {"/z/n": str(LARGE)}


def test_options_that_nobody_knows() -> None:
    """They are kept apart from the other attributes that nobody knows."""
    request = read(x=1, options={"x": LARGE, "metadata": {}, "queue": "q"})

    assert MessageToDict(request.ext) == {"x": 1.0, "options": {"x": float(LARGE)}}
    assert request.exact == {"/options/x": str(LARGE)}


def test_null_is_absent() -> None:
    """Wherever an attribute may be left out."""
    names = ("id", "options", "queue", "meta", "priority", "retry", "unique", "scheduled_at", "schema", "specversion")

    assert read(**dict.fromkeys(names)) == read()
    assert read(options=dict.fromkeys(names[2:8])) == read()


def test_what_the_server_sets_is_ignored() -> None:
    """Whatever its type."""
    assert read(**dict.fromkeys(SYSTEM, "x")) == read()


@pytest.mark.parametrize("version", ["1.0", "1.0.0", "1.0.0-rc.1"])
def test_versions(version: str) -> None:
    """Any 1.0."""
    assert read(specversion=version) == read()


def test_what_nobody_can_do_without() -> None:
    """Arguments come before the type, and options after."""
    with pytest.raises(InvalidRequest) as refusal:
        read_enqueue({"options": {"queue": 1}}, NOW)

    assert refusal.value.violations == (
        ("args", "is required"),
        ("type", "is required"),
        ("options.queue", "must be a string"),
    )


@pytest.mark.parametrize(
    ("document", "violation"),
    [
        ({"args": None}, ("args", "is required")),
        ({"args": {}}, ("args", "must be an array")),
        ({"args": "x"}, ("args", "must be an array")),
        ({"type": None}, ("type", "is required")),
        ({"type": 1}, ("type", "must be a string")),
        ({"type": ""}, ("type", "must not be empty")),
        ({"options": []}, ("options", "must be an object")),
        ({"id": ""}, ("id", "must be a UUIDv7 in lower case")),
        ({"id": 1}, ("id", "must be a UUIDv7 in lower case")),
        ({"specversion": "2.0"}, ("specversion", 'must be "1.0"')),
        ({"specversion": 1.0}, ("specversion", "must be a string")),
        ({"schema": ""}, ("schema", "must not be empty")),
        ({"schema": {}}, ("schema", "must be a string")),
        ({"meta": []}, ("meta", "must be an object")),
        ({"options": {"meta": 1}}, ("options.meta", "must be an object")),
        ({"options": {"metadata": 1}}, ("options.metadata", "must be an object")),
        ({"args": [10**400]}, ("args", "must not hold a number beyond what a double can say")),
    ],
)
def test_broken_rules(document: dict[str, Any], violation: tuple[str, str]) -> None:
    """Each names the field as the client wrote it."""
    assert broken(**document) == [violation]


def test_several_broken_rules() -> None:
    """All are told, the retry policy's among them."""
    fields = [
        field for field, _ in broken(id=1, queue=2, options={"priority": "5", "retry": {"jitter": "no"}}, schema=1)
    ]

    assert fields == ["id", "schema", "queue", "options.priority", "options.retry.jitter"]


@pytest.mark.parametrize(
    ("document", "field"),
    [
        ({"retry": {"max_attempts": "5"}}, "retry.max_attempts"),
        ({"options": {"retry": {"max_attempts": True}}}, "options.retry.max_attempts"),
        ({"options": {"retry": {"max_attempts": 2**31}}}, "options.retry.max_attempts"),
        ({"options": {"retry": []}}, "options.retry"),
        ({"options": {"max_attempts": 1.5}}, "options.max_attempts"),
        ({"options": {"retry_policy": {"backoff_coefficient": 0}}}, "options.retry_policy.backoff_coefficient"),
        ({"options": {"retry": {"on_exhaustion": ""}}}, "options.retry.on_exhaustion"),
        ({"options": {"retry": {"max_interval": "soon"}}}, "options.retry.max_interval"),
    ],
)
def test_nothing_but_the_retry_policy(document: dict[str, Any], field: str) -> None:
    """It has an error of its own, whose message names the field."""
    with pytest.raises(InvalidRetryPolicy, match=field.replace(".", r"\.")):
        read(**document)


@pytest.mark.parametrize(
    ("document", "field"),
    [
        ({"type": "NO"}, "type"),
        ({"queue": "NO"}, "queue"),
        ({"priority": 101}, "priority"),
        ({"id": ID.upper()[:-1] + "A"}, "id"),
        ({"schema": 1}, "schema"),
        ({"args": 1}, "args"),
    ],
)
def test_more_than_the_retry_policy(document: dict[str, Any], field: str) -> None:
    """Then it is any bad request, even if the core is to find the rest."""
    with pytest.raises(InvalidRequest) as refusal:
        read(**{"retry": {"max_attempts": "5"}, **document})

    assert type(refusal.value) is InvalidRequest
    assert [found for found, _ in refusal.value.violations] == [field, "retry.max_attempts"]


@pytest.mark.parametrize(
    ("document", "named"),
    [
        (
            {"queue": "BAD Q", "priority": 500, "scheduled_at": "nope", "id": "x", "type": "B"},
            ["scheduled_at", "type", "id", "queue", "priority"],
        ),
        ({"options": {"tags": ["a", "a"], "timeout_ms": "x"}}, ["options.timeout_ms", "options.tags"]),
        ({"tags": [""], "specversion": 2, "max_attempts": -1}, ["specversion", "tags", "max_attempts"]),
        ({"retry": {"max_interval": "PT0.1S", "initial_interval": "x"}}, ["retry.initial_interval"]),
        ({"retry": {"max_attempts": "x"}, "max_attempts": -1}, ["retry.max_attempts", "max_attempts"]),
        ({"rate_limit": {"concurrency": 0}}, ["rate_limit.concurrency"]),
    ],
)
def test_what_the_core_has_to_say(document: dict[str, Any], named: list[str]) -> None:
    """It is told in the same answer, but of what is broken already."""
    assert [field for field, _ in broken(**document)] == named


@pytest.mark.parametrize(
    "document",
    [
        {"args": [[0] * 1000] * 600},
        {"meta": dict.fromkeys(map(str, range(600_000)))},
        {"x": [0] * 600_000},
        {"options": {"x": [0] * 600_000}},
        {"retry": {"x": [0] * 600_000}},
    ],
)
def test_more_values_than_any_job_has(document: dict[str, Any]) -> None:
    """To write them would keep others waiting."""
    with pytest.raises(PayloadTooLarge, match="must not hold more than 524288 values"):
        read(**document)


def test_countless_broken_rules() -> None:
    """Of a million unknown members, the first ones are enough; and so is the beginning of a name."""
    found = broken(rate_limit=dict.fromkeys(map(str, range(100_000)), 1))
    (named, _), *_ = broken(rate_limit={"x" * 1_000_000: 1, "concurrency": 1})

    assert len(found) <= 100
    assert len(named) < 300


def deep(levels: int) -> Any:  # noqa: ANN401 - any JSON value
    """Arrays within each other."""
    value: Any = 1
    for _ in range(levels):
        value = [value]
    return value


@pytest.mark.parametrize("levels", [31, 100, 900])
@pytest.mark.parametrize(
    "wrap",
    [
        lambda value: {"args": [value]},
        lambda value: {"meta": {"a": value}},
        lambda value: {"options": {"meta": {"a": value}}},
        lambda value: {"x": value},
        lambda value: {"options": {"x": value}},
        lambda value: {"retry": {"x": value}},
        lambda value: {"unique": {"x": value}},
    ],
)
def test_what_nests_too_deep(levels: int, wrap: Any) -> None:  # noqa: ANN401
    """It is refused before protobuf or Python would give up."""
    with pytest.raises(PayloadTooLarge, match="must not nest deeper than 30 levels"):
        read(**wrap(deep(levels)))


def test_meta_from_three_places() -> None:
    """The one beside `options` wins, and stale digits go with what they belonged to."""
    request = read(
        meta={"a": 1, "d": LARGE},
        options={"meta": {"a": LARGE, "b": 2}, "metadata": {"a": 3, "b": LARGE, "c": 3}},
    )

    assert MessageToDict(request.options.meta) == {"a": 1, "b": 2, "c": 3, "d": float(LARGE)}
    assert request.exact == {"/meta/d": str(LARGE)}


def test_an_empty_meta() -> None:
    """It is said, and so it is there."""
    assert read(meta={}).options.HasField("meta")
    assert not read().options.HasField("meta")


def test_options_win() -> None:
    """By option, whatever its name."""
    request = read(
        queue="b",
        delay_until="2031-01-01T00:00:00.000Z",
        timeout=9,
        priority=3,
        options={"queue": "a", "scheduled_at": "2030-01-01T00:00:00.000Z", "timeout_ms": 500},
    )

    options = request.options
    assert (options.queue, options.priority, options.timeout.ToMilliseconds()) == ("a", 3, 500)
    assert options.delay_until.ToJsonString() == "2030-01-01T00:00:00Z"


def test_the_same_options_are_read_once() -> None:
    """What was kept is not mixed up with what only looks the same."""
    enqueue._kept.clear()

    first = read(options={"priority": 1, "pending": True})
    second = read(options={"priority": 1, "pending": True})
    third = read(options={"priority": 1.0, "pending": True})

    assert first == second == third
    assert len(enqueue._kept) == 2
    with pytest.raises(InvalidRequest):
        read(options={"priority": True, "pending": 1})


def test_what_is_not_kept() -> None:
    """Times, broken rules, and large options."""
    read()
    enqueue._kept.clear()
    read()
    least = dict(enqueue._kept)

    assert read(options={"scheduled_at": "+PT1S"}) != read_enqueue(
        {"type": "a", "args": [], "options": {"scheduled_at": "+PT1S"}}, NOW + 1
    )
    read(options={"tags": ["x" * 2000]})
    broken(options={"queue": 1})
    read(trace_id="x")

    assert enqueue._kept == least


def test_times_beside_what_is_kept() -> None:
    """The rest of the options is the same for all of them."""
    enqueue._kept.clear()
    options = {"queue": "q", "retry": {"initial_interval": "P1D"}, "x": 1}

    first = read(options={**options, "scheduled_at": "+PT1S", "ttl": 5}, trace_id="a")
    second = read(options={**options, "expires_at": "2030-01-01T00:00:00Z"})

    assert (first.options.delay_until.ToMilliseconds(), first.options.trace_id) == (NOW + 1000, "a")
    assert first.options.ttl.seconds == 5
    assert second.options.expires_at.seconds == 1_893_456_000
    assert second.exact == {"/retry": '{"initial_interval":"P1D"}', "/expires_at": '"2030-01-01T00:00:00Z"'}
    assert len(enqueue._kept) == 1


def test_what_is_kept_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """It starts over when it is full."""
    enqueue._kept.clear()
    monkeypatch.setattr(enqueue, "_KEPT_OPTIONS", 3)

    for number in range(10):
        assert read(options={"priority": number}).options.priority == number

    assert len(enqueue._kept) <= 3


# Batches


def test_a_batch() -> None:
    """Its jobs, in order."""
    jobs = read_batch({"jobs": [{"type": "a", "args": [1]}, {"type": "b", "args": [], "id": ID}]}, NOW, 2)

    read = [BatchJobEntry.FromString(job) for job in jobs]
    assert [(job.type, job.id) for job in read] == [("a", ""), ("b", ID)]
    assert read[0].args[0].number_value == 1


def test_an_empty_batch() -> None:
    """What it means is not for the codec to say."""
    assert not list(read_batch({"jobs": []}, NOW, 1))


@pytest.mark.parametrize(
    ("document", "violation", "details"),
    [
        ({}, ("jobs", "is required"), {}),
        ({"jobs": {}}, ("jobs", "must be an array"), {}),
        ({"jobs": [1]}, ("jobs[0]", "must be an object"), {"index": "0"}),
        ({"jobs": [{"type": "a", "args": []}, {"args": []}]}, ("jobs[1].type", "is required"), {"index": "1"}),
    ],
)
def test_a_broken_batch(document: dict[str, Any], violation: tuple[str, str], details: dict[str, str]) -> None:
    """The first broken job is named."""
    with pytest.raises(InvalidRequest) as refusal:
        list(read_batch(document, NOW, 2))

    assert refusal.value.violations == (violation,)
    assert refusal.value.details == details


def test_a_batch_with_a_bad_retry_policy() -> None:
    """The kind of error is the job's."""
    with pytest.raises(InvalidRetryPolicy, match=r"jobs\[0\]\.retry\.jitter"):
        list(read_batch({"jobs": [{"type": "a", "args": [], "retry": {"jitter": 1}}]}, NOW, 1))


def test_too_many_jobs() -> None:
    """None of them is read: millions of small ones would take long."""
    with pytest.raises(PayloadTooLarge, match="jobs: must be at most 2"):
        next(read_batch({"jobs": [{}] * 3}, NOW, 2))
