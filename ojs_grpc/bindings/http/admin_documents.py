"""What operators see, as documents that the admin UI and the command line of the spec's project can read.

Both read members without asking whether they are there, so that counts are always complete and lists always lists.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from ojs_grpc_pb.v1.job_pb2 import Job

from ojs_grpc.codec.error import render_error
from ojs_grpc.codec.job import render_job
from ojs_grpc.codec.times import time_text, timestamp_text
from ojs_grpc.core import states, statistics
from ojs_grpc.operations.admin import DeadLetterStats, Overview, Worker
from ojs_grpc.operations.bulk import Bulk
from ojs_grpc.stores.ports import Minute, QueueCounts

_MINUTE_MS = 60_000
_TIMES = (
    "created_at",
    "enqueued_at",
    "scheduled_at",
    "started_at",
    "completed_at",
    "cancelled_at",
    "discarded_at",
)
_WORKER_STATES = ("running", "quiet", "stale")


def render_counts_by_state(jobs: Mapping[int, int]) -> dict[str, int]:
    """Numbers of jobs by the names of all eight states."""
    return {states.state_name(state): jobs[state] for state in states.ALL}


def render_queue(queue: QueueCounts, now: int) -> dict[str, Any]:
    """A queue with its counts."""
    rate = statistics.rate(queue.minutes, now)
    return {
        "name": queue.name,
        "state": "paused" if queue.paused else "active",
        "status": "paused" if queue.paused else "active",
        "paused": queue.paused,
        "counts": render_counts_by_state(queue.jobs),
        "completed_total": queue.completed,
        "throughput": _render_rate(rate),
        "created_at": time_text(queue.created_at),
    }


def render_overview(overview: Overview, *, detail: bool) -> dict[str, Any]:
    """All queues together; in detail, with each of them.

    Args:
        detail: `queues` is a list then, not a number.
    """
    workers = {state: overview.workers.get(state, 0) for state in _WORKER_STATES}
    paused = sum(queue.paused for queue in overview.queues)
    total, all_workers = len(overview.queues), sum(overview.workers.values())
    return {
        "queues": [_render_depth(queue) for queue in overview.queues] if detail else total,
        "workers": all_workers,
        "jobs": render_counts_by_state(overview.jobs),
        "throughput": _render_rate(overview.rate),
        "uptime_seconds": int(overview.uptime_seconds),
        "queue_summary": {"total": total, "active": total - paused, "paused": paused},
        "worker_summary": {"total": all_workers, **workers},
    }


def render_history(period: str, step: int, minutes: Sequence[Minute]) -> dict[str, Any]:
    """The last hour in steps of so many minutes, oldest first; steps begin at whole multiples."""
    points: dict[int, list[Minute]] = {}
    for minute in minutes:
        points.setdefault(minute.minute // step * step, []).append(minute)
    data = [_render_point(start, some) for start, some in points.items()]
    return {"period": period, "data": data, "data_points": data}


def render_item(job: Job) -> dict[str, Any]:
    """A job in short: without arguments, `meta`, result and history, which may be large."""
    document: dict[str, Any] = {
        "id": job.id,
        "type": job.type,
        "queue": job.queue,
        "state": states.state_name(job.state),
        "priority": job.priority,
        "attempt": job.attempt,
        "max_attempts": job.max_attempts,
        **_render_times(job),
    }
    document |= {name: value for name in ("worker_id", "workflow_id") if (value := getattr(job, name))}
    if job.dead_letter:
        document["dead_letter"] = True
    if job.errors and job.state != states.COMPLETED:
        error = job.errors[-1]
        document["error"] = {"code": error.code, "type": error.type or error.code, "message": error.message}
    return document


def render_detail(data: bytes) -> dict[str, Any]:
    """A job, whole, with its times also by themselves."""
    job = Job.FromString(data)
    errors = [_render_error(render_error(error)) for error in job.errors]
    return {**render_job(job), "errors": errors, "metadata": _render_times(job)}


def render_worker(worker: Worker) -> dict[str, Any]:
    """A worker. Of its queues and its host nobody knows."""
    row, state = worker
    document: dict[str, Any] = {
        "id": row.worker_id,
        "state": state,
        "directive": "",
        "queues": [],
        "active_jobs": row.active,
    }
    if row.last_beat_at:
        document["last_heartbeat_at"] = document["last_heartbeat"] = time_text(row.last_beat_at)
    return document


def render_workers(workers: Sequence[Worker]) -> dict[str, int]:
    """How many workers are in which state."""
    count = Counter(worker.state for worker in workers)
    return {"total": len(workers), **{state: count[state] for state in _WORKER_STATES}}


def render_bulk(action: str, done: str, bulk: Bulk) -> dict[str, Any]:
    """What became of a bulk change.

    Args:
        done: the name by which some clients read the number of jobs that were changed.
    """
    return {
        "action": action,
        "matched": bulk.matched,
        "succeeded": bulk.succeeded,
        "failed": bulk.failed,
        "has_more": bulk.more,
        done: bulk.succeeded,
        "errors": [{"job_id": job_id, "error": why} for job_id, why in bulk.errors],
    }


def render_counts(stats: DeadLetterStats) -> dict[str, Any]:
    """Dead letters in figures."""
    document: dict[str, Any] = {"total": stats.total, "by_queue": dict(stats.by_queue)}
    if stats.by_type is not None and stats.by_error is not None:
        document |= {"by_type": dict(stats.by_type), "by_error_type": dict(stats.by_error)}
    if stats.total:
        document |= {"oldest_at": time_text(stats.oldest_at), "newest_at": time_text(stats.newest_at)}
    return document


def _render_rate(rate: statistics.Rate) -> dict[str, Any]:
    return {
        "processed_per_minute": rate.completed,
        "failed_per_minute": rate.failed,
        "completed_per_min": rate.completed,
        "failed_per_min": rate.failed,
        "avg_latency_ms": rate.avg_duration_ms,
    }


def _render_depth(queue: QueueCounts) -> dict[str, Any]:
    completed = sum(minute.completed for minute in queue.minutes)
    failed = sum(minute.failed for minute in queue.minutes)
    duration = sum(minute.duration_ms for minute in queue.minutes)
    return {
        "name": queue.name,
        "depth": queue.jobs[states.AVAILABLE],
        "avg_duration_ms": duration / completed if completed else 0,
        "error_rate": failed / (completed + failed) if failed else 0,
    }


def _render_point(start: int, minutes: Sequence[Minute]) -> dict[str, Any]:
    completed = sum(minute.completed for minute in minutes)
    duration = sum(minute.duration_ms for minute in minutes)
    failed = sum(minute.failed for minute in minutes)
    return {
        "timestamp": time_text(start * _MINUTE_MS),
        "processed": completed,
        "completed": completed,
        "failed": failed,
        "started": sum(minute.claimed for minute in minutes),
        # Nobody counts them.
        "enqueued": 0,
        "avg_latency_ms": duration / completed if completed else 0,
    }


def _render_times(job: Job) -> dict[str, str]:
    set_fields = {field.name: value for field, value in job.ListFields()}
    return {name: timestamp_text(set_fields[name]) for name in _TIMES if name in set_fields}


def _render_error(error: dict[str, Any]) -> dict[str, Any]:
    """An error whose backtrace is a list of lines, as the admin UI expects."""
    backtrace = error.get("backtrace")
    return {**error, "backtrace": backtrace.splitlines()} if isinstance(backtrace, str) else error
