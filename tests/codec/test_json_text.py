"""JSON as text."""

import pytest

from ojs_grpc.codec.json_text import dump, dump_text, parse, parse_value
from ojs_grpc.errors import InvalidPayload


def test_what_is_parsed() -> None:
    """Integers of any size, floats as doubles, pairs of surrogates as one character."""
    document = parse(b' {"a": 12345678901234567890, "b": 1.5, "c": "\\ud83d\\ude00", "a": 1e2} ')

    assert document == {"a": 100.0, "b": 1.5, "c": "\N{GRINNING FACE}"}


@pytest.mark.parametrize(
    ("body", "rule"),
    [
        (b"", "must not be empty"),
        (b"{", "must be JSON"),
        (b"{} {}", "must be JSON"),
        (b"\xef\xbb\xbf{}", "must be JSON"),
        (b'{"a": "\xff"}', "must be JSON"),
        (b'{"a": NaN}', "must be JSON"),
        (b'{"a": -Infinity}', "must be JSON"),
        (b'{"a": 1e999}', "infinity"),
        (b'{"a": 1e999, "b": 12345678901234567890}', "beyond what a double can say"),
        (b'{"a": NaN, "b": 12345678901234567890}', "NaN is no JSON"),
        (b'{"a": ' + b"9" * 5000 + b"}", "must be JSON"),
        (b'{"a": "\\ud800"}', "surrogate"),
        (b'{"\\uDfff": 1}', "surrogate"),
        (b'{"\\uDfff": 12345678901234567890}', "half of a surrogate pair"),
        (b'{"a": ' + b"[" * 100_000 + b"]" * 100_000 + b"}", "depth limit"),
        (b'{"a": [12345678901234567890, ' + b"[" * 100_000 + b"]" * 100_000 + b"]}", "nests too deep"),
        (b"[]", "must be a JSON object"),
        (b"null", "must be a JSON object"),
    ],
)
def test_what_is_refused(body: bytes, rule: str) -> None:
    """Bad bodies are the client's fault, and say why."""
    with pytest.raises(InvalidPayload, match=rule) as refusal:
        parse(body)

    assert [violation.field for violation in refusal.value.violations] == ["body"]


def test_a_value_that_is_no_object() -> None:
    """Texts of ours may be any value."""
    assert parse_value('"a"') == "a"


def test_dumping() -> None:
    """Compact, and no escapes but for what needs them."""
    document = {"a": [1, -0.0, 1e22, "\u00e9\n"], "b": None}

    assert dump(document) == '{"a":[1,-0.0,1e+22,"é\\n"],"b":null}'.encode()
    assert dump_text(document) == '{"a":[1,-0.0,1e+22,"é\\n"],"b":null}'
