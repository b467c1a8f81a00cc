"""A job's record, as bytes: a header of fixed size, the queue's name, the links, the envelope, the tail.

One short string a job is the smallest that Redis can hold. `lua/includes/record.lua` says the same in Lua.
"""

from struct import Struct
from typing import NamedTuple

from ojs_grpc.core import states
from ojs_grpc.core.envelope import NewJob
from ojs_grpc.core.links import Links
from ojs_grpc.core.overlay import overlay
from ojs_grpc.stores.redis import limits

_CHANGING = Struct("<BBI5q")
_FIXED = Struct("<BB3q3I")
_HEADER = Struct(_CHANGING.format + _FIXED.format.removeprefix("<"))
_SIZE = _HEADER.size
_LINKS = Struct("<BBq")


class Header(NamedTuple):
    """What scripts need to know of a job; what changes comes first.

    Attributes:
        dead: 1 for a dead letter.
        ended_at: when the job became terminal.
        due_at: scheduled or retryable: when it becomes available; active: when the lease ends.
        rank: 100 - priority, so that it sorts and is never negative.
        subject_size: of the envelope's beginning, by which events tell of the job.
        links_size: of what ties the job to others, 0 for most jobs.
    """

    state: int
    dead: int
    attempt: int
    lease: int
    enqueued_at: int
    started_at: int
    ended_at: int
    due_at: int
    rank: int
    queue_size: int
    expires_at: int
    visibility_ms: int
    timeout_ms: int
    envelope_size: int
    subject_size: int
    links_size: int


def pack(job: NewJob, now: int) -> bytes:
    """The record of a new job."""
    queue, state, envelope = job.queue.encode(), job.state, job.envelope
    enqueued_at = now if state == states.AVAILABLE else 0
    due_at = job.due_at if state == states.SCHEDULED else 0
    rank = 100 - job.priority
    links = _pack_links(job.links, now) if job.links else b""
    # Attempts, leases and the like are still 0.
    header = _HEADER.pack(
        state,
        0,
        0,
        0,
        enqueued_at,
        0,
        0,
        due_at,
        rank,
        len(queue),
        job.expires_at,
        job.visibility_ms,
        job.timeout_ms,
        len(envelope),
        job.subject_size,
        len(links),
    )
    return b"".join((header, queue, links, envelope))


def _pack_links(links: Links, now: int) -> bytes:
    """A job's ties; its creation counts from now."""
    workflow_id = links.workflow_id.encode()
    fingerprint = links.unique.fingerprint.hex().encode() if links.unique else b""
    head = _LINKS.pack(len(workflow_id), len(fingerprint), now)
    return b"".join((head, workflow_id, fingerprint, limits.pack(links.limits).encode()))


def header_of(record: bytes, changed: bytes = b"") -> Header:
    """The header of a record, or what it is after its beginning has `changed`."""
    if changed:
        return Header._make(_CHANGING.unpack(changed) + _FIXED.unpack_from(record, _CHANGING.size))
    return Header._make(_HEADER.unpack_from(record))


def queue_of(record: bytes) -> str:
    """The queue of a job."""
    return record[_SIZE : _SIZE + record[_CHANGING.size + 1]].decode()


def show(header: Header, record: bytes, worker_id: str = "") -> bytes:
    """The job as it stands under this header, whatever the record's own says."""
    start = _SIZE + header.queue_size + header.links_size
    end = start + header.envelope_size
    changed = overlay(
        header.state,
        header.attempt,
        header.lease,
        header.enqueued_at,
        header.started_at,
        header.ended_at,
        header.due_at,
        worker_id,
    )
    return b"".join((record[start:end], changed, record[end:]))


def job_of(record: bytes, worker_id: bytes = b"") -> bytes:
    """The job as it stands."""
    return show(header_of(record), record, worker_id.decode())
