"""What the parts of the store share."""

from collections.abc import Iterator, Sequence
from os import urandom
from typing import TYPE_CHECKING, TypeVar

from ojs_grpc.core.rate_limit import QueueRules
from ojs_grpc.stores.redis.connection import Connections
from ojs_grpc.stores.redis.scripts import Scripts

if TYPE_CHECKING:
    from ojs_grpc.stores.ports import Signals

# Jobs that one script changes, so that it takes 1 to 2 ms, on a busy machine 5: Redis serves nobody else meanwhile. A
# call with more becomes several scripts, since its items are independent of each other.
MOST_INSERTED = 200
MOST_CLAIMED = 100
MOST_COMPLETED = 100
MOST_APPLIED = 100
MOST_PROMOTED = 60
# A script that returns jobs stops here, so that it stays short whatever the jobs weigh.
ANSWER_BYTES = 4 * 1024 * 1024


Item = TypeVar("Item")


def portions(items: Sequence[Item], most: int) -> Iterator[Sequence[Item]]:
    """The items in order, at most so many at once."""
    return (items[first : first + most] for first in range(0, len(items), most))


class RedisBase:
    """Connections to Redis, and who is told what happens.

    Args:
        silence_ms, log_events: as in `Store`.
        rules: what operators set for queues.
    """

    def __init__(self, connections: Connections, silence_ms: int, rules: QueueRules, *, log_events: bool) -> None:
        self.silence_ms = silence_ms
        self.log_events = log_events
        self._rules = rules
        self._connections = connections
        self._run = Scripts(connections).run
        self._process = urandom(8).hex()
        """Tells this store object from all others on the same Redis."""
        self._signals: Signals | None = None

    def _call(self, now: int) -> list[str | bytes | int]:
        """What scripts that change jobs want to know first."""
        return [now, self._process, int(self.log_events)]

    def _tell(self, ended: int, queues: Sequence[bytes]) -> None:
        """Passes on what a script says of its effect on others."""
        if ended and self._signals is not None:
            self._signals.ended()
        self._tell_ready([queue.decode() for queue in queues])

    def _tell_ready(self, queues: Sequence[str]) -> None:
        if queues and self._signals is not None:
            self._signals.ready(queues)
