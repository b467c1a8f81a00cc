"""The programs and commands of the README, taken out of it."""

import json
import re
import shutil
import sys
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).parents[2]
ADDRESS = "127.0.0.1:9090"
HTTP_ADDRESS = "127.0.0.1:8080"


def blocks(language: str) -> list[str]:
    """All blocks of code in that language."""
    return re.findall(rf"^```{language}\n(.*?)^```", (ROOT / "README.md").read_text(), re.MULTILINE | re.DOTALL)


def program(containing: str) -> str:
    """The Python block that contains this text."""
    (found,) = [block for block in blocks("python") if containing in block]
    return found


class Step(NamedTuple):
    """A command as the README shows it, and what it prints."""

    command: str
    output: str


def steps() -> list[Step]:
    """Every `$ command` in a console block, with the output that stands below it; a command goes on where indented."""
    found = []
    for block in blocks("console"):
        for entry in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
            match = re.match(r"([^\n]*(?:\n {4}[^\n]*)*)\n?(.*)", entry, re.DOTALL)
            if match:
                found.append(Step(match[1], match[2]))
    return found


def tour() -> tuple[str, list[Step]]:
    """The tour: the shell function that it begins with, and the steps that use it."""
    everything = steps()
    (definition,) = [step.command for step in everything if step.command.startswith("ojs() {")]
    rest = [step for step in everything if step.command != definition]
    return definition, [step for step in rest if "ojs " in step.command or step.command.startswith("curl ")]


def grpcurl() -> str | None:
    """Where grpcurl is, if it is installed; `scripts/test` puts it beside Python."""
    beside = Path(sys.executable).with_name("grpcurl")
    return str(beside) if beside.exists() else shutil.which("grpcurl")


def masked(text: str) -> list[Any]:
    """JSON values without what differs from run to run: ids, times, leases."""
    text = re.sub(r'"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f-]{22}"', '"ID"', text)
    text = re.sub(r'"\d{4}-\d\d-\d\dT[\d:.]+Z"', '"TIME"', text)
    text = re.sub(r'"lease": "\d+"', '"lease": "LEASE"', text)
    values, decoder = [], json.JSONDecoder()
    while text := text.lstrip():
        value, end = decoder.raw_decode(text)
        values.append(value)
        text = text[end:]
    return values
