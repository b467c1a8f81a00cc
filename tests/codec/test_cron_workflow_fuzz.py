"""Whatever a client sends as a cron entry or a workflow: it is read, or refused with the fields that are wrong."""

from contextlib import suppress
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from ojs_grpc_pb.v1.service_pb2 import CronEntry

from ojs_grpc.codec.cron import name_cron_fields, read_cron, render_cron
from ojs_grpc.codec.workflow import name_workflow_fields
from ojs_grpc.core import cron_entry
from ojs_grpc.core.envelope import Defaults, EnvelopeReader
from ojs_grpc.core.workflow import definition
from ojs_grpc.errors import InvalidRequest
from tests.codec.documents import ATTRIBUTES, NOW, VALUES, WORDS, objects_of, read_workflow

READER = EnvelopeReader(Defaults())


def members(**known: Any) -> st.SearchStrategy[dict[str, Any]]:  # noqa: ANN401 - strategies
    """Objects in which each of these members may be missing, right, or anything."""
    return st.fixed_dictionaries({}, optional={name: one | VALUES for name, one in known.items()})


TYPES = st.sampled_from(["t", "T", "chain", "group", "batch", "dag", ""])
IDS = st.sampled_from(["a", "b", "on_success", ""])
OPTIONS = ATTRIBUTES | members(callback_type=st.sampled_from(["on_success", "x"]), metadata=VALUES, max_attempts=VALUES)
STEPS = members(
    type=TYPES,
    args=st.just([]),
    id=IDS,
    depends_on=st.lists(IDS, max_size=2),
    trigger=st.sampled_from(["success", "x"]),
    options=OPTIONS,
    meta=VALUES,
)
PLAIN_OPTIONS = objects_of(queue=WORDS, priority=st.integers(-9, 9), meta=st.just({"a": 1}))
GOOD_STEPS = st.fixed_dictionaries(
    {"type": st.just("t"), "args": st.just([])}, optional={"options": PLAIN_OPTIONS, "x_team": VALUES}
)
CALLBACKS = members(on_success=GOOD_STEPS, on_failure=STEPS, on_error=STEPS)


def workflows(parts: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    """Workflows of these parts."""
    anything = members(
        type=TYPES,
        name=st.just("w"),
        steps=st.lists(parts, max_size=3),
        jobs=st.lists(parts, max_size=3),
        callbacks=CALLBACKS,
        on_success=GOOD_STEPS,
        options=OPTIONS,
    )
    good_steps = st.lists(parts, min_size=1, max_size=3)
    kinds = st.sampled_from(["chain", "group"])
    good = st.fixed_dictionaries({"type": kinds, "steps": good_steps}, optional={"options": ATTRIBUTES})
    batches = st.fixed_dictionaries({"type": st.just("batch"), "jobs": good_steps, "on_success": GOOD_STEPS})
    return good | batches | anything


def create(document: dict[str, Any]) -> None:
    """As a server does."""
    request = read_workflow(document, NOW)
    try:
        definition.read(request, READER, NOW, {})
    except InvalidRequest as error:
        raise name_workflow_fields(error, document) from None


@given(document=workflows(GOOD_STEPS | workflows(GOOD_STEPS)) | workflows(STEPS))
@settings(max_examples=200)
def test_workflows(document: dict[str, Any]) -> None:
    """No document makes trouble, and none is changed."""
    before = repr(document)

    with suppress(InvalidRequest):
        create(document)

    assert repr(document) == before


GOOD_CRONS = st.fixed_dictionaries(
    {"name": st.just("report"), "cron": st.just("@daily"), "type": st.just("t"), "args": st.lists(VALUES, max_size=2)},
    optional={"options": ATTRIBUTES, "meta": st.dictionaries(WORDS, VALUES, max_size=2), "x_unknown": VALUES},
)
CRONS = GOOD_CRONS | members(
    name=st.just("report"),
    cron=st.just("0 * * * *"),
    expression=st.just("@daily"),
    timezone=st.just("UTC"),
    overlap_policy=st.sampled_from(["skip", "cancel"]),
    enabled=st.booleans(),
    description=st.just("d"),
    job_template=STEPS,
    type=st.just("t"),
    args=st.just([]),
    options=OPTIONS,
    meta=VALUES,
)


def keep(document: dict[str, Any]) -> CronEntry:
    """As a server does."""
    request = read_cron(document, NOW)
    try:
        return cron_entry.read_entry(request, READER, NOW)
    except InvalidRequest as error:
        raise name_cron_fields(error, document) from None


@given(document=CRONS)
@settings(max_examples=200)
def test_cron_entries(document: dict[str, Any]) -> None:
    """No document makes trouble, and none is changed; an entry that is kept may be sent again as it comes back."""
    before = repr(document)

    entry = None
    with suppress(InvalidRequest):
        entry = keep(document)

    if entry is not None:
        assert keep(render_cron(entry)) == entry
    assert repr(document) == before
