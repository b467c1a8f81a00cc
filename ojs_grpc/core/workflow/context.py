"""What a step finds in its `meta` of the steps before it (behaviour section 4.4).

    ojs.parent_results          a list: the results of the steps that it depends on, in order, null where there is none
    ojs.parent_step_ids         the ids of these steps, in the same order
    ojs.parent_results_omitted  true if results are null only because all together were too large

In a chain these are all earlier steps; each step hands on what it got itself.
"""

from collections.abc import Iterable

from google.protobuf.struct_pb2 import NULL_VALUE, Struct, Value
from ojs_grpc_pb.v1.job_pb2 import Job

from ojs_grpc.core.lifecycle import PARENT_RESULTS, PARENT_RESULTS_OMITTED, PARENT_STEP_IDS

MAX_BYTES = 1024 * 1024
"""How large the results that one step gets may be together. The first ones are kept."""

_WRAPPED_RESULT = "ojs.value"
_NULL = Value(null_value=NULL_VALUE).SerializeToString()


def result_of(job: Job) -> bytes:
    """A completed job's result as a serialised `Value`; empty if it has none."""
    if job.HasField("result_value"):
        value = job.result_value
    elif not job.HasField("result"):
        return b""
    elif list(job.result.fields) == [_WRAPPED_RESULT]:
        value = job.result.fields[_WRAPPED_RESULT]
    else:
        value = Value(struct_value=job.result)
    data = value.SerializeToString()
    return b"" if data == _NULL else data


def handed_on(job: Job) -> list[bytes]:
    """The results that a step of a chain got, in order, as `result_of` gives them."""
    results = job.meta.fields[PARENT_RESULTS].list_value.values if PARENT_RESULTS in job.meta.fields else ()
    return [b"" if value.HasField("null_value") else value.SerializeToString() for value in results]


def is_full(job: Job) -> bool:
    """Whether results were left out of what a step got."""
    return PARENT_RESULTS_OMITTED in job.meta.fields


def gather(parents: Iterable[tuple[str, bytes]], *, full: bool = False) -> Struct:
    """The context of a step.

    Args:
        parents: ids and results of the steps before it, in order.
        full: results were left out already, so that there is no room for the last one.
    """
    context = Struct()
    results = context.fields[PARENT_RESULTS].list_value.values
    ids = context.fields[PARENT_STEP_IDS].list_value.values
    room = MAX_BYTES
    for step_id, result in parents:
        ids.add().string_value = step_id
        room -= len(result)
        if result and room >= 0:
            results.add().MergeFromString(result)
        else:
            results.add().null_value = NULL_VALUE
    if full:
        results[-1].null_value = NULL_VALUE
    if full or room < 0:
        context.fields[PARENT_RESULTS_OMITTED].bool_value = True
    return context
