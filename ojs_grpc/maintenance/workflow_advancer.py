"""Lets workflows go on when their jobs end, and looks after those that have ended (behaviour section 4).

Every ending is noted in the same step as the change that made it. The advancer turns endings into the next state of
their workflows, each in one unit that holds only if nobody else was faster: so any number of servers may do it, and
whatever is interrupted is done again from the same endings.
"""

import asyncio
from collections.abc import Mapping, Sequence
from typing import TypeAlias

from ojs_grpc_pb.v1.job_pb2 import Job
from ojs_grpc_pb.v1.workflow_pb2 import WORKFLOW_STATE_RUNNING, Workflow

from ojs_grpc.core.duration import timestamp_ms
from ojs_grpc.core.workflow.progress import Progress
from ojs_grpc.core.workflow.record import KIND, OPEN
from ojs_grpc.errors import QueueFull
from ojs_grpc.maintenance.workflow_turn import Turn
from ojs_grpc.operations.alarm import Alarm
from ojs_grpc.operations.changes import Changes
from ojs_grpc.operations.workflows import cancel_jobs
from ojs_grpc.stores.ports import Document, Ending, Store, Unit, Write

# Endings taken at once. The more there are, the less each costs: a workflow is read and written once for all of its.
_LOT = 500
# The ended jobs of a lot, with their arguments and results; endings beyond that are left to the next one.
_LOT_BYTES = 16 * 1024 * 1024
_FIRST_JOBS = 32
# Jobs released and called off at once, and what those released find; those of at least one workflow.
_LOT_CHANGES = 2000
_LOT_CONTEXT_BYTES = 16 * 1024 * 1024
_PREPARED_AT_ONCE = 16
_CHUNK = 100
# Workflows that it remembers as it wrote them, since it is likely to meet them again at once.
_REMEMBERED = 8
# So often others may be faster, or queues be full, before what is left waits for a later turn.
_ROUNDS = 5
# After each turn it rests as long as that took, up to this: when much ends, more of it ends meanwhile.
_REST_MS = 20

_Endings: TypeAlias = Mapping[str, Sequence[Ending]]
"""By workflow."""


class WorkflowAdvancer:
    """The duty of advancing workflows.

    Args:
        retention_ms: how long a workflow is kept after its end.
        alarm: rings when a job of a workflow has ended.
    """

    name = "workflow_advancer"
    # An ending noted by a server that then stopped is noticed so late.
    idle_ms = 2000

    def __init__(self, store: Store, changes: Changes, retention_ms: int, alarm: Alarm) -> None:
        self._store = store
        self._changes = changes
        self._retention_ms = retention_ms
        self._rest_until = 0
        self._remembered: dict[str, tuple[bytes, Progress]] = {}
        self.alarm = alarm

    async def run_once(self) -> int | None:
        """Advances workflows by a lot of endings, and sees to a chunk of those that are due."""
        start = self._store.clock.now()
        if start < self._rest_until:
            return self._rest_until
        found = await self._store.endings(_LOT)
        more = await self._advance(_by_workflow(found.endings)) or found.more
        due = await self._store.due_documents(KIND, start, _CHUNK)
        more = await self._look_after(due.documents) or more
        end = self._store.clock.now()
        self._rest_until = end + min(end - start, _REST_MS)
        return self._rest_until if more else due.next_at

    async def _advance(self, first: _Endings) -> bool:
        """Advances each of these workflows; whether there is more to do for one of them."""
        endings, unfinished = dict(first), False
        rooms: dict[str, dict[str, int] | None] = {}
        for rounds_left in reversed(range(_ROUNDS)):
            if not endings:
                break
            now = self._store.clock.now()
            begun, forgotten = await self._begin(endings, rooms)
            turns = await self._see_through(begun, now)
            units = [turn.unit(now) for turn in turns]
            if forgotten:
                units.append(Unit(endings=forgotten))
            outcomes = await self._changes.commit(units, now)
            unfinished = unfinished or len(turns) < len(begun) or any(turn.unfinished for turn in turns)
            endings = {}
            for turn, outcome in zip(turns, outcomes, strict=False):
                if outcome is None:
                    self._remember(turn)
                    continue
                endings[turn.workflow_id] = turn.endings
                if isinstance(outcome, QueueFull):
                    known = rooms.get(turn.workflow_id) or {}
                    # The endings must not wait until it is known of each of many queues.
                    rooms[turn.workflow_id] = known | _room(outcome) if rounds_left > 1 else None
        return unfinished or bool(endings)

    async def _begin(
        self, endings: _Endings, rooms: Mapping[str, Mapping[str, int] | None]
    ) -> tuple[list[Turn], list[Ending]]:
        """Turns for the workflows that run, and the endings that concern no such workflow.

        Args:
            rooms: by workflow, as far as queues were too full for it: as in `Turn`.
        """
        turns: list[Turn] = []
        forgotten: list[Ending] = []
        documents = await self._store.documents(KIND, list(endings))
        for own, document in zip(endings.values(), documents, strict=True):
            progress = self._recall(document) if document is not None else None
            if document is None or progress is None:
                forgotten += own
            else:
                room = rooms.get(document.name, {})
                turns.append(Turn(document, progress, own, self._retention_ms, room, tell=self._store.log_events))
        return turns, forgotten

    def _recall(self, document: Document) -> Progress | None:
        """The workflow, if it runs."""
        data, progress = self._remembered.pop(document.name, (b"", None))
        if progress is not None and data == document.data:
            return progress
        workflow = Workflow.FromString(document.data)
        return Progress(workflow) if workflow.state == WORKFLOW_STATE_RUNNING else None

    def _remember(self, turn: Turn) -> None:
        if turn.progress.remaining:
            while len(self._remembered) >= _REMEMBERED:
                del self._remembered[next(iter(self._remembered))]
            self._remembered[turn.workflow_id] = (turn.data, turn.progress)

    async def _see_through(self, turns: Sequence[Turn], now: int) -> Sequence[Turn]:
        """Gives turns all that they have to know; the first ones, as many as have room in one commit."""
        ended = dict.fromkeys(job_id for turn in turns for job_id in turn.ended())
        jobs = await self._read_some(list(ended))
        for turn in turns:
            turn.end(jobs, now)
        turns = _within(_LOT_CHANGES, turns)
        while unseen := [job_id for turn in turns for job_id in turn.unseen()]:
            jobs = await self._read(unseen)
            for turn in turns:
                turn.see(jobs, now)
        context_bytes = 0
        for start in range(0, len(turns), _PREPARED_AT_ONCE):
            if context_bytes > _LOT_CONTEXT_BYTES:
                return turns[:start]
            some = turns[start : start + _PREPARED_AT_ONCE]
            context_bytes += sum(await asyncio.gather(*(turn.prepare(self._store, now) for turn in some)))
        return turns

    async def _read(self, job_ids: Sequence[str]) -> dict[str, Job | None]:
        found = await self._store.read(job_ids) if job_ids else ()
        return {
            job_id: None if data is None else Job.FromString(data)
            for job_id, data in zip(job_ids, found, strict=True)
        }

    async def _read_some(self, job_ids: Sequence[str]) -> dict[str, Job | None]:
        """The first of these jobs, which are all different: as many as have room in memory and in a unit."""
        jobs: dict[str, Job | None] = {}
        count, size = _FIRST_JOBS, 0
        while len(jobs) < len(job_ids) and size < _LOT_BYTES:
            found = await self._read(job_ids[len(jobs) : len(jobs) + count])
            size += sum(job.ByteSize() for job in found.values() if job is not None)
            jobs |= found
            count = max((_LOT_BYTES - size) * len(jobs) // max(size, 1), 1)
        return jobs

    async def _look_after(self, documents: Sequence[Document]) -> bool:
        """Goes on where work was left, and forgets what was kept long enough; whether there may be more to do."""
        if not documents:
            return False
        now = self._store.clock.now()
        workflows = [(document, Workflow.FromString(document.data)) for document in documents]
        await self._advance({doc.name: () for doc, workflow in workflows if workflow.state == WORKFLOW_STATE_RUNNING})
        units = []
        for document, workflow in workflows:
            if workflow.state == WORKFLOW_STATE_RUNNING:
                continue
            if any(step.state in OPEN for step in workflow.steps):
                await cancel_jobs(self._store, self._changes, document)
            else:
                units.append(Unit(writes=[self._keep_or_forget(document, workflow, now)]))
        if units:
            await self._changes.commit(units, now)
        return True

    def _keep_or_forget(self, document: Document, workflow: Workflow, now: int) -> Write:
        until = timestamp_ms(workflow.completed_at) + self._retention_ms
        if until <= now:
            return Write(KIND, document.name, document.version, None)
        return Write(KIND, document.name, document.version, document.data, until)


def _within(changes: int, turns: Sequence[Turn]) -> Sequence[Turn]:
    """The first turns that make about so many changes."""
    for place, turn in enumerate(turns):
        if changes <= 0:
            return turns[:place]
        changes -= len(turn.progress.ready) + len(turn.progress.called_off)
    return turns


def _room(full: QueueFull) -> dict[str, int]:
    """How many jobs the queue has room for."""
    facts = full.details
    return {facts["queue"]: max(int(facts["max_depth"]) - int(facts["depth"]), 0)}


def _by_workflow(endings: Sequence[Ending]) -> _Endings:
    grouped: dict[str, list[Ending]] = {}
    for ending in endings:
        grouped.setdefault(ending.workflow_id, []).append(ending)
    return grouped
