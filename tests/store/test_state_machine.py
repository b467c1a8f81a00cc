"""Whatever is called in whatever order, every store does what the model says, and nothing is lost."""

import asyncio
import tempfile
from collections.abc import Callable, Coroutine, Sequence
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)
from ojs_grpc_pb.v1.job_pb2 import Job, JobError, RetryPolicy

from ojs_grpc.core import ids, lifecycle
from ojs_grpc.core.envelope import NewJob
from ojs_grpc.core.states import (
    ACTIVE,
    AVAILABLE,
    COMPLETED,
    DISCARDED,
    PENDING,
    RETRYABLE,
    SCHEDULED,
    TERMINAL,
)
from ojs_grpc.core.transition import Transition
from ojs_grpc.errors import DuplicateJob, InvalidState
from ojs_grpc.stores import open_store
from ojs_grpc.stores.ports import Completion, Demand, Retention, Store, Unit
from tests.clock import FakeClock
from tests.redis_server import PrivateRedis
from tests.signals import RecordingSignals
from tests.store.building import LIMITS, MANY_BYTES, QUIET, RUNNING, TERMINATE, job, middle, new_job, reaped
from tests.store.model import Model, Row

T = TypeVar("T")

QUEUES = ["a", "b"]
WORKERS = ["w", "v", ""]
# No two of these times differ by a multiple of one another, and only these two end on 5: nothing is ever due at the
# very moment that retention is about.
STEPS_MS = [10, 400, 3_000, 3_000, 20_000, 30_000, 60_000]
KEPT_MS = 45_005
EVERYTHING = 10_000

workers = st.sampled_from(WORKERS)
queue_orders = st.sampled_from([("a",), ("b",), ("a", "b"), ("b", "a")])
# Which of the jobs that a rule could be about.
nth = st.integers(0, 9)
leases = st.sampled_from(["right", "stale", "none"])
limits = st.sampled_from([1, 2, EVERYTHING])
slots = st.lists(workers, min_size=1, max_size=3)
# For the last two: how long the leases are, and whether one job is all that the answer may hold.
demands = st.tuples(queue_orders, slots, st.sampled_from([0, 0, 400]), st.sampled_from([0, 0, 1]))
decisions = st.sampled_from(["fail", "bury", "release", "cancel", "activate", "expire", "retry dead"])
new_jobs = st.fixed_dictionaries(
    {
        "queue": st.sampled_from(QUEUES),
        "priority": st.sampled_from([0, 0, 1, -1]),
        "state": st.sampled_from([AVAILABLE, AVAILABLE, AVAILABLE, SCHEDULED, PENDING]),
        "delay_ms": st.sampled_from([10, 400, 20_000]),
        "ttl_ms": st.sampled_from([0, 0, 0, 400, 20_000]),
        "max_attempts": st.integers(1, 3),
        "dead": st.booleans(),
        "visibility_ms": st.sampled_from([3_000, 20_000, 60_000]),
        "timeout_ms": st.sampled_from([20_000, 600_000]),
        "partition": st.none() | st.sampled_from([0, 255]),
    }
)


def step(name: str, *arguments: st.SearchStrategy[Any]) -> st.SearchStrategy[tuple[str, tuple[Any, ...]]]:
    """A method of the machine, and what to call it with."""
    return st.tuples(st.just(name), st.tuples(*arguments))


claim = step("claim", st.lists(demands, min_size=1, max_size=3))
work = step("work", workers, st.lists(st.sampled_from(["ack", "fail", "bury", "release", "keep", "keep"]), max_size=4))
ack = step("ack", st.lists(st.tuples(nth, leases, workers), min_size=1, max_size=3))
decide = step("decide", nth, decisions)
states_said = st.sampled_from([*[RUNNING] * 8, QUIET, TERMINATE])
heartbeat = step("heartbeat", workers, states_said, st.none() | nth, leases, st.sampled_from([0, 400, 60_000]))
reap = step("reap", limits, st.none() | workers)
pass_time = step("pass_time", st.sampled_from(STEPS_MS))
# What is named twice happens twice as often.
steps = st.one_of(
    step("enqueue", st.lists(new_jobs, min_size=1, max_size=4)),
    step("enqueue_with_a_taken_id", new_jobs, nth),
    claim,
    claim,
    work,
    work,
    ack,
    ack,
    decide,
    decide,
    step("decide_from_an_old_reading", st.lists(st.tuples(nth, decisions), min_size=1, max_size=3)),
    heartbeat,
    heartbeat,
    pass_time,
    pass_time,
    step("wait", st.sampled_from(STEPS_MS)),
    step("promote", limits),
    reap,
    reap,
    step("expire", limits),
    step("delete_dead", nth),
    step("sweep", limits),
    step("crash"),
)


class StoreMachine(RuleBasedStateMachine):
    """A store and the model of it, side by side."""

    def __init__(self, prepare: Callable[[], str]) -> None:
        super().__init__()
        self.url = prepare()
        self.clock = FakeClock()
        self.runner = asyncio.Runner()
        self.store: Store = self.opened()
        self.model = Model(self.store.silence_ms)
        self.seen: list[Job] = []
        self.latest: dict[str, Job] = {}
        self.number = 0

    def opened(self) -> Store:
        store = open_store(self.url, clock=self.clock)
        self.run(store.open(RecordingSignals()))
        return store

    def teardown(self) -> None:
        self.run(self.store.close())
        self.runner.close()

    def run(self, call: Coroutine[Any, Any, T]) -> T:
        # Not runner.run, which prepares for an interrupt each time: a third of the test.
        return self.runner.get_loop().run_until_complete(call)

    @property
    def now(self) -> int:
        return self.clock.now()

    @initialize(plans=st.lists(new_jobs, min_size=4, max_size=8))
    def begin(self, plans: list[dict[str, Any]]) -> None:
        self.enqueue(plans)

    @rule(steps=st.lists(steps, min_size=1, max_size=6))
    def play(self, steps: list[tuple[str, tuple[Any, ...]]]) -> None:
        """Any steps in any order. Rules of their own would be rarer: Hypothesis leaves half of them out of a story."""
        for name, arguments in steps:
            getattr(self, name)(*arguments)

    # Jobs

    def make(self, plan: dict[str, Any]) -> NewJob:
        self.number += 1
        partition = ids.partition_of_queue(plan["queue"]) if plan["partition"] is None else plan["partition"]
        message = job(
            plan["queue"],
            job_id_=f"01970000-0000-7000-8000-{self.number:010d}{partition:02x}",
            priority=plan["priority"],
            scheduled_at=self.now + plan["delay_ms"] if plan["state"] == SCHEDULED else 0,
            expires_at=self.now + plan["ttl_ms"] if plan["ttl_ms"] else 0,
            retry=RetryPolicy(max_attempts=plan["max_attempts"], on_exhaustion="dead_letter" if plan["dead"] else ""),
            max_attempts=plan["max_attempts"],
            visibility_ms=plan["visibility_ms"],
            timeout_ms=plan["timeout_ms"],
        )
        return new_job(message, plan["state"], reserved=plan["partition"] is not None)

    def enqueue(self, plans: list[dict[str, Any]]) -> None:
        jobs = [self.make(plan) for plan in plans]
        assert self.run(self.store.insert([Unit(jobs)], self.now)) == [None]
        assert self.model.insert(jobs, self.now)

    def enqueue_with_a_taken_id(self, plan: dict[str, Any], index: int) -> None:
        old = self.pick(index, lambda _: True)
        if old is None:
            return
        first, second = self.make({**plan, "partition": 7}), self.make(plan)
        clash = second._replace(id=old.new.id, reserved=True)
        answers = self.run(self.store.insert([Unit([first, clash]), Unit([second])], self.now))
        assert isinstance(answers[0], DuplicateJob)
        assert answers[1] is None
        assert not self.model.insert([first, clash], self.now)
        assert self.model.insert([second], self.now)

    def apply(self, transitions: Sequence[Transition]) -> None:
        answers = self.run(self.store.apply(transitions, self.now))
        for transition, data in zip(transitions, answers, strict=True):
            self.model.apply(transition, None if data is None else Job.FromString(data), self.now)

    def decide(self, index: int, what: str) -> None:
        row = self.pick(index, lambda row: self.decided(row.job, what) is not None)
        transition = row and self.decided(row.job, what)
        if transition:
            self.apply([transition])

    def decide_from_an_old_reading(self, choices: list[tuple[int, str]]) -> None:
        old = [(self.seen[-1 - 3 * age], what) for age, what in choices if 3 * age < len(self.seen)]
        self.apply([transition for each, what in old if (transition := self.decided(each, what))])

    def decided(self, each: Job, what: str) -> Transition | None:
        if (what == "retry dead" and not each.dead_letter) or (what == "expire" and not self.expirable(each)):
            return None
        if what in ("fail", "bury") and each.state != ACTIVE:
            return None
        code = {"fail": "boom", "bury": "DEAD_LETTER"}.get(what, "")
        decide: dict[str, Callable[[], Transition]] = {
            "fail": lambda: lifecycle.fail(each, JobError(code=code), self.now, middle, LIMITS),
            "bury": lambda: lifecycle.fail(each, JobError(code=code), self.now, middle, LIMITS),
            "release": lambda: lifecycle.release(each, JobError(message="later"), self.now, LIMITS),
            "cancel": lambda: lifecycle.cancel(each),
            "activate": lambda: lifecycle.activate(each),
            "expire": lambda: lifecycle.expire(each),
            "retry dead": lambda: lifecycle.retry_dead(each),
        }
        try:
            return decide[what]()
        except InvalidState:
            return None

    def expirable(self, each: Job) -> bool:
        return each.HasField("expires_at") and not each.HasField("started_at")

    # Delivery

    def claim(self, asked: list[tuple[tuple[str, ...], list[str], int, int]]) -> None:
        made = [Demand(queues, names, tiny or MANY_BYTES, length) for queues, names, length, tiny in asked]
        for demand, claimed in zip(made, self.run(self.store.claim(made, self.now)), strict=True):
            self.model.claim(demand, claimed, self.now)

    def ack(self, choices: list[tuple[int, str, str]]) -> None:
        completions = []
        for index, lease, worker in choices:
            active = self.pick(index, lambda row: row.job.state == ACTIVE)
            row = active or self.pick(index, lambda row: row.job.state == COMPLETED or row.lost > 0)
            if index % 3 == 0:
                row = self.pick(index, lambda row: row.lost > 0) or row
            if row is not None:
                held = row.lost if row.job.state == AVAILABLE else row.job.lease
                given = {"right": held, "stale": max(held - 1, 0), "none": 0}[lease]
                tail = Job(trace_id=f"done at {self.now}").SerializeToString()
                completions.append(Completion(row.new.id, given, worker, tail))
        self.complete(completions)

    def complete(self, completions: Sequence[Completion]) -> None:
        answers = self.run(self.store.complete(completions, self.now))
        wanted = [self.model.complete(completion, self.now) for completion in completions]
        assert [None if answer is None else answer.state for answer in answers] == wanted

    def heartbeat(self, worker: str, state: int, index: int | None, lease: str, extend_ms: int) -> None:
        wanted = [ACTIVE] if lease == "none" or index == 0 else [ACTIVE, AVAILABLE, COMPLETED, RETRYABLE]
        row = None if index is None else self.pick(index, lambda row: row.job.state in wanted)
        if row is None and not worker:
            return
        given = {"right": row.job.lease, "stale": max(row.job.lease - 1, 0), "none": 0}[lease] if row else 0
        arguments = worker, state, row.new.id if row else "", given, extend_ms, self.now
        extension = self.run(self.store.heartbeat(*arguments))
        refusal = None if extension.refusal is None else extension.refusal.state
        assert (dict(extension.jobs), refusal) == self.model.heartbeat(*arguments)
        assert len(dict(extension.jobs)) == len(extension.jobs)

    def work(self, worker: str, ends: list[str]) -> None:
        """What a worker does: it takes jobs and ends them, each in its way."""
        self.claim([(("b", "a"), [worker] * len(ends), 0, 0)])
        for end in ends:
            row = self.pick(0, lambda row: row.job.state == ACTIVE)
            if row and end == "ack":
                self.complete([Completion(row.new.id, row.job.lease, worker, b"")])
            elif row and end != "keep":
                transition = self.decided(row.job, end)
                self.apply([transition] if transition else [])

    # Duties

    def pass_time(self, ms: int) -> None:
        """What a server does by itself: whatever is due."""
        self.wait(ms)
        self.promote(EVERYTHING)
        self.reap(EVERYTHING, None)
        self.expire(EVERYTHING)

    def promote(self, limit: int) -> None:
        before = {row.new.id for row in self.model.within(SCHEDULED, RETRYABLE)}
        promotion = self.run(self.store.promote(self.now, limit))
        promoted = {each.id for each in self.stored(sorted(before)) if each.state == AVAILABLE}
        self.model.promote(promoted, limit, self.now)
        assert promotion.promoted == len(promoted)

    def reap(self, limit: int, beating: str | None) -> None:
        found = self.run(self.store.overdue(self.now, limit))
        due = sorted(row.wake_at for row in self.model.within(ACTIVE) if row.wake_at <= self.now)
        overdue = [Job.FromString(each.job) for each in found.jobs]
        assert [self.model.rows[each.id].wake_at for each in overdue] == due[:limit]
        assert [self.model.rows[each.id].job for each in overdue] == overdue
        if beating:
            self.heartbeat(beating, RUNNING, None, "none", 0)
        self.apply([reaped(each, self.now) for each in found.jobs])

    def expire(self, limit: int) -> None:
        found = self.run(self.store.expired(self.now, limit))
        due = sorted(row.expires_at for row in self.model.rows.values() if row.expires_at <= self.now)
        expired = [Job.FromString(data) for data in found.jobs]
        assert [self.model.rows[each.id].expires_at for each in expired] == due[:limit]
        self.apply([lifecycle.expire(each) for each in expired])

    def delete_dead(self, index: int) -> None:
        row = self.pick(index, lambda row: row.job.state in TERMINAL)
        if row is not None:
            assert self.run(self.store.delete_dead(row.new.id)) == row.job.dead_letter
            self.model.forget([row.new.id] if row.job.dead_letter else [])

    def sweep(self, limit: int) -> None:
        retention = Retention(KEPT_MS, EVERYTHING, 2 * KEPT_MS + 10, 3 * KEPT_MS, EVERYTHING)
        old = set()
        for row in self.model.within(*TERMINAL):
            kept = retention.discarded_ms if row.job.state == DISCARDED else retention.finished_ms
            if row.ended_at + (retention.dead_ms if row.job.dead_letter else kept) < self.now:
                old.add(row.new.id)
        removed = self.run(self.store.sweep(retention, self.now, limit))
        finished = [row.new.id for row in self.model.within(*TERMINAL)]
        found = self.run(self.store.read(finished))
        gone = {job_id for job_id, data in zip(finished, found, strict=True) if data is None}
        assert gone <= old
        assert len(gone) == removed == min(limit, len(old))
        self.model.forget(gone)

    def wait(self, ms: int) -> None:
        self.clock.advance(ms)

    def crash(self) -> None:
        if self.url == "memory:":
            return
        self.run(self.store.close())
        self.store = self.opened()

    # What must always be true

    @invariant()
    def every_job_is_as_it_should_be(self) -> None:
        rows = self.model.rows
        found = self.stored(list(rows))
        assert found == [row.job for row in rows.values()]
        for row in rows.values():
            # The model makes a new message for each change.
            if self.latest.get(row.new.id) is not row.job:
                self.latest[row.new.id] = row.job
                self.seen.append(row.job)
        leases = self.run(self.store.leases(list(rows)))
        assert leases == [row.job.lease if row.job.state == ACTIVE else 0 for row in rows.values()]

    @invariant()
    def every_job_is_in_one_place(self) -> None:
        page = self.run(self.store.queues("", EVERYTHING))
        living = [row for row in self.model.within(AVAILABLE) if row.expires_at > self.now]
        counted = {row.name: row.available for row in page.rows}
        for queue in self.model.queues:
            at_least = sum(row.new.queue == queue for row in living)
            assert at_least <= counted.pop(queue) <= sum(r.new.queue == queue for r in self.model.within(AVAILABLE))
        assert counted == {}
        dead = [row for row in self.model.within(DISCARDED) if row.job.dead_letter]
        letters = self.run(self.store.dead_letters("", "", EVERYTHING, MANY_BYTES))
        listed = [Job.FromString(data) for data in letters.rows]
        assert [(each.queue, self.model.rows[each.id].ended_at) for each in listed] == sorted(
            (row.new.queue, row.ended_at) for row in dead
        )
        assert letters.total == len(dead) == len({each.id for each in listed})

    @invariant()
    def every_duty_knows_when_to_come_back(self) -> None:
        long_ago = 0
        waiting = self.run(self.store.promote(long_ago, 1))
        assert waiting.next_at == self.model.next_at(lambda row: row.wake_at, SCHEDULED, RETRYABLE)
        overdue = self.run(self.store.overdue(long_ago, 1))
        assert overdue.next_at == self.model.next_at(lambda row: row.wake_at, ACTIVE)
        expired = self.run(self.store.expired(long_ago, 1))
        assert expired.next_at == self.model.next_at(lambda row: row.expires_at, SCHEDULED, AVAILABLE, PENDING)

    # Help

    def pick(self, index: int, suitable: Callable[[Row], bool]) -> Row | None:
        rows = [row for row in self.model.rows.values() if suitable(row)]
        return rows[-1 - index % len(rows)] if rows else None

    def stored(self, job_ids: Sequence[str]) -> list[Job]:
        found = self.run(self.store.read(job_ids))
        assert None not in found, "a job was lost"
        return [Job.FromString(data or b"") for data in found]


@pytest.fixture
def prepare(scheme: str, request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[], str]:
    """Empties the store, or makes another, for each run of the machine; returns its URL."""

    def empty_redis() -> str:
        server: PrivateRedis = request.getfixturevalue("redis_server")
        server.command("FLUSHALL")
        return server.url

    def new_file() -> str:
        return f"sqlite:///{tempfile.mkdtemp(dir=tmp_path)}/jobs.db?synchronous=normal"

    return {"memory": lambda: "memory:", "sqlite": new_file, "redis": empty_redis}[scheme]


QUICK = settings(
    max_examples=40,
    stateful_step_count=15,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=list(HealthCheck),
)
DEEP = settings(QUICK, max_examples=100, stateful_step_count=30, derandomize=False, print_blob=True)


# A story that fails is made shorter first, which takes some minutes.
@pytest.mark.timeout(600)
def test_a_store_does_what_the_model_says(prepare: Callable[[], str]) -> None:
    """The same few stories are played on every store."""
    run_state_machine_as_test(partial(StoreMachine, prepare), settings=QUICK)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_store_does_what_the_model_says_for_long(prepare: Callable[[], str]) -> None:
    """Hundreds of longer stories, other ones each time."""
    run_state_machine_as_test(partial(StoreMachine, prepare), settings=DEEP)
