"""Drafts: what a request says, without a look at most of it."""

import pytest
from google.protobuf.struct_pb2 import Struct, Value
from ojs_grpc_pb.v1.job_pb2 import BatchJobEntry, EnqueueOptions, EnqueueRequest, Job

from ojs_grpc.core.draft import draft_of

TEXTS = [Value(string_value="x" * size) for size in (0, 1, 60, 122, 123, 124, 125, 130, 16_380, 16_390, 70_000)]


@pytest.mark.parametrize(
    "entry",
    [
        EnqueueRequest(),
        EnqueueRequest(type="a"),
        EnqueueRequest(args=TEXTS[:2]),
        EnqueueRequest(type="a" * 300, args=TEXTS),
        EnqueueRequest(type="a", args=[Value(), Value(null_value=0), *TEXTS], options=EnqueueOptions(queue="q")),  # type: ignore[arg-type]
        EnqueueRequest(type="a", options=EnqueueOptions(queue="q" * 122)),
        EnqueueRequest(type="a", options=EnqueueOptions(queue="q" * 200)),
        EnqueueRequest(type="a", id=""),
        EnqueueRequest(type="a", args=TEXTS[:1], id="i", options=EnqueueOptions(priority=-1)),
        EnqueueRequest(type="a", schema="s", exact={"/args/0": "1"}, ext=Struct()),
        BatchJobEntry(type="a", args=TEXTS[:3], ext=Struct(), options=EnqueueOptions(tags=["t"])),
    ],
)
def test_a_draft_says_what_its_message_says(entry: EnqueueRequest | BatchJobEntry) -> None:
    """Whatever the message has, and however long that is."""
    draft = draft_of(entry)

    assert (draft.type, draft.id) == (entry.type, entry.id if entry.HasField("id") else None)
    assert list(draft.values()) == list(entry.args)
    assert EnqueueOptions.FromString(draft.options) == entry.options
    assert type(entry).FromString(draft.entry()) == entry


def test_the_options_of_a_batch_stand_in_for_its_entrys_own() -> None:
    """Nothing of the entry's own is left."""
    entry = BatchJobEntry(type="a", options=EnqueueOptions(queue="q"), schema="s")

    draft = draft_of(entry, EnqueueOptions(priority=1))

    assert EnqueueOptions.FromString(draft.options) == EnqueueOptions(priority=1)
    assert Job.FromString(draft.others) == Job(schema="s")


def test_what_nobody_knows_is_left_out() -> None:
    """A field of a later version of the protos is no part of the job."""
    entry = EnqueueRequest.FromString(EnqueueRequest(type="a").SerializeToString() + b"\xf2\x7f\x01x")

    assert draft_of(entry).request() == EnqueueRequest(type="a")
