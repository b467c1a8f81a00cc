"""Each duty's turn, on every store, at a time that the test owns."""

from collections.abc import Iterable, Sequence

import pytest
from ojs_grpc_pb.v1.job_pb2 import Job, RetryPolicy

from ojs_grpc.core import lifecycle, states
from ojs_grpc.core.duration import timestamp_ms
from ojs_grpc.core.limits import Limits
from ojs_grpc.maintenance import cleaner, expirer, promoter, reaper
from ojs_grpc.maintenance.cleaner import Cleaner
from ojs_grpc.maintenance.expirer import Expirer
from ojs_grpc.maintenance.promoter import Promoter
from ojs_grpc.maintenance.reaper import Reaper
from ojs_grpc.operations import checkpoints, progress
from ojs_grpc.operations.alarm import Alarm
from ojs_grpc.operations.changes import Changes
from ojs_grpc.stores.ports import Retention, Store
from tests.clock import START, FakeClock
from tests.store.building import (
    LIMITS,
    RUNNING,
    WORKER,
    ack,
    bury,
    change,
    counts,
    dead_ids,
    failed,
    job,
    look,
    put,
    see,
    take,
    take_one,
    write,
)

SECOND = 1000


class Rig:
    """What duties work with, and what they told."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.freed: list[str] = []
        self.due = Alarm()
        self.changes = Changes(store, self._free, self.due, Alarm())

    def _free(self, job_ids: Iterable[str]) -> None:
        self.freed += job_ids

    @property
    def reaper(self) -> Reaper:
        """The duty, with the limits that all tests use."""
        return Reaper(self.store, self.changes, LIMITS)

    @property
    def expirer(self) -> Expirer:
        """The duty."""
        return Expirer(self.store, self.changes, Alarm())


@pytest.fixture
def rig(store: Store) -> Rig:
    """Around an empty store."""
    return Rig(store)


# Promoter


async def test_promoter_without_work(rig: Rig) -> None:
    """Knows of nothing to come."""
    assert await Promoter(rig.store, Alarm()).run_once() is None


async def test_promoter_makes_due_jobs_available(rig: Rig, clock: FakeClock) -> None:
    """Scheduled and retryable ones, at their time and not before; it says when the next is due."""
    soon, later = job(scheduled_at=START + 5 * SECOND), job(scheduled_at=START + 9 * SECOND)
    retried = job("other", retry=RetryPolicy(jitter=False))
    await put(rig.store, retried)
    await put(rig.store, soon, later)
    await change(rig.store, failed(await take_one(rig.store, "other"), clock.now()))
    duty = Promoter(rig.store, Alarm())

    assert await duty.run_once() == START + 1 * SECOND
    clock.advance(1 * SECOND)
    assert await duty.run_once() == START + 5 * SECOND
    assert (await see(rig.store, retried)).state == states.AVAILABLE
    clock.advance(4 * SECOND - 1)
    assert await duty.run_once() == START + 5 * SECOND
    assert (await see(rig.store, soon)).state == states.SCHEDULED
    clock.advance(1)
    assert await duty.run_once() == START + 9 * SECOND

    promoted = await see(rig.store, soon)
    assert (promoted.state, timestamp_ms(promoted.enqueued_at)) == (states.AVAILABLE, START + 5 * SECOND)
    assert (await see(rig.store, later)).state == states.SCHEDULED


async def test_promoter_works_in_chunks(rig: Rig, clock: FakeClock, monkeypatch: pytest.MonkeyPatch) -> None:
    """And says that there is more now."""
    monkeypatch.setattr(promoter, "_CHUNK", 2)
    await put(rig.store, *(job(scheduled_at=START + number) for number in range(1, 6)))
    clock.advance(10)
    duty = Promoter(rig.store, Alarm())

    turns = [await duty.run_once() for _ in range(3)]

    assert all(next_at is not None and next_at <= clock.now() for next_at in turns[:2])
    assert turns[2] is None
    assert await counts(rig.store) == {"default": 5}


# Reaper


async def test_reaper_without_work(rig: Rig) -> None:
    """Nothing is leased."""
    await put(rig.store, job())

    assert await rig.reaper.run_once() is None
    assert rig.freed == []


async def test_reaper_takes_back_what_was_lost(rig: Rig, clock: FakeClock) -> None:
    """At the end of the lease, and not before; whoever waits for the slot is told."""
    message = job(visibility_ms=5 * SECOND)
    await put(rig.store, message)
    await take_one(rig.store)

    assert await rig.reaper.run_once() == START + 5 * SECOND
    clock.advance(5 * SECOND - 1)
    await rig.reaper.run_once()
    assert (await see(rig.store, message)).state == states.ACTIVE
    clock.advance(1)
    assert await rig.reaper.run_once() is None

    back = await see(rig.store, message)
    assert (back.state, [error.code for error in back.errors]) == (states.AVAILABLE, ["visibility_timeout"])
    assert rig.freed == [message.id]


async def test_reaper_knows_the_reasons(rig: Rig, clock: FakeClock) -> None:
    """End of lease, death of the worker, execution timeout: each job by its own."""
    lease = job("a", visibility_ms=20 * SECOND)
    timeout = job("b", timeout_ms=20 * SECOND, visibility_ms=90 * SECOND)
    death = job("c", visibility_ms=90 * SECOND)
    await put(rig.store, lease)
    await put(rig.store, timeout)
    await put(rig.store, death)
    for queue in "abc":
        await take_one(rig.store, queue, worker=queue)
    await rig.store.heartbeat("c", RUNNING, "", 0, 0, clock.now())

    clock.advance(30 * SECOND)
    await rig.reaper.run_once()

    seen = [await see(rig.store, message) for message in (lease, timeout, death)]
    assert [message.errors[0].code for message in seen] == ["visibility_timeout", "timeout", "worker_death"]
    assert [message.state for message in seen] == [states.AVAILABLE, states.RETRYABLE, states.AVAILABLE]
    assert sorted(rig.freed) == sorted(message.id for message in seen)


async def test_reaper_tells_when_the_retry_is_due(rig: Rig, clock: FakeClock) -> None:
    """A job that timed out waits, and the promoter's alarm hears of it."""
    heard: list[int] = []
    rig.due.advance = heard.append  # type: ignore[method-assign, assignment]
    await put(rig.store, job(timeout_ms=SECOND, retry=RetryPolicy(jitter=False)))
    await take_one(rig.store)
    clock.advance(SECOND)

    await rig.reaper.run_once()

    assert heard == [START + 2 * SECOND]


async def test_reaper_works_in_chunks(rig: Rig, clock: FakeClock, monkeypatch: pytest.MonkeyPatch) -> None:
    """The earliest first."""
    monkeypatch.setattr(reaper, "_CHUNK", 2)
    messages = [job(visibility_ms=number * SECOND) for number in (3, 1, 2)]
    await put(rig.store, *messages)
    await take(rig.store, 3)
    clock.advance(10 * SECOND)

    next_at = await rig.reaper.run_once()

    assert next_at is not None
    assert next_at <= clock.now()
    assert rig.freed == [messages[1].id, messages[2].id]
    assert await rig.reaper.run_once() is None


async def test_two_reapers_at_once(rig: Rig, clock: FakeClock) -> None:
    """Both find the job, one ends its lease; its errors tell it once."""
    message = job(visibility_ms=SECOND)
    await put(rig.store, message)
    await take_one(rig.store)
    clock.advance(SECOND)
    found = await rig.store.overdue(clock.now(), 10)

    await rig.reaper.run_once()
    late = [
        lifecycle.overdue(Job.FromString(o.job), o.lease_expires_at, o.times_out_at, clock.now(), lambda: 0.5, Limits())
        for o in found.jobs
    ]
    assert await rig.store.apply(late, clock.now()) == [None]

    assert len((await see(rig.store, message)).errors) == 1


async def test_a_heartbeat_between_look_and_end_saves_the_lease(rig: Rig, clock: FakeClock) -> None:
    """The reaper saw the job overdue, and when it acts, it is not."""
    message = job(visibility_ms=SECOND)
    await put(rig.store, message)
    await take_one(rig.store)
    clock.advance(SECOND)
    overdue, store = rig.store.overdue, rig.store

    async def look_then_beat(now: int, limit: int) -> object:
        found = await overdue(now, limit)
        await store.heartbeat(WORKER, RUNNING, "", 0, 0, now)
        return found

    store.overdue = look_then_beat  # type: ignore[method-assign, assignment]
    await rig.reaper.run_once()

    assert (await see(rig.store, message)).state == states.ACTIVE
    assert rig.freed == []


# Expirer


async def test_expirer_discards_what_nobody_got(rig: Rig, clock: FakeClock) -> None:
    """Scheduled, pending and available jobs at the end of their time; a job that ran once has none."""
    end = START + 5 * SECOND
    available, ran = job(expires_at=end), job("ran", expires_at=end)
    scheduled = job(expires_at=end, scheduled_at=START + 60 * SECOND)
    pending = job(expires_at=end)
    for message, state in ((available, 0), (scheduled, 0), (pending, states.PENDING), (ran, 0)):
        await put(rig.store, message, state=state)
    lost = await take_one(rig.store, "ran")
    await change(rig.store, lifecycle.release(lost, None, clock.now(), LIMITS))

    clock.advance(5 * SECOND - 1)
    assert await rig.expirer.run_once() == end
    assert (await see(rig.store, available)).state == states.AVAILABLE
    clock.advance(1)
    assert await rig.expirer.run_once() is None

    for message in (available, scheduled, pending):
        expired = await see(rig.store, message)
        assert expired.state == states.DISCARDED
        assert timestamp_ms(expired.discarded_at) == end
        assert not expired.HasField("completed_at")
    assert (await see(rig.store, ran)).state == states.AVAILABLE
    assert await dead_ids(rig.store) == []
    assert rig.freed == []


async def test_expirer_works_in_chunks(rig: Rig, clock: FakeClock, monkeypatch: pytest.MonkeyPatch) -> None:
    """And says that there is more now."""
    monkeypatch.setattr(expirer, "_CHUNK", 2)
    await put(rig.store, *(job(expires_at=START + number) for number in range(1, 6)))
    clock.advance(10)

    turns = [await rig.expirer.run_once() for _ in range(3)]

    assert all(next_at is not None and next_at <= clock.now() for next_at in turns[:2])
    assert turns[2] is None
    assert await counts(rig.store) == {"default": 0}


# Cleaner


async def test_cleaner_forgets_what_is_old(rig: Rig, clock: FakeClock) -> None:
    """Each kind of ended job at its age; what is not finished stays."""
    retention = Retention(finished_ms=10 * SECOND, discarded_ms=20 * SECOND, dead_ms=30 * SECOND)
    duty = Cleaner(rig.store, retention)
    done, waiting = job("done"), job("waiting")
    discarded = job("discarded", max_attempts=1)
    for message in (done, discarded, waiting):
        await put(rig.store, message)
    dead = await bury(rig.store, "dead")
    assert await ack(rig.store, (await take_one(rig.store, "done")).id) is None
    await change(rig.store, failed(await take_one(rig.store, "discarded"), clock.now()))

    left = []
    for _ in range(4):
        assert await duty.run_once() is None
        left.append([await look(rig.store, message.id) is not None for message in (done, discarded, dead, waiting)])
        clock.advance(10 * SECOND + 1)

    assert left == [
        [True, True, True, True],
        [False, True, True, True],
        [False, False, True, True],
        [False, False, False, True],
    ]


async def test_cleaner_works_in_chunks(rig: Rig, clock: FakeClock, monkeypatch: pytest.MonkeyPatch) -> None:
    """And comes back at once while there is more."""
    monkeypatch.setattr(cleaner, "_CHUNK", 2)
    messages = [job() for _ in range(5)]
    await put(rig.store, *messages)
    for claimed in await take(rig.store, 5):
        await ack(rig.store, claimed.job_id)
    clock.advance(SECOND)
    duty = Cleaner(rig.store, Retention(finished_ms=1))

    turns = [await duty.run_once() for _ in range(3)]

    assert turns[:2] == [clock.now()] * 2
    assert turns[2] is None
    assert [await look(rig.store, message.id) for message in messages] == [None] * 5


async def test_cleaner_forgets_what_belonged_to_jobs(rig: Rig, clock: FakeClock) -> None:
    """Once they are gone, checkpoints also once their job has no use for them; not before they are due."""
    done, dead, kept = job(), job(), job()
    await put(rig.store, done, kept)
    assert await ack(rig.store, (await take_one(rig.store)).id) is None
    names = [done.id, dead.id, kept.id]
    for name in names:
        for kind in (progress.KIND, checkpoints.KIND):
            await write(rig.store, kind, name, b"data", clock.now() + SECOND)
    duty = Cleaner(rig.store, Retention())

    await duty.run_once()
    before = [await documents(rig.store, kind, names) for kind in (progress.KIND, checkpoints.KIND)]
    clock.advance(SECOND)
    assert await duty.run_once() is None
    after = [await documents(rig.store, kind, names) for kind in (progress.KIND, checkpoints.KIND)]

    assert before == [[True] * 3] * 2
    assert after == [[True, False, True], [False, False, True]]


async def test_cleaner_leaves_alone_what_is_written_meanwhile(
    rig: Rig, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And comes back at once while there is more to look at."""
    monkeypatch.setattr(cleaner, "_DOCUMENTS", 2)
    for name in "abc":
        await write(rig.store, progress.KIND, name, b"data", clock.now())
    duty = Cleaner(rig.store, Retention())
    read = rig.store.read

    async def read_slowly(job_ids: Sequence[str]) -> list[bytes | None]:
        monkeypatch.undo()
        await write(rig.store, progress.KIND, "a", b"new", clock.now() + SECOND)
        return await read(job_ids)

    monkeypatch.setattr(rig.store, "read", read_slowly)
    monkeypatch.setattr(cleaner, "_DOCUMENTS", 2)

    assert await duty.run_once() == clock.now()
    assert await duty.run_once() is None
    assert await documents(rig.store, progress.KIND, list("abc")) == [True, False, False]


async def documents(store: Store, kind: str, names: Sequence[str]) -> list[bool]:
    """Which of them are there."""
    return [document is not None for document in await store.documents(kind, names)]
