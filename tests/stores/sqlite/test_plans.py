"""How SQLite finds what statements ask for: by an index, whatever a table holds."""

import re
import sqlite3
from pathlib import Path

import pytest

from ojs_grpc.stores import sqlite
from ojs_grpc.stores.sqlite.statements import load, script

_STATEMENTS = {
    f"{file.stem}.{name}": statement
    for file in sorted(Path(sqlite.__file__).parent.glob("*.sql"))
    for name, statement in load(file.stem).items()
}

# Few rows (queues), or rows that one statement has in its hands.
_SMALL = ("SCAN queues", "SCAN done ", "SCAN due ", "SCAN CONSTANT ROW", "SCAN (")

# They read one end of a table, up to a limit.
_AT_AN_END = {"events.write", "events.last", "events.newest", "workflows.noted"}

# A place in an order, given from outside: `seq > :last`, `(ended_at, seq) < (:mark, :last)`. Not with columns that say
# who is wanted, not where to begin.
_BOUND = re.compile(
    r"(?<![\w.])(?!expires_at >|finished|dead|total|longest)(\w+|\(\w+, \w+\)) ([<>])=? "
    r"(?::\w+\b|\?|\(:\w+, :\w+\))(?! OR| -)"
)


@pytest.mark.parametrize("name", sorted(_STATEMENTS))
def test_an_index_serves(name: str) -> None:
    """No statement walks through a table that grows with jobs, nor sorts what it finds."""
    statement = _STATEMENTS[name].replace("[changes]", "active = ?1")

    steps = _plan(statement)

    assert not [step for step in steps if "TEMP B-TREE" in step]
    # Of a pair as bound, an index whose second column is the key itself serves only the first half.
    assert " key) >" not in statement
    if name not in _AT_AN_END:
        walks = [step for step in steps if step.startswith("SCAN") and not step.startswith(_SMALL)]
        assert not [step for step in walks if "INDEX" not in step]


@pytest.mark.parametrize("name", sorted(name for name, statement in _STATEMENTS.items() if _BOUND.search(statement)))
def test_what_comes_next_is_found_at_once(name: str) -> None:
    """The index leads to the place behind a cursor: what earlier pages had is not walked through again."""
    steps = " ".join(_plan(_STATEMENTS[name]))

    for column, comparison in _BOUND.findall(_STATEMENTS[name]):
        # Plans call a key that is a number by its other name.
        places = (column.replace(" ", ""), "rowid")
        assert any(f"{place}{comparison}" in steps for place in places)


def _plan(statement: str) -> list[str]:
    """The steps of a statement on empty tables."""
    named = set(re.findall(r":(\w+)", statement))
    # `?` follows the highest `?1`.
    count = max([int(number) for number in re.findall(r"\?(\d)", statement)], default=0)
    count += len(re.findall(r"\?(?!\d)", statement))
    db = sqlite3.connect(":memory:")
    db.executescript(script("schema"))
    values = dict.fromkeys(named, 1) if named else [1] * count
    return [detail for *_, detail in db.execute(f"EXPLAIN QUERY PLAN {statement}", values)]
