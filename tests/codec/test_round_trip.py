"""Nothing is lost: JSON to a stored job and back, and a stored job to JSON and back (wire section 4)."""

from typing import Any

import pytest
from google.protobuf.struct_pb2 import Value
from hypothesis import given, reject, settings
from hypothesis import strategies as st
from ojs_grpc_pb.v1.job_pb2 import EnqueueOptions, EnqueueRequest, Job, RetryPolicy, UniquePolicy

from ojs_grpc.codec import json_text
from ojs_grpc.codec.enqueue import read_draft, read_enqueue
from ojs_grpc.codec.job import read_job, render_job, render_new
from ojs_grpc.codec.template import read_template, render_template, verify_exact
from ojs_grpc.core.attributes import SAID
from ojs_grpc.core.draft import draft_of
from ojs_grpc.core.envelope import Defaults, EnvelopeReader, job_bytes
from ojs_grpc.errors import OJSError
from tests.codec.documents import ATTRIBUTES, ISO_DURATIONS, JOBS, NOW, TIMES, UNKNOWN, VALUES, proto_jobs, said

MEMBERS = st.sampled_from(
    sorted((*SAID, "metadata", *RetryPolicy.DESCRIPTOR.fields_by_name, *UniquePolicy.DESCRIPTOR.fields_by_name, "x"))
)
READER = EnvelopeReader(Defaults())


def enqueue(document: dict[str, Any]) -> dict[str, Any]:
    """The job that a client sees, whose document came over a wire and whose answer goes over one."""
    request = read_enqueue(json_text.parse(json_text.dump(document)), NOW)
    new = READER.read(request, request.options, NOW)
    return json_text.parse(json_text.dump(render_job(job_bytes(new, NOW))))


@given(job=JOBS, flat=ATTRIBUTES, nested=ATTRIBUTES, options=UNKNOWN, unknown=UNKNOWN)
@settings(max_examples=100)
def test_what_a_client_says_comes_back(
    job: dict[str, Any],
    flat: dict[str, Any],
    nested: dict[str, Any],
    options: dict[str, Any],
    unknown: dict[str, Any],
) -> None:
    """Each attribute is the same again, wherever it stood, and so is what nobody knows."""
    options = {name: value for name, value in options.items() if name != "metadata"}
    nested = {name: value for name, value in nested.items() if name not in flat}

    answer = enqueue({**unknown, **flat, **job, "options": {**options, **nested}})

    expected = {**unknown, **flat, **nested, **job}
    if expected.get("meta", {}).get("trace_id") == expected.get("trace_id"):
        expected.pop("trace_id", None)
    assert said({name: answer.get(name) for name in expected}) == said(expected)
    assert said(answer.get("options", {})) == said(options)


@given(job=JOBS, flat=ATTRIBUTES, nested=ATTRIBUTES, unknown=UNKNOWN)
@settings(max_examples=100)
def test_the_answer_to_an_enqueue_is_the_job(
    job: dict[str, Any], flat: dict[str, Any], nested: dict[str, Any], unknown: dict[str, Any]
) -> None:
    """It is put together without a look at what was stored, and says the same; twice, as parts of it are kept."""
    document = {**unknown, **flat, **job, "options": nested}
    try:
        draft = read_draft(document, NOW)
    except OJSError:
        reject()
    for _ in range(2):
        new = READER.read_draft(draft, NOW)

        answer = render_new(new, document["type"], document["args"], NOW + 1)

        assert said(answer) == said(render_job(job_bytes(new, NOW + 1)))


@pytest.mark.parametrize("number", ["1.0", "-0.0", "0.0", "1e2", "1e20", "1e21", "1.5", "1152921504606846976"])
@pytest.mark.parametrize("form", ['["x",%s]', "[[%s]]", '[{"a":[{"b":%s}]}]', "[]"])
def test_numbers_in_the_answer_to_an_enqueue(number: str, form: str) -> None:
    """As they come back ever after: whole doubles have become integers."""
    document = json_text.parse(b'{"type":"a","args":%b}' % form.replace("%s", number).encode())
    new = READER.read_draft(read_draft(document, NOW), NOW)
    assert new.common

    answer = render_new(new, "a", document["args"], NOW)

    assert said(answer) == said(render_job(job_bytes(new, NOW)))


@given(job=JOBS, attributes=ATTRIBUTES, unknown=UNKNOWN)
@settings(max_examples=100)
def test_a_draft_is_its_message(job: dict[str, Any], attributes: dict[str, Any], unknown: dict[str, Any]) -> None:
    """The message of a draft gives the same job as the draft itself."""
    draft = read_draft({**unknown, **attributes, **job}, NOW)
    request = draft.request()

    again = draft_of(request)

    assert (again.type, again.id, list(again.values())) == (draft.type, draft.id, list(draft.values()))
    assert EnqueueOptions.FromString(again.options) == EnqueueOptions.FromString(draft.options)
    assert Job.FromString(again.others) == Job.FromString(draft.others)
    assert again.request() == request
    assert list(draft.values()) == list(request.args)


@given(job=JOBS, attributes=ATTRIBUTES, unknown=UNKNOWN)
@settings(max_examples=60)
def test_a_template_comes_back(job: dict[str, Any], attributes: dict[str, Any], unknown: dict[str, Any]) -> None:
    """What a cron entry or a step keeps gives the document that it was made of."""
    document = {**unknown, "type": job["type"], "args": job["args"]}
    options = {name: value for name, value in attributes.items() if name != "meta" and value != 0}
    if "meta" in attributes:
        document["meta"] = attributes["meta"]
    if options:
        document["options"] = options

    rendered = render_template(read_template(document, NOW))

    assert said(rendered) == said(document)


@given(job=JOBS, attributes=ATTRIBUTES, unknown=UNKNOWN)
@settings(max_examples=60)
def test_what_was_read_is_verified(job: dict[str, Any], attributes: dict[str, Any], unknown: dict[str, Any]) -> None:
    """A client that sends over gRPC what reading its JSON gave is believed."""
    request = read_enqueue({**unknown, **attributes, **job}, NOW)

    verify_exact(request)


@given(proto_jobs())
@settings(max_examples=100)
def test_what_the_engine_keeps_comes_back(job: Job) -> None:
    """Reading the JSON of a job gives the job."""
    document = json_text.parse(json_text.dump(render_job(job)))

    again = read_job(document)

    if not job.trace_id and "trace_id" in job.meta.fields:
        # The engine copies it.
        job.trace_id = job.meta.fields.get("trace_id", Value()).string_value
    # JSON shows an empty `meta` in any case.
    if not job.HasField("meta") and not again.meta.fields:
        again.ClearField("meta")
    assert again == job


@given(st.recursive(VALUES | ISO_DURATIONS | TIMES, lambda inner: st.dictionaries(MEMBERS, inner), max_leaves=20))
@settings(max_examples=300)
def test_no_document_breaks_the_reader(value: Any) -> None:  # noqa: ANN401 - any JSON value
    """Whatever a client sends is read, or refused as the client's fault."""
    document = value if type(value) is dict else {"retry": value}
    for wanted in (document, {**document, "type": "a", "args": []}, {"type": "a", "args": [], "options": document}):
        try:
            read = read_enqueue(wanted, NOW)
        except OJSError:
            continue
        assert isinstance(read, EnqueueRequest)


@pytest.mark.parametrize("number", [2**53 + 1, 10**21, 10**300, -(2**63) - 1])
def test_an_integer_keeps_its_digits(number: int) -> None:
    """Wherever it stands."""
    document = {"type": "a", "args": [number, [{"a/b~c": number}]], "meta": {"n": number}, "x": {"": number}}

    answer = enqueue(document)

    assert {name: answer[name] for name in document} == document
