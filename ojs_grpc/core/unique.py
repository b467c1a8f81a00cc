"""Uniqueness: which jobs count as the same (behaviour section 3)."""

from typing import NamedTuple


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
