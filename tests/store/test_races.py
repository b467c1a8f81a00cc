"""What happens when several callers want the same thing at the same time (behaviour section 24, traps 1 to 3, 17)."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from itertools import permutations

import pytest
from ojs_grpc_pb.v1.job_pb2 import Job, JobError

from ojs_grpc.core import lifecycle, states
from ojs_grpc.core.transition import Transition
from ojs_grpc.errors import DuplicateJob
from ojs_grpc.stores.ports import Delivery, IdempotencyKey, Retention, Store, Unit
from tests.clock import START, FakeClock
from tests.store.building import (
    LIMITS,
    QUEUE,
    VISIBILITY_MS,
    WORKER,
    ack,
    bury,
    change,
    counts,
    dead_ids,
    failed,
    ids_of,
    job,
    job_id,
    look,
    new_job,
    put,
    reap,
    reaped,
    released,
    see,
    take,
    take_one,
    unit,
)


def once_each(claims: Sequence[Sequence[Delivery]], messages: Sequence[Job]) -> None:
    """Asserts that the claims together gave every job, and none twice."""
    given = Counter(delivery.job_id for deliveries in claims for delivery in deliveries)
    assert given == Counter(message.id for message in messages)


async def test_concurrent_claims_never_share_a_job(store: Store) -> None:
    """Fifty claims at once for more jobs than there are: each job goes to one of them."""
    messages = [job(f"queue-{number % 3}", priority=number % 2) for number in range(100)]
    await put(store, *messages)

    orders = list(permutations(["queue-0", "queue-1", "queue-2"]))
    claims = await asyncio.gather(*[take(store, 5, *orders[n % len(orders)], worker=f"w{n}") for n in range(50)])

    once_each(claims, messages)
    for number, deliveries in enumerate(claims):
        assert {delivery.worker_id for delivery in deliveries} <= {f"w{number}"}


async def test_two_servers_never_share_a_job(store: Store, other: Store) -> None:
    """Claims through two servers on the same data share nothing either, and both see who holds what."""
    messages = [job() for _ in range(120)]
    await put(store, *messages)

    claims = await asyncio.gather(*[take(server, 4, worker=f"w{n}") for n in range(20) for server in (store, other)])

    once_each(claims, messages)
    leases = {delivery.job_id: delivery.lease for deliveries in claims for delivery in deliveries}
    assert await other.leases([message.id for message in messages]) == [leases[message.id] for message in messages]


async def test_claims_and_inserts_at_once(store: Store) -> None:
    """Jobs that arrive while others are claimed are neither lost nor given twice."""
    messages = [job() for _ in range(100)]

    results = await asyncio.gather(
        *[step for message in messages for step in (put(store, message), take(store, 1), take(store, 1))]
    )
    claims = [result for result in results if result is not None]
    claims.append(await take(store, 100))

    once_each(claims, messages)


async def test_what_one_server_does_the_other_sees(store: Store, other: Store) -> None:
    """Servers on the same data agree on every step at once."""
    message = job()
    await put(store, message)

    held = await take_one(other)
    assert await see(store, message) == held
    back = await change(store, released(held, START))
    assert await see(other, message) == back
    again = await take_one(other)
    assert back is not None
    assert again.lease > back.lease > held.lease
    assert await ack(store, message.id, lease=again.lease) is None
    assert (await see(other, message)).state == states.COMPLETED


async def test_one_of_many_wins_an_id(store: Store, clock: FakeClock) -> None:
    """Of fifty calls at once with the same id, for many queues, one is stored."""
    chosen = job_id(17)
    messages = [job(f"queue-{number % 7}", job_id_=chosen, priority=number) for number in range(50)]

    answers = await asyncio.gather(*[store.insert([unit(each, reserved=True)], clock.now()) for each in messages])

    winners = [message for message, (answer,) in zip(messages, answers, strict=True) if answer is None]
    assert len(winners) == 1
    assert sum(isinstance(answer, DuplicateJob) for (answer,) in answers) == 49
    assert (await see(store, winners[0])).priority == winners[0].priority
    assert sum((await counts(store)).values()) == 1


async def test_one_of_many_wins_a_key(store: Store, clock: FakeClock) -> None:
    """Of fifty calls at once under the same idempotency key one is stored, and all others get its reply."""
    units = [
        Unit([new_job(job())], IdempotencyKey("key", b"same", b"reply-%d" % number, START + 1_000))
        for number in range(50)
    ]

    answers = await asyncio.gather(*[store.insert([each], clock.now()) for each in units])

    replies = Counter(answer for (answer,) in answers)
    assert replies.pop(None) == 1
    ((reply, times),) = replies.items()
    winner = next(each for each, (answer,) in zip(units, answers, strict=True) if answer is None)
    assert winner.key is not None
    assert (reply, times) == (winner.key.reply, 49)
    assert await look(store, winner.jobs[0].id) is not None
    assert await counts(store) == {QUEUE: 1}


async def test_two_servers_share_ids_and_keys(store: Store, other: Store, clock: FakeClock) -> None:
    """An id or a key that one server has taken is taken at the other."""
    message = job(job_id_=job_id(99))
    keyed = Unit([new_job(message, reserved=True)], IdempotencyKey("key", b"same", b"reply", START + 1_000))
    await store.insert([keyed], clock.now())

    answers = await other.insert([unit(message, reserved=True), keyed], clock.now())

    assert isinstance(answers[0], DuplicateJob)
    assert answers[1] == b"reply"


async def test_one_of_many_acks_counts(store: Store) -> None:
    """Of fifty acknowledgements at once, with and without lease, one is done."""
    await put(store, job())
    held = await take_one(store)

    answers = await asyncio.gather(
        *[ack(store, held.id, lease=held.lease * (number % 2), worker=WORKER) for number in range(50)]
    )

    assert answers.count(None) == 1
    assert {answer.state for answer in answers if answer} == {states.COMPLETED}


CONTENDERS = ("ack", "cancel", "fail", "heartbeat", "reap", "release")


class Contest:
    """A job whose lease has just run out, and everybody who wants something from it, each decided beforehand."""

    def __init__(self, store: Store, held: Job, transitions: dict[str, Transition]) -> None:
        self.store = store
        self.held = held
        self.transitions = transitions

    async def act(self, contender: str) -> bool:
        """Does what was decided; whether it was allowed."""
        store, held = self.store, self.held
        if contender == "ack":
            return await ack(store, held.id, lease=held.lease, worker=WORKER) is None
        if contender == "heartbeat":
            extension = await store.heartbeat("", 0, held.id, held.lease, 0, store.clock.now())
            return extension.refusal is None
        return await change(store, self.transitions[contender]) is not None


async def contests(store: Store, clock: FakeClock, number: int) -> list[Contest]:
    """So many jobs to contend for."""
    await put(store, *[job() for _ in range(number)])
    held = {delivery.job_id: Job.FromString(delivery.job) for delivery in await take(store, number)}
    now = clock.advance(VISIBILITY_MS)
    reaping = {t.job_id: t for t in (reaped(each, now) for each in (await store.overdue(now, number)).jobs)}
    return [
        Contest(
            store,
            each,
            {
                "cancel": lifecycle.cancel(each),
                "fail": failed(each, now),
                "reap": reaping[each.id],
                "release": released(each, now),
            },
        )
        for each in held.values()
    ]


def allowed(order: Sequence[str]) -> tuple[list[str], int]:
    """Who is allowed to act when all come in this order, and the state that they leave."""
    ends = {
        "ack": states.COMPLETED,
        "cancel": states.CANCELLED,
        "fail": states.RETRYABLE,
        "reap": states.AVAILABLE,
        "release": states.AVAILABLE,
    }
    winners: list[str] = []
    state, extended = states.ACTIVE, False
    for contender in order:
        if state == states.ACTIVE and contender == "heartbeat":
            extended = True
        elif state == states.ACTIVE and not (contender == "reap" and extended):
            state = ends[contender]
        elif contender == "ack" and state == states.AVAILABLE and "reap" in winners:
            state = states.COMPLETED
        else:
            continue
        winners.append(contender)
    return winners, state


async def test_contenders_one_after_another(store: Store, clock: FakeClock) -> None:
    """Ack, cancel, failure, release, heartbeat and reaper, decided from the same reading, any three in every order.

    The first ends the lease and the others come too late, but for two: a heartbeat ends nothing and voids the reaper's
    decision, and a late ack is believed after the reaper.
    """
    orders = list(permutations(CONTENDERS, 3))
    for contest, order in zip(await contests(store, clock, len(orders)), orders, strict=True):
        winners = [contender for contender in order if await contest.act(contender)]

        assert (winners, (await see(store, contest.held)).state) == allowed(order), order


async def test_contenders_at_once(store: Store, clock: FakeClock) -> None:
    """The same contenders, all at once: whatever the order was, it was one of the possible ones."""
    possible = {(frozenset(winners), state) for winners, state in map(allowed, permutations(CONTENDERS))}
    running = await contests(store, clock, 30)

    outcomes = await asyncio.gather(
        *[asyncio.gather(*[contest.act(contender) for contender in CONTENDERS]) for contest in running]
    )

    for contest, outcome in zip(running, outcomes, strict=True):
        winners = frozenset(name for name, won in zip(CONTENDERS, outcome, strict=True) if won)
        assert (winners, (await see(store, contest.held)).state) in possible


async def test_two_reapers(store: Store, other: Store, clock: FakeClock) -> None:
    """When two servers reap at once, each lost lease is counted once."""
    await put(store, *[job() for _ in range(40)])
    await take(store, 40)
    clock.advance(VISIBILITY_MS)

    first, second = await asyncio.gather(reap(store), reap(other))

    assert len(first) + len(second) == 40
    assert len({lost.id for lost in first + second}) == 40
    assert {len((await see(store, lost)).errors) for lost in first + second} == {1}


async def test_a_timeout_and_an_ack(store: Store, clock: FakeClock) -> None:
    """A job that ran for too long is failed or completed, whoever comes first, and never both."""
    await put(store, job(timeout_ms=1_000), job(timeout_ms=1_000))
    first, second = (Job.FromString(delivery.job) for delivery in await take(store, 2))
    now = clock.advance(1_000)
    timeouts = {t.job_id: t for t in (reaped(each, now) for each in (await store.overdue(now, 2)).jobs)}

    assert await ack(store, first.id, lease=first.lease) is None
    assert await change(store, timeouts[first.id]) is None
    assert await change(store, timeouts[second.id]) is not None
    refusal = await ack(store, second.id, lease=second.lease)

    assert refusal is not None
    assert refusal.state == states.RETRYABLE
    assert (await see(store, first)).state == states.COMPLETED


@pytest.mark.parametrize("what", ["cancel", "expire"])
async def test_a_claim_and_an_end(store: Store, clock: FakeClock, what: str) -> None:
    """A job that is cancelled or expires as it is claimed is one or the other: whoever is second finds it changed."""
    first, second = job("a", expires_at=START + 1), job("b", expires_at=START + 1)
    await put(store, first, second)
    decide: Callable[[Job], Transition] = lifecycle.cancel if what == "cancel" else lifecycle.expire
    decided = {each.id: decide(await see(store, each)) for each in (first, second)}

    claimed = await take(store, 1, "a")
    too_late = await change(store, decided[first.id])
    ended = await change(store, decided[second.id])
    nothing = await take(store, 1, "b")

    assert (ids_of(claimed), too_late) == ([first.id], None)
    assert ended is not None
    assert nothing == []


async def test_claims_and_cancels_at_once(store: Store) -> None:
    """Every job ends up either with a worker or cancelled."""
    messages = [job() for _ in range(60)]
    await put(store, *messages)
    decided = [lifecycle.cancel(await see(store, message)) for message in messages]

    results = await asyncio.gather(*[step for each in decided for step in (change(store, each), take(store, 1))])

    cancelled = {result.id for result in results if isinstance(result, Job)}
    claimed = {delivery.job_id for result in results if isinstance(result, list) for delivery in result}
    assert cancelled | claimed == {message.id for message in messages}
    assert not cancelled & claimed
    for message in messages:
        wanted = states.CANCELLED if message.id in cancelled else states.ACTIVE
        assert (await see(store, message)).state == wanted


async def test_promotions_at_once(store: Store, clock: FakeClock) -> None:
    """Several servers may promote at the same time: each job is promoted once."""
    messages = [job(scheduled_at=START + 1) for _ in range(200)]
    await put(store, *messages)
    clock.advance(1)

    promotions = await asyncio.gather(*[store.promote(clock.now(), 30) for _ in range(10)])

    assert sum(promotion.promoted for promotion in promotions) == 200
    assert await counts(store) == {QUEUE: 200}
    once_each([await take(store, 300)], messages)


async def test_a_promotion_and_a_cancel(store: Store, clock: FakeClock) -> None:
    """A cancel decided while the job was scheduled is void once it is available."""
    message = job(scheduled_at=START + 1)
    await put(store, message)
    decided = lifecycle.cancel(await see(store, message))
    clock.advance(1)
    await store.promote(clock.now(), 1)

    assert await change(store, decided) is None
    assert ids_of(await take(store)) == [message.id]


@pytest.mark.parametrize("order", list(permutations(["retry", "delete", "forget"])))
async def test_a_dead_letter_has_one_fate(store: Store, clock: FakeClock, order: Sequence[str]) -> None:
    """Retried, deleted or forgotten: the first decides, the others find no dead letter any more."""
    dead = await bury(store)
    clock.advance(1_000)
    won = []

    for what in order:
        if what == "retry" and await change(store, lifecycle.retry_dead(dead)):
            won.append(what)
        if what == "delete" and await store.delete_dead(dead.id, store.clock.now()):
            won.append(what)
        if what == "forget" and await store.sweep(Retention(dead_ms=1), clock.now(), 10):
            won.append(what)

    assert won == [order[0]]
    assert (await look(store, dead.id) is not None) == (order[0] == "retry")
    assert await dead_ids(store) == []


async def test_a_dead_letter_starts_over_once(store: Store) -> None:
    """Of many retries at once one counts, and the job is in its queue once."""
    dead = await bury(store)

    answers = await asyncio.gather(*[change(store, lifecycle.retry_dead(dead)) for _ in range(20)])

    assert sum(answer is not None for answer in answers) == 1
    assert ids_of(await take(store, 5)) == [dead.id]


async def test_everything_at_once(store: Store, clock: FakeClock) -> None:
    """Under a mixture of all calls every job is done in the end, and none by two workers at the same time."""
    messages = [job(f"queue-{number % 4}", max_attempts=100) for number in range(80)]
    names = sorted({message.queue for message in messages})
    holders: dict[str, int] = {}
    done: set[str] = set()

    async def work(number: int) -> None:
        while len(done) < len(messages):
            for delivery in await take(store, 3, *names, worker=f"w{number}"):
                held = Job.FromString(delivery.job)
                assert held.id not in done
                assert holders.get(held.id, 0) < held.lease
                holders[held.id] = held.lease
                await end(number, held)

    async def end(number: int, held: Job) -> None:
        if (held.attempt + number) % 3 == 0:
            assert await change(store, lifecycle.fail(held, failure, clock.now(), lambda: 0.0, LIMITS))
        elif (held.attempt + number) % 3 == 1 and held.lease % 2:
            assert await change(store, released(held, clock.now()))
        else:
            done.add(held.id)
            assert await ack(store, held.id, lease=held.lease) is None

    async def keep_time() -> None:
        while len(done) < len(messages):
            await store.promote(clock.advance(10_000), 7)
            await store.heartbeat("w0", 1, "", 0, 0, clock.now())

    failure = JobError(code="boom")
    tasks: list[Awaitable[None]] = [put(store, message) for message in messages]
    await asyncio.gather(*tasks, *[work(number) for number in range(8)], keep_time())

    assert done == {message.id for message in messages}
    assert {(await see(store, message)).state for message in messages} == {states.COMPLETED}
    assert sum((await counts(store)).values()) == 0
