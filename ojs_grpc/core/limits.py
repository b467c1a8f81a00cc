"""The bounds on what a caller may send and on what is kept and answered (design section 7)."""

from dataclasses import dataclass

_KIB = 1024
_MIB = 1024 * _KIB


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds with their defaults. What is over one is refused, nothing of it stored, unless the field says otherwise.

    Messages are measured as serialised protobuf, strings as UTF-8 (`_bytes`) or in characters (`_chars`).

    Attributes:
        request_bytes: one gRPC message or HTTP body.
        reply_bytes: the jobs in one reply; fewer are returned rather than more. Stock clients refuse messages above
            4 MiB, and the jobs would already be leased.
        batch_jobs: jobs in one EnqueueBatch.
        envelope_bytes: one job as enqueued.
        meta_bytes: `meta` of one job.
        nesting: depth of lists and objects within each of `args`, `meta` and `result`. Protobuf's own parsers stop
            at 100 messages, and an object in an object costs three.
        type_bytes: a job type.
        queue_chars: a queue name.
        tags: how many tags a job may have.
        tag_chars: one tag.
        worker_id_chars: the name by which a worker claims and beats.
        trace_id_chars: a trace id.
        schema_chars: the URI of a schema.
        idempotency_key_chars: an idempotency key.
        request_id_chars: a caller's request id, which is echoed; a longer one is cut.
        result_bytes: what Ack hands over.
        errors_kept: entries of `errors` that a job keeps, the newest.
        error_code_chars: `code` of an error; a longer one is cut.
        error_message_bytes: `message` of an error; a longer one is cut.
        error_details_bytes: `details` of an error; larger ones are left out.
        backtrace_chars: `backtrace` of an error; a longer one is cut.
        backtrace_frames: its lines, or the frames that JSON says it consists of; the first ones are kept.
    """

    request_bytes: int = 64 * _MIB
    reply_bytes: int = 7 * _MIB // 2
    batch_jobs: int = 10_000

    envelope_bytes: int = _MIB
    meta_bytes: int = 64 * _KIB
    nesting: int = 30
    type_bytes: int = 255
    queue_chars: int = 128
    tags: int = 100
    tag_chars: int = 255
    worker_id_chars: int = 255
    trace_id_chars: int = 255
    schema_chars: int = 2048
    idempotency_key_chars: int = 256
    request_id_chars: int = 128

    result_bytes: int = _MIB
    errors_kept: int = 10
    error_code_chars: int = 255
    error_message_bytes: int = 10_000
    error_details_bytes: int = 64 * _KIB
    backtrace_chars: int = 10_000
    backtrace_frames: int = 50
