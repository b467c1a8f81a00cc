#!/usr/bin/env python3
"""Writes `docs/state_machine.md` from the transition table in `ojs_grpc/core/lifecycle.py`.

scripts/gen_state_machine.py            write the document
scripts/gen_state_machine.py --check    compare only; exit 1 when the committed document differs
"""

import argparse
import sys
from pathlib import Path

from ojs_grpc.core import states
from ojs_grpc.core.lifecycle import TRANSITIONS, Trigger
from ojs_grpc.core.states import state_name

DOCUMENT = Path(__file__).resolve().parent.parent / "docs" / "state_machine.md"

FIRST = {
    states.AVAILABLE: "enqueue",
    states.SCHEDULED: "enqueue, not yet",
    states.PENDING: "enqueue, to be activated",
}

HEAD = """\
# The state machine

Written by `scripts/gen_state_machine.py` from the table in `ojs_grpc/core/lifecycle.py`; do not edit.
"""
TABLE_HEAD = """\
Everything that can happen to a job, and what becomes of it. Where a cell is empty, the call is refused with
`FAILED_PRECONDITION`, reason `invalid_state`, and nothing changes.
"""
NOTES = """\
- *ack* of an available job is the late ack: the lease has ended, nobody has claimed the job since, and the caller
  proves with its lease number that it was the last one to hold it.
- *dead letter retry* is for jobs listed among the dead letters. Other discarded jobs are final, as are completed and
  cancelled ones.
- *time to live passed* ends only what no worker ever got.
"""


def main() -> int:
    """Writes or compares; returns the exit status."""
    parser = argparse.ArgumentParser(description="Write docs/state_machine.md.")
    parser.add_argument("--check", action="store_true", help="compare only; exit 1 when the document differs")
    text = render()
    if not parser.parse_args().check:
        DOCUMENT.write_text(text)
        return 0
    if DOCUMENT.exists() and DOCUMENT.read_text() == text:
        return 0
    print(f"{DOCUMENT.name} differs from the transition table; run scripts/gen_state_machine.py", file=sys.stderr)
    return 1


def render() -> str:
    """The document."""
    return f"{HEAD}\n{diagram()}\n{TABLE_HEAD}\n{table()}\n{NOTES}"


def diagram() -> str:
    """The table as a picture, in Mermaid's words."""
    lines = [f"    [*] --> {state_name(state)}: {how}" for state, how in FIRST.items()]
    lines += [f"    {state_name(rule.source)} --> {state_name(rule.target)}: {rule.trigger}" for rule in TRANSITIONS]
    lines += [f"    {state_name(state)} --> [*]" for state in states.ALL if state in states.TERMINAL]
    return "\n".join(["```mermaid", "stateDiagram-v2", *lines, "```", ""])


def table() -> str:
    """A row for each trigger, a column for each state that is not final for good."""
    sources = [state for state in states.ALL if any(rule.source == state for rule in TRANSITIONS)]
    head = ["what happens", *(state_name(state) for state in sources)]
    rows = [[str(trigger), *(_target(state, trigger) for state in sources)] for trigger in Trigger]
    lines = [head, ["---"] * len(head), *rows]
    return "".join(f"| {' | '.join(cells)} |\n" for cells in lines)


def _target(source: int, trigger: Trigger) -> str:
    """What a cell says."""
    targets = (rule.target for rule in TRANSITIONS if (rule.source, rule.trigger) == (source, trigger))
    return next(map(state_name, targets), "")


if __name__ == "__main__":
    sys.exit(main())
