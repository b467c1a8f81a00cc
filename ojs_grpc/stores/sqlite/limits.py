"""What limits have used up: the active jobs, and the claims within a period (behaviour section 15)."""

from collections import Counter
from collections.abc import Sequence

from ojs_grpc.core.rate_limit import MAX_CLAIMS, RateLimit, queue_key
from ojs_grpc.stores.sqlite.session import Held, Session
from ojs_grpc.stores.sqlite.statements import load

_SQL = load("limits")

# Claims are kept for so long even if no limit asks for them: one that does may be along soon.
_KEPT_MS = 60_000

# No limit counts further back; a row may be about many claims, so some more than that.
_MOST_CLAIMS = 2 * MAX_CLAIMS

UNTIL_FREED = 0
"""Held back until an active job's lease ends; any other number is a time."""


def limit_key(session: Session, limit: RateLimit) -> int:
    """The key of what a limit is about, which is known from now on."""
    row = session.db.execute(_SQL["find"], (limit.key,)).fetchone()
    if row is None:
        (key,) = session.numbers(1)
        session.db.execute(_SQL["create"], (key, limit.key, max(limit.period_ms, _KEPT_MS)))
        return key
    key, longest = row
    if longest < limit.period_ms:
        session.db.execute(_SQL["lengthen"], (limit.period_ms, key))
    return int(key)


class Meter:
    """What limits have used up as an operation goes on. It reads what is stored once, and writes at the end."""

    def __init__(self, session: Session, now: int) -> None:
        self._session = session
        self._now = now
        self._active: dict[int, int] = {}
        self._claimed: dict[int, int] = {}
        self._before: dict[tuple[int, int], int] = {}
        self._begun: Counter[int] = Counter()
        self._uses: list[tuple[int, int, int]] = []

    def blocked(self, held: Held) -> int | None:
        """When the limit may allow a claim again: None for now, else `UNTIL_FREED` or a time."""
        used, limit = held
        if limit.concurrency and self._running(held) >= limit.concurrency:
            return UNTIL_FREED
        if limit.claims and self._within(used, limit.period_ms) >= limit.claims:
            return self._opens_at(used, limit)
        return None

    def use(self, held: Sequence[Held], rule: Held | None, job: int, queue: int) -> None:
        """A job with these limits is claimed, from a queue with this rule."""
        self._uses += [(used, job, queue) for used, _ in held]
        self._begun.update({each.used for each in (held if rule is None else (*held, rule))})

    def write(self) -> None:
        """Stores what was claimed."""
        db = self._session.db
        db.executemany(_SQL["use"], self._uses)
        for used, claims in self._begun.items():
            row = {"used": used, "now": self._now}
            db.execute(_SQL["forget_claims"], {**row, "most": _MOST_CLAIMS})
            db.execute(_SQL["log_claims"], row)
            db.execute(_SQL["count_claims"], {**row, "claims": claims})

    def _running(self, held: Held) -> int:
        if held.used not in self._active:
            self._active[held.used] = self._count_running(held)
        return self._active[held.used] + self._begun[held.used]

    def _count_running(self, held: Held) -> int:
        session, name = self._session, held.limit.key.removeprefix(queue_key(""))
        if name != held.limit.key and session.queue_limit(name) is not None:
            # What the operator limits is the queue itself: its active jobs are counted as such. There may be no such
            # queue, if only jobs of others name it.
            row = session.db.execute(_SQL["active_elsewhere"], {"used": held.used, "queue": name}).fetchone()
        else:
            row = session.db.execute(_SQL["active"], (held.used,)).fetchone()
        return int(row[0])

    def _total(self, used: int) -> int:
        """Claims so far, without those of this operation."""
        if used not in self._claimed:
            (self._claimed[used],) = self._session.db.execute(_SQL["claimed"], (used,)).fetchone()
        return self._claimed[used]

    def _within(self, used: int, period_ms: int) -> int:
        """Claims within the period that ends now."""
        if (used, period_ms) not in self._before:
            row = self._session.db.execute(_SQL["before_window"], (used, self._now - period_ms)).fetchone()
            self._before[used, period_ms] = self._total(used) if row is None else row[0]
        return self._total(used) - self._before[used, period_ms] + self._begun[used]

    def _opens_at(self, used: int, limit: RateLimit) -> int:
        """When the claim that is as many back as the limit allows will have left the period."""
        if self._begun[used] >= limit.claims:
            return self._now + limit.period_ms
        place = self._total(used) + self._begun[used] - limit.claims
        (at,) = self._session.db.execute(_SQL["claimed_at"], (used, place)).fetchone()
        return int(at) + limit.period_ms


def free(session: Session, uses: Sequence[tuple[int, int]]) -> None:
    """These jobs are no longer active; each comes behind the key of what it used."""
    session.db.executemany(_SQL["free"], uses)


def forget_limits(session: Session, now: int, limit: int) -> bool:
    """Deletes up to `limit` of those that no job names and that count no more; whether there may be more of them."""
    keys = session.db.execute(_SQL["idle"], {"now": now, "limit": limit}).fetchall()
    session.db.executemany(_SQL["delete_claims"], keys)
    session.db.executemany(_SQL["delete"], keys)
    return len(keys) == limit
