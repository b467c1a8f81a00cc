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
    assert not re.search(r"^-- @", text, re.MULTILINE)
    assert len(functions) == len(set(functions))


def test_every_include_is_used() -> None:
    """No include is left over."""
    texts = [path.read_text() for path in (*COMMANDS, *INCLUDES)]

    wanted = {name for text in texts for name in re.findall(r"^-- @(?:include|module) (\w+)$", text, re.MULTILINE)}
    assert wanted == {path.stem for path in INCLUDES}


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
    used = set(re.findall(r"(?:prefix|own|9\)|ARGV\[arg\]|\}:') ?\.\. '([a-z]+)", lua)) | set(
        re.findall(r"\}:([a-z]+):?'", lua)
    )
    source = Path(keys.__file__).read_text()
    lines = re.findall(r"^    (\S.*?) +(?:string|hash|zset|set|list|stream) ", source, re.MULTILINE)
    listed = {name.partition(":")[0] for line in lines for name in line.split()}
    made_in_python = {"places", "idem", "claimed", "queues", "documents"}

    assert used <= listed
    assert listed - made_in_python <= used


def test_a_module_keeps_its_includes() -> None:
    """What a module includes stands inside it, once, and again for those outside that include it too."""
    text = scripts.resolve("-- @include states\n-- @module links\n-- @include effects\n", set())

    inside, outside = text.split("end)()\n", 1)
    assert text.count("local SCHEDULED, ") == 1
    assert inside.count("local function announce(") == outside.count("local function announce(") == 1
