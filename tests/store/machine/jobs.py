"""What can be done to jobs."""

from collections.abc import Callable, Sequence
from typing import Any

from ojs_grpc_pb.v1.job_pb2 import Job, JobError, RetryPolicy

from ojs_grpc.core import ids, lifecycle
from ojs_grpc.core.envelope import NewJob
from ojs_grpc.core.events import Kind, NewEvent
from ojs_grpc.core.links import Links
from ojs_grpc.core.states import ACTIVE, AVAILABLE, PENDING, RETRYABLE, SCHEDULED
from ojs_grpc.core.transition import Transition
from ojs_grpc.errors import InvalidState
from ojs_grpc.stores.ports import Duplicates, Outcome, Unit, Write
from tests.store.building import LIMITS, job, middle, new_job, unique
from tests.store.machine.base import DOCUMENT, Base

Plan = dict[str, Any]
"""A job to be, as drawn: see `plans.new_jobs`."""


class JobSteps(Base):
    """Enqueueing, changing, promoting."""

    def make(self, plan: Plan, same: Links | None = None) -> NewJob:
        self.number += 1
        partition = ids.partition_of_queue(plan["queue"]) if plan["partition"] is None else plan["partition"]
        later = plan["state"] == SCHEDULED or (plan["state"] == PENDING and plan["workflow"])
        mortal = plan["ttl_ms"] and plan["queue"] != "c"
        message = job(
            plan["queue"],
            job_id_=f"01970000-0000-7000-8000-{self.number:010d}{partition:02x}",
            priority=plan["priority"],
            scheduled_at=self.now + plan["delay_ms"] if later else 0,
            expires_at=self.now + plan["ttl_ms"] if mortal else 0,
            retry=RetryPolicy(max_attempts=plan["max_attempts"], on_exhaustion="dead_letter" if plan["dead"] else ""),
            max_attempts=plan["max_attempts"],
            visibility_ms=plan["visibility_ms"],
            timeout_ms=plan["timeout_ms"],
            workflow_id=plan["workflow"],
        )
        links = Links(plan["workflow"], same and same.unique, plan["limits"])
        return new_job(
            message,
            plan["state"],
            reserved=plan["partition"] is not None,
            links=None if links == Links() else links,
        )

    def insert(self, *units: Unit) -> list[Outcome]:
        """Does the units in one call. Of their changes and writes, none may be about what another one changes."""
        outcomes = self.run(self.store.insert(units, self.now))
        changing = [transition.job_id for unit in units for transition in unit.changes]
        writing = [write.name for unit in units for write in unit.writes]
        found = self.run(self.store.read(changing))
        jobs = {name: Job.FromString(data) for name, data in zip(changing, found, strict=True) if data is not None}
        documents = dict(zip(writing, self.documents(writing), strict=True))
        for unit, outcome in zip(units, outcomes, strict=True):
            self.model.insert(unit, outcome, jobs, documents, self.now)
        return outcomes

    def enqueue(self, jobs: list[Plan]) -> None:
        self.insert(Unit([self.make(plan) for plan in jobs]))

    def enqueue_with_a_taken_id(self, plan: Plan, index: int) -> None:
        old = self.pick(index, lambda _: True)
        if old is not None:
            first, second = self.make({**plan, "partition": 7}), self.make(plan)
            clash = second._replace(id=old.new.id, reserved=True)
            self.insert(Unit([first, clash]), Unit([second]))

    def enqueue_once(self, plan: Plan, policy: tuple[str, Sequence[int], int], conflict: str) -> None:
        """What a caller does who enqueues a job that must be unique."""
        what, wanted, period_ms = policy
        new = self.make(plan, unique(what, states_=frozenset(wanted), period_ms=period_ms))
        (outcome,) = self.insert(Unit([new]))
        if isinstance(outcome, Duplicates) and conflict == "replace":
            twin = Job.FromString(outcome.jobs[0])
            transition = self.decided(twin, "cancel")
            if transition:
                self.insert(Unit([new], changes=[transition]))

    def change_together(self, choices: list[tuple[int, str]], jobs: list[Plan], version: str) -> None:
        """What a workflow does: jobs change, others come, and its document moves on."""
        changes: dict[str, Transition] = {}
        for index, what in choices:
            transition = self.some_change(index, what)
            if transition:
                changes[transition.job_id] = transition
        event = NewEvent(Kind.WORKFLOW_STEP_COMPLETED, "flow", Job(workflow_id="flow").SerializeToString())
        write = Write(DOCUMENT, "flow", self.version("flow", version), b"%d" % self.now)
        self.insert(Unit([self.make(plan) for plan in jobs], None, [*changes.values()], [write], events=[event]))

    def apply(self, transitions: Sequence[Transition]) -> None:
        answers = self.run(self.store.apply(transitions, self.now))
        for transition, data in zip(transitions, answers, strict=True):
            self.model.apply(transition, None if data is None else Job.FromString(data), self.now)

    def decide(self, index: int, what: str) -> None:
        transition = self.some_change(index, what)
        if transition:
            self.apply([transition])

    def decide_from_an_old_reading(self, choices: list[tuple[int, str]]) -> None:
        old = [(self.seen[-1 - 3 * age], what) for age, what in choices if 3 * age < len(self.seen)]
        self.apply([transition for each, what in old if (transition := self.decided(each, what))])

    def some_change(self, index: int, what: str) -> Transition | None:
        row = self.pick(index, lambda row: self.decided(row.job, what) is not None)
        return self.decided(row.job, what) if row else None

    def decided(self, each: Job, what: str) -> Transition | None:
        if (what == "retry dead" and not each.dead_letter) or (what == "expire" and not self.expirable(each)):
            return None
        if what in ("fail", "bury") and each.state != ACTIVE:
            return None
        code = {"fail": "boom", "bury": "DEAD_LETTER"}.get(what, "")
        context = Job()
        context.meta.update({lifecycle.PARENT_STEP_IDS: [str(self.now)]})
        decide: dict[str, Callable[[], Transition]] = {
            "fail": lambda: lifecycle.fail(each, JobError(code=code), self.now, middle, LIMITS),
            "bury": lambda: lifecycle.fail(each, JobError(code=code), self.now, middle, LIMITS),
            "release": lambda: lifecycle.release(each, JobError(message="later"), self.now, LIMITS),
            "cancel": lambda: lifecycle.cancel(each),
            "activate": lambda: lifecycle.activate(each),
            "admit": lambda: lifecycle.admit(each, context, self.now),
            "expire": lambda: lifecycle.expire(each),
            "retry dead": lambda: lifecycle.retry_dead(each),
        }
        try:
            return decide[what]()
        except InvalidState:
            return None

    def expirable(self, each: Job) -> bool:
        return each.HasField("expires_at") and not each.HasField("started_at")

    def version(self, name: str, which: str) -> int | None:
        present = self.model.documents.by_name.get(name)
        right = present.version if present else 0
        return {"right": right, "stale": max(right - 1, 0), "none": 0}.get(which)

    def promote(self, limit: int) -> None:
        before = {row.new.id for row in self.model.within(SCHEDULED, RETRYABLE)}
        promotion = self.run(self.store.promote(self.now, limit))
        promoted = {each.id for each in self.stored(sorted(before)) if each.state == AVAILABLE}
        self.model.promote(promoted, limit, self.now)
        assert promotion.promoted == len(promoted)
