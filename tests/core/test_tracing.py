"""Request ids and trace contexts, as every binding reads them."""

import pytest

from ojs_grpc.core.ids import is_id
from ojs_grpc.core.tracing import given_request_id, new_request_id, trace_context

PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


@pytest.mark.parametrize(
    ("text", "expected"),
    [("abc", "abc"), ("!~", "!~"), ("x" * 200, "x" * 128), ("", ""), ("a b", ""), ("a\n", ""), ("é", ""), ("\x7f", "")],
)
def test_a_given_request_id(text: str, expected: str) -> None:
    """It is cut, or not taken at all."""
    assert given_request_id(text) == expected


def test_a_new_request_id() -> None:
    """Never the same twice."""
    first, second = new_request_id(1_750_000_000_000), new_request_id(1_750_000_000_000)

    assert first != second
    assert is_id(first.removeprefix("req_"))


@pytest.mark.parametrize(
    ("parent", "state", "expected"),
    [
        (PARENT, "", {"traceparent": PARENT}),
        (PARENT, "a=b", {"traceparent": PARENT, "tracestate": "a=b"}),
        (PARENT, "x" * 513, {"traceparent": PARENT}),
        (PARENT + "-more", "", {"traceparent": PARENT + "-more"}),
        (PARENT.upper(), "a=b", {}),
        (PARENT + "\n", "", {}),
        ("", "a=b", {}),
        ("nonsense", "", {}),
    ],
)
def test_a_trace_context(parent: str, state: str, expected: dict[str, str]) -> None:
    """Without a valid parent there is none."""
    assert trace_context(parent, state) == expected
