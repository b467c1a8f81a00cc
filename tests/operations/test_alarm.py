"""A sleep that anyone may cut short."""

import asyncio
import time

import pytest

from ojs_grpc.operations.alarm import Alarm
from tests.clock import START
from tests.grpc.service import patience

LONG = START + 3_600_000


async def sleeping(alarm: Alarm, until: int = LONG) -> asyncio.Task[None]:
    """Somebody who sleeps."""
    task = asyncio.create_task(alarm.sleep(START, until))
    await asyncio.sleep(0.001)
    return task


async def test_it_wakes_at_its_time() -> None:
    """Not before."""
    start = time.monotonic()

    await Alarm().sleep(START, START + 30)

    assert 0.028 <= time.monotonic() - start < 2


@pytest.mark.parametrize("until", [START, START - 1, 0])
async def test_a_time_that_has_passed_is_no_sleep(until: int) -> None:
    """Not even for one turn of the loop."""
    async with asyncio.timeout(1):
        await Alarm().sleep(START, until)


async def test_an_earlier_time_moves_it_forward() -> None:
    """While it sleeps."""
    alarm = Alarm()
    task = await sleeping(alarm)

    alarm.advance(START + 10)

    async with patience():
        await task


async def test_a_later_time_changes_nothing() -> None:
    """It still wakes at the earliest."""
    alarm = Alarm()
    task = await sleeping(alarm, START + 20)
    alarm.advance(LONG + 1)

    async with patience():
        await task


async def test_a_time_that_was_known_before_counts() -> None:
    """Somebody learned of it while the sleeper was still at work."""
    alarm = Alarm()
    alarm.advance(START + 10)

    async with patience():
        await alarm.sleep(START, LONG)


async def test_moved_forward_twice() -> None:
    """The earlier of both."""
    alarm = Alarm()
    task = await sleeping(alarm)
    alarm.advance(START + 3_000_000)
    await asyncio.sleep(0.001)
    assert not task.done()

    alarm.advance(START + 5)

    async with patience():
        await task


async def test_what_has_rung_is_forgotten() -> None:
    """The next sleep is as long as it says."""
    alarm = Alarm()
    alarm.advance(START + 1)
    await alarm.sleep(START, LONG)

    task = await sleeping(alarm)

    await asyncio.sleep(0.01)
    assert not task.done()
    task.cancel()


async def test_waking_early_counts_the_time_that_passed() -> None:
    """A sleep in several parts is no longer than in one."""
    alarm = Alarm()
    start = time.monotonic()
    task = asyncio.create_task(alarm.sleep(START, LONG))
    for at in (START + 60, START + 50, START + 40):
        await asyncio.sleep(0.01)
        alarm.advance(at)

    await task

    assert 0.035 <= time.monotonic() - start < 2
