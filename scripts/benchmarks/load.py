"""The load generators: processes that do what `calls.py` offers when told so over a pipe.

They live as long as the bench, so that no row pays for starting one.
"""

import asyncio
import contextlib
import functools
import inspect
import multiprocessing
import traceback
from collections.abc import Callable, Coroutine
from multiprocessing.connection import Connection
from typing import Concatenate, ParamSpec, TypeAlias, TypeVar, cast

import uvloop

Ready: TypeAlias = Callable[[], None]
P = ParamSpec("P")
T = TypeVar("T")

_PATIENCE = 600
_READY, _RESULT, _ERROR = "ready", "result", "error"


class LoadFailed(Exception):
    """A load generator could not do what it was told; the text is its traceback."""


class Generator:
    """One load generator, seen from the bench. It does one thing at a time."""

    def __init__(self) -> None:
        context = multiprocessing.get_context("spawn")
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(target=_main, args=(theirs,), daemon=True)
        self._process.start()
        theirs.close()
        self._number = 0

    def run(self, call: Callable[P, Coroutine[object, object, T]], *args: P.args, **kwargs: P.kwargs) -> T:
        """Does one of the coroutines of `calls.py` and returns its result."""
        self._send(call, args, kwargs)
        return cast("T", self._receive(_RESULT))

    def start(
        self, call: Callable[Concatenate[Ready, P], Coroutine[object, object, T]], *args: P.args, **kwargs: P.kwargs
    ) -> Callable[[], T]:
        """Begins a coroutine whose first parameter is `ready`, and returns when it has called that.

        Returns:
            a function that waits for the result; it must be called before anything else is begun.
        """
        self._send(call, args, kwargs)
        self._receive(_READY)
        return lambda: cast("T", self._receive(_RESULT))

    def stop(self) -> None:
        """Ends the process."""
        self._pipe.close()
        self._process.join(5)
        if self._process.is_alive():
            self._process.kill()

    def _send(self, *order: object) -> None:
        self._number += 1
        self._pipe.send((self._number, *order))

    def _receive(self, wanted: str) -> object:
        number, kind, value = 0, "", None
        while number != self._number:  # A smaller one is of an order that was given up: its result comes late.
            if not self._pipe.poll(_PATIENCE):
                raise LoadFailed(f"nothing came within {_PATIENCE} seconds")
            number, kind, value = self._pipe.recv()
        if kind == _ERROR:
            raise LoadFailed(value)
        if kind != wanted:
            raise LoadFailed(f"expected {wanted}, got {kind}")
        return value


def _main(pipe: Connection) -> None:
    with contextlib.suppress(EOFError, KeyboardInterrupt):
        uvloop.run(_obey(pipe))


async def _obey(pipe: Connection) -> None:
    loop = asyncio.get_running_loop()
    while True:
        number, call, args, kwargs = await loop.run_in_executor(None, pipe.recv)
        if "ready" in inspect.signature(call).parameters:
            call = functools.partial(call, functools.partial(pipe.send, (number, _READY, None)))
        try:
            result = await call(*args, **kwargs)
        except Exception:  # noqa: BLE001 - whatever it is, the bench is told
            pipe.send((number, _ERROR, traceback.format_exc()))
        else:
            pipe.send((number, _RESULT, result))
