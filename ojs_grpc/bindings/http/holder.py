"""Who reports about a job, where a request says it."""

from ojs_grpc.codec.members import Members
from ojs_grpc.operations.delivery import Holder

_MAX_LEASE = (1 << 63) - 1


def read_holder(members: Members) -> Holder:
    """The lease and the worker that a request names."""
    return Holder(read_lease(members), members.text("worker_id") or "")


def read_lease(members: Members) -> int:
    """The lease alone; 0 for none."""
    return members.whole("lease", low=0, high=_MAX_LEASE) or 0
