"""The Lua commands in `lua/`, with what they include."""

import re
from functools import cache
from hashlib import sha1
from pathlib import Path
from typing import Any, Final, NamedTuple

from redis.exceptions import NoScriptError

from ojs_grpc.stores.redis.connection import Connections

FOLDER: Final = Path(__file__).parent / "lua"
_INCLUDE = re.compile(r"^-- @(include|module) (\w+)\n", re.MULTILINE)
# A script makes all its functions anew whenever it runs, which costs more than what plain jobs need of them.
_MODULE = """
local {name} = (function()
  local made
  return function()
    if not made then
      made = (function()
{text}
      end)()
    end
    return made
  end
end)()
"""


class Script(NamedTuple):
    """A Lua command, and the name that Redis knows it by."""

    text: str
    digest: str


@cache
def load(name: str) -> Script:
    """Reads a command; each of its includes stands in it once, before its first use.

    A module is an include that most runs don't need: it ends by returning its functions in a table, which the function
    of its name makes when it is first called. What a module includes, others don't see.
    """
    text = resolve((FOLDER / f"{name}.lua").read_text(encoding="utf-8"), set())
    return Script(text, sha1(text.encode(), usedforsecurity=False).hexdigest())


def resolve(text: str, included: set[str]) -> str:
    """Puts in what is not among `included`, and adds that to it."""

    def include(match: re.Match[str]) -> str:
        kind, part = match.groups()
        if part in included:
            return ""
        included.add(part)
        body = (FOLDER / "includes" / f"{part}.lua").read_text(encoding="utf-8")
        if kind == "module":
            return _MODULE.format(name=part, text=resolve(body, set(included)))
        return resolve(body, included)

    return _INCLUDE.sub(include, text)


class Scripts:
    """Runs the commands."""

    def __init__(self, connections: Connections) -> None:
        self._connections = connections

    async def run(self, name: str, keys: list[str], arguments: list[str | bytes | int]) -> Any:  # noqa: ANN401 - the command's header says what
        """Runs one command; raises what `Connections.call` does."""
        script = load(name)
        try:
            return await self._connections.call("EVALSHA", script.digest, len(keys), *keys, *arguments)
        except NoScriptError:
            # A Redis that was restarted has forgotten it, and has executed nothing.
            return await self._connections.call("EVAL", script.text, len(keys), *keys, *arguments)
