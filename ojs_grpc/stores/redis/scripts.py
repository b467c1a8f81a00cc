"""The Lua commands in `lua/`, with what they include."""

import re
from functools import cache
from hashlib import sha1
from pathlib import Path
from typing import Any, Final, NamedTuple

from redis.exceptions import NoScriptError

from ojs_grpc.stores.redis.connection import Connections

FOLDER: Final = Path(__file__).parent / "lua"
_INCLUDE = re.compile(r"^-- @include (\w+)\n", re.MULTILINE)


class Script(NamedTuple):
    """A Lua command, and the name that Redis knows it by."""

    text: str
    digest: str


@cache
def load(name: str) -> Script:
    """Reads a command; each of its includes stands in it once, before its first use."""
    included: set[str] = set()

    def resolve(text: str) -> str:
        return _INCLUDE.sub(lambda match: include(match[1]), text)

    def include(part: str) -> str:
        if part in included:
            return ""
        included.add(part)
        return resolve((FOLDER / "includes" / f"{part}.lua").read_text(encoding="utf-8"))

    text = resolve((FOLDER / f"{name}.lua").read_text(encoding="utf-8"))
    return Script(text, sha1(text.encode(), usedforsecurity=False).hexdigest())


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
            await self._connections.call("SCRIPT", "LOAD", script.text)
            return await self._connections.call("EVALSHA", script.digest, len(keys), *keys, *arguments)
