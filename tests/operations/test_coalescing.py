"""Many callers, one store call."""

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest

from ojs_grpc.operations.coalescing import Coalescer
from tests.grpc.service import patience


class Backend:
    """Answers each item with its double; a test may hold it, and make it fail."""

    def __init__(self) -> None:
        self.calls: list[list[int]] = []
        self.gate = asyncio.Event()
        self.gate.set()
        self.called = asyncio.Event()
        self.running = 0
        self.most_running = 0
        self.errors: list[Exception] = []

    async def __call__(self, items: Sequence[int]) -> Sequence[int]:
        """Answers."""
        self.calls.append(list(items))
        self.running += 1
        self.most_running = max(self.running, self.most_running)
        self.called.set()
        try:
            await self.gate.wait()
            if self.errors:
                raise self.errors.pop(0)
            return [2 * item for item in items]
        finally:
            self.running -= 1


@pytest.fixture
def backend() -> Backend:
    """What is called."""
    return Backend()


async def hold(backend: Backend, coalescer: Coalescer[int, int]) -> asyncio.Future[int]:
    """A first call that is under way."""
    backend.gate.clear()
    first = coalescer.submit(0)
    await backend.called.wait()
    return first


async def test_an_item_leaves_by_itself_when_nobody_else_comes(backend: Backend) -> None:
    """And its caller gets its answer."""
    async with patience():
        assert await Coalescer(backend, 10).submit(21) == 42
    assert backend.calls == [[21]]


async def test_what_arrives_together_leaves_together(backend: Backend) -> None:
    """In the order of arrival; each gets its own answer."""
    coalescer = Coalescer(backend, 10)

    assert await asyncio.gather(*(coalescer.submit(item) for item in (3, 1, 2))) == [6, 2, 4]

    assert backend.calls == [[3, 1, 2]]


async def test_one_call_at_a_time_and_the_rest_is_the_next(backend: Backend) -> None:
    """While a call is in flight, arrivals queue up; they leave as one call."""
    coalescer = Coalescer(backend, 100)
    first = await hold(backend, coalescer)
    rest = [coalescer.submit(item) for item in range(1, 40)]
    await asyncio.sleep(0.01)
    assert backend.calls == [[0]]

    backend.gate.set()

    assert await asyncio.gather(first, *rest) == [2 * item for item in range(40)]
    assert backend.calls == [[0], list(range(1, 40))]
    assert backend.most_running == 1


async def test_a_call_carries_only_so_much(backend: Backend) -> None:
    """Up to its weight, in order; the rest leaves with the next calls."""
    coalescer = Coalescer(backend, 10, weigh=lambda item: item)
    first = await hold(backend, coalescer)
    rest = [coalescer.submit(item) for item in (4, 6, 1, 9, 1, 10, 5)]

    backend.gate.set()
    await asyncio.gather(first, *rest)

    assert backend.calls[1:] == [[4, 6], [1, 9], [1], [10], [5]]


async def test_an_item_above_the_limit_goes_alone(backend: Backend) -> None:
    """It is not kept for ever."""
    coalescer = Coalescer(backend, 10, weigh=lambda item: item)
    first = await hold(backend, coalescer)
    rest = [coalescer.submit(item) for item in (1, 99, 2)]

    backend.gate.set()
    await asyncio.gather(first, *rest)

    assert backend.calls[1:] == [[1], [99], [2]]


async def test_an_error_is_that_calls_alone(backend: Backend) -> None:
    """All of its callers get it; those of the next call don't."""
    coalescer = Coalescer(backend, 2)
    error = RuntimeError("gone")
    first = await hold(backend, coalescer)
    backend.errors = [error]
    rest = [coalescer.submit(item) for item in (1, 2, 3)]

    backend.gate.set()
    answers: list[Any] = await asyncio.gather(first, *rest, return_exceptions=True)

    assert answers == [error, 2, 4, 6]
    assert await coalescer.submit(5) == 10


async def test_callers_of_a_failed_call_all_hear_it(backend: Backend) -> None:
    """The same error for each."""
    coalescer = Coalescer(backend, 10)
    backend.errors = [RuntimeError("gone")]

    answers = await asyncio.gather(*(coalescer.submit(item) for item in range(3)), return_exceptions=True)

    assert [str(answer) for answer in answers] == ["gone"] * 3
    assert len(backend.calls) == 1


async def test_a_caller_that_leaves_disturbs_nobody(backend: Backend) -> None:
    """Neither while its item waits nor while it is in flight."""
    coalescer = Coalescer(backend, 10)
    first = await hold(backend, coalescer)
    leaving, staying = coalescer.submit(1), coalescer.submit(2)
    first.cancel()
    leaving.cancel()

    backend.gate.set()

    async with patience():
        assert await staying == 4
    assert await coalescer.submit(3) == 6


async def test_a_cancelled_task_does_not_cancel_the_call(backend: Backend) -> None:
    """Its item may be stored already: the others of the call must hear what became of theirs."""
    coalescer = Coalescer(backend, 10)

    async def call(item: int) -> int:
        return await coalescer.submit(item)

    backend.gate.clear()
    tasks = [asyncio.create_task(call(item)) for item in (1, 2)]
    await backend.called.wait()
    tasks[0].cancel()
    with pytest.raises(asyncio.CancelledError):
        await tasks[0]

    backend.gate.set()

    assert await tasks[1] == 4


async def test_an_error_while_all_callers_are_gone(backend: Backend) -> None:
    """Is nobody's, and the next item is called for as ever."""
    coalescer = Coalescer(backend, 10)
    first = await hold(backend, coalescer)
    backend.errors = [RuntimeError("gone")]
    first.cancel()
    backend.gate.set()
    await asyncio.sleep(0.01)

    assert await coalescer.submit(4) == 8


async def test_arrivals_in_quick_succession_share_a_call(backend: Backend) -> None:
    """Callers that come one turn of the loop after the other do not each cost a call."""
    coalescer = Coalescer(backend, 100)

    async def arrive(turns: int) -> int:
        for _ in range(turns):
            await asyncio.sleep(0)
        return await coalescer.submit(turns)

    await asyncio.gather(*(arrive(turns) for turns in range(12)))

    assert len(backend.calls) == 1


async def test_nothing_is_left_behind(backend: Backend) -> None:
    """No task when there is nothing to do."""
    coalescer = Coalescer(backend, 10)
    before = len(asyncio.all_tasks())
    await coalescer.submit(1)
    await asyncio.sleep(0)

    assert len(asyncio.all_tasks()) == before
