"""Unique policies: their rules and defaults, and the fingerprint against the specification's vectors."""

import hashlib
import json
import random
from typing import Any
from unicodedata import normalize

import pytest
import rfc8785
from google.protobuf.duration_pb2 import Duration
from google.protobuf.json_format import ParseDict
from google.protobuf.struct_pb2 import ListValue, Struct, Value
from hypothesis import given
from hypothesis import strategies as st
from ojs_grpc_pb.v1 import job_pb2
from ojs_grpc_pb.v1.job_pb2 import UniquePolicy

from ojs_grpc.core import states
from ojs_grpc.core.duration import to_duration
from ojs_grpc.core.unique import IGNORE, REJECT, REPLACE, REPLACE_EXCEPT_SCHEDULE, Unique, read_policy
from ojs_grpc.errors import InvalidRequest, Violation

LIVING = {states.AVAILABLE, states.ACTIVE, states.SCHEDULED, states.RETRYABLE, states.PENDING}
COMPOSED, DECOMPOSED = "caf\u00e9", "cafe\u0301"


def values(*args: Any) -> ListValue:  # noqa: ANN401
    """Arguments as protobuf says them: every number a double."""
    return ParseDict(list(args), ListValue())


def unique(
    *args: Any,  # noqa: ANN401
    type_: str = "email.send",
    queue: str = "default",
    meta: dict[str, Any] | None = None,
    **policy: Any,  # noqa: ANN401
) -> Unique:
    """What a store checks for this job; keywords are the policy's."""
    broken: list[Violation] = []
    read = read_policy(UniquePolicy(**policy), queue, ParseDict(meta or {}, Struct()), broken)
    if broken:
        raise InvalidRequest(broken)
    return read.of(type_, values(*args).values)


def fingerprint(*args: Any, **more: Any) -> str:  # noqa: ANN401
    """Of this job, in hex."""
    return unique(*args, **more).fingerprint.hex()


def refused(*args: Any, **more: Any) -> list[str]:  # noqa: ANN401
    """The fields whose rules this breaks; each rule is said."""
    with pytest.raises(InvalidRequest) as error:
        unique(*args, **more)
    assert all(violation.rule for violation in error.value.violations)
    return [violation.field.removeprefix("options.unique.") for violation in error.value.violations]


# Fingerprints


@pytest.mark.parametrize(
    ("job", "expected"),
    [
        (
            {"args": [1], "type_": "report.daily"},
            "be66720bd0f961a37ab755101a985ca3f8563bd89ed8d412c41fa5791f3e4d95",
        ),
        (
            {
                "args": [{"user_id": 42, "other": 1}],
                "queue": "notifications",
                "key": ["args", "queue"],
                "args_keys": ["user_id"],
            },
            "71f9344b82e66297a49775bbe27752297922842b675330641ebe3ff4fea46c1f",
        ),
        (
            {"args": ["user@example.com", 42, {"b": None, "a": 1.5}], "key": ["type", "args"]},
            "6480801c288d79df95f946a4dbd5a6c2d8ab884915ab886cdd7cf5c0266eaf19",
        ),
        ({"args": [COMPOSED], "key": ["args"]}, "90c9b1a72d473ea078531bb768eafd42a33c95f75d2c642660a5b26153b11907"),
        ({"args": [DECOMPOSED], "key": ["args"]}, "90c9b1a72d473ea078531bb768eafd42a33c95f75d2c642660a5b26153b11907"),
        ({"args": [42.0], "key": ["args"]}, "e1c04c48a0b2cb66b121835d9fca566d6050132f0676615c20543d6edee91756"),
    ],
)
def test_the_vectors_of_the_specification(job: dict[str, Any], expected: str) -> None:
    """Behaviour section 3.2, one by one; the type counts even where `key` does not list it."""
    assert fingerprint(*job.pop("args"), **job) == expected


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53) + 1, 2**53 - 1) | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


def in_nfc(value: Any) -> Any:  # noqa: ANN401
    """The same JSON value with all text composed; of names that fall together, the one that sorts last."""
    if isinstance(value, str):
        return normalize("NFC", value)
    if isinstance(value, list):
        return [in_nfc(item) for item in value]
    if isinstance(value, dict):
        return {normalize("NFC", name): in_nfc(value[name]) for name in sorted(value)}
    return value


@given(st.lists(JSON, max_size=3), st.dictionaries(st.text(), JSON, max_size=2))
def test_a_fingerprint_is_the_hash_of_the_canonical_text(args: list[Any], meta: dict[str, Any]) -> None:
    """Put together from parts, it is what RFC 8785 makes of the whole object."""
    whole = {"args": in_nfc(args), "queue": "q", "type": "a.b"}
    keys = ["type", "queue", "args"]
    if meta:
        whole["meta"] = in_nfc(meta)
        keys.append("meta")

    found = fingerprint(*args, type_="a.b", queue="q", meta=meta, key=keys, meta_keys=list(meta))

    assert found == hashlib.sha256(rfc8785.dumps(whole)).hexdigest()


def rewritten(value: Any, chance: random.Random) -> Any:  # noqa: ANN401
    """The same JSON value in other words: members in another order, 42 as 42.0, text decomposed."""
    if isinstance(value, str):
        composed = normalize("NFC", value)
        return chance.choice([composed, normalize("NFD", composed)])
    if isinstance(value, int) and not isinstance(value, bool):
        return chance.choice([value, float(value)])
    if isinstance(value, list):
        return [rewritten(item, chance) for item in value]
    if isinstance(value, dict):
        members = [(rewritten(name, chance), rewritten(member, chance)) for name, member in value.items()]
        chance.shuffle(members)
        return dict(members)
    return value


@given(st.lists(JSON, max_size=3), st.randoms(use_true_random=False))
def test_equal_json_has_equal_fingerprints(args: list[Any], chance: random.Random) -> None:
    """However it is written."""
    said = in_nfc(args)

    assert fingerprint(*rewritten(said, chance), key=["args"]) == fingerprint(*said, key=["args"])


@given(st.lists(JSON, max_size=2), st.lists(JSON, max_size=2))
def test_different_json_has_different_fingerprints(one: list[Any], other: list[Any]) -> None:
    """Equal they are only if the canonical text is."""
    same = rfc8785.dumps(in_nfc(one)) == rfc8785.dumps(in_nfc(other))

    assert (fingerprint(*one, key=["args"]) == fingerprint(*other, key=["args"])) == same


def test_types_of_values_are_told_apart() -> None:
    """A number is not its text, false not null, nothing not an empty list."""
    lists = [[], [None], [0], ["0"], [False], [""], [[]], [{}], [1], ["1"], [True]]

    assert len({fingerprint(*args, key=["args"]) for args in lists}) == len(lists)


def test_a_value_of_no_kind_is_null() -> None:
    """As some clients send it."""
    policy = read_policy(UniquePolicy(key=["args"]), "q", Struct(), [])

    assert policy.of("a", [Value()]) == policy.of("a", [Value(null_value=0)])  # type: ignore[arg-type]


def test_members_sort_by_utf_16() -> None:
    """A character beyond the basic plane comes before U+FF61, whose code point is smaller."""
    text = json.dumps({"\U0001f600": 1, "\uff61": 2}, ensure_ascii=False, separators=(",", ":"))
    expected = hashlib.sha256(f'{{"args":[{text}],"type":"a"}}'.encode()).hexdigest()

    assert fingerprint({"\uff61": 2, "\U0001f600": 1}, type_="a", key=["args"]) == expected


def test_dimensions() -> None:
    """What `key` does not name does not count, and what it names does."""
    for key, counts in (
        ([], {"type_"}),
        (["type"], {"type_"}),
        (["queue"], {"type_", "queue"}),
        (["args"], {"type_", "args"}),
        (["args", "args", "queue"], {"type_", "args", "queue"}),
        (["meta"], {"type_", "meta"}),
    ):
        more = {"key": key, "meta_keys": ["tenant"] if "meta" in key else []}
        plain = fingerprint(1, meta={"tenant": "a", "other": 1}, **more)
        assert (fingerprint(1, type_="other", **more, meta={"tenant": "a"}) != plain) == ("type_" in counts)
        assert (fingerprint(1, queue="other", **more, meta={"tenant": "a"}) != plain) == ("queue" in counts)
        assert (fingerprint(2, **more, meta={"tenant": "a"}) != plain) == ("args" in counts)
        assert (fingerprint(1, **more, meta={"tenant": "b"}) != plain) == ("meta" in counts)
        assert fingerprint(1, **more, meta={"tenant": "a", "other": 2}) == plain


def test_a_member_of_meta_that_is_not_there() -> None:
    """Is left out, which is something else than null."""
    more = {"key": ["meta"], "meta_keys": ["a", "b"]}

    assert fingerprint(meta={"a": 1}, **more) == fingerprint(meta={"a": 1, "c": 2}, **more)
    assert fingerprint(meta={"a": 1}, **more) != fingerprint(meta={"a": 1, "b": None}, **more)


def test_selected_arguments() -> None:
    """Only they count, wherever the names stand in the policy."""
    more = {"key": ["args"], "args_keys": ["a", "b"]}
    one = fingerprint({"a": 1, "b": [2], "c": 3}, **more)

    assert one == fingerprint({"b": [2], "a": 1}, key=["args"], args_keys=["b", "a", "b"])
    assert one != fingerprint({"a": 1, "b": [3]}, **more)


# Defaults and rules


def test_defaults() -> None:
    """An empty policy: the type alone, every state that is not final, for ever, and the second is refused."""
    found = unique("any", 1)

    assert found == Unique(unique(type_="email.send").fingerprint, frozenset(LIVING), 0, REJECT)
    assert len(found.fingerprint) == 32


@pytest.mark.parametrize("action", [REJECT, IGNORE, REPLACE, REPLACE_EXCEPT_SCHEDULE])
def test_what_a_policy_says_is_what_is_checked(action: int) -> None:
    """States, period and action; a finished job cannot be replaced, so it does not count then."""
    said = [states.COMPLETED, states.ACTIVE, states.COMPLETED]

    found = unique(states=said, period=to_duration(1500), on_conflict=action)

    kept = {states.ACTIVE} if action in (REPLACE, REPLACE_EXCEPT_SCHEDULE) else {states.ACTIVE, states.COMPLETED}
    assert (found.states, found.period_ms, found.on_conflict) == (kept, 1500, action)


def test_any_state_may_count() -> None:
    """All eight of them."""
    assert unique(states=states.ALL).states == set(states.ALL)


@pytest.mark.parametrize(
    ("policy", "field"),
    [
        ({"key": ["type", "user"]}, "key"),
        ({"key": ["Args"]}, "key"),
        ({"key": [""]}, "key"),
        ({"key": ["type"] * 5}, "key"),
        ({"key": ["meta"]}, "meta_keys"),
        ({"key": ["meta"], "meta_keys": ["a"] * 101}, "meta_keys"),
        ({"key": ["args"], "args_keys": ["a"] * 101}, "args_keys"),
        ({"meta_keys": ["a"]}, "meta_keys"),
        ({"key": ["meta"], "meta_keys": ["a"], "args_keys": ["a"]}, "args_keys"),
        ({"states": [job_pb2.JOB_STATE_UNSPECIFIED]}, "states"),
        ({"states": [states.ACTIVE, 9]}, "states"),
        ({"states": [-1]}, "states"),
        ({"states": [states.ACTIVE] * 9}, "states"),
        ({"on_conflict": 5}, "on_conflict"),
        ({"on_conflict": -1}, "on_conflict"),
        ({"period": Duration()}, "period"),
        ({"period": Duration(seconds=-1)}, "period"),
        ({"period": Duration(nanos=-1)}, "period"),
        ({"period": Duration(seconds=1, nanos=-1)}, "period"),
        ({"period": Duration(seconds=1001 * 365 * 86_400)}, "period"),
    ],
)
def test_a_broken_rule_is_named(policy: dict[str, Any], field: str) -> None:
    """By the field of the policy."""
    assert refused(1, meta={"a": 1}, **policy) == [field]


def test_all_broken_rules_are_named_at_once() -> None:
    """The client repairs its policy in one go."""
    assert refused(key=["x", "meta"], states=[0], on_conflict=9, args_keys=["a"], period=Duration()) == [
        "key",
        "on_conflict",
        "states",
        "args_keys",
        "meta_keys",
        "period",
    ]


@pytest.mark.parametrize("args", [(), (1,), ("a",), ([{"a": 1}],), ({"a": 1}, {"a": 1}), ({"b": 1},), ({},), (None,)])
def test_names_of_arguments_need_one_object_that_has_them(args: tuple[Any, ...]) -> None:
    """Arguments are positional: only in a single object are there names."""
    assert refused(*args, key=["args"], args_keys=["a"]) == ["args_keys"]
