"""Typed access to the members of a JSON object (wire section 2.7): strict, and every broken rule is collected."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

from ojs_grpc.errors import InvalidRequest, Violation

MAX_INT32: Final = (1 << 31) - 1
MIN_INT32: Final = -(1 << 31)

_MANY: Final = 100
_NAME_CHARS: Final = 200


class Members:
    """Reads the members of one object.

    Of a member with several names the first one that is there counts; one that is null is absent. Each reader gives
    None for a member that is absent, and for one that breaks a rule, which is then noted. A boolean is no number; 1.0
    is a whole number.

    Args:
        members: the object.
        field: where it stands in the request, such as `options.retry`; empty for the whole.
        broken: where broken rules are noted.
    """

    def __init__(self, members: Mapping[str, Any], field: str = "", broken: list[Violation] | None = None) -> None:
        self.members = members
        self.field = field
        self.broken: list[Violation] = [] if broken is None else broken

    def path(self, name: str) -> str:
        """Where a member stands in the request."""
        return f"{self.field}.{name}" if self.field else name

    def refuse(self, name: str, rule: str) -> None:
        """Notes that a member breaks a rule, unless there are many of them; of a name that is long, the beginning."""
        if len(self.broken) < _MANY:
            self.broken.append(Violation(self.path(name[:_NAME_CHARS]), rule))

    def finish(self) -> None:
        """Ends the reading.

        Raises:
            InvalidRequest: rules were broken.
        """
        if self.broken:
            raise InvalidRequest(self.broken)

    def name_of(self, *names: str) -> str:
        """The first of the names that is there; empty if none is."""
        for name in names:
            if self.members.get(name) is not None:
                return name
        return ""

    def text(self, *names: str) -> str | None:
        """A string."""
        text: str | None = self._read(names, lambda value: type(value) is str, "must be a string")
        return text

    def required_text(self, *names: str) -> str:
        """A string that must be there and not be empty; empty if it breaks that."""
        if not self.name_of(*names):
            self.refuse(names[0], "is required")
            return ""
        value = self.text(*names)
        if value == "":
            self.refuse(self.name_of(*names), "must not be empty")
        return value or ""

    def truth(self, *names: str) -> bool | None:
        """True or false."""
        truth: bool | None = self._read(names, lambda value: type(value) is bool, "must be true or false")
        return truth

    def number(self, *names: str) -> float | None:
        """A number."""
        value = self._read(names, lambda value: type(value) in {int, float}, "must be a number")
        try:
            return None if value is None else float(value)
        except OverflowError:
            self.refuse(self.name_of(*names), "is beyond what a double can say")
            return None

    def whole(self, *names: str, low: int = MIN_INT32, high: int = MAX_INT32) -> int | None:
        """A whole number within bounds."""
        rule = f"must be a whole number from {low} to {high}"
        value = self._read(names, lambda value: is_whole(value) and low <= value <= high, rule)
        return None if value is None else int(value)

    def object(self, *names: str) -> dict[str, Any] | None:
        """An object."""
        members: dict[str, Any] | None = self._read(names, lambda value: type(value) is dict, "must be an object")
        return members

    def array(self, *names: str) -> list[Any] | None:
        """An array."""
        array: list[Any] | None = self._read(names, lambda value: type(value) is list, "must be an array")
        return array

    def texts(self, *names: str) -> list[str] | None:
        """An array of strings."""
        texts: list[str] | None = self._read(
            names,
            lambda value: type(value) is list and all(type(item) is str for item in value),
            "must be an array of strings",
        )
        return texts

    def _read(self, names: Iterable[str], fits: Callable[[Any], bool], rule: str) -> Any:  # noqa: ANN401
        name = self.name_of(*names)
        if not name:
            return None
        value = self.members[name]
        if fits(value):
            return value
        self.refuse(name, rule)
        return None


def is_whole(value: Any) -> bool:  # noqa: ANN401 - any JSON value
    """Whether a JSON value is a whole number, be it written as 1 or as 1.0."""
    return type(value) is int or (type(value) is float and value.is_integer())


def error_at(error: InvalidRequest, field: str, details: Mapping[str, str] | None = None) -> InvalidRequest:
    """The same error, its fields beginning at `field`: `type` becomes `jobs[3].type`.

    Args:
        details: facts to add.
    """
    violations = [Violation(f"{field}.{path}", rule) for path, rule in error.violations]
    return type(error)(violations, {**error.details, **(details or {})})
