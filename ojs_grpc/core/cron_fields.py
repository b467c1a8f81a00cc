"""The grammar of cron expressions (behaviour section 5.2): what is allowed, in one plain form.

Five fields, or six with leading seconds; names in any case; Sunday is 0 or 7; `L`, `W` and `#` in the days; macros.
What calendars know beyond that (ranges that go backwards, years, hashed or random values, `TZ=`) is refused.
"""

import re
from collections.abc import Iterable
from typing import NamedTuple

MACROS = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}

_FIELD = re.compile(r"[^ \t]+")
_ITEM = re.compile(r"(?P<low>\*|[0-9]+|[a-z]+)(-(?P<high>[0-9]+|[a-z]+))?(/(?P<step>[0-9]+))?(#(?P<nth>[1-5]))?")
_NEAREST_WEEKDAY = re.compile(r"0*([1-9]|[12][0-9]|3[01])w")
_LAST_WEEKDAY = re.compile(r"l([0-7])|([0-7])l")


class _Kind(NamedTuple):
    """What a field counts. `names` are those of the numbers from `first` on."""

    name: str
    first: int
    last: int
    names: tuple[str, ...] = ()


_SECOND = _Kind("second", 0, 59)
_MINUTE = _Kind("minute", 0, 59)
_HOUR = _Kind("hour", 0, 23)
_DAY = _Kind("day of month", 1, 31)
_MONTH = _Kind("month", 1, 12, ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"))
_WEEKDAY = _Kind("day of week", 0, 6, ("sun", "mon", "tue", "wed", "thu", "fri", "sat"))
_KINDS = (_SECOND, _MINUTE, _HOUR, _DAY, _MONTH, _WEEKDAY)


class Field(NamedTuple):
    """One field.

    Attributes:
        text: `*`, or all its values, one by one: `1,2,3`; beside numbers `l` and `15w` in the day of month, `l5` and
            `1#2` in the day of week.
        starred: as written, it begins with `*`, which to Vixie's cron means that it restricts nothing.
    """

    text: str
    starred: bool


ANY = Field("*", starred=True)


class Fields(NamedTuple):
    """An expression."""

    second: Field
    minute: Field
    hour: Field
    day: Field
    month: Field
    weekday: Field


def read_fields(expression: str) -> Fields:
    """Reads an expression in lower case.

    Raises:
        ValueError: it breaks the grammar; the message is the bare rule.
    """
    texts = _FIELD.findall(MACROS.get(expression, expression))
    if len(texts) == 5:
        texts.insert(0, "0")
    if len(texts) != 6:
        raise ValueError(f"must have five fields, or six with leading seconds, not {len(texts)}")
    return Fields(*(_field(kind, text) for kind, text in zip(_KINDS, texts, strict=True)))


def _field(kind: _Kind, text: str) -> Field:
    if text == "?" and kind in (_DAY, _WEEKDAY):
        return ANY
    if kind is _DAY and (nearest := _NEAREST_WEEKDAY.fullmatch(text)):
        return Field(f"{nearest[1]}w", starred=False)
    numbers: set[int] = set()
    special: list[str] = []
    for item in text.split(","):
        if kind is _DAY and item == "l":
            special.append(item)
        elif kind is _WEEKDAY and (last := _LAST_WEEKDAY.fullmatch(item)):
            special.append(f"l{int(last[1] or last[2]) % 7}")
        else:
            values, nth = _item(kind, item)
            if nth:
                special += [f"{value}#{nth}" for value in values]
            else:
                numbers.update(values)
    if kind is _WEEKDAY and special and numbers:
        raise ValueError("day of week: must not mix plain days with # or L")
    return Field(_plain(kind, numbers, special), starred=text.startswith("*"))


def _plain(kind: _Kind, numbers: set[int], special: Iterable[str]) -> str:
    if len(numbers) > kind.last - kind.first:
        return "*"
    return ",".join([*map(str, sorted(numbers)), *sorted(set(special))])


def _item(kind: _Kind, item: str) -> tuple[set[int], str]:
    """The values of a part between commas, and which of the month's such weekdays are meant."""
    match = _ITEM.fullmatch(item)
    if match is None:
        raise ValueError(f"{kind.name}: {item!r} is no value, range or step")
    low, high, step, nth = match["low"], match["high"], match["step"], match["nth"]
    if (low == "*" and (high or nth)) or (nth and (step or kind is not _WEEKDAY)):
        raise ValueError(f"{kind.name}: {item!r} is no value, range or step")
    if low == "*":
        first, last = kind.first, kind.last
    else:
        first = _number(kind, low)
        last = _number(kind, high) if high else kind.last if step else first
        if kind is _WEEKDAY and high and last == 0 < first:
            last = 7  # Sunday ends a week as well as it begins one
    if step and not int(step):
        raise ValueError(f"{kind.name}: the step must be at least 1")
    if last < first:
        raise ValueError(f"{kind.name}: the range {low}-{high} goes backwards")
    values = {value % 7 if kind is _WEEKDAY else value for value in range(first, last + 1, int(step or 1))}
    return values, nth or ""


def _number(kind: _Kind, text: str) -> int:
    """A value; Sunday may be 7."""
    if text in kind.names:
        return kind.first + kind.names.index(text)
    most = kind.last + (kind is _WEEKDAY)
    if not text.isdigit() or not kind.first <= int(text) <= most:
        raise ValueError(f"{kind.name}: {text} is not from {kind.first} to {most}")
    return int(text)
