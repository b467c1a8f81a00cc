"""All operations over one store: what a binding is given."""

import asyncio
from collections.abc import Sequence

from ojs_grpc.core.envelope import Defaults
from ojs_grpc.errors import ServerStopping
from ojs_grpc.operations.admin import Admin
from ojs_grpc.operations.alarm import Alarm
from ojs_grpc.operations.changes import Changes
from ojs_grpc.operations.checkpoints import Checkpoints
from ojs_grpc.operations.cron import Crons
from ojs_grpc.operations.dead_letter import DeadLetters
from ojs_grpc.operations.delivery import Delivery
from ojs_grpc.operations.directives import Directives
from ojs_grpc.operations.dispatcher import Dispatcher
from ojs_grpc.operations.events import Events
from ojs_grpc.operations.figures import Figures
from ojs_grpc.operations.jobs import Jobs
from ojs_grpc.operations.progress import Progress
from ojs_grpc.operations.queues import Queues
from ojs_grpc.operations.schemas import Schemas
from ojs_grpc.operations.streams import Streams
from ojs_grpc.operations.system import System
from ojs_grpc.operations.worker_events import WorkerEvents
from ojs_grpc.operations.workflows import Workflows
from ojs_grpc.stores.ports import Store
from ojs_grpc.telemetry.recorder import Recorder


class Engine:
    """The operations by noun, and what happens between them. Also listens to the store (`stores.ports.Signals`).

    Args:
        recorder: where bindings note what they did; one of its own if nobody reads it.
        conformance: jobs may say what heartbeats answer, as the official suite needs it.
    """

    def __init__(
        self, store: Store, defaults: Defaults, recorder: Recorder | None = None, *, conformance: bool = False
    ) -> None:
        self.store = store
        self.defaults = defaults
        self.recorder = recorder or Recorder()
        self._dispatcher = Dispatcher(store, defaults.limits)
        self.due = Alarm()
        """Rings when a scheduled or retryable job is due."""
        self.expiry = Alarm()
        """Rings when a job's time to live ends."""
        self.endings = Alarm()
        """Rings when a job of a workflow has ended."""
        self.changes = Changes(store, self._dispatcher.release, self.due, self.expiry)
        self.system = System(store)
        self.schemas = Schemas(store, defaults.limits)
        self.jobs = Jobs(store, self.changes, defaults, self.schemas)
        self._worker_events = WorkerEvents(store)
        directives = Directives(self.jobs) if conformance else None
        self.delivery = Delivery(
            store, self.changes, self._dispatcher, defaults.limits, self._worker_events, directives
        )
        self.streams = Streams(self._dispatcher, defaults.limits, self._worker_events)
        self.queues = Queues(store, defaults.limits)
        self.crons = Crons(store, self.changes, defaults, self.schemas)
        self.workflows = Workflows(store, self.changes, defaults, self.schemas, self.endings)
        self.events = Events(store)
        self.progress = Progress(store, self.changes, defaults.limits)
        self.checkpoints = Checkpoints(store, self.changes, defaults.limits)
        self.dead_letters = DeadLetters(store, self.changes, defaults.limits)
        self.admin = Admin(store, self.jobs, self.dead_letters, defaults.limits)
        self.figures = Figures(store, self.system, self._dispatcher, self.events)
        self._watch: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Opens the store and starts to hand out jobs.

        Raises:
            StoreUnavailable: the store cannot be reached.
            ValueError: it is set up in a way that would lose jobs.
        """
        await self.store.open(self)
        self._dispatcher.start(self.changes)
        self._watch = asyncio.create_task(self.system.watch())

    async def reset(self) -> None:
        """Deletes everything: for the conformance suite, whose cases begin with an empty store."""
        await self.store.clear()
        self.schemas.forget()

    def end_streams(self) -> None:
        """Ends all streams and polls with `ServerStopping`, and opens none from now on."""
        self._dispatcher.refuse(ServerStopping())
        self.events.refuse(ServerStopping())

    async def stop(self) -> None:
        """Gives back what was leased and not handed over, and closes the store."""
        if self._watch is not None:
            self._watch.cancel()
        await self.events.stop()
        await self._dispatcher.stop()
        await self._worker_events.stop()
        await self.store.close()

    def ready(self, queues: Sequence[str]) -> None:
        """See `Signals.ready`."""
        if queues:
            self._dispatcher.wake(queues)
        else:
            self._dispatcher.wake_all()

    def released(self, job_ids: Sequence[str]) -> None:
        """See `Signals.released`."""
        self._dispatcher.release(job_ids)

    def ended(self) -> None:
        """See `Signals.ended`."""
        self.endings.advance(0)
