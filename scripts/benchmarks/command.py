"""The command line of the bench."""

import argparse
import os
import signal
import sys
import time
import traceback
from dataclasses import replace
from pathlib import Path

from rich.console import Console

from benchmarks import report
from benchmarks.bounds import missed
from benchmarks.clients import CLIENTS
from benchmarks.meter import Row
from benchmarks.processes import StartFailed, stolen_seconds
from benchmarks.rows import LEFT_OUT_WHEN_QUICK, REDIS_ONLY, ROWS
from benchmarks.session import FULL, QUICK, SERVE, Session, open_session


def main() -> int:
    """Measures the rows asked for and prints them.

    Returns:
        0, also when a bound is missed; 1 when a row could not be measured; 2 when a server did not start.
    """
    arguments = _parse()
    # As an exception, so that what the bench started is stopped.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    console = Console()
    if not console.is_terminal:
        console.width = 120
    try:
        rows, about = _run(arguments, console)
    except StartFailed as error:
        console.print(str(error), markup=False, highlight=False)
        return 2

    kind = str(about["store"])
    report.print_results(rows, kind, console)
    report.print_costs(rows, console)
    where = f"{about['cores']} cores, {about['processor']}, {about['stolen']:.0%} of their time taken by the host"
    console.print(f"{where}; {about['seconds']:.0f} s", highlight=False)
    report.warn_if_busy(about, console)
    if unmet := missed(rows, kind):
        console.print(f"missed: {', '.join(unmet)}", highlight=False)
    failed = {name: row["error"] for name, row in rows.items() if "error" in row}
    for name, trace in failed.items():
        console.print(f"\n{name} failed:\n{trace}", markup=False, highlight=False)
    if arguments.json:
        report.write_json(arguments.json, rows, about)
    return 1 if failed else 0


def _run(arguments: argparse.Namespace, console: Console) -> tuple[dict[str, Row], Row]:
    """The figures by row, and what they were measured with."""
    started, stolen = time.monotonic(), stolen_seconds()
    rows, about = dict[str, Row](), report.describe_machine()
    scale = replace(QUICK if arguments.quick else FULL, million=arguments.million)
    with open_session(arguments.store, scale, arguments.serve, arguments.client, arguments.appendonly) as session:
        kind = session.store.kind
        about |= {"store": kind, "appendonly": arguments.appendonly if kind == "redis" else None}
        about |= {"quick": arguments.quick, "client": arguments.client, "envelope_bytes": session.envelope_bytes}
        for name in _wanted(arguments.rows, kind, quick=arguments.quick):
            with console.status(f"{name} ..."):
                rows[name] = _measure(name, session)
    seconds = time.monotonic() - started
    return rows, about | {"seconds": seconds, "stolen": (stolen_seconds() - stolen) / seconds / (os.cpu_count() or 1)}


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Measures the service against a bare grpcio server in the same run.")
    parser.add_argument(
        "--store",
        default="memory",
        metavar="URL",
        help="memory, sqlite or redis (made for the run), or the URL of a store that exists",
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all figures there")
    parser.add_argument("--quick", action="store_true", help="a minute on a quiet machine: shorter windows, no million")
    parser.add_argument("--rows", type=_row_names, metavar="A,B", help=f"only these of: {', '.join(ROWS)}")
    parser.add_argument(
        "--client",
        choices=CLIENTS,
        default="http2",
        help="the load's client for unary_1, unary_64 and stream (default: %(default)s)",
    )
    parser.add_argument(
        "--appendonly",
        choices=("no", "everysec", "always"),
        default="no",
        help="how a Redis made for the run keeps its data (default: %(default)s)",
    )
    parser.add_argument("--million", type=int, default=1_000_000, metavar="N", help="jobs in that row, to try it out")
    parser.add_argument(
        "--serve", default=SERVE, metavar="COMMAND", help="what starts the service (default: this tree's)"
    )
    return parser.parse_args()


def _row_names(text: str) -> list[str]:
    names = text.split(",")
    if unknown := [name for name in names if name not in ROWS]:
        raise argparse.ArgumentTypeError(f"no such row: {', '.join(unknown)}")
    return names


def _wanted(names: list[str] | None, store_kind: str, *, quick: bool) -> list[str]:
    """The rows to measure, in their order; those named by the caller whatever the scale."""
    wanted = [name for name in ROWS if name in names] if names else list(ROWS)
    if quick and not names:
        wanted = [name for name in wanted if name not in LEFT_OUT_WHEN_QUICK]
    return [name for name in wanted if store_kind == "redis" or name not in REDIS_ONLY]


def _measure(name: str, session: Session) -> Row:
    started = time.monotonic()
    try:
        row = ROWS[name](session)
    except Exception:  # noqa: BLE001 - the other rows are measured all the same
        row = {"error": traceback.format_exc()}
    return row | {"took_seconds": time.monotonic() - started}
