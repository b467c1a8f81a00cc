"""An error that a worker reports, as its job keeps it."""

import json
from typing import Final

from ojs_grpc_pb.v1.job_pb2 import JobError

from ojs_grpc.core.limits import Limits

BACKTRACE: Final = "/backtrace"
"""Where `exact` has the frames of the backtrace, if some have several lines."""


def trim_error(error: JobError, limits: Limits) -> JobError:
    """A reported error as it is kept: cut to its limits, and without what the server sets itself."""
    kept = JobError()
    kept.CopyFrom(error)
    kept.code = error.code[: limits.error_code_chars]
    kept.type = error.type[: limits.error_code_chars]
    if len(error.message) > limits.error_message_bytes // 4:
        kept.message = error.message.encode()[: limits.error_message_bytes].decode(errors="ignore")
    _trim_backtrace(kept, limits)
    if error.details.ByteSize() > limits.error_details_bytes:
        kept.ClearField("details")
    if kept.ext.ByteSize() + sum(map(len, kept.exact.values())) > limits.error_details_bytes:
        kept.ClearField("ext")
        kept.ClearField("exact")
    kept.ClearField("attempt")
    kept.ClearField("occurred_at")
    return kept


def _trim_backtrace(error: JobError, limits: Limits) -> None:
    """Keeps the first frames; those that are cut within, or of which nothing is said, are lines."""
    text, most = error.backtrace, limits.backtrace_frames
    if BACKTRACE in error.exact:
        frames = json.loads(error.exact[BACKTRACE])[:most]
        text = "\n".join(frames)
        if len(text) <= limits.backtrace_chars:
            error.backtrace = text
            error.exact[BACKTRACE] = json.dumps(frames, ensure_ascii=False, separators=(",", ":"))
            return
        del error.exact[BACKTRACE]
    error.backtrace = "\n".join(text[: limits.backtrace_chars].split("\n", most)[:most])
