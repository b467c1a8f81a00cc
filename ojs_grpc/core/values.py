"""Checks on `google.protobuf.Value`s: what JSON cannot say, and what nests too deep (wire section 2.8).

Values pass through the service as bytes, and nobody walks through them. So the checks look at the bytes first: a
message that cannot break a rule, which is nearly every one, is told by one scan at C speed; only the rest is walked.
"""

import re
from collections.abc import Iterable
from itertools import count
from math import isfinite

from google.protobuf.message import Message
from google.protobuf.struct_pb2 import Value

from ojs_grpc.errors import InvalidRequest, PayloadTooLarge, Violation

_NUMBER_TAG = b"\x11"
# A double whose exponent bits are all set is an infinity or not a number; doubles are little-endian on the wire, after
# the tag of Value.number_value.
_NOT_FINITE = re.compile(rb"\x11.{6}[\xf0-\xff][\x7f\xff]", re.DOTALL)
# Each level of nesting writes the tag of Value.struct_value or Value.list_value once at least.
_STRUCT_TAG = b"\x2a"
_LIST_TAG = b"\x32"
# A list within a list: tag and length of the value, tag and length of the item. Objects take more.
_LEVEL_BYTES = 4

_NESTING_KINDS = frozenset({"struct_value", "list_value"})

NOT_FINITE = "must not hold NaN or infinity, which JSON cannot say"


def may_break_rules(data: bytes, nesting: int) -> bool:
    """Whether serialised values could hold a number that is not finite, or nest deeper than `nesting`.

    False is certain; True needs `find_broken_rule` to tell. Other bytes may look like tags.
    """
    return (
        # The cheap looks come first: most values are few and short texts.
        (len(data) > _LEVEL_BYTES * nesting and data.count(_STRUCT_TAG) + data.count(_LIST_TAG) > nesting)
        or (_NUMBER_TAG in data and _NOT_FINITE.search(data) is not None)
    )


def find_broken_rule(values: Iterable[Value], nesting: int) -> str:
    """The first rule that one of the values breaks, in words; empty if they break none.

    Nesting counts lists and objects within each other: `[[1]]` nests twice.
    """
    level = list(values)
    for depth in count():
        if not level:
            return ""
        if depth >= nesting and any(value.WhichOneof("kind") in _NESTING_KINDS for value in level):
            return f"must not nest deeper than {nesting} levels"
        if not all(isfinite(value.number_value) for value in level):
            return NOT_FINITE
        level = [inner for value in level for inner in _inner(value)]
    raise AssertionError


def refusal(field: str, rule: str) -> InvalidRequest:
    """The error for a rule that a field's values break: what nests too deep is too large (design section 7)."""
    kind = InvalidRequest if rule == NOT_FINITE else PayloadTooLarge
    return kind([Violation(field, rule)])


def check(message: Message, values: Iterable[Value], nesting: int) -> str:
    """The rule that these values, which are part of the message, break; empty for none."""
    if not may_break_rules(message.SerializeToString(), nesting):
        return ""
    return find_broken_rule(values, nesting)


def _inner(value: Value) -> Iterable[Value]:
    kind = value.WhichOneof("kind")
    if kind == "struct_value":
        return value.struct_value.fields.values()
    return value.list_value.values if kind == "list_value" else ()
