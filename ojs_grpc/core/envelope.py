"""From a request to enqueue to a job: the one way that every binding, batch and template takes.

`EnvelopeReader` validates a draft and fills in defaults (behaviour sections 1 and 2.6, wire sections 2.1 and 2.2), and
gives a `NewJob`: the envelope as bytes, and beside it the few facts that a store keeps as columns.

It is the hot path of an enqueue. Producers send the same options over and over, so what follows from them is kept.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from types import MappingProxyType
from typing import NamedTuple

from ojs_grpc_pb.v1.job_pb2 import EnqueueOptions, Job

from ojs_grpc.core import retry, states, values
from ojs_grpc.core.draft import Draft, Entry, draft_of
from ojs_grpc.core.ids import is_id, new_id, partition_of_queue
from ojs_grpc.core.job_limits import read_limits
from ojs_grpc.core.limits import Limits
from ojs_grpc.core.links import Links
from ojs_grpc.core.options import copy_options, trace_id
from ojs_grpc.core.overlay import overlay
from ojs_grpc.core.rate_limit import RateLimit
from ojs_grpc.core.records import maker
from ojs_grpc.core.unique import Policy, read_policy
from ojs_grpc.core.validation import PRIORITIES, check_ext, check_labels, queue_rule, read_times, type_info
from ojs_grpc.core.wire import bytes_field, timestamp_field
from ojs_grpc.errors import InvalidRequest, InvalidRetryPolicy, PayloadTooLarge, Violation

SPECVERSION = "1.0"
DEFAULT_QUEUE = "default"

_ID_HEAD = bytes_field(Job.ID_FIELD_NUMBER, b"-" * 36)[:-36]
_NO_TRACE: Mapping[str, str] = MappingProxyType({})
# What follows from options is kept for so many different ones, the larger ones excepted.
_KEPT_OPTIONS = 1024
_KEPT_BYTES = 1024


class NewJob(NamedTuple):
    """A job to insert. `state` is scheduled, available or pending.

    Attributes:
        due_at: scheduled: when it becomes available.
        expires_at: discarded if no worker got it by then (behaviour section 8, TTL); 0 for never.
        visibility_ms: length of a lease, unless the claim says otherwise; positive.
        timeout_ms: longest execution, counted from the claim; positive.
        reserved: the client chose the id, so it may be taken, and its last byte says nothing about the queue.
        envelope: begins with the subject, the fields by which events tell of the job: id, type, queue, priority,
            scheduled_at, trace and workflow.
        subject_size: how many bytes of the envelope those are.
        links: what ties it to other jobs; None if nothing does.
        common: what follows from the options, as fields of a job; empty if the envelope has more than these, the id,
            the type, the arguments and `created_at`, or if hardly another job has the same ones.
        created_at: ms since the epoch.
    """

    id: str
    due_at: int
    expires_at: int
    queue: str
    state: int
    priority: int
    visibility_ms: int
    timeout_ms: int
    reserved: bool
    envelope: bytes
    subject_size: int = 0
    links: Links | None = None
    common: bytes = b""
    created_at: int = 0

    @property
    def kind(self) -> tuple[str, int, int, int, int]:
        """What many jobs have in common: `queue`, `state`, `priority`, `visibility_ms`, `timeout_ms`."""
        return self[3:8]


_new_job = maker(NewJob)


@dataclass(frozen=True, slots=True)
class Defaults:
    """What a job gets that does not say otherwise."""

    visibility_ms: int = 1_800_000
    timeout_ms: int = 1_800_000
    limits: Limits = field(default_factory=Limits)


def job_bytes(job: NewJob, now: int) -> bytes:
    """The job as it stands right after it was stored."""
    return job.envelope + overlay(job.state, enqueued_at=now if job.state == states.AVAILABLE else 0)


class EnvelopeReader:
    """Makes jobs out of requests."""

    def __init__(self, defaults: Defaults) -> None:
        self._defaults = defaults
        self._limits = defaults.limits
        self._kept: dict[bytes, _Prepared] = {}

    def read(
        self,
        entry: Entry,
        options: EnqueueOptions | None,
        now: int,
        trace: Mapping[str, str] = _NO_TRACE,
        *,
        workflow_id: str = "",
    ) -> NewJob:
        """As `read_draft`, of a message.

        Args:
            options: in place of the entry's own.
        """
        return self.read_draft(draft_of(entry, options), now, trace, workflow_id=workflow_id)

    def read_draft(
        self, draft: Draft, now: int, trace: Mapping[str, str] = _NO_TRACE, *, workflow_id: str = ""
    ) -> NewJob:
        """Validates one job to enqueue and gives it an id.

        Args:
            trace: W3C trace context of the call, kept in `meta` unless the client set these members itself.
            workflow_id: the workflow that the job belongs to.

        Raises:
            InvalidRequest: with every broken rule, the fields' paths relative to the entry; nothing is kept.
            InvalidRetryPolicy: only the retry policy breaks rules.
            PayloadTooLarge: over `Limits`.
        """
        limits = self._limits
        prepared = self._prepared(draft.options, now, trace)
        type_rule, type_field = type_info(draft.type, limits)
        job_id = draft.id
        if prepared.broken or type_rule or (job_id is not None and not is_id(job_id)):
            raise _invalid(draft, prepared, type_rule)
        args = draft.args_fields()
        if values.may_break_rules(args, limits.nesting) and (
            rule := values.find_broken_rule(draft.values(), limits.nesting)
        ):
            raise values.refusal("args", rule)
        new = job_id or new_id(now, prepared.partition)
        subject = b"".join((_ID_HEAD, new.encode(), type_field, prepared.subject))
        common = prepared.common
        if workflow_id:
            subject += bytes_field(Job.WORKFLOW_ID_FIELD_NUMBER, workflow_id.encode())
            common = b""
        envelope = b"".join((subject, args, _created_at(now), prepared.fields))
        if draft.others:
            self._check_others(Job.FromString(draft.others))
            envelope += draft.others
            common = b""
        if len(envelope) > limits.envelope_bytes:
            rule = f"must be such that the job has at most {limits.envelope_bytes} bytes, not {len(envelope)}"
            raise PayloadTooLarge([Violation("args", rule)])
        return _new_job(
            (
                new,
                prepared.due_at,
                prepared.expires_at,
                *prepared.kind,
                job_id is not None,
                envelope,
                len(subject),
                prepared.links_of(draft, workflow_id),
                common,
                now,
            )
        )

    def _check_others(self, others: Job) -> None:
        """Checks what few jobs have: the schema of their arguments, and attributes that nobody knows.

        Raises:
            InvalidRequest: or one of its kinds.
        """
        broken = check_ext(others.ext)
        if len(others.schema) > self._limits.schema_chars:
            broken.append(Violation("schema", f"must be at most {self._limits.schema_chars} characters"))
        if broken:
            raise InvalidRequest(broken)
        if rule := values.check(others.ext, others.ext.fields.values(), self._limits.nesting):
            raise values.refusal("ext", rule)

    def _prepared(self, options: bytes, now: int, trace: Mapping[str, str]) -> "_Prepared":
        prepared = self._kept.get(options) if not trace else None
        if prepared is None:
            prepared = self._prepare(EnqueueOptions.FromString(options), now, trace)
            if not trace and prepared.timeless and len(options) <= _KEPT_BYTES:
                if len(self._kept) >= _KEPT_OPTIONS:
                    self._kept.clear()
                prepared = prepared._replace(common=prepared.subject + prepared.fields)
                self._kept[options] = prepared
        return prepared

    def _prepare(self, options: EnqueueOptions, now: int, trace: Mapping[str, str]) -> "_Prepared":
        """What follows from the options."""
        broken: list[Violation] = []
        queue = options.queue or DEFAULT_QUEUE
        if rule := queue_rule(queue, self._limits):
            broken.append(Violation("options.queue", rule))
        if options.priority not in PRIORITIES:
            broken.append(Violation("options.priority", "must be from -100 to 100"))
        times = read_times(options, now, broken)
        check_labels(options, self._limits, broken)
        policy = options.retry if options.HasField("retry") else None
        retry_broken = retry.violations(policy, "options.retry") if policy is not None else []
        if options.max_attempts < 0:
            retry_broken.append(Violation("options.max_attempts", "must not be negative"))
        subject = Job(queue=queue, priority=options.priority, trace_id=trace_id(options, self._limits))
        job = Job(specversion=SPECVERSION)
        copy_options(job, options, times, trace)
        if job.meta.ByteSize() > self._limits.meta_bytes:
            raise PayloadTooLarge([Violation("options.meta", f"must be at most {self._limits.meta_bytes} bytes")])
        if rule := values.check(job.meta, job.meta.fields.values(), self._limits.nesting):
            raise values.refusal("options.meta", rule)
        unique = read_policy(options.unique, queue, options.meta, broken) if options.HasField("unique") else None
        limits = read_limits(options, queue, broken)
        if not (broken or retry_broken):
            job.max_attempts = retry.resolve(policy, options.max_attempts).max_attempts
        return _Prepared(
            kind=(
                queue,
                times.state,
                options.priority,
                times.visibility_ms or self._defaults.visibility_ms,
                times.timeout_ms or self._defaults.timeout_ms,
            ),
            partition=partition_of_queue(queue),
            due_at=times.due_at,
            expires_at=times.expires_at,
            subject=_move_to_subject(job, subject),
            fields=job.SerializeToString(),
            broken=(*broken, *retry_broken),
            only_retry=not broken,
            timeless=not (
                options.HasField("delay_until") or options.HasField("ttl") or options.HasField("expires_at")
            ),
            unique=unique,
            limits=limits,
        )


class _Prepared(NamedTuple):
    """What follows from options, for any job that has them.

    Attributes:
        kind: as in `NewJob`.
        subject: the fields by which events tell of a job, but for id, type and workflow.
        fields: the other fields of the envelope, but for args and created_at.
        only_retry: what is broken is nothing but the retry policy.
        timeless: none of it depends on the time of the request.
        unique, limits: what ties a job to others.
        common: as in `NewJob`.
    """

    kind: tuple[str, int, int, int, int]
    partition: int
    due_at: int
    expires_at: int
    subject: bytes
    fields: bytes
    broken: tuple[Violation, ...]
    only_retry: bool
    timeless: bool
    unique: Policy | None
    limits: tuple[RateLimit, ...]
    common: bytes = b""

    def links_of(self, draft: Draft, workflow_id: str) -> Links | None:
        """What ties this job to others; None if nothing does."""
        if self.unique is None and not self.limits and not workflow_id:
            return None
        unique = self.unique.of(draft.type, draft.values()) if self.unique is not None else None
        return Links(workflow_id, unique, self.limits)


def _invalid(draft: Draft, prepared: _Prepared, type_rule: str) -> InvalidRequest:
    broken = [Violation("type", type_rule)] if type_rule else []
    if draft.id is not None and not is_id(draft.id):
        broken.append(Violation("id", "must be a UUIDv7 in lower case"))
    if not broken and prepared.only_retry:
        return InvalidRetryPolicy(prepared.broken)
    return InvalidRequest([*broken, *prepared.broken])


@lru_cache(maxsize=1024)
def _created_at(ms: int) -> bytes:
    return timestamp_field(Job.CREATED_AT_FIELD_NUMBER, ms)


def _move_to_subject(job: Job, subject: Job) -> bytes:
    """Adds what events tell of the job to the subject, and takes it from the job: parsed together, they are one."""
    if job.HasField("scheduled_at"):
        subject.scheduled_at.CopyFrom(job.scheduled_at)
        job.ClearField("scheduled_at")
    if "traceparent" in job.meta.fields:
        subject.meta.fields["traceparent"].CopyFrom(job.meta.fields["traceparent"])
        del job.meta.fields["traceparent"]
    return subject.SerializeToString()
