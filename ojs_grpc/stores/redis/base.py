"""What the parts of the store share."""

from collections.abc import Sequence
from os import urandom
from typing import TYPE_CHECKING

from ojs_grpc.stores.redis.connection import Connections
from ojs_grpc.stores.redis.scripts import Scripts

if TYPE_CHECKING:
    from ojs_grpc.stores.ports import Signals

# A script that returns jobs stops here, so that it stays short whatever the jobs weigh.
ANSWER_BYTES = 4 * 1024 * 1024


class RedisBase:
    """Connections to Redis, and who is told what happens."""

    def __init__(self, connections: Connections, silence_ms: int) -> None:
        self.silence_ms = silence_ms
        self._connections = connections
        self._run = Scripts(connections).run
        self._process = urandom(8).hex()
        """Tells this store object from all others on the same Redis."""
        self._signals: Signals | None = None

    def _tell_ready(self, queues: Sequence[str]) -> None:
        if queues and self._signals is not None:
            self._signals.ready(queues)
