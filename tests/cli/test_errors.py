"""What people see when something is wrong: one line that says what, and an exit status that scripts can use."""

import socket
from pathlib import Path

import pytest

from tests.cli.running import run

pytestmark = pytest.mark.slow


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["serve", "--processes", "0"], "--processes=0: must be a whole number from 1 to 256"),
        (["serve", "--grpc", "9090"], "--grpc=9090: must be HOST:PORT"),
        (["serve", "--grpc", "0.0.0.0:0"], "say --insecure"),
        (["serve", "--http", "0.0.0.0:0"], "--http=0.0.0.0:0: 0.0.0.0 is no loopback address"),
        (["serve", "--store", "postgres://x"], "unknown store scheme 'postgres'; known are sqlite, memory, redis"),
        (["serve", "--store", "ojs.db"], "unknown store scheme; known are sqlite, memory, redis, rediss, unix, as in sqlite:///"),
        (["serve", "--store", "memory:?x=1"], "unknown option 'x'"),
        (["serve", "--store", "memory:", "--processes", "2"], "a store in memory is private to one process"),
        (["health", "--grpc", "nowhere"], "--grpc=nowhere: must be HOST:PORT"),
        (["health", "--timeout-seconds", "0"], "must be a positive number"),
        (["demo", "--jobs", "3"], "--jobs=3: must be from 20"),
        (["demo", "--store", "postgres://x"], "unknown store scheme"),
    ],
)
def test_a_bad_command_line_is_status_2(arguments: list[str], line: str) -> None:
    """Whoever starts it made a mistake, and trying again will not help."""
    done = run(*arguments)

    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
    assert done.stderr.startswith("ojs-grpc: ")
    assert line in done.stderr


def test_a_bad_variable_is_named() -> None:
    """The value came from somewhere else than the command line."""
    done = run("serve", OJS_GRPC_LOG_LEVEL="loud")

    assert done.returncode == 2
    assert done.stderr == "ojs-grpc: OJS_GRPC_LOG_LEVEL=loud: must be one of debug, info, warning, error\n"


@pytest.mark.parametrize("processes", ["1", "2"])
def test_an_address_in_use_is_status_1(processes: str, tmp_path: Path) -> None:
    """With the cause, and without the notes of gRPC's core. Processes that share a port don't join strangers."""
    with socket.socket() as taken:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        store = f"sqlite:///{tmp_path}/jobs.db"
        done = run("serve", "--store", store, "--grpc", address, "--http", "off", "--processes", processes)

    assert done.returncode == 1
    assert done.stderr == f"ojs-grpc: cannot start: cannot listen on {address}: Address already in use\n"


@pytest.mark.parametrize(
    ("store", "words"),
    [
        ("redis://127.0.0.1:1", "Redis is unreachable"),
        ("unix:///nowhere/redis.sock", "Redis is unreachable"),
        ("sqlite:////nowhere/jobs.db", "/nowhere"),
        ("sqlite:////proc/jobs.db", "/proc"),
    ],
)
def test_a_store_that_cannot_be_opened_is_status_1(store: str, words: str) -> None:
    """The line names the cause and the place."""
    done = run("serve", "--store", store, "--grpc", "127.0.0.1:0", "--http", "127.0.0.1:0")

    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert done.stderr.startswith("ojs-grpc: cannot start: ")
    assert words in done.stderr


def test_processes_that_cannot_start_are_not_tried_again() -> None:
    """The next try would meet the same; a process that dies later is another matter."""
    ports = ("--grpc", "127.0.0.1:0", "--http", "127.0.0.1:0")
    done = run("serve", "--store", "unix:///nowhere/redis.sock", *ports, "--processes", "2")

    assert done.returncode == 1
    assert 1 <= done.stderr.count("Redis is unreachable") <= 2


def test_a_file_that_is_no_database_is_refused(tmp_path: Path) -> None:
    """Nothing is written to it."""
    file = tmp_path / "notes.txt"
    file.write_text("not a database, but quite long enough to have been one if somebody had wanted it to be\n" * 20)

    done = run("serve", "--store", f"sqlite:///{file}", "--grpc", "127.0.0.1:0", "--http", "127.0.0.1:0")

    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert file.read_text().startswith("not a database")
