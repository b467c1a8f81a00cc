"""Progress and checkpoints: who speaks last when a job changes hands meanwhile."""

from collections.abc import AsyncIterator, Sequence
from typing import Any
from unittest import mock

import pytest
from ojs_grpc_pb.v1.job_pb2 import EnqueueRequest, Job, JobError

from ojs_grpc.core.draft import draft_of
from ojs_grpc.core.envelope import Defaults
from ojs_grpc.errors import InvalidState
from ojs_grpc.operations.delivery import Holder
from ojs_grpc.operations.engine import Engine
from ojs_grpc.operations.jobs import CallContext
from ojs_grpc.operations.progress import Report
from ojs_grpc.stores import open_store
from tests.clock import FakeClock


@pytest.fixture
async def engine(url: str, clock: FakeClock) -> AsyncIterator[Engine]:
    """An engine on each kind of store in turn."""
    engine = Engine(open_store(url, clock=clock), Defaults())
    await engine.start()
    yield engine
    await engine.stop()


async def fetch(engine: Engine) -> Job:
    """Claims a job."""
    (leased,) = await engine.delivery.fetch(["default"], "worker-1", 1, 0)
    return Job.FromString(leased.job)


async def active(engine: Engine) -> Job:
    """A job that somebody has claimed."""
    await engine.jobs.enqueue(draft_of(EnqueueRequest(type="test.job")), CallContext())
    return await fetch(engine)


class TakenOver:
    """A store in which the job goes to another worker, which reports too, before its documents are read first."""

    def __init__(self, engine: Engine, job: Job) -> None:
        self._engine = engine
        self._job = job
        self._read = engine.store.documents
        self.again = Job()

    async def documents(self, kind: str, names: Sequence[str]) -> Any:  # noqa: ANN401
        """As the store's."""
        if not self.again.id:
            self.again = self._job
            await self._engine.delivery.nack(self._job.id, JobError(), Holder(), requeue=True)
            self.again = await fetch(self._engine)
            await self._engine.progress.report(self._job.id, Report(0.5, checkpoint={"by": 2}), holder(self.again))
        return await self._read(kind, names)


def holder(job: Job) -> Holder:
    """Whoever has the job."""
    return Holder(job.lease, job.worker_id)


async def test_a_late_report_does_not_undo_the_next_one(engine: Engine) -> None:
    """The job went to another worker while the first one's report was on its way."""
    job = await active(engine)
    with mock.patch.object(engine.store, "documents", TakenOver(engine, job).documents):
        late = await engine.progress.report(job.id, Report(0.9, checkpoint={"by": 1}), holder(job))

    assert late.fraction == 0.5
    assert (await engine.progress.get(job.id)).fraction == 0.5
    assert (await engine.checkpoints.load(job.id)).state == {"by": 2}


async def test_a_late_checkpoint_does_not_replace_the_next_one(engine: Engine) -> None:
    """It is refused, as any of somebody who does not hold the job."""
    job = await active(engine)
    with (
        mock.patch.object(engine.store, "documents", TakenOver(engine, job).documents),
        pytest.raises(InvalidState),
    ):
        await engine.checkpoints.save(job.id, {"by": 1}, holder(job))

    assert (await engine.checkpoints.load(job.id)).state == {"by": 2}


async def test_a_job_with_an_id_that_was_used_before_begins_with_nothing(engine: Engine, clock: FakeClock) -> None:
    """What is kept of the other one is not its own."""
    job = await active(engine)
    await engine.progress.report(job.id, Report(0.9, checkpoint={"row": 9}), holder(job))
    await engine.jobs.cancel(job.id)
    assert await engine.store.delete_finished([job.id], clock.now()) == [True]
    clock.advance(1000)
    await engine.jobs.enqueue(draft_of(EnqueueRequest(type="test.job", id=job.id)), CallContext())

    assert (await engine.progress.get(job.id)).fraction is None
    again = await fetch(engine)
    assert (await engine.progress.get(job.id)).fraction is None
    assert (await engine.progress.report(job.id, Report(0.1), holder(again))).fraction == 0.1
