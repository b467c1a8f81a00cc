"""Many callers, one store call (design section 2, idea 2).

While a call to the store is in flight, what arrives queues up and leaves together as the next call. No timer: when
idle, an item leaves after a few empty turns of the loop; under load, one round trip carries dozens.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Generator, Sequence
from types import coroutine
from typing import Generic, TypeVar

# So many items share the cost of a call well enough; more of them would only wait for each other.
_ENOUGH = 64
# The loop takes some turns from one call's arrival to the next one's. An idle turn takes a few microseconds.
_PATIENCE = 8

Item = TypeVar("Item")
Result = TypeVar("Result")


class Coalescer(Generic[Item, Result]):
    """Turns single submissions into sequences for a store method that answers item by item.

    Args:
        call: takes items, gives a result for each, in order. What it raises, all callers of that call get.
        max_weight: how much one call may carry; a single item may be heavier.
        weigh: an item's weight; 1 by default.
    """

    def __init__(
        self,
        call: Callable[[Sequence[Item]], Awaitable[Sequence[Result]]],
        max_weight: int,
        weigh: Callable[[Item], int] = lambda _: 1,
    ) -> None:
        self._call = call
        self._max_weight = max_weight
        self._weigh = weigh
        self._waiting: deque[tuple[Item, asyncio.Future[Result]]] = deque()
        self._task: asyncio.Task[None] | None = None

    def submit(self, item: Item) -> "asyncio.Future[Result]":
        """Sends the item with the next call. Cancelling the future doesn't call back what was sent."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Result] = loop.create_future()
        self._waiting.append((item, future))
        if self._task is None:
            # The task starts in the next turn of the loop, so that all arrivals of this turn go together.
            self._task = loop.create_task(self._drain())
        return future

    async def _drain(self) -> None:
        try:
            while self._waiting:
                await self._let_more_arrive()
                items, futures = self._take()
                try:
                    results = await self._call(items)
                except Exception as error:  # noqa: BLE001 - it belongs to the callers
                    for future in futures:
                        if not future.done():
                            future.set_exception(error)
                else:
                    for future, result in zip(futures, results, strict=True):
                        if not future.done():
                            future.set_result(result)
        finally:
            self._task = None

    async def _let_more_arrive(self) -> None:
        """Waits as long as every few turns of the loop bring another item, and there are not enough yet.

        A fast store would else be called for each item alone, and its cost for a call is most of its cost for an item.
        """
        seen = quiet = 0
        while quiet < _PATIENCE and (waiting := len(self._waiting)) < _ENOUGH:
            quiet = quiet + 1 if seen == waiting else 0
            seen = waiting
            await _turn()

    def _take(self) -> "tuple[list[Item], list[asyncio.Future[Result]]]":
        items: list[Item] = []
        futures: list[asyncio.Future[Result]] = []
        weight = 0
        for item, future in self._waiting:
            weight += self._weigh(item)
            if items and weight > self._max_weight:
                break
            items.append(item)
            futures.append(future)
        for _ in items:
            self._waiting.popleft()
        return items, futures


@coroutine
def _turn() -> Generator[None, None, None]:
    """Lets the loop turn once, as `asyncio.sleep(0)` does with one coroutine more."""
    yield
