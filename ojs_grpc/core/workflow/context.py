"""What a step finds in its `meta` of the steps before it (behaviour section 4.4).

    ojs.parent_results          a list: the results of the steps that it depends on, in order, null where there is none
    ojs.parent_step_ids         the ids of these steps, in the same order
    ojs.parent_results_omitted  true if results are null only because all together were too large

In a chain these are all earlier steps; each step hands on what it got itself.
"""

from collections.abc import Iterable

from google.protobuf.struct_pb2 import NULL_VALUE, Value
from ojs_grpc_pb.v1.job_pb2 import Job
from ojs_grpc_pb.v1.worker_pb2 import AckRequest

from ojs_grpc.core.lifecycle import EXACT_RESULTS, PARENT_RESULTS, PARENT_RESULTS_OMITTED, PARENT_STEP_IDS

MAX_BYTES = 1024 * 1024
"""How large the results that one step gets may be together. The first ones are kept."""

_WRAPPED_RESULT = "ojs.value"
_RESULT = "/result"


def result_of(job: Job) -> bytes:
    """A completed job's result, as an `AckRequest` with nothing else; empty if it has none."""
    if job.HasField("result_value"):
        value = job.result_value
    elif not job.HasField("result"):
        return b""
    elif list(job.result.fields) == [_WRAPPED_RESULT]:
        value = job.result.fields[_WRAPPED_RESULT]
    else:
        value = Value(struct_value=job.result)
    if value.WhichOneof("kind") == "null_value":
        return b""
    return AckRequest(result_value=value, exact=_exact_result(job)).SerializeToString()


def handed_on(job: Job) -> list[bytes]:
    """The results that a step of a chain got, in order, as `result_of` gives them."""
    values = job.meta.fields[PARENT_RESULTS].list_value.values if PARENT_RESULTS in job.meta.fields else ()
    results = [AckRequest(result_value=value) for value in values]
    for pointer, text in job.exact.items():
        if pointer.startswith(EXACT_RESULTS):
            place, slash, rest = pointer.removeprefix(EXACT_RESULTS).partition("/")
            if place.isdecimal() and int(place) < len(results):
                results[int(place)].exact[f"{_RESULT}{slash}{rest}"] = text
    return [b"" if result.result_value.HasField("null_value") else result.SerializeToString() for result in results]


def is_full(job: Job) -> bool:
    """Whether results were left out of what a step got."""
    return PARENT_RESULTS_OMITTED in job.meta.fields


def gather(parents: Iterable[tuple[str, bytes]], *, full: bool = False) -> Job:
    """The context of a step: the fields of its job by which it finds it.

    Args:
        parents: ids and results of the steps before it, in order.
        full: results were left out already, so that there is no room for the last one.
    """
    found = Job()
    context = found.meta
    results = context.fields[PARENT_RESULTS].list_value.values
    ids = context.fields[PARENT_STEP_IDS].list_value.values
    room = MAX_BYTES
    for place, (step_id, data) in enumerate(parents):
        ids.add().string_value = step_id
        room -= len(data)
        if data and room >= 0:
            result = AckRequest.FromString(data)
            results.add().CopyFrom(result.result_value)
            for pointer, text in result.exact.items():
                found.exact[f"{EXACT_RESULTS}{place}{pointer.removeprefix(_RESULT)}"] = text
        else:
            results.add().null_value = NULL_VALUE
    if full:
        results[-1].null_value = NULL_VALUE
    if full or room < 0:
        context.fields[PARENT_RESULTS_OMITTED].bool_value = True
    return found


def _exact_result(job: Job) -> dict[str, str]:
    """What is said exactly of the result, and of what is in it."""
    return {
        pointer: text for pointer, text in job.exact.items() if pointer == _RESULT or pointer.startswith(f"{_RESULT}/")
    }
