"""What ties a job to others, for the stores, which know nothing of its envelope."""

from typing import NamedTuple

from ojs_grpc.core.rate_limit import RateLimit
from ojs_grpc.core.unique import Unique


class Links(NamedTuple):
    """The ties of one job; most jobs have none.

    Attributes:
        workflow_id: whenever the job ends, however it ends, the store notes an `Ending` for this workflow.
        unique: checked at insertion, and remembered while the job is stored.
        limits: all of them must allow a claim; their keys differ.
    """

    workflow_id: str = ""
    unique: Unique | None = None
    limits: tuple[RateLimit, ...] = ()
