"""The limits that a job names for itself: by field, or for clients without it in `meta` (behaviour section 15)."""

import re
from collections.abc import Iterator, Mapping
from typing import Final

from google.protobuf.duration_pb2 import Duration
from google.protobuf.struct_pb2 import Value
from ojs_grpc_pb.v1 import job_pb2
from ojs_grpc_pb.v1.job_pb2 import EnqueueOptions

from ojs_grpc.core.duration import duration_ms, to_duration
from ojs_grpc.core.iso_duration import parse_duration
from ojs_grpc.core.rate_limit import MAX_CLAIMS, MAX_CONCURRENCY, MAX_PERIOD_MS, RateLimit, queue_key
from ojs_grpc.errors import Violation

MEMBER: Final = "ojs.rate_limit"
"""The member of `meta` that says what the field does."""

_KEY = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9._:-]*")
_KEY_CHARS = 255
_SECOND_MS = 1000


def read_limits(options: EnqueueOptions, queue: str, broken: list[Violation]) -> tuple[RateLimit, ...]:
    """The limits of a job with these options; their broken rules are added to `broken`.

    A throttle, one start every `period` / `limit`, is rounded up to whole milliseconds: never looser than it says.
    """
    if options.HasField("rate_limit"):
        path, limit = "options.rate_limit", options.rate_limit
    elif options.HasField("meta") and MEMBER in options.meta.fields:
        path, known = f'options.meta["{MEMBER}"]', len(broken)
        limit = _MetaReader(broken).limit(options.meta.fields[MEMBER], path)
        if len(broken) > known:
            return ()
    else:
        return ()
    broken.extend(Violation(f"{path}{field}", rule) for field, rule in _broken_rules(limit))
    return (_convert(limit, queue),)


def _broken_rules(limit: job_pb2.RateLimit) -> Iterator[tuple[str, str]]:
    """Each with the field's path from the limit on."""
    if limit.key and (len(limit.key) > _KEY_CHARS or not _KEY.fullmatch(limit.key)):
        rule = f"must be at most {_KEY_CHARS} letters, digits, '.', '_', ':' and '-', a letter or a digit first"
        yield ".key", rule
    if limit.concurrency < 0:
        yield ".concurrency", "must not be negative"
    if limit.HasField("rate"):
        yield from _broken_rate_rules(limit.rate, ".rate")
    if limit.HasField("throttle"):
        yield from _broken_rate_rules(limit.throttle, ".throttle")
        if limit.HasField("rate"):
            yield ".throttle", "excludes rate"
        if limit.throttle.limit > max(_period_ms(limit.throttle), 1):
            yield ".throttle.limit", "must be at most one a millisecond"
    if not (limit.concurrency or limit.HasField("rate") or limit.HasField("throttle")):
        yield "", "needs concurrency, rate or throttle"


def _broken_rate_rules(rate: job_pb2.RateLimit.Rate, path: str) -> Iterator[tuple[str, str]]:
    if not 1 <= rate.limit <= MAX_CLAIMS:
        yield f"{path}.limit", f"must be from 1 to {MAX_CLAIMS}"
    if not 1 <= _period_ms(rate) <= MAX_PERIOD_MS:
        yield f"{path}.period", "must be from 1 ms to 1 year"


def _period_ms(rate: job_pb2.RateLimit.Rate) -> int:
    """The period, one second by default; 0 if it is no valid duration."""
    if not rate.HasField("period"):
        return _SECOND_MS
    try:
        return duration_ms(rate.period)
    except ValueError:
        return 0


def _convert(limit: job_pb2.RateLimit, queue: str) -> RateLimit:
    claims = period_ms = 0
    if limit.HasField("rate"):
        claims, period_ms = limit.rate.limit, _period_ms(limit.rate)
    elif limit.HasField("throttle"):
        claims, period_ms = 1, -(-_period_ms(limit.throttle) // (limit.throttle.limit or 1))
    return RateLimit(limit.key or queue_key(queue), limit.concurrency, claims, period_ms)


class _MetaReader:
    """Makes the message of an object in `meta`: the same members, and some names more that clients know."""

    def __init__(self, broken: list[Violation]) -> None:
        self._broken = broken

    def limit(self, value: Value, path: str) -> job_pb2.RateLimit:
        limit = job_pb2.RateLimit()
        members = self._members(value, path)
        for name in sorted(members):
            member, at = members[name], f"{path}.{name}"
            if name == "key":
                limit.key = self._text(member, at)
            elif name == "concurrency":
                limit.concurrency = self._whole(member, MAX_CONCURRENCY, at)
            elif name == "rate":
                limit.rate.CopyFrom(self._rate(member, at))
            elif name == "throttle":
                limit.throttle.CopyFrom(self._rate(member, at))
            elif name == "max_per_second":
                limit.rate.limit = self._whole(member, MAX_CLAIMS, at)
                if "rate" in members:
                    self._refuse(at, "excludes rate")
            elif name != "on_limit":
                self._refuse(at, "is no member of a rate limit")
            elif member.string_value != "wait":
                self._refuse(at, 'must be "wait": a limited job stays available until it may run')
        return limit

    def _rate(self, value: Value, path: str) -> job_pb2.RateLimit.Rate:
        rate = job_pb2.RateLimit.Rate()
        members = self._members(value, path)
        for name in sorted(members):
            member, at = members[name], f"{path}.{name}"
            if name == "limit":
                rate.limit = self._whole(member, MAX_CLAIMS, at)
            elif name == "period":
                rate.period.CopyFrom(self._duration(member, at))
            else:
                self._refuse(at, "is no member of a rate")
        return rate

    def _members(self, value: Value, path: str) -> Mapping[str, Value]:
        if not value.HasField("struct_value"):
            self._refuse(path, "must be an object")
        return value.struct_value.fields

    def _whole(self, value: Value, most: int, path: str) -> int:
        number = value.number_value
        if not (1 <= number <= most and number.is_integer()):
            self._refuse(path, f"must be a whole number from 1 to {most}")
            return 0
        return int(number)

    def _text(self, value: Value, path: str) -> str:
        if not value.HasField("string_value"):
            self._refuse(path, "must be a string")
        return value.string_value

    def _duration(self, value: Value, path: str) -> Duration:
        try:
            ms = parse_duration(value.string_value)
        except ValueError as error:
            self._refuse(path, str(error))
            ms = 0
        return to_duration(min(ms, MAX_PERIOD_MS + 1))

    def _refuse(self, path: str, rule: str) -> None:
        self._broken.append(Violation(path, rule))
