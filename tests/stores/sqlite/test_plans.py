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


@pytest.mark.parametrize("name", sorted(_STATEMENTS))
def test_an_index_serves(name: str) -> None:
    """No statement walks through a table that grows with jobs, nor sorts what it finds."""
    statement = _STATEMENTS[name].replace("[changes]", "active = ?1")
    named = set(re.findall(r":(\w+)", statement))
    # `?` follows the highest `?1`.
    count = max([int(number) for number in re.findall(r"\?(\d)", statement)], default=0)
    count += len(re.findall(r"\?(?!\d)", statement))
    db = sqlite3.connect(":memory:")
    db.executescript(script("schema"))

    plan = db.execute(
        f"EXPLAIN QUERY PLAN {statement}", dict.fromkeys(named, 1) if named else [1] * count
    ).fetchall()

    steps = [detail for *_, detail in plan]
    assert not [step for step in steps if "TEMP B-TREE" in step]
    # Of a pair as bound, an index whose second column is the key itself serves only the first half.
    assert " key) >" not in statement
    if name not in _AT_AN_END:
        walks = [step for step in steps if step.startswith("SCAN") and not step.startswith(_SMALL)]
        assert not [step for step in walks if "INDEX" not in step]
