"""The programs and commands of the README, taken out of it."""

import json
import re
import shutil
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
ADDRESS = "127.0.0.1:9090"


def blocks(language: str) -> list[str]:
    """All blocks of code in that language."""
    return re.findall(rf"^```{language}\n(.*?)^```", (ROOT / "README.md").read_text(), re.MULTILINE | re.DOTALL)


def program(containing: str) -> str:
    """The Python block that contains this text."""
    (found,) = [block for block in blocks("python") if containing in block]
    return found


def sessions(command: str) -> list[tuple[str, str]]:
    """Every `$ command ...` in a console block, with the output that stands below it."""
    found = []
    for block in blocks("console"):
        for entry in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
            match = re.match(r"((?:[^\n]*\\\n)*[^\n]*)\n(.*)", entry, re.DOTALL)
            if match and match[1].startswith(command):
                found.append((match[1], match[2]))
    return found


def grpcurl() -> str | None:
    """Where grpcurl is, if it is installed; `scripts/test` puts it beside Python."""
    beside = Path(sys.executable).with_name("grpcurl")
    return str(beside) if beside.exists() else shutil.which("grpcurl")


def masked(text: str) -> Any:  # noqa: ANN401 - any JSON
    """JSON without what differs from run to run: ids, times, leases."""
    text = re.sub(r'"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f-]{22}"', '"ID"', text)
    text = re.sub(r'"\d{4}-\d\d-\d\dT[\d:.]+Z"', '"TIME"', text)
    text = re.sub(r'"lease": "\d+"', '"lease": "LEASE"', text)
    return json.loads(text)
