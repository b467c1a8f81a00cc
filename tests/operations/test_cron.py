"""Registering, replacing, removing and listing cron entries, on every store."""

import asyncio
from datetime import UTC, datetime
from typing import Any

import pytest
from google.protobuf.duration_pb2 import Duration
from ojs_grpc_pb.v1.job_pb2 import EnqueueOptions, RetryPolicy
from ojs_grpc_pb.v1.service_pb2 import CronEntry, RegisterCronRequest

from ojs_grpc.core.duration import timestamp_ms, to_timestamp
from ojs_grpc.core.envelope import Defaults
from ojs_grpc.core.limits import Limits
from ojs_grpc.core.wire import bytes_field
from ojs_grpc.errors import InvalidRequest, InvalidRetryPolicy, NotFound, PayloadTooLarge
from ojs_grpc.operations import cron as module
from ojs_grpc.operations.alarm import Alarm
from ojs_grpc.operations.changes import Changes
from ojs_grpc.operations.cron import KIND, Crons
from ojs_grpc.operations.schemas import Schemas
from ojs_grpc.stores.ports import Document, Store, Unit, Write
from tests.clock import START, FakeClock
from tests.grpc.service import STRANGE_IDS, objects, value

SECOND = 1000
MINUTE = 60 * SECOND
HOUR = 60 * MINUTE
DAY = 24 * HOUR
# The tests begin on a Sunday, at 15:06:40.
FULL_HOUR = START - START % HOUR


@pytest.fixture
def crons(store: Store) -> Crons:
    """The operations, on an empty store."""
    return crons_on(store)


def crons_on(store: Store) -> Crons:
    """The operations, as a server has them."""
    return Crons(store, Changes(store, lambda _: None, Alarm(), Alarm()), Defaults(), Schemas(store, Limits()))


def request(name: str = "report", cron: str = "0 * * * *", **more: Any) -> RegisterCronRequest:  # noqa: ANN401 - the fields
    """An entry that runs at every full hour, unless the test says otherwise."""
    return RegisterCronRequest(**({"name": name, "cron": cron, "type": "report.make"} | more))


async def stored(store: Store, name: str = "report") -> Document | None:
    """The entry's document."""
    (document,) = await store.documents(KIND, [name])
    return document


async def due_at(store: Store, name: str = "report") -> int:
    """When somebody has to look at the entry."""
    document = await stored(store, name)
    assert document is not None
    return document.due_at


# Register


async def test_a_new_entry(crons: Crons, store: Store) -> None:
    """Defaults are filled in, and the next run is known at once."""
    entry, created = await crons.register(request(args=[value(1)], options=EnqueueOptions(queue="reports")))

    assert created
    assert entry == CronEntry(
        name="report",
        cron="0 * * * *",
        timezone="UTC",
        type="report.make",
        args=[value(1)],
        options=EnqueueOptions(queue="reports"),
        next_run_at=to_timestamp(FULL_HOUR + HOUR),
        overlap_policy="skip",
        enabled=True,
        created_at=to_timestamp(START),
    )
    assert await due_at(store) == FULL_HOUR + HOUR
    assert [CronEntry.FromString(data) for data in await crons.list()] == [entry]


async def test_an_entry_that_is_registered_again_goes_on(crons: Crons, store: Store, clock: FakeClock) -> None:
    """It keeps its history and its plan; the rest is as registered now."""
    first, _ = await crons.register(request(cron="@every 1h", description="old"))
    first.run_count = 7
    first.recent_jobs.append("some-job")
    first.last_run_at.CopyFrom(to_timestamp(START - DAY))
    await write(store, first, START + HOUR)
    clock.advance(MINUTE)

    entry, created = await crons.register(request(cron="@every 1h", type="other.type", overlap_policy="allow"))

    assert not created
    expected = CronEntry()
    expected.CopyFrom(first)
    expected.type, expected.overlap_policy, expected.description = "other.type", "allow", ""
    assert entry == expected
    assert await due_at(store) == START + HOUR


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"cron": "@every 2h"}, START + DAY + 2 * HOUR),
        ({"cron": "@every 1h", "timezone": "Europe/Berlin"}, START + DAY + HOUR),
        ({"cron": "0 0 * * *", "timezone": "Asia/Kolkata"}, FULL_HOUR + DAY + 3 * HOUR + 30 * MINUTE),
    ],
)
async def test_another_schedule(
    crons: Crons, store: Store, clock: FakeClock, change: dict[str, str], expected: int
) -> None:
    """Counts from now; the history stays."""
    await crons.register(request(cron="@every 1h"))
    clock.advance(DAY)

    entry, created = await crons.register(request(**change))

    assert not created
    assert timestamp_ms(entry.next_run_at) == await due_at(store) == expected
    assert timestamp_ms(entry.created_at) == START


async def test_a_disabled_entry(crons: Crons, store: Store, clock: FakeClock) -> None:
    """Has no next run; enabled again, it counts from then."""
    await crons.register(request(cron="@every 1h"))

    entry, _ = await crons.register(request(cron="@every 1h", enabled=False))
    assert not entry.enabled
    assert not entry.HasField("next_run_at")
    assert await due_at(store) == 0
    clock.advance(DAY)
    entry, _ = await crons.register(request(cron="@every 1h", enabled=True))

    assert timestamp_ms(entry.next_run_at) == await due_at(store) == START + DAY + HOUR


async def test_a_run_that_the_clocks_leave_out_is_looked_at(crons: Crons, store: Store, clock: FakeClock) -> None:
    """When they do it; the next run is the one after."""
    clock.advance(ms_until(2026, 3, 28, 12))
    change = clock.now() + 13 * HOUR

    entry, _ = await crons.register(request(cron="30 2 * * *", timezone="Europe/Berlin"))

    assert timestamp_ms(entry.next_run_at) == change + 23 * HOUR + 30 * MINUTE
    assert await due_at(store) == change - 1


async def test_who_waits_for_the_next_run_is_told(crons: Crons) -> None:
    """So that it wakes up for it; a disabled entry wakes nobody."""
    heard: list[int] = []
    crons.alarm.advance = heard.append  # type: ignore[method-assign, assignment]

    await crons.register(request())
    await crons.register(request(enabled=False))

    assert heard == [FULL_HOUR + HOUR]


async def test_many_register_one_entry(crons: Crons, store: Store) -> None:
    """One of them makes it, the others replace it."""
    answers = await asyncio.gather(*(crons.register(request(description=str(number))) for number in range(10)))

    assert sorted(created for _, created in answers) == [False] * 9 + [True]
    assert len(await crons.list()) == 1


async def test_clients_without_our_fields(crons: Crons) -> None:
    """Say the same in `meta`, true and false also as text; where both are said, the fields win."""
    meta = {
        "ojs.cron.overlap_policy": "cancel_previous",
        "ojs.cron.enabled": "false",
        "ojs.cron.description": "every hour",
        "mine": 1,
    }
    options = EnqueueOptions(meta=objects(meta))

    nothing = EnqueueOptions(meta=objects(dict.fromkeys(meta)))

    entry, _ = await crons.register(request(options=options))
    plain, _ = await crons.register(request("plain", options=nothing))
    other, _ = await crons.register(
        request("other", options=options, overlap_policy="allow", enabled=True, description="x")
    )

    assert (entry.overlap_policy, entry.enabled, entry.description) == ("cancel_previous", False, "every hour")
    assert (plain.overlap_policy, plain.enabled, plain.description) == ("skip", True, "")
    assert (other.overlap_policy, other.enabled, other.description) == ("allow", True, "x")
    assert entry.options == options


async def test_what_the_service_does_not_know_is_not_kept(crons: Crons) -> None:
    """Unknown fields would count nowhere, and come back to clients that know them."""
    known = request(options=EnqueueOptions(queue="reports"))
    unknown = b"\xfa\xff\x03\x03abc"
    data = known.SerializeToString() + unknown + bytes_field(6, unknown)

    entry, _ = await crons.register(RegisterCronRequest.FromString(data))

    assert unknown not in entry.SerializeToString()
    assert entry.options == known.options


# What is refused


@pytest.mark.parametrize(
    ("broken", "fields"),
    [
        ({"name": ""}, ["name"]),
        ({"name": "Report"}, ["name"]),
        ({"name": "-report"}, ["name"]),
        ({"name": "a_b"}, ["name"]),
        ({"name": "a" * 256}, ["name"]),
        ({"cron": ""}, ["cron"]),
        ({"cron": "61 * * * *"}, ["cron"]),
        ({"cron": "* * * * * * *"}, ["cron"]),
        ({"cron": "0 0 30 2 *"}, ["cron"]),
        ({"cron": "30 2 * 3 L0", "timezone": "Europe/Berlin"}, ["cron"]),
        ({"cron": "@every 1ms"}, ["cron"]),
        ({"timezone": "EST"}, ["timezone"]),
        ({"timezone": "Etc/GMT+5"}, ["timezone"]),
        ({"timezone": "+02:00"}, ["timezone"]),
        ({"overlap_policy": "queue"}, ["overlap_policy"]),
        ({"overlap_policy": "SKIP"}, ["overlap_policy"]),
        ({"description": "x" * 1001}, ["description"]),
        ({"type": ""}, ["type"]),
        ({"type": "Bad Type"}, ["type"]),
        ({"options": EnqueueOptions(queue="Bad")}, ["options.queue"]),
        ({"options": EnqueueOptions(priority=101)}, ["options.priority"]),
        ({"options": EnqueueOptions(delay_until=to_timestamp(START))}, ["options.delay_until"]),
        ({"options": EnqueueOptions(expires_at=to_timestamp(START))}, ["options.expires_at"]),
        ({"options": EnqueueOptions(ttl=Duration(seconds=-1))}, ["options.ttl"]),
        *(
            ({**field, "options": EnqueueOptions(meta=objects({"ojs.cron.overlap_policy": policy}))},
             ['options.meta["ojs.cron.overlap_policy"]'])
            for policy, field in ((True, {}), ("queue", {}), ([1], {"overlap_policy": "allow"}))
        ),
        ({"options": EnqueueOptions(meta=objects({"ojs.cron.enabled": 1}))}, ['options.meta["ojs.cron.enabled"]']),
        *(
            ({"description": "x", "options": EnqueueOptions(meta=objects({"ojs.cron.description": said}))},
             ['options.meta["ojs.cron.description"]'])
            for said in (1, "x" * 1001)
        ),
        (
            {"name": "", "cron": "x", "timezone": "x", "overlap_policy": "x", "type": ""},
            ["name", "overlap_policy", "timezone", "cron", "type"],
        ),
    ],
)
async def test_what_breaks_a_rule(crons: Crons, broken: dict[str, Any], fields: list[str]) -> None:
    """Every broken rule is named, and nothing is stored."""
    with pytest.raises(InvalidRequest) as caught:
        await crons.register(request(**broken))

    assert [violation.field for violation in caught.value.violations] == fields
    assert await crons.list() == []


async def test_what_only_the_job_breaks(crons: Crons) -> None:
    """Is refused as it would be at an enqueue."""
    with pytest.raises(PayloadTooLarge):
        await crons.register(request(args=[value("x" * 2**20)]))
    with pytest.raises(InvalidRetryPolicy):
        await crons.register(request(options=EnqueueOptions(retry=RetryPolicy(max_attempts=-1))))

    assert await crons.list() == []


async def test_a_bad_update_leaves_the_old_entry_running(crons: Crons, store: Store) -> None:
    """As if nobody had tried."""
    await crons.register(request())
    before = await stored(store)

    for broken in ({"cron": "never"}, {"cron": "0 0 30 2 *"}, {"timezone": "CET"}, {"type": ""}):
        with pytest.raises(InvalidRequest):
            await crons.register(request(**broken))

    assert await stored(store) == before


# Unregister and list


async def test_unregister(crons: Crons, store: Store) -> None:
    """Only this one is gone, and handed back; its name may be used again."""
    entry, _ = await crons.register(request())
    await crons.register(request("other"))

    removed = await crons.unregister("report")

    assert removed == entry
    assert await stored(store) is None
    assert await stored(store, "other") is not None
    with pytest.raises(NotFound):
        await crons.unregister("report")
    assert (await crons.register(request()))[1]


async def test_unregister_what_is_not_there(crons: Crons) -> None:
    """Whatever it is called."""
    for name in (*STRANGE_IDS, "no-such-entry"):
        with pytest.raises(NotFound) as caught:
            await crons.unregister(name)
        assert caught.value.details["resource_type"] == "cron"


async def test_list(crons: Crons, monkeypatch: pytest.MonkeyPatch) -> None:
    """All of them by name, however many pages the store needs."""
    monkeypatch.setattr(module, "_PAGE", 2)
    for name in ("c", "a", "e", "b.1", "d"):
        await crons.register(request(name))

    assert [CronEntry.FromString(data).name for data in await crons.list()] == ["a", "b.1", "c", "d", "e"]


async def test_list_of_large_entries(crons: Crons, monkeypatch: pytest.MonkeyPatch) -> None:
    """Leaves out what makes them large, as soon as stock clients would refuse the whole."""
    monkeypatch.setattr(module, "_PAGE", 2)
    for number in range(5):
        await crons.register(request(f"e{number}", args=[value("x" * 800_000)]))

    entries = [CronEntry.FromString(data) for data in await crons.list()]

    assert [(entry.name, entry.type, len(entry.args)) for entry in entries] == [
        (f"e{number}", "report.make", 0) for number in range(5)
    ]
    await crons.unregister("e4")
    assert [len(CronEntry.FromString(data).args) for data in await crons.list()] == [1] * 4


# One entry


async def test_get(crons: Crons) -> None:
    """The entry as it is kept; there is none by any other name."""
    entry, _ = await crons.register(request())

    assert await crons.get("report") == entry
    for name in STRANGE_IDS:
        with pytest.raises(NotFound):
            await crons.get(name)


async def test_disable_and_enable(crons: Crons, store: Store, clock: FakeClock) -> None:
    """As if it were registered again with the other value: it keeps its history, and counts from now on."""
    first, _ = await crons.register(request(cron="@every 1h"))
    first.run_count = 7
    first.recent_jobs.append("some-job")
    await write(store, first, START + HOUR)

    disabled = await crons.set_enabled("report", enabled=False)

    assert not disabled.enabled
    assert not disabled.HasField("next_run_at")
    assert await due_at(store) == 0
    clock.advance(DAY)
    enabled = await crons.set_enabled("report", enabled=True)
    assert (enabled.run_count, list(enabled.recent_jobs)) == (7, ["some-job"])
    assert timestamp_ms(enabled.next_run_at) == await due_at(store) == START + DAY + HOUR
    assert await crons.get("report") == enabled


async def test_what_is_so_already(crons: Crons, store: Store, clock: FakeClock) -> None:
    """Is not written again, and stays as planned."""
    entry, _ = await crons.register(request(cron="@every 1h"))
    before = await stored(store)
    clock.advance(MINUTE)

    assert await crons.set_enabled("report", enabled=True) == entry
    assert await stored(store) == before


async def test_enable_what_is_not_there(crons: Crons) -> None:
    """Nothing of this name is made."""
    with pytest.raises(NotFound):
        await crons.set_enabled("report", enabled=True)

    assert await crons.list() == []


async def test_enable_what_no_server_here_understands(crons: Crons, store: Store) -> None:
    """An entry in a zone that only another server knows is refused, and stays disabled."""
    entry, _ = await crons.register(request(enabled=False))
    entry.timezone = "Mars/Olympus"
    await write(store, entry, 0)

    with pytest.raises(InvalidRequest) as caught:
        await crons.set_enabled("report", enabled=True)

    assert [field for field, _ in caught.value.violations] == ["timezone"]
    assert not (await crons.get("report")).enabled


async def test_many_enable_and_disable(crons: Crons) -> None:
    """Each change is one of the whole entry: its plan is that of the last one."""
    await crons.register(request())

    answers = await asyncio.gather(*(crons.set_enabled("report", enabled=number % 2 == 0) for number in range(10)))

    entry = await crons.get("report")
    assert [answer.enabled for answer in answers] == [True, False] * 5
    assert entry.HasField("next_run_at") == entry.enabled


# Pages


async def test_pages(crons: Crons) -> None:
    """By name, each with the count of all."""
    for name in ("c", "a", "d", "b"):
        await crons.register(request(name))

    first = await crons.page(3, "")
    last = await crons.page(3, first.next_cursor)

    assert [entry.name for entry in first.rows] == ["a", "b", "c"]
    assert [entry.name for entry in last.rows] == ["d"]
    assert last.next_cursor == ""
    assert (first.total, last.total) == (4, 4)


async def test_pages_of_those_that_are_enabled(crons: Crons, monkeypatch: pytest.MonkeyPatch) -> None:
    """Or of those that are not; only these count."""
    monkeypatch.setattr(module, "_PAGE", 2)
    for number in range(7):
        await crons.register(request(f"e{number}", enabled=number % 3 != 0))

    first = await crons.page(2, "", enabled=False)
    last = await crons.page(2, first.next_cursor, enabled=False)
    others = await crons.page(9, "", enabled=True)

    assert ([entry.name for entry in first.rows], first.total) == (["e0", "e3"], 3)
    assert ([entry.name for entry in last.rows], last.next_cursor, last.total) == (["e6"], "", 3)
    assert [entry.name for entry in others.rows] == ["e1", "e2", "e4", "e5"]


async def test_pages_of_large_entries(crons: Crons) -> None:
    """End early, and the next one goes on there."""
    for number in range(6):
        await crons.register(request(f"e{number}", args=[value("x" * 800_000)], enabled=number != 5))

    for enabled, names in ((None, ["e4", "e5"]), (True, ["e4"])):
        first = await crons.page(50, "", enabled=enabled)
        last = await crons.page(50, first.next_cursor, enabled=enabled)

        assert [entry.name for entry in first.rows] == ["e0", "e1", "e2", "e3"]
        assert [entry.name for entry in last.rows] == names
        assert last.next_cursor == ""


async def write(store: Store, entry: CronEntry, due: int) -> None:
    """Stores the entry as it is."""
    unit = Unit(writes=[Write(KIND, entry.name, None, entry.SerializeToString(), due)])
    assert await store.insert([unit], store.clock.now()) == [None]


def ms_until(year: int, month: int, day: int, hour: int) -> int:
    """From the beginning of the test to this time in UTC."""
    return int(datetime(year, month, day, hour, tzinfo=UTC).timestamp() * 1000) - START
