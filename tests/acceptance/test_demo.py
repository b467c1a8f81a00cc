"""`ojs-grpc demo`, which checks itself, and what it prints for whom."""

import re
from pathlib import Path

import pytest

from tests.cli.running import run
from tests.redis_server import PrivateRedis

pytestmark = pytest.mark.slow


def test_it_works_in_a_pipe(tmp_path: Path) -> None:
    """Every job is accounted for; no control characters, nothing on standard error, no file left here."""
    done = run("demo", "--jobs", "300", cwd=tmp_path)

    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.endswith("all 300 jobs are where they should be\n")
    assert "\x1b" not in done.stdout
    assert max(len(line.rstrip()) for line in done.stdout.splitlines()) <= 100
    rows = {
        row[0]: row[1].split()
        for row in re.findall(r"^([a-z]+ [a-z ]*[a-z])  +([\d ]+)$", done.stdout, re.MULTILINE)
    }
    assert rows == {
        "runs at once": ["246"] * 4,
        "runs later": ["30"] * 4,
        "fails twice": ["15", "45", "30", "15", "15"],
        "loses worker": ["3", "6", "3", "3"],
        "always fails": ["3", "6", "3", "3", "3"],
        "is cancelled": ["3"] * 3,
    }
    assert not list(tmp_path.iterdir())


def test_it_works_on_a_store_of_ones_own(redis_server: PrivateRedis) -> None:
    """And leaves no dead letters there."""
    done = run("demo", "--jobs", "100", "--store", redis_server.url)

    assert done.returncode == 0
    assert re.search(r"^store +redis", done.stdout, re.MULTILINE)


def test_it_says_in_a_line_what_is_wrong() -> None:
    """Here, a store that is not there."""
    done = run("demo", "--store", "unix:///nowhere/redis.sock")

    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (1, "", 1)
    assert done.stderr.startswith("ojs-grpc: demo failed: Redis is unreachable")
