"""Stories that are played on a store and the model of it, side by side."""

from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import initialize, rule

from tests.store.machine import plans
from tests.store.machine.checks import Checks
from tests.store.machine.duties import DutySteps
from tests.store.machine.jobs import Plan


class StoreMachine(DutySteps, Checks):
    """Any steps in any order, and what must be true after each."""

    @initialize(jobs=st.lists(plans.new_jobs, min_size=4, max_size=8))
    def begin(self, jobs: list[Plan]) -> None:
        self.enqueue(jobs)

    @rule(steps=st.lists(plans.steps, min_size=1, max_size=6))
    def play(self, steps: list[tuple[str, tuple[Any, ...]]]) -> None:
        """Any steps in any order. Rules of their own would be rarer: Hypothesis leaves half of them out of a story."""
        for name, arguments in steps:
            getattr(self, name)(*arguments)
