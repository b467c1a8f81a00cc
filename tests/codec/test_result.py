"""Results of jobs."""

from typing import Any

import pytest
from google.protobuf.struct_pb2 import Struct, Value
from hypothesis import given
from ojs_grpc_pb.v1.job_pb2 import Job
from ojs_grpc_pb.v1.worker_pb2 import AckRequest

from ojs_grpc.codec.job import render_job
from ojs_grpc.codec.result import read_result, render_result, verify_exact
from ojs_grpc.errors import InvalidRequest, PayloadTooLarge
from tests.codec.documents import VALUES, said

LARGE = 2**53 + 1


def test_no_result() -> None:
    """It is not the same as null."""
    assert read_result({}) == (None, None, {})
    assert render_result(None, None) is None
    assert read_result({"result": None}) == (None, Value(null_value="NULL_VALUE"), {})


def test_an_object() -> None:
    """It has the spec's own field."""
    result, value, exact = read_result({"result": {"n": LARGE}})

    assert value is None
    assert result is not None
    assert render_result(result, None) == {"n": float(LARGE)}
    assert exact == {"/result/n": str(LARGE)}


@given(VALUES)
def test_results_there_and_back(value: Any) -> None:  # noqa: ANN401 - any JSON value
    """Any value, as the engine keeps it."""
    result, result_value, exact = read_result({"result": value})
    job = Job(result=result, result_value=result_value, exact=exact)

    assert said(render_job(job)["result"]) == said(value)


def test_a_value_for_clients_that_know_only_objects() -> None:
    """The name of its member says what it is."""
    wrapped = Struct()
    wrapped.update({"ojs.value": [1]})

    assert render_result(wrapped, None) == [1]


@pytest.mark.parametrize("inner", [5, LARGE, {"a": LARGE}])
def test_an_object_that_only_looks_like_that(inner: object) -> None:
    """Over JSON it is what it is."""
    result, _, exact = read_result({"result": {"ojs.value": inner}})

    assert render_job(Job(result=result, exact=exact))["result"] == {"ojs.value": inner}
    verify_exact(AckRequest(result=result, exact=exact))


def test_what_nests_too_deep() -> None:
    """It is too large."""
    value: Any = 1
    for _ in range(31):
        value = [value]

    with pytest.raises(PayloadTooLarge, match="result: must not nest"):
        read_result({"result": value})


def test_digits_that_a_client_knows() -> None:
    """They are believed if they fit."""
    verify_exact(AckRequest())
    verify_exact(AckRequest(result_value=Value(number_value=2.0**53), exact={"/result": str(LARGE)}))
    for exact in ({"/result": "5"}, {"/result/0": "5"}, {"/x": "5"}):
        with pytest.raises(InvalidRequest, match="exact"):
            verify_exact(AckRequest(result_value=Value(number_value=2.0**53), exact=exact))
    with pytest.raises(InvalidRequest, match="leads nowhere"):
        verify_exact(AckRequest(exact={"/result": "5"}))
