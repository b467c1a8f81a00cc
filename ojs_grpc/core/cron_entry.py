"""A cron entry as it is kept, and the jobs that it makes (behaviour sections 5.1 and 5.4).

Entries are kept as `ojs.v1.CronEntry`: as registered, with defaults filled in, and what the server adds.
"""

import re

from google.protobuf.struct_pb2 import Value
from ojs_grpc_pb.v1.job_pb2 import EnqueueOptions, EnqueueRequest
from ojs_grpc_pb.v1.service_pb2 import CronEntry, RegisterCronRequest

from ojs_grpc.core.cron import NextRun, Schedule, read_zone, schedule
from ojs_grpc.core.duration import timestamp_ms, to_timestamp
from ojs_grpc.core.envelope import EnvelopeReader, NewJob
from ojs_grpc.core.links import Links
from ojs_grpc.core.members import time_text
from ojs_grpc.core.rate_limit import RateLimit
from ojs_grpc.errors import InvalidRequest, Violation

SKIP = "skip"
ALLOW = "allow"
CANCEL_PREVIOUS = "cancel_previous"
ENQUEUE = "enqueue"
OVERLAP_POLICIES = (SKIP, ALLOW, CANCEL_PREVIOUS, ENQUEUE)

DEFAULT_ZONE = "UTC"

# How clients without our fields say the same.
_META_OVERLAP = "ojs.cron.overlap_policy"
_META_ENABLED = "ojs.cron.enabled"
_META_DESCRIPTION = "ojs.cron.description"
_WORDS = {"true": True, "false": False}
_ABSENT = (None, "null_value")

_NAME = re.compile(r"[a-z0-9][a-z0-9.-]*")
_NAME_CHARS = 255
_TEXT_CHARS = 1000


def is_name(name: str) -> bool:
    """Whether an entry may have this name."""
    return len(name) <= _NAME_CHARS and _NAME.fullmatch(name) is not None


def read_entry(request: RegisterCronRequest, reader: EnvelopeReader, now: int) -> CronEntry:
    """Validates what a client registers; an entry that is not planned yet.

    Raises:
        InvalidRequest: with every broken rule; or one of its kinds if it is only the job that breaks rules.
        Unsupported: the job asks for a feature that is not there.
    """
    broken: list[Violation] = []
    if not is_name(request.name):
        rule = "must be lower-case letters, digits, - and ., starting with a letter or a digit"
        broken.append(Violation("name", f"{rule}, at most {_NAME_CHARS} characters"))
    entry = CronEntry(
        name=request.name,
        cron=request.cron,
        timezone=request.timezone or DEFAULT_ZONE,
        type=request.type,
        args=request.args,
        options=request.options if request.HasField("options") else None,
        overlap_policy=_overlap_policy(request, broken),
        enabled=_enabled(request, broken),
        description=_description(request, broken),
        created_at=to_timestamp(now),
        exact=request.exact,
        schema=request.schema,
        ext=request.ext if request.HasField("ext") else None,
    )
    # What nobody understands is kept nowhere, and could be of any size.
    entry.DiscardUnknownFields()
    _check_schedule(entry, now, broken)
    _check_options(request.options, broken)
    try:
        make_job(entry, now, reader, now)
    except InvalidRequest as error:
        if not broken:
            raise
        broken += error.violations
    if broken:
        raise InvalidRequest(broken)
    return entry


def plan(entry: CronEntry, old: CronEntry | None, now: int) -> int | None:
    """Takes over what an entry keeps when it is registered again, and plans its next run.

    Returns:
        When somebody has to look at it, 0 for never; None if that stays as it is.
    """
    if old is not None:
        entry.created_at.CopyFrom(old.created_at)
        entry.run_count = old.run_count
        entry.recent_jobs[:] = old.recent_jobs
        if old.HasField("last_run_at"):
            entry.last_run_at.CopyFrom(old.last_run_at)
        same = (entry.cron, entry.timezone, entry.enabled) == (old.cron, old.timezone, old.enabled)
        if same and old.HasField("next_run_at"):
            entry.next_run_at.CopyFrom(old.next_run_at)
            return None
    return plan_next(entry, schedule(entry.cron, entry.timezone).next_run(now) if entry.enabled else None)


def plan_next(entry: CronEntry, run: NextRun | None) -> int:
    """Notes the next run, None for none; when somebody has to look at the entry, 0 for never.

    That is earlier than the next run where the clocks leave a time out in between.
    """
    if run is None:
        entry.ClearField("next_run_at")
        return 0
    entry.next_run_at.CopyFrom(to_timestamp(run.at))
    return run.skipped_at or run.at


def make_job(entry: CronEntry, scheduled_at: int, reader: EnvelopeReader, now: int) -> NewJob:
    """The job for the run that was due at `scheduled_at`.

    Raises:
        InvalidRequest: or whatever else `EnvelopeReader.read` raises.
    """
    request = EnqueueRequest(
        type=entry.type,
        args=entry.args,
        options=entry.options,
        exact=entry.exact,
        schema=entry.schema,
        ext=entry.ext if entry.HasField("ext") else None,
    )
    options = request.options
    for name in (_META_OVERLAP, _META_ENABLED, _META_DESCRIPTION):
        if name in options.meta.fields:
            del options.meta.fields[name]
    options.meta.fields["cron_name"].string_value = entry.name
    options.meta.fields["cron_triggered_at"].string_value = time_text(scheduled_at)
    job = reader.read(request, options, now)
    return _one_at_once(job, entry.name) if entry.overlap_policy == ENQUEUE else job


def brief(data: bytes) -> bytes:
    """A serialised entry without what may make it large: `args`, `options.meta`, `recent_jobs` and JSON's extras."""
    entry = CronEntry.FromString(data)
    for field in ("args", "recent_jobs", "exact", "ext"):
        entry.ClearField(field)
    if entry.HasField("options"):
        entry.options.ClearField("meta")
    return entry.SerializeToString()


def next_run_of(entry: CronEntry) -> int:
    """When the entry runs next, 0 for never."""
    return timestamp_ms(entry.next_run_at) if entry.HasField("next_run_at") else 0


def _one_at_once(job: NewJob, name: str) -> NewJob:
    links = job.links or Links()
    limits = {limit.key: limit for limit in links.limits}
    key = f"cron:{name}"
    # The job may have named a limit like that.
    limits[key] = limits.get(key, RateLimit(key))._replace(concurrency=1)
    return job._replace(links=links._replace(limits=tuple(limits.values())))


def _check_schedule(entry: CronEntry, now: int, broken: list[Violation]) -> None:
    try:
        zone = read_zone(entry.timezone)
    except ValueError as error:
        broken.append(Violation("timezone", str(error)))
        zone = read_zone(DEFAULT_ZONE)
    try:
        run = Schedule(entry.cron, zone).next_run(now)
    except ValueError as error:
        broken.append(Violation("cron", str(error)))
    else:
        if run is None:
            broken.append(Violation("cron", "never comes: there is no such day"))


def _check_options(options: EnqueueOptions, broken: list[Violation]) -> None:
    if options.HasField("delay_until"):
        broken.append(Violation("options.delay_until", "must not be set: the expression says when the jobs run"))
    if options.HasField("expires_at"):
        broken.append(Violation("options.expires_at", "must not be set: every job has its own time; use ttl"))


def _overlap_policy(request: RegisterCronRequest, broken: list[Violation]) -> str:
    said = _text_in_meta(request, _META_OVERLAP, broken)
    policy = request.overlap_policy or said or SKIP
    if policy not in OVERLAP_POLICIES:
        field = "overlap_policy" if request.overlap_policy else _path(_META_OVERLAP)
        broken.append(Violation(field, f"must be one of {', '.join(OVERLAP_POLICIES)}"))
    return policy


def _enabled(request: RegisterCronRequest, broken: list[Violation]) -> bool:
    value = _in_meta(request, _META_ENABLED)
    # Clients whose meta holds nothing but strings say it as one.
    said = _WORDS.get(value.string_value, value.bool_value)
    if value.WhichOneof("kind") not in (*_ABSENT, "bool_value") and value.string_value not in _WORDS:
        broken.append(Violation(_path(_META_ENABLED), "must be true or false"))
    if request.HasField("enabled"):
        return request.enabled
    return said or value.WhichOneof("kind") in _ABSENT


def _description(request: RegisterCronRequest, broken: list[Violation]) -> str:
    said = _text_in_meta(request, _META_DESCRIPTION, broken)
    if len(request.description) > _TEXT_CHARS:
        broken.append(Violation("description", f"must be at most {_TEXT_CHARS} characters"))
    return request.description or said


def _text_in_meta(request: RegisterCronRequest, name: str, broken: list[Violation]) -> str:
    value = _in_meta(request, name)
    if value.WhichOneof("kind") not in (*_ABSENT, "string_value") or len(value.string_value) > _TEXT_CHARS:
        broken.append(Violation(_path(name), f"must be a string of at most {_TEXT_CHARS} characters"))
    return value.string_value


def _in_meta(request: RegisterCronRequest, name: str) -> Value:
    """A value of no kind if there is none; null says the same."""
    fields = request.options.meta.fields
    return fields[name] if name in fields else Value()


def _path(name: str) -> str:
    return f'options.meta["{name}"]'
