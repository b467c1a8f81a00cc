"""Those who wait for events."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager


class Listeners:
    """Wakes everybody who waits for events of this process."""

    def __init__(self) -> None:
        self._waiting: set[asyncio.Event] = set()

    @contextmanager
    def joined(self) -> Iterator[asyncio.Event]:
        """Something that is set at every call of `wake`."""
        heard = asyncio.Event()
        self._waiting.add(heard)
        try:
            yield heard
        finally:
            self._waiting.discard(heard)

    def wake(self) -> None:
        """Events were stored."""
        for heard in self._waiting:
            heard.set()
