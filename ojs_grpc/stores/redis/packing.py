"""Units, changes and events, as scripts take them."""

from collections.abc import Iterable, Iterator, Sequence

from ojs_grpc.core.envelope import NewJob
from ojs_grpc.core.events import NewEvent
from ojs_grpc.core.rate_limit import QueueRules
from ojs_grpc.core.transition import Transition
from ojs_grpc.core.unique import Unique
from ojs_grpc.stores.ports import Ending, Unit, Write
from ojs_grpc.stores.redis import keys, record
from ojs_grpc.stores.redis.base import MOST_INSERTED

Word = str | bytes | int

# What a change costs, a write, and a job with links, where 1 is to store a job without.
_WEIGHT = 3


def portions(units: Sequence[Unit]) -> Iterator[Sequence[Unit]]:
    """The units in order, as many at once as one script should do; a unit is never divided."""
    first = weight = 0
    for place, unit in enumerate(units):
        more = _weight(unit)
        if weight and weight + more > MOST_INSERTED:
            yield units[first:place]
            first, weight = place, 0
        weight += more
    if units:
        yield units[first:]


def _weight(unit: Unit) -> int:
    new, _, changes, writes, endings, told, alike = unit
    weight = len(new) + len(endings) + len(told) + _WEIGHT * (len(changes) + len(writes) + len(alike))
    for job in new:
        if job.links is not None:
            weight += _WEIGHT - 1
    return weight


def describe(units: Sequence[Unit], rules: QueueRules, now: int, *, log_events: bool) -> tuple[list[str], list[Word]]:
    """The keys, and the arguments from the number of units on."""
    names: list[str] = []
    arguments: list[Word] = [len(units), *_bounds(units, rules)]
    for unit in units:
        _add(unit, now, names, arguments, log_events=log_events)
    return names, arguments


def describe_change(change: Transition, *, log_events: bool) -> tuple[Word, ...]:
    """What includes/change.lua wants to know of a change."""
    return (
        change.state,
        change.lease,
        "" if change.overdue_at is None else change.overdue_at,
        change.to,
        change.attempt,
        change.due_at,
        int(change.dead),
        int(change.fence),
        change.tail,
        _events_of(change, log_events=log_events) if change.events else b"",
    )


def describe_event(event: NewEvent) -> tuple[Word, ...]:
    """What a script wants to know of an event that it logs."""
    return keys.prefix_of(keys.home_of(event.key)), int(event.kind), event.subject, event.detail


def _events_of(change: Transition, *, log_events: bool) -> bytes:
    """A change's events; not their details if nobody keeps them."""
    return b"".join(
        b"%c%b%b" % (event.kind, len(detail).to_bytes(4, "little"), detail)
        for event in change.events
        for detail in (event.detail if log_events else b"",)
    )


def _bounds(units: Sequence[Unit], rules: QueueRules) -> list[Word]:
    """The bound of every queue without a rule; how many others there are, and their bounds."""
    named: dict[str, Word] = {}
    if rules.by_name:
        # Of what is changed the queues are not known here.
        queues = {job.queue for unit in units for job in unit.jobs} if not any(unit.changes for unit in units) else None
        named = {queue: rule.max_depth for queue, rule in rules.by_name.items() if queues is None or queue in queues}
    return [rules.default.max_depth, len(named), *(word for bound in named.items() for word in bound)]


def _add(unit: Unit, now: int, names: list[str], arguments: list[Word], *, log_events: bool) -> None:
    new, key, changes, writes, endings, told, alike = unit
    if key or changes or writes or endings or told or alike or any(map(_may_be_refused, new)):
        arguments.append(f"+{len(new)}")
        _add_more(unit, names, arguments, log_events=log_events)
    else:
        arguments.append(len(new))
    for job in new:
        names.append(keys.job_at(keys.place_of(job.queue), job.id))
        arguments.append(record.pack(job, now))


def _may_be_refused(job: NewJob) -> bool:
    """Whether a job needs more than room in its queue."""
    return job.reserved or (job.links is not None and job.links.unique is not None)


def _add_more(unit: Unit, names: list[str], arguments: list[Word], *, log_events: bool) -> None:
    """What there is to say of a unit beside its new jobs' records."""
    reserved = [job.reserved for job in unit.jobs]
    marks = "".join("1" if mark else "0" for mark in reserved) if any(reserved) else ""
    uniques = [(place, job.links.unique) for place, job in enumerate(unit.jobs) if job.links and job.links.unique]
    uniques += enumerate(unit.alike, len(unit.jobs))
    more = bool(unit.changes or unit.writes or unit.endings or unit.events or uniques)
    arguments += (marks, "1" if more else "")
    if unit.key is None:
        arguments.append("")
    else:
        names.append(keys.idempotency(unit.key.key))
        arguments += (unit.key.fingerprint, unit.key.reply, unit.key.expires_at)
    if more:
        _add_rarer(unit, uniques, names, arguments, log_events=log_events)


def _add_rarer(
    unit: Unit, uniques: Sequence[tuple[int, Unique]], names: list[str], arguments: list[Word], *, log_events: bool
) -> None:
    """As includes/unit.lua says."""
    arguments += map(len, (unit.changes, unit.writes, unit.endings, unit.events, uniques))
    for change in unit.changes:
        names.append(keys.job(change.job_id))
        arguments += describe_change(change, log_events=log_events)
    for write in unit.writes:
        names.append(keys.of_kind("documents", write.kind))
        arguments += _describe_write(write)
    for ending in unit.endings:
        arguments += (keys.prefix_of(ending.job_id[-2:]), ending_member(ending))
    for event in unit.events:
        arguments += describe_event(event)
    for place, unique in uniques:
        arguments += (place, unique.fingerprint.hex(), _digits(unique.states), unique.period_ms)


def _describe_write(write: Write) -> tuple[Word, ...]:
    version = "" if write.version is None else write.version
    return write.name, version, int(write.data is not None), write.data or b"", write.due_at


def ending_member(ending: Ending) -> str:
    """An ending, as `ended` keeps it."""
    return f"{ending.state} {ending.job_id} {ending.workflow_id}"


def _digits(states: Iterable[int]) -> str:
    return "".join(map(str, sorted(states)))
