"""Figures of one process."""

from time import perf_counter

from ojs_grpc.core import states
from ojs_grpc.telemetry.recorder import BOUNDS, NEW, Durations, Recorder


def test_durations_are_counted_by_bucket() -> None:
    """A bound belongs to its bucket, and what is longer than all bounds has one too."""
    durations = Durations()

    for seconds in (0.0, BOUNDS[0], BOUNDS[1], BOUNDS[-1], BOUNDS[-1] + 1):
        durations.add(seconds)

    assert durations.buckets == [2, 1, *[0] * (len(BOUNDS) - 3), 1, 1]
    assert durations.seconds == BOUNDS[0] + BOUNDS[1] + 2 * BOUNDS[-1] + 1


def test_calls_are_told_apart_by_what_they_are() -> None:
    """Binding, method and code each make a series."""
    recorder = Recorder()

    for key in (("grpc", "Ack", "OK"), ("grpc", "Ack", "NOT_FOUND"), ("http", "Ack", "OK"), ("grpc", "Ack", "OK")):
        recorder.call(*key, 0.001)

    assert {key: sum(durations.buckets) for key, durations in recorder.calls.items()} == {
        ("grpc", "Ack", "OK"): 2,
        ("grpc", "Ack", "NOT_FOUND"): 1,
        ("http", "Ack", "OK"): 1,
    }


def test_a_copy_stands_still() -> None:
    """What happens later is not in it."""
    recorder = Recorder("7")

    def happen() -> None:
        recorder.call("grpc", "Ack", "OK", 1.0)
        recorder.store_call("read", 1.0)
        recorder.store_error("read", "StoreError")
        recorder.changed(NEW, states.AVAILABLE)

    happen()
    copy = recorder.copy()
    happen()

    assert copy.process == "7"
    assert sum(copy.calls["grpc", "Ack", "OK"].buckets) == sum(copy.store_calls["read"].buckets) == 1
    assert copy.calls["grpc", "Ack", "OK"].seconds == copy.store_calls["read"].seconds == 1.0
    assert copy.store_errors["read", "StoreError"] == copy.jobs[NEW, states.AVAILABLE] == 1
    assert recorder.jobs[NEW, states.AVAILABLE] == 2


def test_a_call_costs_next_to_nothing() -> None:
    """A few microseconds at most, also on a busy machine: every call pays it."""
    recorder, best = Recorder(), float("inf")

    for _ in range(20):
        start = perf_counter()
        for _ in range(1000):
            recorder.call("grpc", "Enqueue", "OK", 0.001)
        best = min(best, perf_counter() - start)

    assert best / 1000 < 5e-6
