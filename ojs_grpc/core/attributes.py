"""The attributes that a job has in JSON (wire section 2.1): what else is there is unknown, and kept as it was sent."""

from typing import Final

SAID: Final = frozenset(
    {
        "specversion",
        "id",
        "type",
        "queue",
        "args",
        "meta",
        "options",
        "priority",
        "timeout",
        "timeout_ms",
        "scheduled_at",
        "delay_until",
        "expires_at",
        "ttl",
        "retry",
        "retry_policy",
        "max_attempts",
        "unique",
        "schema",
        "visibility_timeout",
        "visibility_timeout_ms",
        "tags",
        "pending",
        "rate_limit",
        "trace_id",
    }
)
"""What a client may say, aliases included."""

SYSTEM: Final = frozenset(
    {
        "state",
        "attempt",
        "created_at",
        "enqueued_at",
        "started_at",
        "completed_at",
        "cancelled_at",
        "discarded_at",
        "activated_at",
        "re_enqueued_at",
        "next_attempt_at",
        "retry_delay_ms",
        "worker_id",
        "workflow_id",
        "parent_results",
        "previous_state",
        "lease",
        "lease_expires_at",
        "dead_letter",
        "error",
        "errors",
        "result",
    }
)
"""What the server sets; ignored where a client sends it."""
KNOWN: Final = SAID | SYSTEM

OPTIONS: Final = SAID - {"specversion", "id", "type", "args", "options", "schema"} | {"metadata"}
"""What may stand in `options`."""

UNKNOWN_OPTIONS: Final = "options"
"""The member of `ext` for members of `options` that nobody knows."""
