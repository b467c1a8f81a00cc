"""The text that Prometheus reads."""

import re
from collections.abc import Mapping
from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families

from ojs_grpc import __version__
from ojs_grpc.core import states
from ojs_grpc.telemetry.present import Present, QueueFigures
from ojs_grpc.telemetry.prometheus import render
from ojs_grpc.telemetry.recorder import DUE, NEW, Recorder

ROOT = Path(__file__).parents[2]
QUEUE = QueueFigures(paused=True, jobs={"available": 3, "active": 2}, completed=9)
PRESENT = Present(
    store="memory", store_up=True, job_streams=4, event_streams=5, leases=6, queues={"mail": QUEUE}, all_queues=3
)
DOWN = PRESENT._replace(store_up=False, queues={}, all_queues=None)

Samples = Mapping[tuple[str, frozenset[tuple[str, str]]], float]


def busy(process: str = "") -> Recorder:
    """A recorder in which something of everything has happened."""
    recorder = Recorder(process)
    recorder.call("grpc", "Ack", "OK", 0.002)
    recorder.call("grpc", "Ack", "OK", 0.2)
    recorder.store_call("read", 100.0)
    recorder.store_error("read", "StoreTimeout")
    recorder.changed(NEW, states.AVAILABLE, 5)
    recorder.changed(DUE, states.AVAILABLE)
    recorder.changed(states.ACTIVE, states.COMPLETED, 2)
    return recorder


def samples(recorder: Recorder, present: Present = PRESENT) -> Samples:
    """What the text says, read by the library's own parser."""
    families = text_string_to_metric_families(render(recorder, present).decode())
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in families
        for sample in family.samples
    }


def key(name: str, **labels: str) -> tuple[str, frozenset[tuple[str, str]]]:
    """One series."""
    return name, frozenset(labels.items())


def test_what_happened_is_told() -> None:
    """Calls, calls of the store, its errors, and changes of jobs."""
    told = samples(busy())

    ack = {"binding": "grpc", "method": "Ack", "code": "OK"}
    assert told[key("ojs_calls_seconds_count", **ack)] == 2
    assert told[key("ojs_calls_seconds_sum", **ack)] == 0.202
    assert told[key("ojs_calls_seconds_bucket", **ack, le="0.001")] == 0
    assert told[key("ojs_calls_seconds_bucket", **ack, le="0.0025")] == 1
    assert told[key("ojs_calls_seconds_bucket", **ack, le="0.25")] == 2
    assert told[key("ojs_store_seconds_bucket", operation="read", le="5.0")] == 0
    assert told[key("ojs_store_seconds_bucket", operation="read", le="+Inf")] == 1
    assert told[key("ojs_store_errors_total", operation="read", error="StoreTimeout")] == 1
    assert told[key("ojs_jobs_total", **{"from": "new", "state": "available"})] == 5
    assert told[key("ojs_jobs_total", **{"from": "due", "state": "available"})] == 1
    assert told[key("ojs_jobs_total", **{"from": "active", "state": "completed"})] == 2


def test_what_stands_is_told() -> None:
    """The store, streams, and queues."""
    told = samples(Recorder())

    assert told[key("ojs_store_up")] == 1
    assert told[key("ojs_streams", kind="jobs")] == 4
    assert told[key("ojs_streams", kind="events")] == 5
    assert told[key("ojs_stream_leases")] == 6
    assert told[key("ojs_queues")] == 3
    assert told[key("ojs_queues_left_out")] == 2
    assert told[key("ojs_queue_jobs", queue="mail", state="available")] == 3
    assert told[key("ojs_queue_jobs", queue="mail", state="active")] == 2
    assert told[key("ojs_queue_paused", queue="mail")] == 1
    assert told[key("ojs_queue_completed_total", queue="mail")] == 9
    (build,) = [dict(labels) for name, labels in told if name == "ojs_build_info"]
    assert (build["version"], build["store"]) == (__version__, "memory")


def test_an_outage_takes_away_what_the_store_would_say() -> None:
    """Nothing is said of queues rather than something old; all else stays."""
    names = {name for name, _ in samples(busy(), DOWN)}

    assert samples(busy(), DOWN)[key("ojs_store_up")] == 0
    assert not {name for name in names if name.startswith("ojs_queue")}
    assert {"ojs_calls_seconds_count", "ojs_jobs_total", "ojs_streams", "process_cpu_seconds_total"} <= names


def test_series_of_processes_on_one_port_do_not_mix() -> None:
    """A process's own have its id, the store's have none; alone, a process needs no id."""
    alone, together = samples(busy()), samples(busy("77"))

    assert not [labels for _, labels in alone if "ojs_process" in dict(labels)]
    for name, labels in together:
        of_store = name.startswith("ojs_queue")
        assert dict(labels).get("ojs_process") == (None if of_store else "77"), name


def test_names_say_what_they_count() -> None:
    """All of ours begin alike, and counters end in `_total`."""
    types = dict(re.findall(r"^# TYPE (\w+) (\w+)$", render(busy(), PRESENT).decode(), re.MULTILINE))

    for name, kind in types.items():
        assert name.startswith(("ojs_", "process_"))
        assert name.endswith("_total") == (kind == "counter")
        assert name.endswith("_seconds") or kind != "histogram"


def test_the_table_of_metrics_is_complete() -> None:
    """docs/operations.md lists every metric with its labels, and no other."""
    text = (ROOT / "docs" / "operations.md").read_text().split("## Metrics")[1].split("## Security")[0]
    documented = {
        name: set(re.findall(r"`(\w+)`", labels))
        for name, labels in re.findall(r"^\| `(\w+)` \| ([^|]*)\|", text, re.MULTILINE)
    }
    found = {
        name: {label for label in re.findall(r'[{,](\w+)="', lines) if label != "le"}
        for name, lines in re.findall(
            r"^# TYPE (\w+) \w+\n((?:[^#].*\n)*)", render(busy(), PRESENT).decode(), re.MULTILINE
        )
    }
    assert documented == found
