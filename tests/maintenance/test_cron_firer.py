"""The duty that makes the jobs of cron entries, on every store, at a time that the test owns."""

import asyncio
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

import pytest
from google.protobuf.json_format import MessageToDict
from google.protobuf.struct_pb2 import Struct
from ojs_grpc_pb.v1 import job_pb2
from ojs_grpc_pb.v1.job_pb2 import EnqueueOptions, Job, UniquePolicy
from ojs_grpc_pb.v1.service_pb2 import CronEntry, RegisterCronRequest
from structlog.testing import capture_logs

from ojs_grpc.core import lifecycle, states
from ojs_grpc.core.cron_entry import make_job
from ojs_grpc.core.duration import timestamp_ms, to_timestamp
from ojs_grpc.core.envelope import Defaults, EnvelopeReader
from ojs_grpc.core.events import Kind
from ojs_grpc.core.limits import Limits
from ojs_grpc.core.members import time_text
from ojs_grpc.errors import QueueFull, StoreUnavailable
from ojs_grpc.maintenance import cron_firer as module
from ojs_grpc.maintenance.cron_firer import CronFirer
from ojs_grpc.operations.alarm import Alarm
from ojs_grpc.operations.changes import Changes
from ojs_grpc.operations.cron import KIND, Crons
from ojs_grpc.operations.schemas import Schemas
from ojs_grpc.stores.ports import EventCursor, Outcome, Store, Unit, Write
from tests.clock import START, FakeClock
from tests.grpc.service import objects, value
from tests.store.building import ack, counts, failed, ids_of, look, take

SECOND = 1000
MINUTE = 60 * SECOND
HOUR = 60 * MINUTE
DAY = 24 * HOUR
CRON_KINDS = (Kind.CRON_TRIGGERED, Kind.CRON_SKIPPED)


class Told(NamedTuple):
    """An event of a cron entry."""

    kind: int
    data: dict[str, Any]
    subject: Job


class Rig:
    """A server's part in this: the operations and the duty; and what they told."""

    def __init__(self, store: Store, defaults: Defaults | None = None) -> None:
        self.store = store
        self.freed: list[str] = []
        self.changes = Changes(store, self._free, Alarm(), Alarm())
        self.crons = Crons(store, self.changes, Defaults(), Schemas(store, Limits()))
        self.firer = CronFirer(store, self.changes, self.crons.alarm, defaults or Defaults())

    async def register(self, name: str = "tick", cron: str = "@every 1m", **more: Any) -> CronEntry:  # noqa: ANN401
        """Registers an entry, which runs once a minute unless the test says otherwise."""
        request = RegisterCronRequest(**({"name": name, "cron": cron, "type": "tick.tock"} | more))
        entry, _ = await self.crons.register(request)
        return entry

    async def entry(self, name: str = "tick") -> CronEntry:
        """The entry as it stands."""
        (document,) = await self.store.documents(KIND, [name])
        assert document is not None
        return CronEntry.FromString(document.data)

    async def last_job(self, name: str = "tick") -> Job:
        """The last job that the entry made."""
        job = await look(self.store, (await self.entry(name)).recent_jobs[-1])
        assert job is not None
        return job

    async def cursor(self) -> EventCursor:
        """The end of the log."""
        return await self.store.event_cursor(None)

    async def told(self, after: EventCursor) -> list[Told]:
        """What was told of cron entries since then."""
        page = await self.store.events(after, 1000)
        return [
            Told(event.kind, MessageToDict(Struct.FromString(event.detail)), Job.FromString(event.subject))
            for event in page.events
            if event.kind in CRON_KINDS
        ]

    def _free(self, job_ids: Iterable[str]) -> None:
        self.freed += job_ids


@pytest.fixture
def rig(store: Store) -> Rig:
    """Around an empty store."""
    return Rig(store)


@pytest.fixture
def minute_later(rig: Rig, clock: FakeClock) -> Callable[[], Any]:
    """Lets a minute pass, and gives the duty its turn."""

    async def pass_by() -> None:
        clock.advance(MINUTE)
        await rig.firer.run_once()

    return pass_by


Minute = Callable[[], Any]


# When it fires


async def test_without_work(rig: Rig) -> None:
    """It knows of nothing to come; a disabled entry is nothing."""
    await rig.register(enabled=False)

    assert await rig.firer.run_once() is None


async def test_an_entry_fires_at_its_time(rig: Rig, clock: FakeClock) -> None:
    """And not before; the duty says when the next one is due."""
    await rig.register()
    await rig.register("later", "@every 90s")

    assert await rig.firer.run_once() == START + MINUTE
    clock.advance(MINUTE - 1)
    assert await rig.firer.run_once() == START + MINUTE
    assert await counts(rig.store) == {}
    clock.advance(1)
    assert await rig.firer.run_once() == START + 90 * SECOND

    entry = await rig.entry()
    assert await counts(rig.store) == {"default": 1}
    assert timestamp_ms(entry.next_run_at) == START + 2 * MINUTE
    assert timestamp_ms(entry.last_run_at) == START + MINUTE
    assert (entry.run_count, len(entry.recent_jobs)) == (1, 1)


async def test_the_job(rig: Rig, clock: FakeClock) -> None:
    """Is what the template says, and knows its entry and the time for which it was made."""
    meta = {"mine": 1, "ojs.cron.enabled": True, "ojs.cron.description": "x", "ojs.cron.overlap_policy": "allow"}
    options = EnqueueOptions(queue="ticks", priority=7, tags=["a"], meta=objects(meta))
    await rig.register(args=[value({"a": [1]})], options=options)

    clock.advance(MINUTE + 20)
    await rig.firer.run_once()

    job = await rig.last_job()
    assert (job.type, job.queue, job.priority, job.state) == ("tick.tock", "ticks", 7, states.AVAILABLE)
    assert (list(job.args), list(job.tags)) == ([value({"a": [1]})], ["a"])
    assert MessageToDict(job.meta) == {
        "mine": 1, "cron_name": "tick", "cron_triggered_at": time_text(START + MINUTE),
    }  # fmt: skip
    assert timestamp_ms(job.created_at) == START + MINUTE + 20


async def test_missed_runs(rig: Rig, clock: FakeClock) -> None:
    """Are made up for by one; the next is in the future and where it always was."""
    await rig.register(overlap_policy="allow")

    clock.advance(DAY + 10 * SECOND)
    await rig.firer.run_once()
    await rig.firer.run_once()

    assert await counts(rig.store) == {"default": 1}
    assert timestamp_ms((await rig.entry()).next_run_at) == START + DAY + MINUTE
    assert (await rig.last_job()).meta["cron_triggered_at"] == time_text(START + MINUTE)


async def test_a_late_turn_moves_nothing(rig: Rig, clock: FakeClock) -> None:
    """`@every` counts from when a run was due, not from when it was made."""
    await rig.register(overlap_policy="allow")

    for _ in range(5):
        clock.advance(MINUTE + 100)
        await rig.firer.run_once()

    assert timestamp_ms((await rig.entry()).next_run_at) == START + 6 * MINUTE


async def test_it_works_in_chunks(rig: Rig, clock: FakeClock, monkeypatch: pytest.MonkeyPatch) -> None:
    """And says that there is more now."""
    monkeypatch.setattr(module, "_CHUNK", 2)
    for number in range(5):
        await rig.register(f"tick-{number}")
    clock.advance(MINUTE)

    turns = [await rig.firer.run_once() for _ in range(3)]

    assert all(next_at is not None and next_at <= clock.now() for next_at in turns[:2])
    assert turns[2] == START + 2 * MINUTE
    assert await counts(rig.store) == {"default": 5}


# When the previous job is not finished


async def test_skip(rig: Rig, clock: FakeClock, minute_later: Minute) -> None:
    """As long as the job waits or runs, there is no other; the plan goes on."""
    await rig.register()
    await minute_later()
    first = await rig.last_job()

    await minute_later()
    await take(rig.store)
    await minute_later()
    assert (await rig.entry()).run_count == 1
    assert timestamp_ms((await rig.entry()).next_run_at) == clock.now() + MINUTE
    await ack(rig.store, first.id)
    await minute_later()

    assert (await rig.entry()).run_count == 2
    assert (await rig.last_job()).id != first.id


async def test_skip_after_a_failure(rig: Rig, minute_later: Minute) -> None:
    """A job that waits for its retry is not finished; one that is cancelled, is."""
    await rig.register()
    await minute_later()
    (claimed,) = await take(rig.store)
    job = Job.FromString(claimed.job)
    await rig.changes.change(job.id, lambda job: failed(job, rig.store.clock.now()))

    await minute_later()
    assert (await rig.entry()).run_count == 1
    await rig.changes.change(job.id, lifecycle.cancel)
    await minute_later()

    assert (await rig.entry()).run_count == 2


async def test_allow(rig: Rig, minute_later: Minute) -> None:
    """Another one each time; only the last is remembered."""
    await rig.register(overlap_policy="allow")

    for _ in range(3):
        await minute_later()

    assert await counts(rig.store) == {"default": 3}
    assert len((await rig.entry()).recent_jobs) == 1


async def test_cancel_previous(rig: Rig, minute_later: Minute) -> None:
    """Makes room for the new job; whoever waits for the slot of a running one is told."""
    await rig.register(overlap_policy="cancel_previous")
    await minute_later()
    (claimed,) = await take(rig.store)

    await minute_later()

    first, second = await look(rig.store, claimed.job_id), await rig.last_job()
    assert first is not None
    assert (first.state, second.state) == (states.CANCELLED, states.AVAILABLE)
    assert rig.freed == [first.id]
    assert list((await rig.entry()).recent_jobs) == [second.id]


async def test_cancel_previous_while_it_changes(rig: Rig, clock: FakeClock, minute_later: Minute) -> None:
    """A job that ends between look and cancel is not cancelled, and the next look makes the new one."""
    await rig.register(overlap_policy="cancel_previous")
    await minute_later()
    (claimed,) = await take(rig.store)
    commit = rig.changes.commit

    async def ack_then_commit(units: Sequence[Unit], now: int) -> list[Outcome]:
        await ack(rig.store, claimed.job_id)
        return await commit(units, now)

    rig.changes.commit = ack_then_commit  # type: ignore[method-assign]
    clock.advance(MINUTE)
    again_at = await rig.firer.run_once()
    assert again_at is not None
    assert again_at - clock.now() < 100
    assert (await rig.entry()).run_count == 1
    await rig.firer.run_once()

    first = await look(rig.store, claimed.job_id)
    assert first is not None
    assert first.state == states.COMPLETED
    assert (await rig.entry()).run_count == 2


async def test_enqueue(rig: Rig, minute_later: Minute) -> None:
    """Each run has its job, and one of them runs at a time; that they pile up is logged."""
    await rig.register(overlap_policy="enqueue")

    with capture_logs() as logs:
        for _ in range(3):
            await minute_later()

    made = list((await rig.entry()).recent_jobs)
    assert [(line["event"], line["waiting"]) for line in logs] == [("cron jobs pile up", 3)]
    assert len(made) == 3
    for job_id in made:
        assert ids_of(await take(rig.store, 3)) == [job_id]
        await ack(rig.store, job_id)


async def test_enqueue_remembers_what_is_unfinished(rig: Rig, minute_later: Minute) -> None:
    """What is done is forgotten."""
    await rig.register(overlap_policy="enqueue")
    await minute_later()
    (first,) = await take(rig.store)
    await ack(rig.store, first.job_id)

    await minute_later()

    assert first.job_id not in (await rig.entry()).recent_jobs


# What the store refuses


async def test_a_duplicate(rig: Rig, minute_later: Minute) -> None:
    """The job's own unique policy refuses it: that run is skipped."""
    await rig.register(overlap_policy="allow", options=unique(job_pb2.UNIQUE_CONFLICT_ACTION_REJECT))
    await minute_later()
    first = await rig.last_job()
    cursor = await rig.cursor()

    await minute_later()

    assert (await rig.entry()).run_count == 1
    ((kind, data, _),) = await rig.told(cursor)
    assert (kind, data["reason"], data["existing_job_id"]) == (Kind.CRON_SKIPPED, "duplicate_skip", first.id)
    assert timestamp_ms((await rig.entry()).next_run_at) == START + 3 * MINUTE


async def test_a_duplicate_to_replace(rig: Rig, minute_later: Minute) -> None:
    """Is cancelled for the new job."""
    await rig.register(overlap_policy="allow", options=unique(job_pb2.UNIQUE_CONFLICT_ACTION_REPLACE))
    await minute_later()
    first = await rig.last_job()

    await minute_later()

    replaced = await look(rig.store, first.id)
    assert replaced is not None
    assert replaced.state == states.CANCELLED
    assert (await rig.last_job()).state == states.AVAILABLE
    assert await counts(rig.store) == {"default": 1}


@pytest.mark.parametrize(("twins", "runs", "left"), [(40, 1, 1), (41, 0, 41)])
async def test_many_duplicates_to_replace(rig: Rig, minute_later: Minute, twins: int, runs: int, left: int) -> None:
    """There may be many, where their own policies allowed it. The entry goes on in any case."""
    await rig.register(overlap_policy="allow", options=unique(job_pb2.UNIQUE_CONFLICT_ACTION_REPLACE))
    entry = await rig.entry()
    entry.options.unique.states.append(job_pb2.JOB_STATE_ACTIVE)
    reader, now = EnvelopeReader(Defaults()), rig.store.clock.now()
    await rig.changes.commit([Unit(jobs=[make_job(entry, now, reader, now)]) for _ in range(twins)], now)

    await minute_later()

    entry = await rig.entry()
    assert (entry.run_count, timestamp_ms(entry.next_run_at)) == (runs, START + 2 * MINUTE)
    assert await counts(rig.store) == {"default": left}


async def test_a_full_queue(rig: Rig, minute_later: Minute) -> None:
    """Has no room for the job: that run is skipped, the next one is tried again."""
    await rig.register(overlap_policy="allow")
    commit, cursor = rig.changes.commit, await rig.cursor()

    async def refuse(units: Sequence[Unit], now: int) -> list[Outcome]:
        return [QueueFull("default", 1, 1) for unit in units if unit.jobs] or await commit(units, now)

    rig.changes.commit = refuse  # type: ignore[method-assign]
    await minute_later()
    rig.changes.commit = commit  # type: ignore[method-assign]
    await minute_later()

    told = await rig.told(cursor)
    assert [event.kind for event in told] == [Kind.CRON_SKIPPED, Kind.CRON_TRIGGERED]
    assert told[0].data["reason"] == "queue_full"
    assert (await rig.entry()).run_count == 1


async def test_a_template_that_is_not_valid_any_more(store: Store, clock: FakeClock) -> None:
    """Somebody lowered the limits: that entry makes no job, the others do."""
    rig = Rig(store, Defaults(limits=Limits(envelope_bytes=500)))
    await rig.register("large", args=[value("x" * 500)])
    await rig.register()
    cursor = await rig.cursor()
    clock.advance(MINUTE)

    with capture_logs() as logs:
        await rig.firer.run_once()

    assert [line["cron"] for line in logs] == ["large"]
    assert {told.data["cron_name"]: told.data.get("reason") for told in await rig.told(cursor)} == {
        "tick": None, "large": "invalid_job",
    }  # fmt: skip
    assert timestamp_ms((await rig.entry("large")).next_run_at) == START + 2 * MINUTE


async def test_a_schedule_that_is_not_valid_any_more(rig: Rig, clock: FakeClock) -> None:
    """Registered where more zones are known: it waits for a server that knows them, and stops no other entry."""
    entry = await rig.register("elsewhere", "* * * * *")
    entry.timezone = "Moon/Tycho"
    data = entry.SerializeToString()
    await rig.store.insert([Unit(writes=[Write(KIND, "elsewhere", None, data, START + MINUTE)])], clock.now())
    await rig.register()
    clock.advance(MINUTE)

    with capture_logs() as logs:
        assert await rig.firer.run_once() == START + 2 * MINUTE

    assert [line["cron"] for line in logs] == ["elsewhere"]
    assert await rig.entry("elsewhere") == entry
    assert (await rig.entry()).run_count == 1


# Many servers, and crashes


async def test_two_servers(rig: Rig, other: Store, clock: FakeClock) -> None:
    """Both find the entry due, and one of them makes the job."""
    second = Rig(other)
    await rig.register(overlap_policy="allow")

    for _ in range(5):
        clock.advance(MINUTE)
        await asyncio.gather(rig.firer.run_once(), second.firer.run_once())

    assert await counts(rig.store) == {"default": 5}
    assert (await rig.entry()).run_count == 5


async def test_a_late_server(rig: Rig, clock: FakeClock) -> None:
    """What it read is outdated when it writes: nothing happens twice."""
    await rig.register(overlap_policy="allow")
    clock.advance(MINUTE)
    commit = rig.changes.commit

    async def lose(units: Sequence[Unit], now: int) -> list[Outcome]:
        rig.changes.commit = commit  # type: ignore[method-assign]
        await rig.firer.run_once()
        return await commit(units, now)

    rig.changes.commit = lose  # type: ignore[method-assign]
    await rig.firer.run_once()

    assert await counts(rig.store) == {"default": 1}
    assert (await rig.entry()).run_count == 1


async def test_a_removed_entry_makes_no_job(rig: Rig, clock: FakeClock) -> None:
    """Also not if it is removed, or changed, between look and write."""
    await rig.register()
    clock.advance(MINUTE)
    commit = rig.changes.commit

    async def remove_then_commit(units: Sequence[Unit], now: int) -> list[Outcome]:
        rig.changes.commit = commit  # type: ignore[method-assign]
        await rig.crons.unregister("tick")
        return await commit(units, now)

    rig.changes.commit = remove_then_commit  # type: ignore[method-assign]
    await rig.firer.run_once()

    assert await counts(rig.store) == {}
    assert await rig.crons.list() == []


@pytest.mark.parametrize("done", [False, True], ids=["before", "after"])
async def test_a_crash_around_the_write(rig: Rig, clock: FakeClock, *, done: bool) -> None:
    """Whether or not it was done when the server went away: there is one job for the run."""
    await rig.register(overlap_policy="allow")
    clock.advance(MINUTE)
    commit = rig.changes.commit

    async def crash(units: Sequence[Unit], now: int) -> list[Outcome]:
        if done:
            await commit(units, now)
        raise StoreUnavailable("gone")

    rig.changes.commit = crash  # type: ignore[method-assign]
    with pytest.raises(StoreUnavailable):
        await rig.firer.run_once()
    rig.changes.commit = commit  # type: ignore[method-assign]
    await rig.firer.run_once()

    assert await counts(rig.store) == {"default": 1}
    assert (await rig.entry()).run_count == 1


# What is told


async def test_what_is_told_of_a_run(rig: Rig, clock: FakeClock) -> None:
    """All that behaviour section 18 asks for."""
    await rig.register("tick", "7 * * * *", timezone="Europe/Berlin", options=EnqueueOptions(queue="ticks"))
    cursor = await rig.cursor()
    clock.advance(30 * SECOND)

    await rig.firer.run_once()

    job = await rig.last_job()
    ((kind, data, subject),) = await rig.told(cursor)
    assert kind == Kind.CRON_TRIGGERED
    assert data == {
        "cron_name": "tick",
        "cron_expr": "7 * * * *",
        "timezone": "Europe/Berlin",
        "job_type": "tick.tock",
        "job_id": job.id,
        "scheduled_at": "2025-06-15T15:07:00Z",
        "actual_time": "2025-06-15T15:07:10Z",
        "run_count": 1,
    }
    assert subject == Job(id=job.id, type="tick.tock", queue="ticks")


async def test_what_is_told_of_a_skipped_run(rig: Rig, minute_later: Minute) -> None:
    """The reason, and the job that stands in the way."""
    await rig.register()
    await minute_later()
    first, cursor = await rig.last_job(), await rig.cursor()

    await minute_later()

    ((kind, data, subject),) = await rig.told(cursor)
    assert kind == Kind.CRON_SKIPPED
    assert data == {
        "cron_name": "tick",
        "cron_expr": "@every 1m",
        "job_type": "tick.tock",
        "reason": "overlap_skip",
        "scheduled_at": time_text(START + 2 * MINUTE),
        "existing_job_id": first.id,
    }
    assert subject == Job(type="tick.tock", queue="default")


async def test_a_run_that_the_clocks_leave_out(rig: Rig, clock: FakeClock) -> None:
    """Is told when they do, once; the runs before and after happen."""
    change = 1_774_746_000_000  # 29 March 2026, 01:00 UTC
    clock.advance(change - 2 * DAY - START)
    await rig.register("tick", "30 2 * * *", timezone="Europe/Berlin", overlap_policy="allow")
    cursor = await rig.cursor()

    looks = []
    while (next_at := await rig.firer.run_once() or 0) < change + 2 * DAY:
        looks.append(next_at - change)
        clock.advance(max(next_at - clock.now(), 0))

    half = 30 * MINUTE
    assert looks == [-2 * DAY + half, -DAY + half, -1, DAY - HOUR + half, 2 * DAY - HOUR + half]
    told = await rig.told(cursor)
    assert [event.data.get("reason", "") for event in told] == ["", "", "dst_skip", "", ""]
    assert told[2].data["scheduled_at"] == time_text(change)
    assert (await rig.entry()).run_count == 4


async def test_a_run_that_the_clocks_left_out_during_an_outage(rig: Rig, clock: FakeClock) -> None:
    """Is told together with the run that makes up for what was missed."""
    change = 1_774_746_000_000  # 29 March 2026, 01:00 UTC
    clock.advance(change - HOUR - START)
    await rig.register("tick", "30 2 * * *", timezone="Europe/Berlin")
    cursor = await rig.cursor()

    clock.advance(5 * DAY)
    await rig.firer.run_once()

    assert [event.kind for event in await rig.told(cursor)] == [Kind.CRON_SKIPPED, Kind.CRON_TRIGGERED]


async def test_an_entry_that_never_runs_again(rig: Rig, clock: FakeClock) -> None:
    """Is kept, without a next run, and logged."""
    entry = await rig.register()
    entry.cron = "0 0 30 2 *"
    entry.next_run_at.CopyFrom(to_timestamp(START + 1))
    unit = Unit(writes=[Write(KIND, "tick", None, entry.SerializeToString(), START + 1)])
    await rig.store.insert([unit], clock.now())
    clock.advance(1)

    with capture_logs() as logs:
        assert await rig.firer.run_once() is None

    assert [line["event"] for line in logs] == ["cron entry never runs again"]
    assert not (await rig.entry()).HasField("next_run_at")


def unique(action: job_pb2.UniqueConflictAction.ValueType) -> EnqueueOptions:
    """Options of jobs of which there may be one."""
    return EnqueueOptions(unique=UniquePolicy(on_conflict=action))
