"""The contract of starting and stopping, and that no failure ends a duty."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from ojs_grpc.errors import StoreUnavailable
from ojs_grpc.maintenance import duty as module
from ojs_grpc.maintenance.duty import Maintenance
from ojs_grpc.operations.alarm import Alarm
from tests.clock import START, FakeClock
from tests.grpc.service import eventually

HOUR = 3_600_000


class CountingDuty:
    """A duty that does what the test says.

    Attributes:
        turns: how often it ran.
        answers: what the next turns answer, or raise; afterwards it knows of nothing.
    """

    name = "counting"
    idle_ms = HOUR

    def __init__(self, *answers: int | Exception | None) -> None:
        self.turns = 0
        self.answers = list(answers)
        self.alarm = Alarm()
        self.working = asyncio.Event()
        self.gate = asyncio.Event()
        self.gate.set()

    async def run_once(self) -> int | None:
        """One turn."""
        self.turns += 1
        self.working.set()
        await self.gate.wait()
        answer = self.answers.pop(0) if self.answers else None
        if isinstance(answer, Exception):
            raise answer
        return answer


@pytest.fixture
async def running() -> AsyncIterator[list[Maintenance]]:
    """What the test started, stopped in the end."""
    started: list[Maintenance] = []
    yield started
    for maintenance in started:
        await maintenance.stop()


def start(running: list[Maintenance], *duties: CountingDuty) -> Maintenance:
    """Runs duties, at a time that stands still."""
    maintenance = Maintenance(duties, FakeClock())
    maintenance.start()
    running.append(maintenance)
    return maintenance


async def test_every_duty_runs_at_once(running: list[Maintenance]) -> None:
    """And then sleeps, when it knows of nothing."""
    duties = [CountingDuty(), CountingDuty()]
    start(running, *duties)

    await eventually(lambda: all(duty.turns for duty in duties))
    await asyncio.sleep(0.01)

    assert [duty.turns for duty in duties] == [1, 1]


async def test_more_to_do_is_done_at_once(running: list[Maintenance]) -> None:
    """Turn after turn, while others have theirs."""
    busy, other = CountingDuty(*[START - 1] * 50), CountingDuty(START, START)
    start(running, busy, other)

    await eventually(lambda: busy.turns == 51)
    await eventually(lambda: other.turns == 3)


async def test_it_runs_again_when_something_is_due(running: list[Maintenance]) -> None:
    """At the time that it said, though it may be idle for longer."""
    duty = CountingDuty(START + 20)
    start(running, duty)

    await eventually(lambda: duty.turns == 2)


async def test_it_never_sleeps_longer_than_it_may(running: list[Maintenance]) -> None:
    """Whatever it said."""
    duty = CountingDuty(START + HOUR, START + HOUR)
    duty.idle_ms = 10
    start(running, duty)

    await eventually(lambda: duty.turns >= 3)


async def test_an_alarm_wakes_it(running: list[Maintenance]) -> None:
    """Somebody knows of something that is due earlier."""
    duty = CountingDuty(START + HOUR)
    start(running, duty)
    await eventually(lambda: duty.turns == 1)
    await asyncio.sleep(0.01)

    duty.alarm.advance(START)

    await eventually(lambda: duty.turns == 2)


async def test_an_alarm_during_a_turn_is_not_lost(running: list[Maintenance]) -> None:
    """The turn did not see what it is about."""
    duty = CountingDuty(START + HOUR)
    duty.gate.clear()
    start(running, duty)
    await duty.working.wait()
    duty.alarm.advance(START)

    duty.gate.set()

    await eventually(lambda: duty.turns == 2)


@pytest.mark.parametrize("error", [StoreUnavailable("gone"), RuntimeError("a bug"), ValueError("odd")])
async def test_no_failure_ends_a_duty(
    running: list[Maintenance], monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    """It tries again after a while, and others are not disturbed."""
    monkeypatch.setattr(module, "_AFTER_FAILURE_MS", 5)
    failing, other = CountingDuty(error, error), CountingDuty(START)
    failing.idle_ms = 5
    start(running, failing, other)

    await eventually(lambda: failing.turns >= 3)
    assert other.turns >= 1


async def test_after_a_failure_it_does_not_spin(running: list[Maintenance]) -> None:
    """An outage of the store is no reason to ask it all the time."""
    duty = CountingDuty(*[StoreUnavailable("gone")] * 1000)
    start(running, duty)
    await asyncio.sleep(0.05)

    assert duty.turns == 1


async def test_a_stop_ends_all_duties(running: list[Maintenance]) -> None:
    """Those that sleep and those that work; nothing runs afterwards."""
    sleeping, working = CountingDuty(), CountingDuty()
    working.gate.clear()
    maintenance = start(running, sleeping, working)
    await working.working.wait()

    await maintenance.stop()

    assert not [task for task in asyncio.all_tasks() if task.get_name() == "counting"]
    sleeping.alarm.advance(START)
    await asyncio.sleep(0.005)
    assert (sleeping.turns, working.turns) == (1, 1)


async def test_a_stop_before_a_start(running: list[Maintenance]) -> None:
    """And a second stop: nothing to do."""
    maintenance = Maintenance([CountingDuty()], FakeClock())
    await maintenance.stop()

    maintenance.start()
    await maintenance.stop()
    await maintenance.stop()
