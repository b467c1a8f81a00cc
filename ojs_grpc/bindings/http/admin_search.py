"""What operators search for, as queries and as filters in bodies."""

from typing import Any

from ojs_grpc.bindings.http.call import Query
from ojs_grpc.codec.members import Members
from ojs_grpc.codec.times import read_duration, read_timestamp
from ojs_grpc.core import states
from ojs_grpc.core.duration import duration_ms, timestamp_ms
from ojs_grpc.operations.search import Search

_NAMES = ("queue", "state", "type", "since", "until", "error_type", "older_than")
_STATES = {states.state_name(state): state for state in states.ALL}


def read_query(query: Query, now: int = 0, *, dead: bool = False) -> Search:
    """The search of a query; what it does not know is left to paging.

    Args:
        now: what `older_than` counts from.
        dead: only dead letters are meant.

    Raises:
        InvalidRequest: with every broken rule.
    """
    said = {name: text for name in _NAMES if (text := query.text(name))}
    return _read(Members(said), now, dead=dead)


def read_filter(document: dict[str, Any], now: int, *, dead: bool = False) -> Search:
    """The search of a body: its `filter`, or its own members.

    Raises:
        InvalidRequest: with every broken rule.
    """
    members = Members(document)
    inner = members.object("filter")
    members.finish()
    return _read(Members(document) if inner is None else Members(inner, "filter"), now, dead=dead)


def read_states(document: dict[str, Any]) -> list[int]:
    """The final states that a purge is about: those that it names, or all.

    Raises:
        InvalidRequest: another one is named.
    """
    members = Members(document)
    names = members.texts("states")
    known = {states.state_name(state): state for state in sorted(states.TERMINAL)}
    if any(name not in known for name in names or ()):
        members.refuse("states", f"must be among {', '.join(known)}")
    members.finish()
    return [known[name] for name in names or known]


def _read(members: Members, now: int, *, dead: bool) -> Search:
    since, until = _read_time(members, "since"), _read_time(members, "until")
    older = _read_older(members, now)
    search = Search(
        queue=members.text("queue") or "",
        state=states.DISCARDED if dead else _read_state(members),
        type=members.text("type") or "",
        since=since,
        until=older if until is None else until,
        error=members.text("error_type") or "",
        dead=dead,
    )
    members.finish()
    return search


def _read_state(members: Members) -> int:
    name = members.text("state") or ""
    if name and name not in _STATES:
        members.refuse("state", f"must be one of {', '.join(_STATES)}")
    return _STATES.get(name, 0)


def _read_time(members: Members, name: str) -> int | None:
    text = members.text(name)
    try:
        return timestamp_ms(read_timestamp(text)) if text else None
    except ValueError as error:
        members.refuse(name, str(error))
        return None


def _read_older(members: Members, now: int) -> int | None:
    """A time, or how long ago: `7d`, `P7D`."""
    text = members.text("older_than")
    if not text:
        return None
    if text[:-1].isdecimal() and text.endswith("d") and len(text) < 7:
        return now - int(text[:-1]) * 86_400_000
    try:
        return now - duration_ms(read_duration(text))
    except ValueError:
        return _read_time(members, "older_than")

