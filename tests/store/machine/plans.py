"""What may happen to a store, in stories of steps: each step is a method of `StoreMachine`, and its arguments."""

from typing import Any

from hypothesis import strategies as st

from ojs_grpc.core.rate_limit import QueueRule, QueueRules, RateLimit
from ojs_grpc.core.states import ACTIVE, ALL, AVAILABLE, PENDING, SCHEDULED
from tests.store.building import LIVING, QUIET, RUNNING, TERMINATE

EVERYTHING = 10_000
# No two of these times differ by a multiple of one another, and only these two end on 5: nothing is ever due at the
# very moment that retention is about.
STEPS_MS = [10, 400, 3_000, 3_000, 20_000, 30_000, 60_000]
KEPT_MS = 45_005

WORKERS = ["w", "v", ""]
# `c` is the queue with rules. How deep a queue is with jobs past their time to live is left to the store, so that
# nothing in `c` has one.
QUEUES = ["a", "b", "c"]
RULES = QueueRules(by_name={"c": QueueRule(max_depth=2, limit=RateLimit("queue:c", concurrency=2))})
RARE = RateLimit("r", claims=1, period_ms=2_000)
ONE, TWO, ANOTHER = RateLimit("k", 1), RateLimit("k", 2), RateLimit("l", 1)
LIMITS = [(), (), (), (ONE,), (TWO,), (TWO, ANOTHER), (RARE,), (RARE,), (ANOTHER, RARE)]
DOCUMENTS = ["d", "e"]

workers = st.sampled_from(WORKERS)
queue_orders = st.sampled_from([("a",), ("b",), ("a", "b"), ("b", "a"), ("c",), ("c", "b", "a")])
# Which of the jobs that a step could be about.
nth = st.integers(0, 9)
leases = st.sampled_from(["right", "stale", "none"])
limits = st.sampled_from([1, 2, EVERYTHING])
slots = st.lists(workers, min_size=1, max_size=3)
# For the last two: how long the leases are, and whether one job is all that the answer may hold.
demands = st.tuples(queue_orders, slots, st.sampled_from([0, 0, 400]), st.sampled_from([0, 0, 1]))
decisions = st.sampled_from(["fail", "bury", "release", "cancel", "activate", "admit", "expire", "retry dead"])
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
        "workflow": st.sampled_from(["", "", "flow"]),
        "limits": st.sampled_from(LIMITS),
    }
)
# Of a job that must be unique: what it is the same as, in which states, for how long.
policies = st.tuples(
    st.sampled_from(["x", "x", "y"]),
    st.sampled_from([LIVING, LIVING, {ACTIVE, AVAILABLE}, ALL]),
    st.sampled_from([0, 3_000, 20_000]),
)
conflicts = st.sampled_from(["reject", "replace", "replace"])
versions = st.sampled_from(["right", "right", "stale", "none", "any"])


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
enqueue_once = step("enqueue_once", new_jobs, policies, conflicts)
# What is named twice happens twice as often.
steps = st.one_of(
    step("enqueue", st.lists(new_jobs, min_size=1, max_size=4)),
    step("enqueue_with_a_taken_id", new_jobs, nth),
    enqueue_once,
    enqueue_once,
    step("change_together", st.lists(st.tuples(nth, decisions), max_size=2), st.lists(new_jobs, max_size=2), versions),
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
    step("pause", st.sampled_from(QUEUES), st.sampled_from([True, False, False])),
    step("write", st.sampled_from(DOCUMENTS), versions, st.booleans(), st.none() | st.sampled_from([0, 0, 400])),
    step("fire", new_jobs, limits),
    step("fire", new_jobs, limits),
    step("forget_endings", limits),
    step("delete_dead", nth),
    step("sweep", limits),
    step("crash"),
)
