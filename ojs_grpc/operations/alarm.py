"""A time at which somebody has to look, which anyone may move forward."""

import asyncio


class Alarm:
    """Wakes a sleeper earlier than it meant to. One sleeper at a time."""

    def __init__(self) -> None:
        self._at: float = float("inf")
        self._moved = asyncio.Event()

    def advance(self, at: int) -> None:
        """Something is due at this time (ms since the epoch)."""
        if at < self._at:
            self._at = at
            self._moved.set()

    async def sleep(self, now: int, until: int) -> None:
        """Sleeps from now until this time, or until an earlier one that is known, or becomes known meanwhile."""
        self._at = min(self._at, until)
        while (left := self._at - now) > 0:
            self._moved.clear()
            start = asyncio.get_running_loop().time()
            try:
                async with asyncio.timeout(left / 1000):
                    await self._moved.wait()
            except TimeoutError:
                break
            now += round((asyncio.get_running_loop().time() - start) * 1000)
        self._at = float("inf")
