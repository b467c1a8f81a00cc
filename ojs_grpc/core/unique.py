"""Uniqueness: which jobs count as the same (behaviour section 3).

`read_policy` makes of a policy what does not depend on the job's type and arguments, so that it is done once for many
jobs; `Policy.of` does the rest.
"""

import hashlib
from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

from google.protobuf.struct_pb2 import Struct, Value
from ojs_grpc_pb.v1 import job_pb2
from ojs_grpc_pb.v1.job_pb2 import Job, UniquePolicy

from ojs_grpc.core import canonical, states
from ojs_grpc.core.duration import duration_ms
from ojs_grpc.errors import InvalidRequest, Violation

REJECT: Final = int(job_pb2.UNIQUE_CONFLICT_ACTION_REJECT)
REPLACE: Final = int(job_pb2.UNIQUE_CONFLICT_ACTION_REPLACE)
IGNORE: Final = int(job_pb2.UNIQUE_CONFLICT_ACTION_IGNORE)
REPLACE_EXCEPT_SCHEDULE: Final = int(job_pb2.UNIQUE_CONFLICT_ACTION_REPLACE_EXCEPT_SCHEDULE)

_ACTIONS = (REJECT, REPLACE, IGNORE, REPLACE_EXCEPT_SCHEDULE)
_DIMENSIONS = ("type", "queue", "args", "meta")
_DEFAULT_STATES = frozenset(states.ALL) - states.TERMINAL
_MAX_PERIOD_MS = 1000 * 365 * 86_400_000
# A batch may say a policy once for thousands of jobs, so none is long.
_MOST = {"key": len(_DIMENSIONS), "states": len(states.ALL), "args_keys": 100, "meta_keys": 100}

_FIELD = "options.unique"


class Unique(NamedTuple):
    """What a store checks before it inserts a job that must be unique.

    A stored job is a duplicate if it was enqueued with the same fingerprint, is in one of `states`, and, given a
    period, was created less than that before now (behaviour section 3.3).

    Attributes:
        fingerprint: SHA-256, 32 bytes.
        states: the states in which an existing job counts.
        period_ms: counted from the existing job's creation; 0 for no end.
        on_conflict: a value of `UniqueConflictAction`, never unspecified; stores don't look at it.
    """

    fingerprint: bytes
    states: frozenset[int]
    period_ms: int
    on_conflict: int


class Policy(NamedTuple):
    """What follows from a unique policy, for any job that has it.

    Attributes:
        states, period_ms, on_conflict: as in `Unique`.
        args: whether the arguments are part of the fingerprint.
        args_keys: of the arguments, which are one object, only these members; none at all for everything.
        rest: the canonical text of what else is part of it but for the type, each with a comma after it.
    """

    states: frozenset[int]
    period_ms: int
    on_conflict: int
    args: bool
    args_keys: tuple[str, ...]
    rest: bytes

    def of(self, type_: str, args: Sequence[Value]) -> Unique:
        """What a store checks for a job of this type, a valid one, with these arguments, all of them finite.

        Raises:
            InvalidRequest: the arguments are not one object with all of the policy's `args_keys`.
        """
        # Members in canonical order: args, meta, queue, type; of the characters of a type, none is ever escaped.
        text = b'{%b%b"type":"%b"}' % (self._args_text(args) if self.args else b"", self.rest, type_.encode())
        return Unique(hashlib.sha256(text).digest(), self.states, self.period_ms, self.on_conflict)

    def _args_text(self, args: Sequence[Value]) -> bytes:
        keys = self.args_keys
        text = canonical.members(_select(args, keys)) if keys else canonical.array(args)
        return b'"args":%b,' % text.encode()


def read_policy(policy: UniquePolicy, queue: str, meta: Struct, broken: list[Violation]) -> Policy:
    """The policy with its defaults; its broken rules are added to `broken` (behaviour section 3.1).

    A finished job cannot be replaced: to a policy that replaces, final states mean nothing.

    Args:
        meta: of the job, as its producer said it; within the limits on nesting, and finite.
    """
    dimensions = set(policy.key)
    on_conflict = int(policy.on_conflict) or REJECT
    counted = frozenset(int(state) for state in policy.states) or _DEFAULT_STATES
    broken.extend(_violations(policy, dimensions, on_conflict))
    rest = ""
    if "meta" in dimensions:
        members = {name: meta.fields[name] for name in policy.meta_keys if name in meta.fields}
        rest += f'"meta":{canonical.members(members)},'
    if "queue" in dimensions:
        rest += f'"queue":{canonical.text(queue)},'
    return Policy(
        states=counted - states.TERMINAL if on_conflict in (REPLACE, REPLACE_EXCEPT_SCHEDULE) else counted,
        period_ms=_period(policy, broken),
        on_conflict=on_conflict,
        args="args" in dimensions,
        args_keys=tuple(policy.args_keys),
        rest=rest.encode(),
    )


def of_job(job: Job) -> Unique:
    """What must hold before a finished job comes back to life: that no other one like it is alive."""
    policy = read_policy(job.unique_policy, job.queue, job.meta, []).of(job.type, job.args)
    return policy._replace(states=policy.states - states.TERMINAL)


def _violations(policy: UniquePolicy, dimensions: set[str], on_conflict: int) -> Iterable[Violation]:
    if not dimensions <= set(_DIMENSIONS):
        yield Violation(f"{_FIELD}.key", f"each must be one of {', '.join(_DIMENSIONS)}")
    for field, most in _MOST.items():
        if len(getattr(policy, field)) > most:
            yield Violation(f"{_FIELD}.{field}", f"must be at most {most}")
    if on_conflict not in _ACTIONS:
        yield Violation(f"{_FIELD}.on_conflict", "must be REJECT, REPLACE, IGNORE or REPLACE_EXCEPT_SCHEDULE")
    if not set(policy.states) <= set(states.ALL):
        yield Violation(f"{_FIELD}.states", "each must be one of the eight states")
    if policy.args_keys and "args" not in dimensions:
        yield Violation(f"{_FIELD}.args_keys", 'needs "args" in key')
    if policy.meta_keys and "meta" not in dimensions:
        yield Violation(f"{_FIELD}.meta_keys", 'needs "meta" in key')
    if "meta" in dimensions and not policy.meta_keys:
        yield Violation(f"{_FIELD}.meta_keys", 'must not be empty with "meta" in key')


def _period(policy: UniquePolicy, broken: list[Violation]) -> int:
    """The period in ms; 0 for none."""
    if not policy.HasField("period"):
        return 0
    try:
        ms = duration_ms(policy.period)
    except ValueError as error:
        broken.append(Violation(f"{_FIELD}.period", str(error)))
        return 0
    if not 0 < ms <= _MAX_PERIOD_MS:
        broken.append(Violation(f"{_FIELD}.period", "must be positive, and at most 1000 years"))
    return ms


def _select(args: Sequence[Value], names: Sequence[str]) -> dict[str, Value]:
    """Members of the one object that the arguments are; jobs have positional arguments, so names need it."""
    members = args[0].struct_value.fields if len(args) == 1 else None
    if members is None or not args[0].HasField("struct_value"):
        raise InvalidRequest([Violation(f"{_FIELD}.args_keys", "needs exactly one argument, an object")])
    for name in names:
        if name not in members:
            raise InvalidRequest([Violation(f"{_FIELD}.args_keys", f"{name!r} is no member of the argument")])
    return {name: members[name] for name in names}
