"""What a store should do, said in the simplest way: every job in one dictionary, and no bytes, indexes or batches.

Where the port leaves a choice (which lease number, which of two jobs with equal times), the model is told what the
store chose and checks that it was allowed to.
"""

from ojs_grpc.core.events import NewEvent
from tests.store.model.delivery import Delivery
from tests.store.model.units import Units


class Model(Delivery, Units):
    """All of it."""

    def set_paused(self, queue: str, event: NewEvent, now: int, *, paused: bool) -> bool:
        """Whether that changed anything."""
        self.queues.add(queue)
        if (queue in self.paused) == paused:
            return False
        self.paused ^= {queue}
        self.log.say(event, now)
        return True
