"""JobStore.insert: what one caller enqueues at once is stored in order, all of it or nothing."""

import pytest
from google.protobuf.struct_pb2 import Struct, Value
from ojs_grpc_pb.v1.job_pb2 import Job, RetryPolicy, UniquePolicy

from ojs_grpc.core import ids, lifecycle, states
from ojs_grpc.errors import DuplicateJob
from ojs_grpc.stores.ports import Store, Unit
from tests.clock import START, FakeClock
from tests.store.building import (
    QUEUE,
    ack,
    change,
    changed,
    counts,
    ids_of,
    job,
    job_id,
    look,
    new_job,
    put,
    see,
    take,
    take_one,
    unique,
    unit,
)

# Of ids that clients choose: the queue's own, the first and the last.
PARTITIONS = [ids.partition_of_queue(QUEUE), 0, 255]


async def test_an_available_job_shows_when_it_became_so(store: Store, clock: FakeClock) -> None:
    """A job that may run at once is available since the insert."""
    message = job()
    clock.advance(7)

    answers = await store.insert([unit(message)], clock.now())

    assert answers == [None]
    assert await see(store, message) == changed(message, state=states.AVAILABLE, enqueued_at=START + 7)


async def test_a_scheduled_job_is_not_enqueued_yet(store: Store, clock: FakeClock) -> None:
    """A job for later shows no `enqueued_at` and no `next_attempt_at`, only what its producer said."""
    message = job(scheduled_at=START + 5_000)

    await put(store, message)

    assert await see(store, message) == changed(message, state=states.SCHEDULED)
    assert await take(store) == []


async def test_a_pending_job_waits(store: Store) -> None:
    """A job that waits for its activation is stored, and given to nobody."""
    message = job()

    await put(store, message, state=states.PENDING)

    assert await see(store, message) == changed(message, state=states.PENDING)
    assert await take(store) == []


async def test_every_field_comes_back(store: Store) -> None:
    """What a producer said is kept whole, fields of a newer version included."""
    meta, details = Struct(), Struct()
    meta.update({"tenant": "ü", "nested": {"list": [1, None, True]}})
    details.update({"why": "because"})
    message = job(priority=-100, scheduled_at=0, expires_at=START + 9_999, visibility_ms=1_500, timeout_ms=90_001)
    message.args.extend([Value(string_value="\x00\U0001f600"), Value(number_value=1.5), Value(bool_value=False)])
    message.meta.CopyFrom(meta)
    message.retry_policy.CopyFrom(RetryPolicy(max_attempts=7, jitter=False, non_retryable_errors=["auth.*"]))
    message.unique_policy.CopyFrom(UniquePolicy(key=["type", "args"]))
    message.tags.extend(["a", "b"])
    message.trace_id = "trace"
    message.workflow_id = "workflow"
    unknown = Job.FromString(message.SerializeToString() + b"\xca\xbb\x08\x05later")

    await put(store, unknown)

    wanted = changed(unknown, state=states.AVAILABLE, enqueued_at=START)
    (data,) = await store.read([message.id])
    assert data is not None
    assert Job.FromString(data) == wanted
    assert b"\xca\xbb\x08\x05later" in data


async def test_a_stored_job_is_read_at_once(store: Store) -> None:
    """Whoever was told that a job is stored finds it: by id, in its queue, and to claim."""
    message = job()

    await put(store, message)

    assert await look(store, message.id) is not None
    assert await counts(store) == {QUEUE: 1}
    assert ids_of(await take(store)) == [message.id]


async def test_order_in_a_unit_is_kept(store: Store) -> None:
    """Jobs of one unit are delivered in the order given, though they share a millisecond and ids say otherwise."""
    messages = [job() for _ in range(20)][::-1]

    await put(store, *messages)

    assert ids_of(await take(store, 20)) == [message.id for message in messages]


async def test_order_of_units_is_kept(store: Store, clock: FakeClock) -> None:
    """Units of one call are stored in the order given, and a later call comes behind an earlier one."""
    first, second, third, fourth = (job() for _ in range(4))

    await store.insert([unit(third, first), unit(fourth)], clock.now())
    await store.insert([unit(second)], clock.now())

    assert ids_of(await take(store, 4)) == [third.id, first.id, fourth.id, second.id]


async def test_a_unit_spans_queues(store: Store) -> None:
    """Jobs of one unit may go to different queues, in different partitions, and be in different states."""
    names = [f"queue-{number}" for number in range(40)]
    assert len({ids.partition_of_queue(name) for name in names}) > 20
    messages = [job(name, scheduled_at=START + 1_000 if name.endswith("3") else 0) for name in names]

    await put(store, *messages)

    assert await counts(store) == {name: 0 if name.endswith("3") else 1 for name in names}
    assert [(await take_one(store, name)).queue for name in names[:3]] == names[:3]


async def test_a_unit_of_ten_thousand_jobs(store: Store) -> None:
    """The largest batch a caller may send is one unit, stored whole and in order."""
    messages = [job() for _ in range(10_000)]

    await put(store, *messages)

    assert await counts(store) == {QUEUE: 10_000}
    assert ids_of(await take(store, 3)) == [message.id for message in messages[:3]]
    assert await see(store, messages[-1]) == changed(messages[-1], state=states.AVAILABLE, enqueued_at=START)


async def test_an_envelope_of_a_mebibyte(store: Store) -> None:
    """The largest job a caller may send comes back whole, by id and by claim."""
    message = job(padding=1024 * 1024)

    await put(store, message)

    stored = changed(message, state=states.AVAILABLE, enqueued_at=START)
    assert await see(store, message) == stored
    assert (await take_one(store)).args == message.args


async def test_large_jobs_among_small_ones(store: Store) -> None:
    """Whatever each job of a unit weighs, it comes back as it was, and all in order."""
    messages = [job(padding=size) for size in (0, 16_000, 17_000, 1, 100_000, 16_384, 2, 1024 * 1024, 16_200, 3)]

    await put(store, *messages)

    stored = [changed(message, state=states.AVAILABLE, enqueued_at=START) for message in messages]
    assert [await see(store, message) for message in messages] == stored
    assert ids_of(await take(store, len(messages))) == [message.id for message in messages]


async def test_many_units_at_once(store: Store, clock: FakeClock) -> None:
    """Each unit of a call has its own answer, in the order of the call."""
    taken = job(job_id_=job_id(0))
    await put(store, taken, reserved=True)
    units = [unit(job()) if number % 3 else unit(taken, reserved=True) for number in range(30)]

    answers = await store.insert(units, clock.now())

    assert [isinstance(answer, DuplicateJob) for answer in answers] == [number % 3 == 0 for number in range(30)]
    assert [answer for answer in answers if not isinstance(answer, DuplicateJob)] == [None] * 20
    assert await counts(store) == {QUEUE: 21}


async def test_nothing_to_insert(store: Store, clock: FakeClock) -> None:
    """No units get no answers, and a unit without jobs is stored without effect."""
    assert await store.insert([], clock.now()) == []
    assert await store.insert([Unit([])], clock.now()) == [None]
    assert await counts(store) == {}


@pytest.mark.parametrize("partition", PARTITIONS)
async def test_a_taken_id_is_refused(store: Store, clock: FakeClock, partition: int) -> None:
    """A client's id that is taken is a duplicate, whatever queue it is meant for; the first job stays as it is."""
    first = job(job_id_=job_id(partition))
    await put(store, first, reserved=True)
    second = job("elsewhere", job_id_=first.id, priority=5)

    (answer,) = await store.insert([unit(second, reserved=True)], clock.now())

    assert isinstance(answer, DuplicateJob)
    assert answer.details["existing_job_id"] == first.id
    assert await see(store, first) == changed(first, state=states.AVAILABLE, enqueued_at=START)
    assert await counts(store) == {QUEUE: 1}


async def test_an_id_made_by_the_server_is_taken_too(store: Store, clock: FakeClock) -> None:
    """A client cannot choose the id of a job that got its own from the server."""
    first = job()
    await put(store, first)

    answers = await store.insert(
        [unit(job(job_id_=first.id), reserved=True), unit(job("elsewhere", job_id_=first.id), reserved=True)],
        clock.now(),
    )

    assert [type(answer) for answer in answers] == [DuplicateJob, DuplicateJob]
    assert await counts(store) == {QUEUE: 1}


async def test_an_id_stays_taken_when_its_job_has_ended(store: Store, clock: FakeClock) -> None:
    """As long as a job can be read its id is taken, also when the job is completed or cancelled."""
    done, cancelled = job(job_id_=job_id(1)), job(job_id_=job_id(2))
    await put(store, done, cancelled, reserved=True)
    await take(store, 2)
    await ack(store, done.id)
    await change(store, lifecycle.cancel(await see(store, cancelled)))

    answers = await store.insert([unit(done, reserved=True), unit(cancelled, reserved=True)], clock.now())

    assert [type(answer) for answer in answers] == [DuplicateJob, DuplicateJob]


async def test_a_duplicate_stores_nothing_of_its_unit(store: Store, clock: FakeClock) -> None:
    """One taken id refuses its whole unit, jobs before and after it and in other queues; other units are stored."""
    taken = job(job_id_=job_id(200))
    await put(store, taken, reserved=True)
    before, after = job("before", job_id_=job_id(201)), job("after", scheduled_at=START + 1)
    bystander = job("bystander")

    answers = await store.insert(
        [
            Unit([new_job(before, reserved=True), new_job(taken, reserved=True), new_job(after)]),
            unit(bystander),
        ],
        clock.now(),
    )

    assert isinstance(answers[0], DuplicateJob)
    assert answers[1] is None
    assert await store.read([before.id, after.id]) == [None, None]
    assert await counts(store) == {QUEUE: 1, "bystander": 1}
    assert (await store.promote(START + 10, 10)).promoted == 0
    assert await store.insert([unit(before, reserved=True)], clock.now()) == [None]


@pytest.mark.parametrize("partition", PARTITIONS)
async def test_an_id_twice_in_a_unit(store: Store, clock: FakeClock, partition: int) -> None:
    """A unit that uses one id twice is refused whole, and the id stays free."""
    message = job(job_id_=job_id(partition))

    (answer,) = await store.insert([unit(job(), message, message, reserved=True)], clock.now())

    assert isinstance(answer, DuplicateJob)
    assert answer.details["existing_job_id"] == message.id
    assert await counts(store) == {}
    assert await store.insert([unit(message, reserved=True)], clock.now()) == [None]


@pytest.mark.parametrize("partition", PARTITIONS)
async def test_an_id_twice_in_a_call(store: Store, clock: FakeClock, partition: int) -> None:
    """Of two units of a call with the same id, the first is stored and the second refused."""
    message = job(job_id_=job_id(partition))
    twin = changed(message, queue="elsewhere")

    answers = await store.insert([unit(each, reserved=True) for each in (message, twin, message)], clock.now())

    assert answers[0] is None
    assert [type(answer) for answer in answers[1:]] == [DuplicateJob, DuplicateJob]
    assert await counts(store) == {QUEUE: 1}


async def test_an_id_of_the_server_within_a_call(store: Store, clock: FakeClock) -> None:
    """A client cannot choose the id that an earlier job of the call got from the server; all others go on as ever."""
    first, second, chosen, last = job(), job(), job(job_id_=job_id(0)), job()
    taken = [unit(job("elsewhere", job_id_=each.id), reserved=True) for each in (second, first, chosen)]

    answers = await store.insert(
        [unit(first), unit(chosen, reserved=True), unit(second), *taken, unit(last), *taken], clock.now()
    )

    assert [isinstance(answer, DuplicateJob) for answer in answers] == [False] * 3 + [True] * 3 + [False] + [True] * 3
    assert ids_of(await take(store, 10)) == [each.id for each in (first, chosen, second, last)]


@pytest.mark.parametrize("count", [2, 3, 63, 64, 65, 130, 255])
async def test_any_number_of_jobs(store: Store, clock: FakeClock, count: int) -> None:
    """However many jobs a call stores, with links or without, each comes back as it was, and all in order."""
    messages = [job(padding=number) for number in range(count)]
    units = [
        unit(message, links=unique(message.id) if number % 3 == 0 else None) for number, message in enumerate(messages)
    ]

    assert await store.insert(units, clock.now()) == [None] * count

    stored = [changed(message, state=states.AVAILABLE, enqueued_at=START) for message in messages]
    assert [await see(store, message) for message in messages] == stored
    assert ids_of(await take(store, count)) == [message.id for message in messages]


async def test_an_id_in_every_partition(store: Store, clock: FakeClock) -> None:
    """A job whose id names any partition, and not its queue's, lives the same life as every other."""
    messages = [job(job_id_=job_id(partition)) for partition in range(ids.PARTITIONS)]
    await put(store, *messages, reserved=True)

    deliveries = await take(store, ids.PARTITIONS)
    half = ids.PARTITIONS // 2
    refusals = [await ack(store, delivery.job_id, lease=delivery.lease) for delivery in deliveries[:half]]
    cancelled = await store.apply(
        [lifecycle.cancel(Job.FromString(delivery.job)) for delivery in deliveries[half:]], clock.now()
    )

    assert ids_of(deliveries) == [message.id for message in messages]
    assert refusals == [None] * half
    assert None not in cancelled
    ends = [(await see(store, message)).state for message in messages]
    assert ends == [states.COMPLETED] * half + [states.CANCELLED] * half


async def test_a_duplicate_in_every_partition(store: Store, clock: FakeClock) -> None:
    """Wherever an id's own partition and its queue's are, it is taken only once."""
    messages = [job(f"queue-{partition}", job_id_=job_id(partition)) for partition in range(ids.PARTITIONS)]
    await put(store, *messages, reserved=True)
    twins = [job(f"other-{number}", job_id_=message.id) for number, message in enumerate(messages)]

    answers = await store.insert([unit(twin, reserved=True) for twin in twins], clock.now())

    assert {type(answer) for answer in answers} == {DuplicateJob}
    page = await store.queues("", 1000)
    assert {row.name for row in page.rows} == {message.queue for message in messages}
