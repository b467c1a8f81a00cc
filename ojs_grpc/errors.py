"""Everything that can go wrong, named after what happened.

    OJSError
     x  InvalidRequest
        x  InvalidPayload
        x  InvalidRetryPolicy
        x  PayloadTooLarge
        x  SchemaViolation
     x  NotFound
        x  JobNotFound
     x  DuplicateJob
     x  InvalidState
        x  WorkflowEnded
        x  SchemaExists
     x  QueueFull
     x  ServerBusy
     x  ServerStopping
     x  Unsupported
     x  StoreError
        x  StoreUnavailable
           x  StoreTimeout

Each class carries the OJS code (lower case, as in the spec's error catalogue) and whether a caller may try again.
Transport codes are the bindings' business: each has one table from class to status.
"""

from collections.abc import Mapping, Sequence
from typing import ClassVar, NamedTuple

# A message tells of so many broken rules; no more are of use to anybody.
_MANY = 100


class Violation(NamedTuple):
    """One broken rule: the field's path in the request (`options.retry.jitter`), and the rule in words."""

    field: str
    rule: str


class OJSError(Exception):
    """Base of all errors that a caller of an operation can see.

    Attributes:
        code: the OJS error code.
        retryable: whether the same call may succeed later.
        details: short facts for machines, such as `job_id` or `current_state`.
    """

    code: ClassVar[str] = "backend_error"
    retryable: ClassVar[bool] = False

    def __init__(self, message: str, details: Mapping[str, str] | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.details: dict[str, str] = dict(details or {})


class InvalidRequest(OJSError):
    """The request breaks a rule; nothing was stored. `violations` names every field and rule."""

    code = "invalid_request"

    def __init__(self, violations: Sequence[Violation], details: Mapping[str, str] | None = None) -> None:
        super().__init__("; ".join(f"{field}: {rule}" for field, rule in violations[:_MANY]), details)
        self.violations = tuple(violations)


class InvalidPayload(InvalidRequest):
    """The bytes are not a message of the expected type."""

    code = "invalid_payload"


class InvalidRetryPolicy(InvalidRequest):
    """A retry policy has a value outside its range (behaviour section 2.1)."""

    code = "validation_error"


class PayloadTooLarge(InvalidRequest):
    """A job or a request is over a documented limit; nothing was stored."""

    code = "payload_too_large"


class SchemaViolation(InvalidRequest):
    """The arguments of a job are not what the schema that it names says; nothing was stored."""

    code = "schema_validation"


class NotFound(OJSError):
    """There is no such thing. `resource` is its kind: job, dead_letter, workflow, cron."""

    code = "not_found"

    def __init__(self, resource: str, resource_id: str) -> None:
        super().__init__(f"no {resource.replace('_', ' ')} {resource_id!r}",
                         {"resource_type": resource, "resource_id": resource_id})


class JobNotFound(NotFound):
    """No job has this id."""

    def __init__(self, job_id: str) -> None:
        super().__init__("job", job_id)
        self.details["job_id"] = job_id


class DuplicateJob(OJSError):
    """A job with this id, or with the fingerprint of a job that must be unique, is already there.

    Args:
        job_id: the job that is there; empty if it is in the same call.
        state: its state, where the fingerprint is what counts.
        unique_key: the fingerprint in hex, in that case.
    """

    code = "duplicate"

    def __init__(self, job_id: str, state: str = "", unique_key: str = "") -> None:
        what = f"job {job_id}" if job_id else "an earlier job of the call"
        facts = {"existing_job_id": job_id, "existing_job_state": state, "unique_key": unique_key}
        super().__init__(f"{what} is the same by its unique policy" if unique_key else f"{what} already exists",
                         {name: fact for name, fact in facts.items() if fact})


class InvalidState(OJSError):
    """The job is not in a state, or no longer under the lease, that the operation needs."""

    code = "invalid_state"

    def __init__(self, job_id: str, current: str, expected: str, reason: str = "") -> None:
        super().__init__(reason or f"job {job_id} is {current}, expected {expected}",
                         {"job_id": job_id, "current_state": current, "expected_state": expected})


class WorkflowEnded(InvalidState):
    """The workflow is not running any more."""

    def __init__(self, workflow_id: str, current: str) -> None:
        super().__init__("", current, "running", f"workflow {workflow_id} is {current}, expected running")
        self.details["workflow_id"] = workflow_id
        del self.details["job_id"]


class SchemaExists(InvalidState):
    """Another schema is registered under this URI; it has to be deleted first."""

    def __init__(self, uri: str) -> None:
        super().__init__("", "registered", "unregistered", f"another schema is registered as {uri!r}")
        self.details["uri"] = uri
        del self.details["job_id"]


class QueueFull(OJSError):
    """A bounded queue has no room for what was to be stored, nothing of which is; try again after `retry_after` s."""

    code = "queue_full"
    retryable = True

    def __init__(self, queue: str, depth: int, bound: int, retry_after: float = 1.0) -> None:
        super().__init__(f"queue {queue!r} holds {depth} jobs of at most {bound}",
                         {"queue": queue, "depth": str(depth), "max_depth": str(bound)})
        self.retry_after = retry_after


class ServerBusy(OJSError):
    """More calls are under way than the server admits; try again after `retry_after` seconds."""

    code = "rate_limited"
    retryable = True

    def __init__(self, retry_after: float) -> None:
        super().__init__("too many calls under way")
        self.retry_after = retry_after


class ServerStopping(OJSError):
    """The server is shutting down; another one, or this one a little later, will answer."""

    code = "backend_unavailable"
    retryable = True

    def __init__(self) -> None:
        super().__init__("the server is stopping")
        self.retry_after = 1.0


class Unsupported(OJSError):
    """The operation belongs to a conformance level that this server does not reach."""

    code = "unsupported"


class StoreError(OJSError):
    """The store failed in a way that nobody foresaw."""

    code = "backend_error"
    retryable = True


class StoreUnavailable(StoreError):
    """The store cannot be reached; nothing is known to be stored. Try again after `retry_after` seconds."""

    code = "backend_unavailable"

    def __init__(self, message: str, retry_after: float = 1.0) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class StoreTimeout(StoreUnavailable):
    """The store did not answer in time."""

    code = "backend_timeout"
