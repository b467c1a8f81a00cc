"""What `--help` and `--version` say, and how quickly."""

import subprocess
import sys

import pytest

from ojs_grpc import __version__, config
from ojs_grpc.cli.main import main
from tests.cli.running import run


def test_the_version_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    """For bug reports."""
    with pytest.raises(SystemExit) as done:
        main(["--version"])
    assert done.value.code == 0
    assert capsys.readouterr().out == f"ojs-grpc {__version__}\n"


@pytest.mark.parametrize("command", ["serve", "health", "demo"])
def test_every_command_is_listed_and_explained(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    """`ojs-grpc --help` leads to `ojs-grpc COMMAND --help`."""
    for arguments in (["--help"], [command, "--help"]):
        with pytest.raises(SystemExit) as done:
            main(arguments)
        assert done.value.code == 0
        assert command in capsys.readouterr().out


def test_serve_documents_every_setting(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Flag, meaning, default and variable stand together."""
    monkeypatch.setenv("COLUMNS", "400")
    with pytest.raises(SystemExit):
        main(["serve", "--help"])
    text = " ".join(capsys.readouterr().out.split())
    for setting in config.settings():
        assert f"{setting.help} [{setting.default}; {setting.variable}]" in text
        assert setting.flag in text


def test_a_missing_command_is_status_2(capsys: pytest.CaptureFixture[str]) -> None:
    """As every wrong command line."""
    with pytest.raises(SystemExit) as done:
        main([])
    assert done.value.code == 2
    assert "COMMAND" in capsys.readouterr().err


def test_flags_are_not_guessed(capsys: pytest.CaptureFixture[str]) -> None:
    """A new flag would change what an abbreviation means."""
    with pytest.raises(SystemExit) as done:
        main(["serve", "--drain", "3"])
    assert done.value.code == 2
    assert "--drain" in capsys.readouterr().err


def loaded(module: str) -> set[str]:
    """Which libraries come with a module."""
    libraries = ("grpc", "google.protobuf", "redis", "rich", "sqlite3", "structlog", "uvloop")
    code = f"import sys, {module}; print(*[name for name in {libraries} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


def test_the_command_line_loads_no_libraries() -> None:
    """`--help` and completion are quick."""
    assert loaded("ojs_grpc.cli.main") == set()


def test_the_parent_of_processes_loads_no_grpc() -> None:
    """Nothing of grpc survives in a child."""
    assert loaded("ojs_grpc.cli.processes").isdisjoint({"grpc", "google.protobuf", "uvloop"})


@pytest.mark.slow
def test_the_installed_command_is_this_one() -> None:
    """The entry point of the package."""
    assert run("--version").stdout == f"ojs-grpc {__version__}\n"
