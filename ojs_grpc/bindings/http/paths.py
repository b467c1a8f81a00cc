"""Which route a path leads to."""

import re
from collections.abc import Iterable, Mapping
from types import MappingProxyType
from urllib.parse import unquote

from starlette.routing import compile_path

from ojs_grpc.bindings.http.route import Route

Methods = dict[str, Route]
Parameters = Mapping[str, str]

_NO_PARAMETERS: Parameters = MappingProxyType({})


class Paths:
    """All paths, those without parameters in a dictionary.

    Paths are matched as they are sent: a slash within a parameter is written `%2F`.
    """

    def __init__(self, routes: Iterable[Route]) -> None:
        self._exact: dict[str, Methods] = {}
        self._patterns: dict[str, dict[re.Pattern[str], Methods]] = {}
        for route in routes:
            methods = self._methods(route.path)
            if route.method in methods:
                raise ValueError(f"{route.method} {route.path} twice")
            methods[route.method] = route

    def find(self, path: str) -> tuple[Methods, Parameters]:
        """The routes of a path by method, none for a path that nobody has; and its parameters, decoded."""
        if methods := self._exact.get(path):
            return methods, _NO_PARAMETERS
        for pattern, methods in self._patterns.get(_head(path), {}).items():
            if match := pattern.match(path):
                return methods, {name: unquote(text) for name, text in match.groupdict().items()}
        if path.startswith("//"):
            # From clients whose base address ends with a slash.
            return self.find("/" + path.lstrip("/"))
        return {}, _NO_PARAMETERS

    def _methods(self, path: str) -> Methods:
        if "{" not in path:
            return self._exact.setdefault(path, {})
        pattern, _, _ = compile_path(path)
        head = _head(path)
        if "{" in head:
            raise ValueError(f"{path}: a parameter must not stand before the fourth slash")
        # Equal patterns are one object: `re` keeps what it has compiled.
        return self._patterns.setdefault(head, {}).setdefault(pattern, {})


def _head(path: str) -> str:
    """What stands before the fourth slash, such as `/ojs/v1/jobs`: few patterns have the same."""
    return "/".join(path.split("/", 4)[:4])
