"""The options of a job to enqueue: merged with a batch's, and copied into the job that shows them."""

from collections.abc import Mapping

from ojs_grpc_pb.v1.job_pb2 import EnqueueOptions, Job

from ojs_grpc.core.duration import to_timestamp
from ojs_grpc.core.job_limits import MEMBER as LIMIT_IN_META
from ojs_grpc.core.limits import Limits
from ojs_grpc.core.validation import AT_ONCE, Times

TRACE_ID = "trace_id"
"""The member of `meta` that says what the field does."""


def merge_options(entry: EnqueueOptions, defaults: EnqueueOptions) -> EnqueueOptions:
    """A batch entry's options over the batch's defaults (behaviour section 1.3).

    Whatever the entry sets wins; `meta` merges member by member, everything else is replaced whole.
    """
    merged = EnqueueOptions()
    merged.CopyFrom(defaults)
    for descriptor, _ in entry.ListFields():
        if descriptor.name != "meta":
            merged.ClearField(descriptor.name)  # type: ignore[arg-type]
    # These pairs say the same thing in two ways; the entry's way is the one that counts.
    if entry.HasField("ttl"):
        merged.ClearField("expires_at")
    if entry.max_attempts and not entry.HasField("retry") and merged.HasField("retry"):
        merged.retry.ClearField("max_attempts")
    if LIMIT_IN_META in entry.meta.fields:
        merged.ClearField("rate_limit")
    merged.MergeFrom(entry)
    return merged


def trace_id(options: EnqueueOptions, limits: Limits) -> str:
    """The trace that a job belongs to: as the field says, else as `meta` does (behaviour section 18)."""
    if options.trace_id or not options.HasField("meta") or TRACE_ID not in options.meta.fields:
        return options.trace_id
    said = options.meta.fields[TRACE_ID].string_value
    return said if len(said) <= limits.trace_id_chars else ""


def copy_options(job: Job, options: EnqueueOptions, times: Times, trace: Mapping[str, str]) -> None:
    """Takes over what the client said, as it said it, so that it is read back the same."""
    if options.HasField("meta"):
        job.meta.CopyFrom(options.meta)
    for name, text in trace.items():
        if name not in job.meta.fields:
            job.meta.fields[name].string_value = text
    if times is not AT_ONCE:
        _copy_times(job, options, times)
    if options.HasField("retry"):
        job.retry_policy.CopyFrom(options.retry)
    if options.HasField("unique"):
        job.unique_policy.CopyFrom(options.unique)
    if options.HasField("rate_limit"):
        job.rate_limit.CopyFrom(options.rate_limit)
    if options.tags:
        job.tags.extend(options.tags)


def _copy_times(job: Job, options: EnqueueOptions, times: Times) -> None:
    if options.HasField("delay_until"):
        job.scheduled_at.CopyFrom(options.delay_until)
    if options.HasField("expires_at"):
        job.expires_at.CopyFrom(options.expires_at)
    elif times.expires_at:
        job.expires_at.CopyFrom(to_timestamp(times.expires_at))
    if times.timeout_ms:
        job.timeout.CopyFrom(options.timeout)
    if times.visibility_ms:
        job.visibility_timeout.CopyFrom(options.visibility_timeout)
