"""The Lua commands as text: headers, includes, names, numbers."""

import re
from pathlib import Path

import pytest
from ojs_grpc_pb.v1.worker_pb2 import WORKER_STATE_QUIET

from ojs_grpc.core import states
from ojs_grpc.stores.redis import keys, scripts

COMMANDS = sorted(scripts.FOLDER.glob("*.lua"))
INCLUDES = sorted((scripts.FOLDER / "includes").glob("*.lua"))


@pytest.mark.parametrize("path", COMMANDS, ids=lambda path: path.stem)
def test_a_command_says_what_it_does(path: Path) -> None:
    """A header names what a command does, its keys and its result."""
    header = re.split(r"^$", re.sub(r"^--$", "-", path.read_text(), flags=re.MULTILINE), flags=re.MULTILINE)[0]

    assert re.match(r"-- [A-Z].*\.", header, re.DOTALL)
    assert "-- KEYS" in header
    assert "-- Result" in header


@pytest.mark.parametrize("path", COMMANDS, ids=lambda path: path.stem)
def test_what_is_included_stands_once(path: Path) -> None:
    """Includes of includes are resolved, and no function stands twice."""
    text = scripts.load(path.stem).text

    functions = re.findall(r"^local function (\w+)", text, re.MULTILINE)
    assert "@include" not in text
    assert len(functions) == len(set(functions))


def test_every_include_is_used() -> None:
    """No include is left over."""
    texts = [path.read_text() for path in (*COMMANDS, *INCLUDES)]

    assert all(any(f"-- @include {path.stem}\n" in text for text in texts) for path in INCLUDES)


def test_states_have_their_values() -> None:
    """Lua's numbers of the states are the protocol's."""
    text = (scripts.FOLDER / "includes" / "states.lua").read_text()
    pairs = re.findall(r"^local (.*) = (.*)$", text, re.MULTILINE)
    names = ", ".join(left for left, _ in pairs).split(", ")
    numbers = ", ".join(right for _, right in pairs).split(", ")

    assert {name: int(number) for name, number in zip(names, numbers, strict=True)} == {
        states.state_name(state).upper(): state for state in states.ALL
    }
    assert f"local WORKER_STATE_QUIET = {WORKER_STATE_QUIET}\n" in (scripts.FOLDER / "claim.lua").read_text()


def test_key_names_are_known() -> None:
    """Every name that a command puts behind a prefix is listed in keys.py, and every listed one is used."""
    lua = "\n".join(path.read_text() for path in (*COMMANDS, *INCLUDES))
    used = set(re.findall(r"(?:prefix|own|9\)|\}:') ?\.\. '([a-z]+)", lua)) | set(
        re.findall(r"\}:([a-z]+):' \.\.", lua)
    )
    source = Path(keys.__file__).read_text()
    listed = {
        name
        for line in re.findall(r"^    (\S.*?) {1,}(?:string|hash|zset|set|list) ", source, re.MULTILINE)
        for name in re.findall(r"([a-z]+)(?::<\w+>)?", line.replace("<", ":<").replace("::<", ":<"))
    }
    made_in_python = {"places", "idem", "claimed", "queues"}

    assert used <= listed
    assert listed - made_in_python <= used
