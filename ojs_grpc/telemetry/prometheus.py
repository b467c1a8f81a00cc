"""The figures in the text that Prometheus reads. Import it only where that is wanted: its library takes a while."""

import platform
from collections.abc import Iterator, Sequence
from itertools import accumulate
from typing import Final

from prometheus_client import ProcessCollector, generate_latest
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    InfoMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector

from ojs_grpc import __version__
from ojs_grpc.core import states
from ojs_grpc.telemetry.present import Present
from ojs_grpc.telemetry.recorder import BOUNDS, DUE, NEW, Durations, Recorder

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"

_LABELS: Final = (*map(str, BOUNDS), "+Inf")
_STATES: Final = {NEW: "new", DUE: "due"} | {state: states.state_name(state) for state in states.ALL}
_PROCESS: Final = ProcessCollector(registry=None)


def render(recorder: Recorder, present: Present) -> bytes:
    """All metrics. With many queues this takes a while; the arguments must not change meanwhile."""
    own = [*_calls(recorder), *_store(recorder, present), *_jobs(recorder, present), *_PROCESS.collect()]
    if recorder.process:
        for family in own:
            _tell_apart(family, recorder.process)
    return generate_latest(_Collected([*own, *_queues(present)]))


class _Collected(Collector):
    """Gives the library what is there already."""

    def __init__(self, families: Sequence[Metric]) -> None:
        self._families = families

    def collect(self) -> Sequence[Metric]:
        return self._families


def _calls(recorder: Recorder) -> Iterator[Metric]:
    seconds = HistogramMetricFamily(
        "ojs_calls_seconds",
        "Time from a call's arrival to its answer, of a stream to its end.",
        labels=("binding", "method", "code"),
    )
    for key, durations in recorder.calls.items():
        _add(seconds, key, durations)
    yield seconds


def _store(recorder: Recorder, present: Present) -> Iterator[Metric]:
    build = {"version": __version__, "python": platform.python_version(), "store": present.store}
    yield InfoMetricFamily("ojs_build", "What runs here.", build)
    yield GaugeMetricFamily("ojs_store_up", "Whether the store works for this process.", value=present.store_up)
    seconds = HistogramMetricFamily("ojs_store_seconds", "Time that calls of the store took.", labels=("operation",))
    for operation, durations in recorder.store_calls.items():
        _add(seconds, (operation,), durations)
    yield seconds
    failures = CounterMetricFamily("ojs_store_errors", "Calls of the store that failed.", labels=("operation", "error"))
    for key, count in recorder.store_errors.items():
        failures.add_metric(key, count)
    yield failures


def _jobs(recorder: Recorder, present: Present) -> Iterator[Metric]:
    changes = CounterMetricFamily(
        "ojs_jobs", "Changes of jobs made by this process, by the state before and after.", labels=("from", "state")
    )
    for (before, after), count in recorder.jobs.items():
        changes.add_metric((_STATES[before], _STATES[after]), count)
    yield changes
    streams = GaugeMetricFamily("ojs_streams", "Open streams of this process.", labels=("kind",))
    streams.add_metric(("jobs",), present.job_streams)
    streams.add_metric(("events",), present.event_streams)
    yield streams
    yield GaugeMetricFamily("ojs_stream_leases", "Jobs leased to open streams of this process.", value=present.leases)


def _queues(present: Present) -> Iterator[Metric]:
    """What every process on the store says alike."""
    if present.all_queues is None:
        return
    yield GaugeMetricFamily("ojs_queues", "Queues in the store.", value=present.all_queues)
    left_out = max(present.all_queues - len(present.queues), 0)
    yield GaugeMetricFamily("ojs_queues_left_out", "Queues whose figures are not given here.", value=left_out)
    jobs = GaugeMetricFamily("ojs_queue_jobs", "Jobs that a queue holds, by state.", labels=("queue", "state"))
    paused = GaugeMetricFamily("ojs_queue_paused", "Whether the queue's delivery is stopped.", labels=("queue",))
    completed = CounterMetricFamily(
        "ojs_queue_completed", "Jobs of the queue completed since it exists.", labels=("queue",)
    )
    for name, queue in present.queues.items():
        for state, count in queue.jobs.items():
            jobs.add_metric((name, state), count)
        paused.add_metric((name,), queue.paused)
        completed.add_metric((name,), queue.completed)
    yield from (jobs, paused, completed)


def _add(family: HistogramMetricFamily, labels: Sequence[str], durations: Durations) -> None:
    buckets = list(zip(_LABELS, accumulate(durations.buckets), strict=True))
    family.add_metric(labels, buckets, durations.seconds)


def _tell_apart(family: Metric, process: str) -> None:
    """Another process may answer the next scrape: its series must not continue those of this one."""
    family.samples = [
        sample._replace(labels=sample.labels | {"ojs_process": process}) for sample in family.samples
    ]
