"""What a step finds of the steps before it (behaviour section 4.4)."""

from google.protobuf.json_format import MessageToDict
from google.protobuf.struct_pb2 import NULL_VALUE, Struct, Value
from ojs_grpc_pb.v1.job_pb2 import Job
from ojs_grpc_pb.v1.worker_pb2 import AckRequest

from ojs_grpc.core.workflow import context


def struct(**members: object) -> Struct:
    """A JSON object."""
    message = Struct()
    message.update(members)
    return message


def wrapped(value: Value) -> Struct:
    """A result that is no object, for clients that know only objects."""
    message = Struct()
    message.fields["ojs.value"].CopyFrom(value)
    return message


def text(size: int) -> bytes:
    """A result of about this size."""
    return AckRequest(result_value=Value(string_value="x" * size)).SerializeToString()


def value_of(job: Job) -> Value:
    """The job's result."""
    return AckRequest.FromString(context.result_of(job)).result_value


def test_the_result_of_a_job() -> None:
    """An object, or any JSON value, however it was said; null is none."""
    five, null = Value(number_value=5), Value(null_value=NULL_VALUE)

    assert value_of(Job(result=struct(a=1))) == Value(struct_value=struct(a=1))
    assert value_of(Job(result=wrapped(five), result_value=five)) == five
    assert value_of(Job(result=wrapped(five))) == five
    assert value_of(Job(result=Struct())) == Value(struct_value=Struct())
    assert context.result_of(Job(result=wrapped(null), result_value=null)) == b""
    assert context.result_of(Job()) == b""


def test_results_in_order_with_gaps() -> None:
    """A list with null where there is none, and one of the ids beside it."""
    found = context.gather([("a", context.result_of(Job(result=struct(n=1)))), ("b", b""), ("c", text(3))])

    assert MessageToDict(found.meta) == {
        "ojs.parent_results": [{"n": 1.0}, None, "xxx"],
        "ojs.parent_step_ids": ["a", "b", "c"],
    }


def test_results_too_large_together() -> None:
    """The first ones are kept, the rest is null, and that is said."""
    size = context.MAX_BYTES - 100
    almost = text(size)

    found = MessageToDict(context.gather([("a", almost), ("b", text(200)), ("c", text(1)), ("d", b"")]).meta)

    assert [result and len(result) for result in found["ojs.parent_results"]] == [size, None, None, None]
    assert found["ojs.parent_step_ids"] == ["a", "b", "c", "d"]
    assert found["ojs.parent_results_omitted"] is True


def test_results_handed_on() -> None:
    """What a step of a chain got is what the next one gets before this one's result."""
    got = context.gather([("a", text(1)), ("b", b"")])

    handed_on = context.handed_on(got)

    assert handed_on == [text(1), b""]
    assert context.handed_on(Job()) == []
    assert not context.is_full(got)


def test_once_full_always_full() -> None:
    """Results that were left out leave no room for later ones."""
    large = text(context.MAX_BYTES)
    job = context.gather([("a", large)])

    found = context.gather([("a", context.handed_on(job)[0]), ("b", text(1))], full=context.is_full(job))

    assert MessageToDict(found.meta)["ojs.parent_results"] == [None, None]
    assert found.meta["ojs.parent_results_omitted"] is True


def test_what_protobuf_cannot_say_is_handed_on_too() -> None:
    """The texts of large numbers stay with their results, at the places that these have in the list."""
    first = Job(result=struct(n=2.0**60), exact={"/result/n": "1152921504606846977", "/args/0": "1"})
    second = Job(result_value=Value(number_value=2.0**60), exact={"/result": "1152921504606846977"})

    got = context.gather([("a", context.result_of(first)), ("b", context.result_of(second))])
    then = context.gather([*zip("ab", context.handed_on(got), strict=True), ("c", b"")])

    large = "1152921504606846977"
    assert dict(got.exact) == {"/parent_results/0/n": large, "/parent_results/1": large}
    assert then.exact == got.exact


def test_digits_handed_on() -> None:
    """Each goes with its result, however many there are."""
    got = context.gather([(str(place), b"") for place in range(12)])
    for value in got.meta.fields["ojs.parent_results"].list_value.values:
        value.number_value = 2**53
    pointers = {"/parent_results/1": "9007199254740993", "/parent_results/11": "9007199254740995", "/args/0": "1"}
    got.exact.update(pointers)

    exact = [dict(AckRequest.FromString(result).exact) for result in context.handed_on(got)]

    assert (exact[1], exact[11]) == ({"/result": "9007199254740993"}, {"/result": "9007199254740995"})
    assert not any(exact[0:1] + exact[2:11])
