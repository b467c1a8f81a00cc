"""Results of jobs in JSON: any value (wire sections 2.1 and 4.2)."""

from collections.abc import Mapping
from typing import Any, Final

from google.protobuf.struct_pb2 import Struct, Value
from ojs_grpc_pb.v1.worker_pb2 import AckRequest

from ojs_grpc.codec import exact as exact_texts
from ojs_grpc.codec import values
from ojs_grpc.codec.json_text import dump_text
from ojs_grpc.core.event_rendering import WRAPPED_RESULT

RESULT: Final = "result"
_POINTER: Final = "/result"


def read_result(document: dict[str, Any]) -> tuple[Struct | None, Value | None, dict[str, str]]:
    """The member `result` of a document, as `AckRequest.result`, `result_value` and `exact`.

    At most one of the first two is set; none if there is no such member. Null is a result.

    Raises:
        PayloadTooLarge: it nests too deep.
        InvalidRequest: it holds a number beyond a double.
    """
    exact: dict[str, str] = {}
    if RESULT not in document:
        return None, None, exact
    result = document[RESULT]
    if type(result) is not dict:
        return None, values.read_value(result, RESULT, _POINTER, exact), exact
    struct = values.read_struct(result, RESULT, _POINTER, exact)
    if list(result) == [WRAPPED_RESULT]:
        # In the message, this is how a result is written that is no object.
        exact = {_POINTER: dump_text(result)}
    return struct, None, exact


def render_result(result: Struct | None, result_value: Value | None) -> Any:  # noqa: ANN401
    """The result that a job keeps in these two fields, null without any; `exact` is not applied."""
    if result_value is not None:
        return values.render_value(result_value)
    if result is None:
        return None
    rendered = values.render_struct(result)
    return rendered[WRAPPED_RESULT] if list(rendered) == [WRAPPED_RESULT] else rendered


def verify_exact(request: AckRequest) -> None:
    """Checks what a client says in `exact`.

    Raises:
        InvalidRequest: it says something else than the other fields.
    """
    result = request.result if request.HasField("result") else None
    value = request.result_value if request.HasField("result_value") else None

    def render() -> dict[str, Any]:
        return {} if result is None and value is None else {RESULT: render_result(result, value)}

    exact_texts.verify(request, render, _read_again)


def _read_again(document: dict[str, Any]) -> tuple[bytes, Mapping[str, str]]:
    struct, value, exact = read_result(document)
    if struct is not None:
        # An object by the name of the convention is the value that it names.
        wrapped = list(struct.fields) == [WRAPPED_RESULT]
        value = struct.fields[WRAPPED_RESULT] if wrapped else Value(struct_value=struct)
    return (value or Value()).SerializeToString(deterministic=True), exact
