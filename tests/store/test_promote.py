"""ScheduleStore.promote: what waits for a time becomes available when it has come."""

from ojs_grpc.core import lifecycle, states
from ojs_grpc.stores.ports import Promotion, Store
from tests.clock import START, FakeClock
from tests.store.building import change, changed, counts, failed, ids_of, job, job_id, put, see, take, take_one


async def test_nothing_waits(store: Store, clock: FakeClock) -> None:
    """Jobs that do not wait for a time are no business of promotion."""
    await put(store, job())
    await put(store, job(), state=states.PENDING)
    await put(store, job("running"))
    await take_one(store, "running")

    assert await store.promote(clock.now() + 10_000_000, 10) == Promotion(0, None)


async def test_a_scheduled_job_becomes_available(store: Store, clock: FakeClock) -> None:
    """At its time a scheduled job is available since now; its `scheduled_at` stays."""
    message = job(scheduled_at=START + 1_000)
    await put(store, message)

    early = await store.promote(START + 999, 10)
    clock.advance(1_003)
    due = await store.promote(clock.now(), 10)

    assert early == Promotion(0, START + 1_000)
    assert due == Promotion(1, None)
    assert await see(store, message) == changed(message, state=states.AVAILABLE, enqueued_at=START + 1_003)
    assert await store.promote(clock.now(), 10) == Promotion(0, None)


async def test_due_to_the_millisecond(store: Store) -> None:
    """A job is due at its time, not after it."""
    await put(store, job(scheduled_at=START + 1_000))

    assert await store.promote(START + 1_000, 10) == Promotion(1, None)


async def test_a_retryable_job_becomes_available(store: Store, clock: FakeClock) -> None:
    """After its delay a failed job is available again: attempt, errors and delay stay, the due time goes."""
    await put(store, job())
    failure = await change(store, failed(await take_one(store), clock.now()))
    assert failure is not None

    early = await store.promote(START + 999, 10)
    clock.advance(1_000)
    due = await store.promote(clock.now(), 10)

    assert (early, due) == (Promotion(0, START + 1_000), Promotion(1, None))
    wanted = changed(failure, state=states.AVAILABLE, enqueued_at=START + 1_000, next_attempt_at=None)
    assert await see(store, failure) == wanted
    assert wanted.retry_delay_ms == 1_000
    assert len(wanted.errors) == 1


async def test_earliest_first_and_no_more_than_asked(store: Store, clock: FakeClock) -> None:
    """Due jobs come by their time, across queues, up to the limit; the answer tells of the rest."""
    delays = [500, 100, 900, 300, 700, 2_000]
    messages = {each: job(f"queue-{number % 2}", scheduled_at=START + each) for number, each in enumerate(delays)}
    await put(store, *messages.values())
    now = clock.advance(1_000)
    rounds = []

    for _ in range(3):
        promotion = await store.promote(now, 2)
        rounds.append((promotion, set(ids_of(await take(store, 6, "queue-0", "queue-1")))))

    assert rounds == [
        (Promotion(2, START + 500), {messages[100].id, messages[300].id}),
        (Promotion(2, START + 900), {messages[500].id, messages[700].id}),
        (Promotion(1, START + 2_000), {messages[900].id}),
    ]


async def test_promoted_jobs_go_to_the_tail_of_their_priority(store: Store, clock: FakeClock) -> None:
    """Among each other by time, behind what was available before, and ahead of lower priorities."""
    late, early = job(scheduled_at=START + 200), job(scheduled_at=START + 100)
    low, high = job(priority=-1), job(priority=1, scheduled_at=START + 300)
    waiting = job()
    await put(store, late, early, low, high, waiting)
    clock.advance(1_000)
    between = job()
    await put(store, between)

    await store.promote(clock.now(), 10)
    after = job()
    await put(store, after)

    wanted = [high.id, waiting.id, between.id, early.id, late.id, after.id, low.id]
    assert ids_of(await take(store, 10)) == wanted


async def test_equal_times_keep_their_order(store: Store, clock: FakeClock) -> None:
    """Jobs that were enqueued for the same millisecond come in the order in which they were enqueued."""
    messages = [job(scheduled_at=START + 100) for _ in range(50)]
    for message in messages:
        await put(store, message)
    clock.advance(100)

    while (await store.promote(clock.now(), 7)).promoted:
        pass

    assert ids_of(await take(store, 50)) == [message.id for message in messages]


async def test_a_backlog_is_worked_off_in_chunks(store: Store, clock: FakeClock) -> None:
    """Rounds with a limit promote a thousand due jobs, each once."""
    messages = [job(f"queue-{number % 10}", scheduled_at=START + 100 + number % 7) for number in range(1_000)]
    await put(store, *messages)
    clock.advance(200)
    rounds = []

    while (promotion := await store.promote(clock.now(), 300)).promoted:
        rounds.append(promotion)

    assert [promotion.promoted for promotion in rounds] == [300, 300, 300, 100]
    assert [promotion.next_at is not None and promotion.next_at <= clock.now() for promotion in rounds] == [
        True,
        True,
        True,
        False,
    ]
    assert rounds[-1].next_at is None
    assert await counts(store) == {f"queue-{number}": 100 for number in range(10)}


async def test_a_cancelled_job_is_not_promoted(store: Store, clock: FakeClock) -> None:
    """A job that was cancelled while it waited stays cancelled, and nobody waits for it any more."""
    scheduled, retryable = job(scheduled_at=START + 100), job()
    await put(store, scheduled, retryable)
    failure = await change(store, failed(await take_one(store), clock.now()))
    assert failure is not None
    ended = [await change(store, lifecycle.cancel(waiting)) for waiting in (await see(store, scheduled), failure)]
    clock.advance(10_000)

    assert await store.promote(clock.now(), 10) == Promotion(0, None)
    assert [await see(store, scheduled), await see(store, retryable)] == ended


async def test_a_client_chosen_id_is_promoted(store: Store, clock: FakeClock) -> None:
    """A job whose id names another partition than its queue's waits and becomes available as any other."""
    messages = [job(job_id_=job_id(partition), scheduled_at=START + 10) for partition in (0, 127, 255)]
    await put(store, *messages, reserved=True)
    clock.advance(10)

    assert (await store.promote(clock.now(), 10)).promoted == 3
    assert set(ids_of(await take(store, 3))) == {message.id for message in messages}


async def test_a_time_long_past(store: Store, clock: FakeClock) -> None:
    """A job scheduled for the past, or for the year 9999, waits for promotion as any other."""
    past, future = job(scheduled_at=1), job(scheduled_at=253_402_300_799_999)
    await put(store, past, future)

    assert await store.promote(clock.now(), 10) == Promotion(1, 253_402_300_799_999)
    assert ids_of(await take(store, 5)) == [past.id]
