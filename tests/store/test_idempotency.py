"""JobStore.insert with an idempotency key: the same call again is answered again, and stores nothing."""

from ojs_grpc_pb.v1.job_pb2 import Job

from ojs_grpc.errors import DuplicateJob, InvalidRequest
from ojs_grpc.stores.ports import IdempotencyKey, Store, Unit
from tests.clock import START, FakeClock
from tests.store.building import QUEUE, counts, job, job_id, look, new_job, put, see

DAY_MS = 86_400_000


def keyed(
    key: str, *messages: Job, fingerprint: bytes = b"same", reply: bytes = b"reply", reserved: bool = False
) -> Unit:
    """A unit under a key that holds for a day."""
    return Unit(
        [new_job(message, reserved=reserved) for message in messages or (job(),)],
        IdempotencyKey(key, fingerprint, reply, START + DAY_MS),
    )


async def test_a_repeated_call_gets_the_first_reply(store: Store, clock: FakeClock) -> None:
    """The second call is answered with what the first one said, and its jobs are not stored."""
    first, second = job(), job()
    assert await store.insert([keyed("key", first, reply=b"first")], clock.now()) == [None]
    clock.advance(DAY_MS - 1)

    answers = await store.insert([keyed("key", second, reply=b"second")], clock.now())

    assert answers == [b"first"]
    assert await look(store, second.id) is None
    assert await look(store, first.id) is not None
    assert await counts(store) == {QUEUE: 1}


async def test_another_request_under_the_key(store: Store, clock: FakeClock) -> None:
    """A key that was used for something else is refused, and stays what it was."""
    await store.insert([keyed("key", fingerprint=b"this", reply=b"first")], clock.now())
    other = job()

    (answer,) = await store.insert([keyed("key", other, fingerprint=b"that")], clock.now())

    assert isinstance(answer, InvalidRequest)
    assert await look(store, other.id) is None
    assert await store.insert([keyed("key", fingerprint=b"this")], clock.now()) == [b"first"]


async def test_a_key_expires(store: Store, clock: FakeClock) -> None:
    """After its time a key is new again, for any request."""
    await store.insert([keyed("key", reply=b"first")], clock.now())
    clock.advance(DAY_MS + 1)
    fresh = IdempotencyKey("key", b"other", b"second", clock.now() + DAY_MS)

    again = await store.insert([Unit([new_job(job())], fresh)], clock.now())
    repeated = await store.insert([Unit([new_job(job())], fresh)], clock.now())

    assert (again, repeated) == ([None], [b"second"])
    assert await counts(store) == {QUEUE: 2}


async def test_a_repetition_does_not_prolong(store: Store, clock: FakeClock) -> None:
    """The time counts from the first call, however often it is repeated."""
    await store.insert([keyed("key", reply=b"first")], clock.now())
    clock.advance(DAY_MS - 1)
    late = IdempotencyKey("key", b"same", b"second", clock.now() + DAY_MS)
    assert await store.insert([Unit([new_job(job())], late)], clock.now()) == [b"first"]
    clock.advance(2)

    assert await store.insert([Unit([new_job(job())], late)], clock.now()) == [None]


async def test_a_key_twice_in_a_call(store: Store, clock: FakeClock) -> None:
    """Calls that arrive together under one key: the first is stored, the others get its reply or are refused."""
    messages = [job() for _ in range(4)]

    answers = await store.insert(
        [
            keyed("key", messages[0], reply=b"first"),
            keyed("key", messages[1], reply=b"second"),
            keyed("key", messages[2], fingerprint=b"different"),
            keyed("other", messages[3]),
        ],
        clock.now(),
    )

    assert answers[:2] == [None, b"first"]
    assert isinstance(answers[2], InvalidRequest)
    assert answers[3] is None
    assert [await look(store, message.id) is not None for message in messages] == [True, False, False, True]


async def test_keys_do_not_meet(store: Store, clock: FakeClock) -> None:
    """Different keys, however similar, are different calls."""
    keys = ["key", "KEY", "key ", "key:", "key:1", "ü", "k" * 256, "0", "{a}", "*"]

    answers = [await store.insert([keyed(key, reply=key.encode())], clock.now()) for key in keys]
    repeated = [await store.insert([keyed(key, reply=b"?")], clock.now()) for key in keys]

    assert answers == [[None]] * len(keys)
    assert repeated == [[key.encode()] for key in keys]


async def test_a_unit_without_a_key_is_always_new(store: Store, clock: FakeClock) -> None:
    """Nothing is remembered of a call without a key."""
    await store.insert([Unit([new_job(job())]), Unit([new_job(job())])], clock.now())

    assert await counts(store) == {QUEUE: 2}


async def test_a_refused_unit_leaves_its_key_free(store: Store, clock: FakeClock) -> None:
    """A call that was refused was no call: its key may be used again, in the same call too."""
    taken = job(job_id_=job_id(1))
    await put(store, taken, reserved=True)

    answers = await store.insert(
        [keyed("key", job(), taken, reserved=True, fingerprint=b"first"), keyed("key", reply=b"second")], clock.now()
    )

    assert isinstance(answers[0], DuplicateJob)
    assert answers[1] is None
    assert await store.insert([keyed("key")], clock.now()) == [b"second"]


async def test_a_repeated_call_is_no_duplicate(store: Store, clock: FakeClock) -> None:
    """A call with ids of the client's choice, repeated under its key, gets its reply and not a conflict with itself."""
    message = job(job_id_=job_id(250))
    await store.insert([keyed("key", message, reserved=True)], clock.now())
    before = await see(store, message)

    answers = await store.insert([keyed("key", message, reserved=True)] * 2, clock.now())

    assert answers == [b"reply", b"reply"]
    assert await see(store, message) == before


async def test_a_key_of_many_queues(store: Store, clock: FakeClock) -> None:
    """A call is recognised though its jobs go to other queues, in other partitions, than before."""
    await store.insert([keyed("key", job("a"), job("b"))], clock.now())

    assert await store.insert([keyed("key", job("c"), job("a"))], clock.now()) == [b"reply"]
    assert await counts(store) == {"a": 1, "b": 1}


async def test_a_large_reply(store: Store, clock: FakeClock) -> None:
    """The reply to ten thousand jobs, some megabytes of any bytes, is repeated whole."""
    reply = bytes(range(256)) * 16_384
    await store.insert([keyed("key", reply=reply)], clock.now())

    assert await store.insert([keyed("key")], clock.now()) == [reply]
