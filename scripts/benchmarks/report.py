"""Tables for people, JSON for programs."""

import json
import os
import platform
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from benchmarks.bounds import Bound, bounds_of
from benchmarks.meter import Row

_QUIET_LOAD = 0.5
_PACKAGES = ("grpcio", "protobuf", "starlette", "uvicorn", "httptools", "uvloop", "redis", "hiredis", "ojs-grpc")
_HEADLINES = {
    "unary_1": ("rate", "ratio"),
    "unary_64": ("rate", "ratio", "cpu_ratio"),
    "batch_500": ("rate", "ratio"),
    "http_enqueue": ("rate", "ratio", "cpu_ratio"),
    "codec": ("read_us", "write_us"),
    "stream": ("rate", "ratio", "cpu_ratio"),
    "fetch_ack_50": ("rate", "ratio"),
    "unique": ("rate", "ratio"),
    "group": ("rate", "ratio"),
    "subscribers": ("latency_p50_ms", "latency_p99_ms"),
    "memory": ("event_bytes",),
    "million": ("slowest_enqueue_ms", "promotion_seconds"),
}
_MEANINGS = {
    ("stream", "rate"): "messages a second",
    ("codec", "us"): "us of CPU, JSON of one enqueue",
    ("codec", "read_us"): "us of CPU, body to request",
    ("codec", "write_us"): "us of CPU, job to answer",
    ("batch_500", "ratio"): "CPU a job over a bare call's",
    ("unique", "ratio"): "of the rate of plain jobs",
    ("group", "ratio"): "of the rate of a batch's jobs",
    ("subscribers", "ratio"): "of the rate without subscribers",
    ("crons", "cpu_percent"): "% of a core, 10,000 entries",
    "unary_ratio": "of the rate without a log",
    "batch_ratio": "of the rate without a log",
    "fetch_ack_ratio": "of the rate without a log",
    "received": "part of the events that arrived",
    "latency_p50_ms": "ms, enqueue to event",
    "latency_p99_ms": "ms, enqueue to event",
    "rate": "jobs a second",
    "ratio": "of the bare server's rate",
    "cpu_ratio": "bare server's CPU over ours",
    "p50_ms": "ms, enqueue to delivery",
    "p99_ms": "ms, enqueue to delivery",
    "cross_p50_ms": "ms, through two servers",
    "cross_p99_ms": "ms, through two servers",
    "enqueue_ratio": "of the rate at a thousand",
    "claim_ratio": "of the rate at a thousand",
    "slowest_call_ms": "ms of Redis, a million due at once",
    "slowest_enqueue_ms": "ms a producer waited meanwhile",
    "promotion_seconds": "s until all were available",
    "waiting_bytes": "bytes a waiting job",
    "finished_bytes": "bytes a completed job",
    "event_bytes": "bytes an event",
    "cpu_percent": "% of a core, 100 streams",
    "store_calls": "store calls a second, 100 streams",
}


def print_results(rows: Mapping[str, Row], store_kind: str, console: Console) -> None:
    """The headline and every bounded figure of each row, with the bound and whether it is met."""
    table = Table(title=f"store: {store_kind}", title_justify="left", box=SIMPLE_HEAD)
    for column in ("row", "figure"):
        table.add_column(column)
    for column in ("value", "bound"):
        table.add_column(column, justify="right")
    for column in ("", "what it is"):
        table.add_column(column)
    for name, row in rows.items():
        if "error" in row:
            table.add_row(name, "", "", "", "[red]failed[/]", _reason(row["error"]))
        else:
            _add_figures(table, name, row, bounds_of(name, store_kind))
    console.print(table)


def print_costs(rows: Mapping[str, Row], console: Console) -> None:
    """Where the time goes: CPU for each job or message, and how busy a core each process kept."""
    title = "where the time goes: µs of CPU and store calls for each job or message; how busy of a core"
    table = Table(title=title, title_justify="left", box=SIMPLE_HEAD)
    table.add_column("row")
    for column in ("server", "= bare", "+ ours", "store", "calls", "load", "server busy", "store busy", "load busy"):
        table.add_column(column, justify="right")
    for name, row in rows.items():
        if "server_us" in row:
            table.add_row(name, *_costs(row))
    if table.row_count:
        console.print(table)


def warn_if_busy(about: Row, console: Console) -> None:
    """Says so when other programs had the processor at the start: then rates and their ratios mean little."""
    load, cores = about["load_average_at_start"], about["cores"]
    if isinstance(load, float) and isinstance(cores, int) and load > _QUIET_LOAD * cores:
        text = f"the machine was busy at the start (load average {load:.1f}): trust cpu_ratio, not rates and ratios"
        console.print(text, style="yellow", highlight=False)


def write_json(path: Path, rows: Mapping[str, Row], about: Row) -> None:
    """`{row: {figure: value}}`, and under `about` what was measured where."""
    path.write_text(json.dumps({"about": about} | dict(rows), indent=2, ensure_ascii=False) + "\n")


def describe_machine() -> Row:
    """Processor, memory, versions: what figures depend on."""
    return {
        "processor": _line_of("/proc/cpuinfo", "model name"),
        "cores": len(os.sched_getaffinity(0)),
        "memory": _line_of("/proc/meminfo", "MemTotal"),
        "system": platform.platform(),
        "python": platform.python_version(),
        "packages": {name: _version(name) for name in _PACKAGES},
        "load_average_at_start": os.getloadavg()[0],
    }


def _add_figures(table: Table, name: str, row: Row, bounds: Mapping[str, Bound]) -> None:
    shown = [figure for figure in dict.fromkeys([*_HEADLINES.get(name, ()), *bounds]) if figure in row]
    for number, figure in enumerate(shown):
        bound, value = bounds.get(figure), row[figure]
        meaning = (_MEANINGS.get((name, figure)) or _MEANINGS.get(figure, "")) + _spread(row, figure)
        table.add_row("" if number else name, figure, _number(value), str(bound or ""), _verdict(bound, value), meaning)
    if row.get("stalled"):
        table.add_row("", "", "", "", "[yellow]stalled[/]", f"the stream stopped after {row['received']} jobs")


def _spread(row: Row, figure: str) -> str:
    """The range that a median stands for, where it was kept."""
    if f"{figure}_lowest" not in row:
        return ""
    return f" ({_number(row[f'{figure}_lowest'])} to {_number(row[f'{figure}_highest'])})"


def _verdict(bound: Bound | None, value: object) -> str:
    if bound is None:
        return ""
    if not isinstance(value, (int, float)):
        return "[yellow]not seen[/]"
    return "[green]ok[/]" if bound.is_met(value) else "[red]missed[/]"


def _costs(row: Row) -> list[str]:
    server, bare = row["server_us"], row.get("bare_us")
    # A batch shares one call among its jobs: there the bare call is no part of the cost.
    shared = not isinstance(bare, (int, float)) or not isinstance(server, (int, float)) or bare > server
    own = None if shared else server - bare  # type: ignore[operator]
    costs = [server, None if shared else bare, own, row["store_us"], row["store_calls_each"], row["load_us"]]
    busy = [_percent(row[figure]) for figure in ("server_busy", "store_busy", "load_busy")]
    return [*(_number(value) for value in costs), *busy]


def _number(value: object) -> str:
    if not isinstance(value, (int, float)):
        return "-"
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}" if abs(value) >= 0.01 else f"{value:.4f}"


def _percent(share: object) -> str:
    return f"{share:.0%}" if isinstance(share, (int, float)) else "-"


def _reason(error: object) -> str:
    """The line of a traceback that says most: the details of a gRPC status, or else the last one."""
    lines = str(error).strip().splitlines()
    return next((line.strip() for line in lines if line.strip().startswith("details =")), lines[-1])[:100]


def _line_of(path: str, key: str) -> str:
    lines = Path(path).read_text().splitlines()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith(key)), "unknown")


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "from the tree"
