"""Turns for others within work that takes long and waits for nothing."""

import asyncio
from typing import Final

_SLICE: Final = 1 << 18


class Pauses:
    """Gives others their turn after every so many bytes of work."""

    def __init__(self) -> None:
        self._left = _SLICE

    async def after(self, size: int) -> None:
        """To be called after each piece of work.

        Args:
            size: how many bytes it was about.
        """
        self._left -= size
        if self._left < 0:
            self._left = _SLICE
            await asyncio.sleep(0)
