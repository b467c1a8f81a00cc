"""A store whose calls are timed and counted. Every change of a job passes here, whoever makes it."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from inspect import iscoroutinefunction
from time import perf_counter
from types import MappingProxyType
from typing import Any, Final, cast

import structlog

from ojs_grpc.core import states
from ojs_grpc.core.transition import Transition
from ojs_grpc.errors import OJSError, StoreError
from ojs_grpc.stores.ports import Claimed, Completion, Demand, Outcome, Promotion, Refusal, Store, Unit
from ojs_grpc.telemetry.recorder import DUE, NEW, Recorder

log = structlog.get_logger(__name__)

# They last as long as nothing happens, or as the process.
_UNTIMED: Final = frozenset({"await_events", "open", "close"})


def observe(store: Store, recorder: Recorder) -> Store:
    """A store that does what this one does, and notes in the recorder what was done and how long it took."""
    return cast("Store", _Observed(store, recorder))


class _Observed:
    """Has the store's attributes, and its methods in a wrapping."""

    def __init__(self, store: Store, recorder: Recorder) -> None:
        self._store = store
        # Read all the time, and never replaced.
        self.clock = store.clock
        for name in dir(Store):
            if iscoroutinefunction(getattr(Store, name)) and name not in _UNTIMED:
                setattr(self, name, _timed(getattr(store, name), name, recorder))

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - whatever the store has
        return getattr(self._store, name)


def _timed(method: Callable[..., Awaitable[Any]], name: str, recorder: Recorder) -> Callable[..., Awaitable[Any]]:
    count = _COUNTERS.get(name)

    async def call(*args: Any, **named: Any) -> Any:  # noqa: ANN401 - the store's own
        start = perf_counter()
        try:
            result = await method(*args, **named)
        except Exception as error:
            # Other OJSErrors are answers: what was asked for broke a rule.
            if isinstance(error, StoreError) or not isinstance(error, OJSError):
                recorder.store_error(name, type(error).__name__)
            raise
        finally:
            recorder.store_call(name, perf_counter() - start)
        if count is not None:
            try:
                count(recorder, result, *args, **named)
            except Exception:  # a bug; what was asked for is done
                log.exception("could not count", operation=name)
        return result

    return call


def _count_inserted(recorder: Recorder, outcomes: Sequence[Outcome], units: Sequence[Unit], now: int) -> None:  # noqa: ARG001
    done = [unit for unit, outcome in zip(units, outcomes, strict=True) if outcome is None]
    # Batches are large: next to nothing is done for each job.
    new = [job.state for unit in done for job in unit.jobs]
    for state in set(new):
        recorder.changed(NEW, state, new.count(state))
    for unit in done:
        for change in unit.changes:
            recorder.changed(change.state, change.to)


def _count_applied(
    recorder: Recorder, results: Sequence[bytes | None], transitions: Sequence[Transition], now: int  # noqa: ARG001
) -> None:
    for change, result in zip(transitions, results, strict=True):
        if result is not None:
            recorder.changed(change.state, change.to)


def _count_claimed(recorder: Recorder, claims: Sequence[Claimed], demands: Sequence[Demand], now: int) -> None:  # noqa: ARG001
    if count := sum([len(claimed.deliveries) for claimed in claims]):
        recorder.changed(states.AVAILABLE, states.ACTIVE, count)


def _count_completed(
    recorder: Recorder, refusals: Sequence[Refusal | None], completions: Sequence[Completion], now: int  # noqa: ARG001
) -> None:
    if count := refusals.count(None):
        # A late one may have been available again; nobody tells.
        recorder.changed(states.ACTIVE, states.COMPLETED, count)


def _count_promoted(recorder: Recorder, promotion: Promotion, now: int, limit: int) -> None:  # noqa: ARG001
    if promotion.promoted:
        recorder.changed(DUE, states.AVAILABLE, promotion.promoted)


_COUNTERS: Final[Mapping[str, Callable[..., None]]] = MappingProxyType(
    {
        "insert": _count_inserted,
        "apply": _count_applied,
        "claim": _count_claimed,
        "complete": _count_completed,
        "promote": _count_promoted,
    }
)
