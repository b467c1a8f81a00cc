"""What an enqueue does about duplicates: among its own jobs, and as the store reports them."""

import asyncio
from collections import deque
from collections.abc import Sequence
from typing import Any

import pytest
from google.protobuf.struct_pb2 import Value
from ojs_grpc_pb.v1.job_pb2 import (
    BatchJobEntry,
    EnqueueBatchRequest,
    EnqueueBatchResponse,
    EnqueueOptions,
    EnqueueRequest,
    Job,
    UniquePolicy,
)

from ojs_grpc.core import lifecycle, states
from ojs_grpc.core.draft import draft_of
from ojs_grpc.core.duration import timestamp_ms, to_timestamp
from ojs_grpc.core.envelope import Defaults, EnvelopeReader
from ojs_grpc.core.limits import Limits
from ojs_grpc.core.unique import IGNORE, REJECT, REPLACE, REPLACE_EXCEPT_SCHEDULE
from ojs_grpc.errors import DuplicateJob, QueueFull, StoreError
from ojs_grpc.operations.alarm import Alarm
from ojs_grpc.operations.changes import Changes
from ojs_grpc.operations.duplicates import Settlement, Turns
from ojs_grpc.operations.jobs import CallContext, Enqueued, Jobs
from ojs_grpc.operations.schemas import Schemas
from ojs_grpc.stores.ports import Duplicates, Outcome, Outdated, Unit
from tests.clock import START, FakeClock

LATER = START + 60_000
READER = EnvelopeReader(Defaults())


class TellingStore:
    """A store that says of each unit what the test wants.

    Attributes:
        units: what was asked for.
        outcomes: what to say, one a unit; when they are used up, everything is stored.
    """

    def __init__(self, *outcomes: Outcome) -> None:
        self.clock = FakeClock()
        self.units: list[Unit] = []
        self.outcomes = deque(outcomes)

    async def insert(self, units: Sequence[Unit], _: int) -> list[Outcome]:
        """As the test says."""
        self.units += units
        return [self.outcomes.popleft() if self.outcomes else None for _ in units]

    async def read(self, job_ids: Sequence[str]) -> list[bytes | None]:
        """Nobody asks."""
        raise AssertionError(job_ids)

    def jobs(self) -> Jobs:
        """The operations on this store; nothing else of a store is needed."""
        store: Any = self
        return Jobs(store, Changes(store, list, Alarm(), Alarm()), Defaults(), Schemas(store, Limits()))


def entry(number: int = 1, action: int = REJECT, *, type_: str = "a", **options: Any) -> BatchJobEntry:  # noqa: ANN401
    """A job that is unique by its argument."""
    policy = UniquePolicy(key=["args"], on_conflict=action)  # type: ignore[arg-type]
    args = [Value(number_value=number)]
    return BatchJobEntry(type=type_, args=args, options=EnqueueOptions(unique=policy, **options))


def plain() -> BatchJobEntry:
    """A job that is the same as any other."""
    return BatchJobEntry(type="a", args=[Value(number_value=1)])


async def send(store: TellingStore, *entries: BatchJobEntry, key: str = "") -> Enqueued:
    """Enqueues a batch."""
    return await store.jobs().enqueue_batch(EnqueueBatchRequest(jobs=entries), CallContext(key))


async def send_one(store: TellingStore, said: BatchJobEntry, key: str = "") -> Enqueued:
    """Enqueues one job."""
    request = EnqueueRequest(type=said.type, args=said.args, options=said.options)
    return await store.jobs().enqueue(draft_of(request), CallContext(key))


def existing(name: str = "old", state: int = states.AVAILABLE, **fields: Any) -> bytes:  # noqa: ANN401
    """A job that the store has."""
    return Job(id=name, state=state, lease=7, **fields).SerializeToString()  # type: ignore[arg-type]


def shown(enqueued: Enqueued) -> tuple[list[Job], bool]:
    """An answer as its reader sees it."""
    return [Job.FromString(data) for data in enqueued.jobs], enqueued.deduplicated


def ids(enqueued: Enqueued) -> list[str]:
    """Which jobs were answered."""
    return [Job.FromString(data).id for data in enqueued.jobs]


def stored(unit: Unit) -> list[int]:
    """The arguments of the jobs in a unit."""
    return [int(Job.FromString(job.envelope).args[0].number_value) for job in unit.jobs]


# Among the jobs of one call


async def test_equal_jobs_in_a_batch_are_refused() -> None:
    """All of it, before the store is asked; the error says which."""
    store = TellingStore()
    with pytest.raises(DuplicateJob) as error:
        await send(store, entry(1), plain(), entry(2), entry(1))

    assert store.units == []
    assert error.value.details["index"] == "3"
    assert len(bytes.fromhex(error.value.details["unique_key"])) == 32
    assert "existing_job_id" not in error.value.details


async def test_equal_jobs_in_a_batch_collapse_onto_the_first() -> None:
    """With IGNORE; the first one's own policy says nothing about it."""
    store = TellingStore()

    enqueued = await send(store, entry(1), entry(2), entry(1, IGNORE), entry(1, IGNORE))

    assert stored(store.units[0]) == [1, 2]
    first, second = (job.id for job in store.units[0].jobs)
    assert ids(enqueued) == [first, second, first, first]
    assert enqueued.deduplicated


@pytest.mark.parametrize("action", [REPLACE, REPLACE_EXCEPT_SCHEDULE])
async def test_the_last_of_equal_jobs_in_a_batch_wins(action: int) -> None:
    """With REPLACE; it answers for the earlier ones, which are never stored, and nothing is cancelled."""
    store = TellingStore()

    enqueued = await send(store, entry(1), entry(2), entry(1, action), entry(1, action, priority=5))

    (unit,) = store.units
    assert (stored(unit), list(unit.changes)) == ([2, 1], [])
    assert [job.priority for job in unit.jobs] == [0, 5]
    other, last = (job.id for job in unit.jobs)
    assert ids(enqueued) == [last, other, last, last]


async def test_the_time_of_an_earlier_job_in_a_batch_may_stay() -> None:
    """With REPLACE_EXCEPT_SCHEDULE, and only with that."""
    for action, due_at in ((REPLACE, 0), (REPLACE_EXCEPT_SCHEDULE, LATER)):
        store = TellingStore()

        await send(store, entry(1, delay_until=to_timestamp(LATER)), entry(1, action))

        assert [job.due_at for job in store.units[0].jobs] == [due_at]


async def test_a_batch_of_different_unique_jobs_is_a_batch_like_any_other() -> None:
    """All stored, in order, none deduplicated; jobs that are not unique may be equal."""
    store = TellingStore()

    enqueued = await send(store, entry(1), plain(), plain(), entry(2))

    assert stored(store.units[0]) == [1, 1, 1, 2]
    assert ids(enqueued) == [job.id for job in store.units[0].jobs]
    assert not enqueued.deduplicated


# Against what the store has


async def test_a_duplicate_is_refused() -> None:
    """The error names the job that is there, its state and the key; the message keeps the key to itself."""
    store = TellingStore(Duplicates({0: existing(state=states.ACTIVE)}))
    with pytest.raises(DuplicateJob) as error:
        await send_one(store, entry(1))

    key = error.value.details.pop("unique_key")
    assert error.value.details == {"existing_job_id": "old", "existing_job_state": "active"}
    assert key not in error.value.message
    assert "old" in error.value.message


async def test_a_duplicate_of_a_batch_says_which() -> None:
    """Also when others in the batch were ready to give way."""
    store = TellingStore(Duplicates({0: existing("a"), 2: existing("b")}))
    with pytest.raises(DuplicateJob) as error:
        await send(store, entry(1, IGNORE), entry(2), entry(3))

    assert (error.value.details["index"], error.value.details["existing_job_id"]) == ("2", "b")


async def test_a_duplicate_is_answered_in_place_of_the_new_job() -> None:
    """As the store gave it; nothing is left to store."""
    store = TellingStore(Duplicates({0: existing()}))

    enqueued = await send_one(store, entry(1, IGNORE))

    assert enqueued == Enqueued(standing=[existing()], deduplicated=True)
    assert len(store.units) == 1


async def test_the_rest_of_a_batch_is_stored() -> None:
    """The places of later duplicates are those among what is left."""
    store = TellingStore(Duplicates({1: existing("b")}), Duplicates({1: existing("c"), 2: existing("d")}))

    enqueued = await send(store, *(entry(number, IGNORE) for number in range(5)))

    assert [stored(unit) for unit in store.units] == [[0, 1, 2, 3, 4], [0, 2, 3, 4], [0, 4]]
    first, last = (job.id for job in store.units[2].jobs)
    assert ids(enqueued) == [first, "b", "c", "d", last]


@pytest.mark.parametrize("state", [states.AVAILABLE, states.ACTIVE, states.SCHEDULED, states.RETRYABLE, states.PENDING])
async def test_a_duplicate_is_replaced(state: int) -> None:
    """Cancelled in the same unit as the new job is stored, whatever it was doing."""
    store = TellingStore(Duplicates({0: existing(state=state)}))

    enqueued = await send_one(store, entry(1, REPLACE))

    unit = store.units[1]
    (new,) = unit.jobs
    assert list(unit.changes) == [lifecycle.cancel(Job.FromString(existing(state=state)), f"replaced by job {new.id}")]
    assert ids(enqueued) == [new.id]
    assert not enqueued.deduplicated


async def test_another_duplicate_shows_up_behind_the_first() -> None:
    """Both are cancelled, at once."""
    store = TellingStore(Duplicates({0: existing("a")}), Duplicates({0: existing("b")}))

    await send_one(store, entry(1, REPLACE))

    assert [change.job_id for change in store.units[2].changes] == ["a", "b"]


async def test_a_job_does_not_replace_hundreds() -> None:
    """Each costs a round to the store, and the caller is told the truth instead of waiting for the last one."""
    store = TellingStore(*[Duplicates({0: existing()})] * 1000)
    with pytest.raises(DuplicateJob) as error:
        await send_one(store, entry(1, REPLACE))

    assert error.value.details["existing_job_id"] == "old"
    assert [len(unit.changes) for unit in store.units] == list(range(101))


async def test_a_duplicate_that_changes_is_looked_at_again() -> None:
    """What was decided about it is forgotten: the next look finds none, so nothing is cancelled."""
    changing = existing(state=states.SCHEDULED, scheduled_at=to_timestamp(LATER))
    store = TellingStore(Duplicates({0: changing}), Outdated())

    enqueued = await send_one(store, entry(1, REPLACE_EXCEPT_SCHEDULE))

    first, second, third = store.units
    assert (second.jobs[0].due_at, len(second.changes)) == (LATER, 1)
    assert third == first
    assert Job.FromString(enqueued.jobs[0]).state == states.AVAILABLE


@pytest.mark.parametrize("own", [None, LATER + 5000])
async def test_the_time_of_a_replaced_job_may_stay(own: int | None) -> None:
    """The new job is scheduled for it, as the store and its reader see it, whatever time it came with."""
    replaced = existing(state=states.SCHEDULED, scheduled_at=to_timestamp(LATER))
    store = TellingStore(Duplicates({0: replaced}))
    options = {} if own is None else {"delay_until": to_timestamp(own)}

    enqueued = await send_one(store, entry(1, REPLACE_EXCEPT_SCHEDULE, **options))

    (job,) = store.units[1].jobs
    assert (job.state, job.due_at) == (states.SCHEDULED, LATER)
    for data in (job.envelope, job.envelope[: job.subject_size], enqueued.jobs[0]):
        assert timestamp_ms(Job.FromString(data).scheduled_at) == LATER
    (seen,), _ = shown(enqueued)
    assert (seen.state, seen.HasField("enqueued_at")) == (states.SCHEDULED, False)
    assert stored(store.units[1]) == [1]


async def test_only_a_scheduled_job_has_a_time_to_keep() -> None:
    """One whose time has come has none, and a pending job waits for no time."""
    at = to_timestamp(LATER)
    for replaced, options in (
        (existing(state=states.AVAILABLE, scheduled_at=at), {}),
        (existing(state=states.SCHEDULED, scheduled_at=at), {"pending": True}),
    ):
        store = TellingStore(Duplicates({0: replaced}))

        await send_one(store, entry(1, REPLACE_EXCEPT_SCHEDULE, **options))

        assert store.units[1].jobs == store.units[0].jobs


async def test_the_time_kept_is_that_of_the_newest() -> None:
    """Which the store gives first."""
    newest, older = (existing(state=states.SCHEDULED, scheduled_at=to_timestamp(at)) for at in (LATER, LATER - 5))
    store = TellingStore(Duplicates({0: newest}), Duplicates({0: older}))

    await send_one(store, entry(1, REPLACE_EXCEPT_SCHEDULE))

    assert store.units[2].jobs[0].due_at == LATER


async def test_whatever_else_the_store_has_against_a_unique_job() -> None:
    """Is told as for any job."""
    with pytest.raises(QueueFull):
        await send_one(TellingStore(Duplicates({0: existing()}), QueueFull("q", 1, 1)), entry(1, REPLACE))


async def test_nobody_tries_for_ever() -> None:
    """When each look finds another duplicate, the caller is told to try again later."""
    store = TellingStore(*[Duplicates({0: existing()}), Outdated()] * 1000)
    with pytest.raises(StoreError) as error:
        await send_one(store, entry(1, REPLACE))

    assert error.value.retryable
    assert 200 <= len(store.units) <= 400


# Idempotency keys


async def test_the_answer_under_a_key_is_the_answer() -> None:
    """Kept with the unit, also when the whole answer was there before; the repeated call tells of that too."""
    store = TellingStore(Duplicates({1: existing("b")}), None, Duplicates({0: existing("c")}))
    mixed = await send(store, entry(1, IGNORE), entry(2, IGNORE), key="mixed")
    none_new = await send_one(store, entry(3, IGNORE), key="none")

    for unit, answer in ((store.units[1], mixed), (store.units[3], none_new)):
        assert unit.key is not None
        assert [job.id for job in EnqueueBatchResponse.FromString(unit.key.reply).jobs] == ids(answer)
        again = TellingStore(unit.key.reply)
        assert shown(await send_one(again, entry(9), key="any")) == shown(answer)
        assert answer.deduplicated
    assert store.units[3].jobs == []


async def test_the_answer_under_a_key_without_duplicates() -> None:
    """Says so, for unique jobs and for others."""
    for said in (entry(1), plain()):
        store = TellingStore()
        answer = await send_one(store, said, key="k")

        assert store.units[0].key is not None
        again = TellingStore(store.units[0].key.reply)
        assert shown(await send_one(again, said, key="k")) == shown(answer)
        assert not answer.deduplicated


# Together with other calls


async def test_those_who_replace_the_same_job_take_turns() -> None:
    """Whoever wants what somebody has waits for it, in whatever order it says so; the others don't wait."""
    turns, log = Turns(), []

    async def replace(name: str, *fingerprints: bytes) -> None:
        async with turns.take(fingerprints):
            log.append(name)
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            log.append(name)

    await asyncio.gather(replace("a", b"1", b"2"), replace("b", b"2", b"1"), replace("c", b"3"))

    assert [name for name in log if name != "c"] == ["a", "a", "b", "b"]
    assert log.index("c") < log.index("b")
    assert not turns._locks


async def test_a_caller_who_gives_up_leaves_its_turn() -> None:
    """To the next one."""
    turns = Turns()
    async with turns.take([b"1"]):
        waiting = asyncio.create_task(turns.take([b"1"]).__aenter__())
        await asyncio.sleep(0)
        waiting.cancel()

    async with asyncio.timeout(5), turns.take([b"1"]):
        pass


async def test_only_those_who_replace_take_turns() -> None:
    """Refusing and ignoring needs no order."""
    actions = (REJECT, REPLACE, IGNORE, REPLACE_EXCEPT_SCHEDULE)
    entries = [entry(number, action) for number, action in enumerate(actions)]
    jobs = [READER.read(each, each.options, START) for each in (*entries, plain())]

    found = Settlement(jobs).replacing

    assert found == [job.links.unique.fingerprint for job in (jobs[1], jobs[3]) if job.links and job.links.unique]


async def test_calls_that_arrive_together_do_not_share_their_fates() -> None:
    """Units of one store call: one is refused, one is answered by its duplicate, one is stored."""
    store = TellingStore(Duplicates({0: existing("a")}), Duplicates({0: existing("b")}), None)
    jobs = store.jobs()

    async def enqueue(said: BatchJobEntry) -> Enqueued:
        request = EnqueueRequest(type=said.type, args=said.args, options=said.options)
        return await jobs.enqueue(draft_of(request), CallContext())

    refused, ignored, fresh = await asyncio.gather(
        *map(enqueue, (entry(1), entry(2, IGNORE), plain())), return_exceptions=True
    )

    assert isinstance(refused, DuplicateJob)
    assert not isinstance(ignored, BaseException)
    assert ids(ignored) == ["b"]
    assert not isinstance(fresh, BaseException)
    assert ids(fresh) == [store.units[2].jobs[0].id]
