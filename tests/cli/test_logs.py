"""Logs: one line an event on standard error, for people or for machines."""

import json
import subprocess
import sys

import pytest

_PROGRAM = """
import logging, sys, warnings, structlog
from ojs_grpc.cli.logs import configure_logs
configure_logs(sys.argv[1], "info")
log = structlog.get_logger()
log.debug("hidden")
log.info("one event", port=1)
try:
    1 / 0
except ZeroDivisionError:
    log.exception("failed")
logging.getLogger("some.library").warning("from %s", "a library")
logging.getLogger("some.library").info("hidden")
warnings.warn("careful")
"""


def lines(log_format: str) -> list[str]:
    """What a program writes to standard error that logs in several ways."""
    done = subprocess.run(
        [sys.executable, "-c", _PROGRAM, log_format], capture_output=True, text=True, check=True
    )
    assert done.stdout == ""
    return done.stderr.splitlines()


def test_json_is_one_object_a_line() -> None:
    """Also exceptions, other people's logs, and warnings."""
    events = [json.loads(line) for line in lines("json")]

    assert [event["level"] for event in events] == ["info", "error", "warning", "warning"]
    assert all(event["timestamp"].endswith("Z") for event in events)
    assert (events[0]["event"], events[0]["port"]) == ("one event", 1)
    assert "ZeroDivisionError" in events[1]["exception"]
    assert events[2]["event"] == "from a library"
    assert "careful" in events[3]["event"]


def test_console_is_text_without_colours_where_there_is_no_terminal() -> None:
    """Files and pipes get no control characters."""
    text = "\n".join(lines("console"))

    assert "one event" in text
    assert "port=1" in text
    assert "ZeroDivisionError" in text
    assert "from a library" in text
    assert "hidden" not in text
    assert "\x1b" not in text


@pytest.mark.parametrize("log_format", ["json", "console"])
def test_less_is_shown_when_less_is_wanted(log_format: str) -> None:
    """Levels below the chosen one are silent."""
    program = _PROGRAM.replace('"info")', '"error")', 1)
    done = subprocess.run([sys.executable, "-c", program, log_format], capture_output=True, text=True, check=True)

    assert "one event" not in done.stderr
    assert "failed" in done.stderr
