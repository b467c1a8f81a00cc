"""SQL lives in files: `-- name: x` heads a statement, `{AVAILABLE}` stands for a state's number."""

import json
import re
import sqlite3
from collections.abc import Mapping, Sequence
from functools import cache
from importlib.resources import files
from itertools import chain
from typing import Any

from ojs_grpc.core import states
from ojs_grpc.stores.sqlite.record import RECORD_COLUMNS

FOREVER = 2**62
"""A time that never comes, also after a lease has been added to it."""

blob = bytearray
"""Makes bytes a statement's parameter, where many are written: Python's module asks whether `bytes` have an adapter,
which costs as much as storing a small row, and doesn't ask of this type."""

_NAME = re.compile(r"^-- name: (\w+)\n", re.MULTILINE)
_WORDS = {
    "{RECORD}": RECORD_COLUMNS,
    **{f"{{{states.state_name(state).upper()}}}": str(state) for state in states.ALL},
    "{TIMES_OUT_AT}": "(started_at + timeout_ms)",
}


def script(name: str) -> str:
    """The text of a file, its words replaced."""
    text = files(__package__).joinpath(f"{name}.sql").read_text("utf-8")
    for word, meaning in _WORDS.items():
        text = text.replace(word, meaning)
    return text


def load(name: str) -> Mapping[str, str]:
    """The statements of a file by their names."""
    parts = _NAME.split(script(name))[1:]
    return {name: text.strip() for name, text in zip(parts[::2], parts[1::2], strict=True)}


# Up to here, a statement for each id is quicker than one for all.
_FEW = 3


def rows_by_id(db: sqlite3.Connection, statement: str, ids: Sequence[str]) -> dict[str, list[Any]]:
    """What a statement finds for each of these ids, the id itself left out.

    Args:
        statement: selects the id first, and says `id = ?`.
    """
    if len(ids) <= _FEW:
        rows = [row for id_ in ids for row in db.execute(statement, (id_,))]
    else:
        rows = db.execute(_for_many(statement), (json.dumps(ids),)).fetchall()
    return {id_: rest for id_, *rest in rows}


# Rows that one statement takes at most: a row costs half of what it costs with a statement of its own, and more save
# nothing.
_MOST_ROWS = 64
_VALUES = re.compile(r"VALUES (\([?, ]+\))")


def execute_rows(
    db: sqlite3.Connection, statement: str, rows: Sequence[Sequence[object]], common: Sequence[object] = ()
) -> None:
    """Does for many rows what a statement does for one, as `executemany` does, many rows at once.

    Args:
        statement: says `VALUES (?, ...)` once.
        rows: small ones; a statement, kept for its next use, keeps a copy of what it was given.
        common: what the statement calls `?1`, `?2` and so on, for all rows.
    """
    start = 0
    while start < len(rows):
        # Powers of two, so that there are few statements to prepare.
        size = min(_MOST_ROWS, 1 << (len(rows) - start).bit_length() - 1)
        db.execute(_for_many_rows(statement, size), [*common, *chain.from_iterable(rows[start : start + size])])
        start += size


@cache
def _for_many_rows(statement: str, count: int) -> str:
    return _VALUES.sub(lambda found: f"VALUES {', '.join([found[1]] * count)}", statement)


@cache
def _for_many(statement: str) -> str:
    return statement.replace("id = ?", "id IN (SELECT value FROM json_each(?))")
