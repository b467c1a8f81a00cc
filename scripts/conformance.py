#!/usr/bin/env python3
"""Runs the conformance cases against real servers: over HTTP and over gRPC, on SQLite and on Redis.

    scripts/conformance.py                    the cases that wait for less than a minute
    scripts/conformance.py --slow             the others
    scripts/conformance.py --only GLOB        those with such a path, test id or file name

The runner and its cases are not part of this repository: they are looked for in the folder that OJS_CONFORMANCE names,
else in ../shared/conformance; without them nothing is run. All four runs go at once, since cases mostly wait.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import threading
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "scripts"), str(ROOT), str(ROOT / "generated")]

import httpx  # noqa: E402 - the path is set above
from benchmarks.processes import Process, free_port  # noqa: E402
from benchmarks.stores import open_store  # noqa: E402

# What a binding cannot say, by design; docs/conformance.md has the reasons. A case that passes all the same fails here.
INEXPRESSIBLE = {"http": frozenset[str](), "grpc": frozenset({"cancel-available-job"})}

STORES = ("sqlite", "redis")
BINDINGS = ("http", "grpc")
LONG_SECONDS = 60


class Run(NamedTuple):
    """What one run printed, and the cases that did not end as they should."""

    output: str
    unexpected: list[str]


def find_suite() -> Path | None:
    """The folder with the runner and its cases."""
    said = os.environ.get("OJS_CONFORMANCE")
    folder = Path(said) if said else ROOT.parent / "shared" / "conformance"
    return folder if (folder / "run.py").is_file() else None


def run_cases(suite: Path, store: str, binding: str, choice: list[str]) -> Run:
    """Runs cases against a server of their own, everything deleted before each."""
    with tempfile.TemporaryDirectory(prefix="ojs-conformance-") as folder:
        directory = Path(folder)
        kept = open_store(store, directory / "store")
        http, grpc = (f"127.0.0.1:{free_port()}" for _ in range(2))
        serve = [sys.executable, "-m", "ojs_grpc", "serve", "--store", kept.url, "--http", http, "--grpc", grpc]
        server = Process([*serve, "--conformance"], directory / "server.log")
        try:
            server.wait_until(lambda: httpx.get(f"http://{http}/ready").is_success)
            target = {"http": f"http://{http}", "grpc": grpc}[binding]
            command = [sys.executable, suite / "run.py", "--suites", suite / "cases", f"--{binding}", target]
            report = directory / "report.json"
            command += ["--reset-url", f"http://{http}/ojs/v1/admin/reset", "--json", report]
            done = subprocess.run([*command, *choice], capture_output=True, text=True, check=False)
            return Run(done.stdout + done.stderr, unexpected(report, INEXPRESSIBLE[binding]))
        finally:
            server.stop()
            kept.close()


def unexpected(report: Path, inexpressible: frozenset[str]) -> list[str]:
    """The cases that failed although they could pass, or the other way round."""
    try:
        cases = json.loads(report.read_text())["cases"]
    except FileNotFoundError:
        return ["the runner did not finish"]
    wrong = {"failed": False, "passed": True}
    return [case["path"] for case in cases if wrong.get(case["status"]) is (Path(case["path"]).stem in inexpressible)]


def main() -> int:
    """Runs the chosen cases four times; 1 if any did not end as it should."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--slow", action="store_true", help="the cases that wait for a minute and more")
    parser.add_argument("--only", metavar="GLOB", help="by path, test id or file name")
    options = parser.parse_args()
    suite = find_suite()
    if suite is None:
        print("no conformance cases here: skipped")
        return 0
    if options.only:
        choice = ["--only", options.only]
    elif options.slow:
        choice = [part for path in slow_cases(suite) for part in ("--only", path)]
    else:
        choice = ["--max-wait", str(LONG_SECONDS)]
    runs: dict[str, Run] = {}

    def run(store: str, binding: str) -> None:
        runs[f"{binding} on {store}"] = run_cases(suite, store, binding, choice)

    threads = [threading.Thread(target=run, args=(store, binding)) for store in STORES for binding in BINDINGS]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for name, result in sorted(runs.items()):
        print(f"-- {name}\n{result.output}")
        if result.unexpected:
            print(f"not as expected: {', '.join(result.unexpected)}\n")
    return int(len(runs) < len(threads) or any(result.unexpected for result in runs.values()))


def slow_cases(suite: Path) -> list[str]:
    """The paths of the cases that `main` leaves out without `--slow`."""
    command = [sys.executable, suite / "run.py", "--suites", suite / "cases", "--show"]
    shown = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    cases = [line.split("\t") for line in shown]
    return [path for path, _, _, wait in cases if float(wait.rstrip("s")) > LONG_SECONDS]


if __name__ == "__main__":
    sys.exit(main())
