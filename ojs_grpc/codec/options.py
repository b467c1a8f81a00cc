"""The options of a job in JSON (wire sections 2.1 to 2.5 and 4.3)."""

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from google.protobuf.timestamp_pb2 import Timestamp
from ojs_grpc_pb.v1.job_pb2 import EnqueueOptions

from ojs_grpc.codec import times, values
from ojs_grpc.codec.json_text import dump_text
from ojs_grpc.codec.members import Members
from ojs_grpc.codec.policies import (
    read_rate_limit,
    read_retry,
    read_unique,
    render_rate_limit,
    render_retry,
    render_unique,
)
from ojs_grpc.core.attributes import OPTIONS
from ojs_grpc.core.duration import duration_ms
from ojs_grpc.core.wire import bytes_field
from ojs_grpc.errors import InvalidRequest, InvalidRetryPolicy, Violation

_RETRY: Final = ("retry", "retry_policy")
_SCHEDULED: Final = ("scheduled_at", "delay_until")
_TIMEOUT: Final = ("timeout_ms", "timeout")
_VISIBILITY: Final = ("visibility_timeout_ms", "visibility_timeout")

FLAT: Final = OPTIONS - {"metadata"}
"""The options that may also stand beside `options`; those in it win."""

MOMENTARY: Final = frozenset((*_SCHEDULED, "expires_at", "ttl", "trace_id"))
"""The options that are hardly ever the same twice."""

_PRIORITIES: Final = {"HIGH": 10, "NORMAL": 0, "LOW": -10}
_NANOS_IN_MS: Final = 1_000_000


class Reading(NamedTuple):
    """What reading options gave, or what was wrong with them.

    Attributes:
        data: a serialised `EnqueueOptions`.
        exact: what that cannot say, by pointer into the JSON form of the job.
        broken: the rules broken but for those of the retry policy.
        retry_broken: those.
    """

    data: bytes
    exact: dict[str, str]
    broken: list[Violation]
    retry_broken: list[Violation]


def read_options(
    options: dict[str, Any], now: int, exact: dict[str, str], field: str = "options"
) -> tuple[EnqueueOptions, dict[str, Any]]:
    """An options object as a message, and its unknown members.

    Args:
        now: what relative times count from, ms since the epoch.
        exact: gets what the message cannot say, by pointer into the JSON form of the job.
        field: where the object stands in the request, for errors.

    Raises:
        InvalidRequest: with every broken rule.
        InvalidRetryPolicy: only the retry policy breaks rules.
        PayloadTooLarge: it nests too deep.
    """
    reading = read(options, {}, now, field)
    if reading.broken:
        raise InvalidRequest([*reading.broken, *reading.retry_broken])
    if reading.retry_broken:
        raise InvalidRetryPolicy(reading.retry_broken)
    exact.update(reading.exact)
    unknown = {name: member for name, member in options.items() if name not in OPTIONS}
    return EnqueueOptions.FromString(reading.data), unknown


def read(nested: Mapping[str, Any], flat: Mapping[str, Any], now: int, field: str = "options") -> Reading:
    """Options from the object `options` and from what stands beside it.

    Raises:
        PayloadTooLarge: they nest too deep.
        InvalidRequest: they hold a number beyond a double.
    """
    return _Reader(nested, flat, now, field).read()


def read_momentary(nested: Mapping[str, Any], flat: Mapping[str, Any], now: int) -> Reading:
    """Of the options only those in `MOMENTARY`, as `read`."""
    return _Reader(nested, flat, now, "options").read_momentary()


def render_options(options: EnqueueOptions) -> dict[str, Any]:
    """The options as an object, all that is set, `meta` and `trace_id` included; `exact` is not applied.

    `delay_until` is called `scheduled_at`; read again, the object gives the same message.
    """
    document: dict[str, Any] = {}
    for name in ("queue", "priority", "max_attempts", "trace_id", "pending"):
        if value := getattr(options, name):
            document[name] = value
    if options.tags:
        document["tags"] = list(options.tags)
    if options.HasField("meta"):
        document["meta"] = values.render_struct(options.meta)
    _render_times(options, document)
    if options.HasField("retry"):
        document["retry"] = render_retry(options.retry)
    if options.HasField("unique"):
        document["unique"] = render_unique(options.unique)
    if options.HasField("rate_limit"):
        document["rate_limit"] = render_rate_limit(options.rate_limit)
    return document


def _render_times(options: EnqueueOptions, document: dict[str, Any]) -> None:
    if options.HasField("delay_until"):
        document["scheduled_at"] = times.timestamp_text(options.delay_until)
    if options.HasField("expires_at"):
        document["expires_at"] = times.timestamp_text(options.expires_at)
    if options.HasField("ttl"):
        document["ttl"] = times.duration_text(options.ttl)
    for name in ("timeout", "visibility_timeout"):
        if options.HasField(name):
            value = getattr(options, name)
            if value.nanos % _NANOS_IN_MS:
                document[name] = times.duration_text(value)
            else:
                document[f"{name}_ms"] = duration_ms(value)


class _Reader:
    """Reads the options of one job. Each option is taken from `options` if it is there, else from beside it."""

    def __init__(self, nested: Mapping[str, Any], flat: Mapping[str, Any], now: int, field: str) -> None:
        self._broken: list[Violation] = []
        self._retry_broken: list[Violation] = []
        self._nested = Members(nested, field, self._broken)
        self._flat = Members(flat, "", self._broken)
        self._now = now
        self._options = EnqueueOptions()
        self._exact: dict[str, str] = {}

    def read(self) -> Reading:
        self._read_plain()
        self._read_momentary()
        self._read_timeouts()
        self._read_retry()
        if members := self._of("unique"):
            value, field = members.members["unique"], members.path("unique")
            self._options.unique.SetInParent()
            self._options.unique.CopyFrom(read_unique(value, field, self._broken, self._exact))
        if members := self._of("rate_limit"):
            value, field = members.members["rate_limit"], members.path("rate_limit")
            self._options.rate_limit.SetInParent()
            self._options.rate_limit.CopyFrom(read_rate_limit(value, field, self._broken, self._exact))
        data = self._options.SerializeToString() + self._meta()
        return Reading(data, self._exact, self._broken, self._retry_broken)

    def read_momentary(self) -> Reading:
        self._read_momentary()
        return Reading(self._options.SerializeToString(), self._exact, self._broken, self._retry_broken)

    def _of(self, *names: str) -> Members | None:
        """The members among which an option is; None if it is absent."""
        if self._nested.name_of(*names):
            return self._nested
        return self._flat if self._flat.name_of(*names) else None

    def _read_plain(self) -> None:
        options = self._options
        if members := self._of("queue"):
            options.queue = members.required_text("queue")
        if members := self._of("priority"):
            options.priority = self._priority(members)
        if members := self._of("tags"):
            options.tags.extend(members.texts("tags") or ())
        if members := self._of("pending"):
            options.pending = members.truth("pending") or False

    def _priority(self, members: Members) -> int:
        name = members.members["priority"]
        if type(name) is str and name in _PRIORITIES:
            return _PRIORITIES[name]
        return members.whole("priority") or 0

    def _read_momentary(self) -> None:
        options = self._options
        if members := self._of("trace_id"):
            options.trace_id = members.text("trace_id") or ""
        if members := self._of(*_SCHEDULED):
            self._read_scheduled(members)
        if members := self._of("expires_at"):
            self._read_expires(members)
        elif members := self._of("ttl"):
            ttl = times.read_member(members, "ttl")
            if ttl is not None:
                options.ttl.CopyFrom(ttl)

    def _read_timeouts(self) -> None:
        options = self._options
        for names, duration in ((_TIMEOUT, options.timeout), (_VISIBILITY, options.visibility_timeout)):
            if members := self._of(*names):
                value = times.read_member(members, *names)
                # Zero means the default, and is not kept.
                if value is not None and (value.seconds or value.nanos):
                    duration.CopyFrom(value)

    def _read_scheduled(self, members: Members) -> None:
        name = members.name_of(*_SCHEDULED)
        said = members.text(name)
        if said is None:
            return
        try:
            delay = times.read_delay(said)
            time = times.read_timestamp(said) if delay is None else times.time_after(self._now, delay)
        except ValueError as error:
            members.refuse(name, str(error))
            return
        if delay is None:
            self._keep("/scheduled_at", said, time)
        self._options.delay_until.SetInParent()
        self._options.delay_until.CopyFrom(time)

    def _read_expires(self, members: Members) -> None:
        said = members.text("expires_at")
        if said is None:
            return
        try:
            delay = times.read_delay(said)
            time = times.read_timestamp(said) if delay is None else Timestamp()
        except ValueError as error:
            members.refuse("expires_at", str(error))
            return
        if delay is not None:
            self._options.ttl.CopyFrom(delay)
            return
        self._keep("/expires_at", said, time)
        self._options.expires_at.SetInParent()
        self._options.expires_at.CopyFrom(time)

    def _keep(self, pointer: str, said: str, time: Timestamp) -> None:
        if said != times.timestamp_text(time):
            self._exact[pointer] = dump_text(said)

    def _read_retry(self) -> None:
        """The policy, and the short form of its most frequent member, which the policy's own beats."""
        options = self._options
        attempts = None
        if members := self._of("max_attempts"):
            attempts = Members(members.members, members.field, self._retry_broken).whole("max_attempts")
            if attempts is not None:
                options.max_attempts = attempts or 1
        if members := self._of(*_RETRY):
            name = members.name_of(*_RETRY)
            value = members.members[name]
            policy = read_retry(value, members.path(name), self._retry_broken, self._exact)
            options.retry.SetInParent()
            options.retry.CopyFrom(policy)
            if policy.max_attempts:
                attempts = value["max_attempts"]
        if attempts == 0:
            self._exact["/max_attempts"] = "0"

    def _meta(self) -> bytes:
        """The field `meta`, its members from three places; the later ones win."""
        places = (self._nested.object("metadata"), self._nested.object("meta"), self._flat.object("meta"))
        said = [meta for meta in places if meta is not None]
        if not said:
            return b""
        merged = {name: member for meta in said for name, member in meta.items()}
        data = values.struct_bytes(merged, "meta" if said[-1] is places[2] else "options.meta", "/meta", self._exact)
        return bytes_field(EnqueueOptions.META_FIELD_NUMBER, data)
