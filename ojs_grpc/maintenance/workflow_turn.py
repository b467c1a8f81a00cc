"""One workflow's part in a lot of endings: from what ended to the unit that makes the consequences so.

    end        the steps whose jobs have ended; the core says whose turn it is
    see        the jobs of those steps, which may have ended meanwhile
    prepare    what these steps find of the steps before them
    unit       all of it at once, or nothing

Nothing is changed before the unit, so a turn that is lost, or comes too late, is simply taken again.
"""

from collections.abc import Iterator, Mapping, Sequence

from ojs_grpc_pb.v1.job_pb2 import Job
from ojs_grpc_pb.v1.workflow_pb2 import WORKFLOW_STEP_STATE_COMPLETED, WORKFLOW_STEP_STATE_WAITING

from ojs_grpc.core import lifecycle, states
from ojs_grpc.core.events import NewEvent
from ojs_grpc.core.transition import Transition
from ojs_grpc.core.workflow import context, events
from ojs_grpc.core.workflow.progress import Progress
from ojs_grpc.core.workflow.record import CHAIN, KIND, RESULT_KIND, result_name
from ojs_grpc.operations.workflows import forget_results
from ojs_grpc.stores.ports import Document, Ending, Store, Unit, Write

# What the jobs released by one unit find of the steps before them, all together; the rest is released by the next one.
_CONTEXT_BYTES = 8 * context.MAX_BYTES
# What a full queue has no room for is tried again after this time.
_FULL_MS = 1000
# Kept results read at once; each may be as large as a result may be.
_RESULTS_CHUNK = 64


class Turn:
    """The next step of a running workflow.

    Args:
        document: what `progress` is about; it moves on from there.
        retention_ms: how long the workflow is kept once it has ended.
        room: how many jobs each of these queues has room for, None if none has any; the rest is left for a later turn.
        tell: whether events are wanted.

    Attributes:
        data: what the document holds once the unit is done.
    """

    def __init__(
        self,
        document: Document,
        progress: Progress,
        endings: Sequence[Ending],
        retention_ms: int,
        room: Mapping[str, int] | None,
        *,
        tell: bool,
    ) -> None:
        self.endings = endings
        self.progress = progress
        self.data = document.data
        self._document = document
        self._workflow = progress.workflow
        self._retention_ms = retention_ms
        self._room = None if room is None else dict(room)
        self._wait_ms = 0 if room == {} else _FULL_MS
        self._tell = tell
        self._left = False
        self._jobs: dict[str, Job | None] = {}
        self._ended: list[int] = []
        self._results: dict[int, bytes] = {}
        self._contexts: dict[int, Job] = {}
        self._events: list[NewEvent] = []

    @property
    def workflow_id(self) -> str:
        """Whose turn it is."""
        return self._workflow.id

    def ended(self) -> list[str]:
        """The jobs that ended, of steps of which this was not known."""
        return [ending.job_id for ending in self.endings if self.progress.find(ending.job_id) is not None]

    def end(self, jobs: Mapping[str, Job | None], now: int) -> None:
        """Takes note of the endings.

        Args:
            jobs: those that `ended` named, as far as they are still there; if some of them are missing, their endings
                are left for another turn.
        """
        known = [e for e in self.endings if e.job_id in jobs or self.progress.find(e.job_id) is None]
        self._left = len(known) < len(self.endings)
        self.endings = known
        for ending in known:
            self._end(ending.job_id, ending.state, jobs.get(ending.job_id), now)

    def unseen(self) -> list[str]:
        """The jobs that are to be changed and were not seen yet."""
        steps = self.progress.steps
        places = (*self.progress.ready, *self.progress.called_off)
        return [steps[place].job_id for place in places if steps[place].job_id not in self._jobs]

    def see(self, jobs: Mapping[str, Job | None], now: int) -> None:
        """Looks at the jobs that `unseen` named. Where one has ended while it waited, so has its step."""
        for job_id in self.unseen():
            self._jobs[job_id] = job = jobs[job_id]
            if job is None:
                self._end(job_id, states.CANCELLED, None, now)
            elif job.state in states.TERMINAL:
                self._end(job_id, job.state, job, now)

    async def prepare(self, store: Store, now: int) -> int:
        """Makes up what the released steps find, and the end of the workflow if this is it; the size of the former."""
        room = _CONTEXT_BYTES
        shared: dict[tuple[int, ...], Job] = {}
        for place in self.progress.ready:
            if room <= 0:
                break
            if not self._takes(place):
                continue
            parents = tuple(self.progress.parents[place])
            if parents not in shared:
                shared[parents] = await self._context(place, store)
            self._contexts[place] = shared[parents]
            room -= shared[parents].ByteSize()
        if not self.progress.remaining:
            await self._finish(store, now)
        return _CONTEXT_BYTES - room

    def unit(self, now: int) -> Unit:
        """What has to be done, unless the workflow has changed meanwhile; to be asked for once, at the end."""
        if not (self._ended or self._contexts or self._document.due_at):
            return Unit(endings=self.endings)
        changes = [*self._admissions(now), *self._cancellations()]
        if self.progress.remaining:
            writes, due_at = self._kept_results(), now + self._wait_ms if self.progress.ready else 0
        else:
            writes, due_at = forget_results(self._workflow), now + self._retention_ms
        self.data = self._workflow.SerializeToString()
        record = Write(KIND, self._workflow.id, self._document.version, self.data, due_at)
        return Unit(changes=changes, writes=[record, *writes], endings=self.endings, events=self._events)

    @property
    def unfinished(self) -> bool:
        """Whether there is more to do than the unit does."""
        return self._left or (bool(self.progress.ready) and not self._wait_ms)

    def _takes(self, place: int) -> bool:
        """Whether the queue of a step's job has room for it, which is taken."""
        job = self._jobs[self.progress.steps[place].job_id]
        if self._room is None or job is None:
            return False
        left = self._room.get(job.queue)
        if left is not None:
            self._room[job.queue] = left - 1
        return left is None or left > 0

    def _end(self, job_id: str, job_state: int, job: Job | None, now: int) -> None:
        place = self.progress.find(job_id)
        if place is None:
            return
        self.progress.end(place, job_state, job, now)
        self._ended.append(place)
        self._jobs[job_id] = job
        completed = job_state == states.COMPLETED
        self._results[place] = context.result_of(job) if completed and job is not None else b""
        if self._tell:
            event = events.step_completed if completed else events.step_failed
            self._events.append(
                event(self._workflow, self.progress.steps[place], job, self.progress.remaining)
            )

    async def _finish(self, store: Store, now: int) -> None:
        failed = self.progress.finish(now)
        if not self._tell:
            return
        if failed is None:
            self._events.append(events.completed(self._workflow))
            return
        self._events.append(events.failed(self._workflow, failed, await self._job(failed.job_id, store)))

    def _admissions(self, now: int) -> Iterator[Transition]:
        for place, found in self._contexts.items():
            self.progress.release(place)
            job = self._jobs[self.progress.steps[place].job_id]
            if job is not None and job.state == states.PENDING:
                yield lifecycle.admit(job, found, now)

    def _cancellations(self) -> Iterator[Transition]:
        for place in self.progress.take_called_off():
            job = self._jobs[self.progress.steps[place].job_id]
            if job is not None and job.state not in states.TERMINAL:
                yield lifecycle.cancel(job, "its turn in the workflow will not come", self._workflow.id)

    def _kept_results(self) -> list[Write]:
        """Keeps the results that steps are still to get, since jobs may be forgotten before (behaviour section 4.4)."""
        if self._workflow.type == CHAIN:
            return []
        steps = self.progress.steps
        return [
            Write(RESULT_KIND, result_name(self._workflow.id, steps[place].job_id), None, self._results[place])
            for place in self._ended
            if self._results[place]
            and any(
                steps[dependent].state == WORKFLOW_STEP_STATE_WAITING for dependent in self.progress.dependents[place]
            )
        ]

    async def _context(self, place: int, store: Store) -> Job:
        if self._workflow.type == CHAIN:
            return await self._chain_context(place, store)
        steps, parents = self.progress.steps, self.progress.parents[place]
        await self._read_results(parents, store)
        return context.gather([(steps[parent].id, self._results.get(parent, b"")) for parent in parents])

    async def _read_results(self, parents: Sequence[int], store: Store) -> None:
        """Reads results that were kept, as many as one step gets."""
        steps, size = self.progress.steps, 0
        for start in range(0, len(parents), _RESULTS_CHUNK):
            chunk = parents[start : start + _RESULTS_CHUNK]
            wanted = [
                place
                for place in chunk
                if place not in self._results and steps[place].state == WORKFLOW_STEP_STATE_COMPLETED
            ]
            names = [result_name(self._workflow.id, steps[place].job_id) for place in wanted]
            found = await store.documents(RESULT_KIND, names) if names else ()
            for place, document in zip(wanted, found, strict=True):
                self._results[place] = document.data if document is not None else b""
            size += sum(len(self._results.get(place, b"")) for place in chunk)
            if size > context.MAX_BYTES:
                return

    async def _chain_context(self, place: int, store: Store) -> Job:
        """What the step before got, and its result."""
        steps = self.progress.steps
        earlier: list[str] = []
        (last,) = parents = self.progress.parents[place]
        while parents:
            earlier.append(steps[parents[0]].id)
            parents = self.progress.parents[parents[0]]
        earlier.reverse()
        job = await self._job(steps[last].job_id, store)
        if job is None:
            return context.gather((step_id, b"") for step_id in earlier)
        # The first step got nothing, whatever its own `meta` says.
        results = context.handed_on(job)[: len(earlier) - 1]
        results += [b""] * (len(earlier) - 1 - len(results))
        full = len(earlier) > 1 and context.is_full(job)
        return context.gather(zip(earlier, [*results, context.result_of(job)], strict=True), full=full)

    async def _job(self, job_id: str, store: Store) -> Job | None:
        """A job that this turn has perhaps not seen."""
        if job_id not in self._jobs:
            (data,) = await store.read([job_id])
            self._jobs[job_id] = None if data is None else Job.FromString(data)
        return self._jobs[job_id]
