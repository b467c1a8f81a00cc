"""What workers do."""

from collections.abc import Sequence

from ojs_grpc_pb.v1.job_pb2 import Job

from ojs_grpc.core.states import ACTIVE, AVAILABLE, COMPLETED, RETRYABLE
from ojs_grpc.stores.ports import Completion, Demand
from tests.store.building import MANY_BYTES
from tests.store.machine.jobs import JobSteps
from tests.store.machine.plans import EVERYTHING


class DeliverySteps(JobSteps):
    """Claims, acknowledgements, heartbeats."""

    def claim(self, asked: list[tuple[tuple[str, ...], list[str], int, int]]) -> None:
        if self.model.rated():
            # Whoever was held back for a time may need the duty that looks at times to be in line again.
            self.promote(EVERYTHING)
        made = [Demand(queues, names, tiny or MANY_BYTES, length) for queues, names, length, tiny in asked]
        for demand, claimed in zip(made, self.run(self.store.claim(made, self.now)), strict=True):
            self.model.claim(demand, claimed, self.now)

    def ack(self, choices: list[tuple[int, str, str]]) -> None:
        completions = []
        for index, lease, worker in choices:
            active = self.pick(index, lambda row: row.job.state == ACTIVE)
            row = active or self.pick(index, lambda row: row.job.state == COMPLETED or row.lost > 0)
            if index % 3 == 0:
                row = self.pick(index, lambda row: row.lost > 0) or row
            if row is not None:
                held = row.lost if row.job.state == AVAILABLE else row.job.lease
                given = {"right": held, "stale": max(held - 1, 0), "none": 0}[lease]
                tail = Job(trace_id=f"done at {self.now}").SerializeToString()
                completions.append(Completion(row.new.id, given, worker, tail))
        self.complete(completions)

    def complete(self, completions: Sequence[Completion]) -> None:
        answers = self.run(self.store.complete(completions, self.now))
        wanted = [self.model.complete(completion, self.now) for completion in completions]
        assert [None if answer is None else answer.state for answer in answers] == wanted

    def heartbeat(self, worker: str, state: int, index: int | None, lease: str, extend_ms: int) -> None:
        wanted = [ACTIVE] if lease == "none" or index == 0 else [ACTIVE, AVAILABLE, COMPLETED, RETRYABLE]
        row = None if index is None else self.pick(index, lambda row: row.job.state in wanted)
        if row is None and not worker:
            return
        given = {"right": row.job.lease, "stale": max(row.job.lease - 1, 0), "none": 0}[lease] if row else 0
        arguments = worker, state, row.new.id if row else "", given, extend_ms, self.now
        extension = self.run(self.store.heartbeat(*arguments))
        refusal = None if extension.refusal is None else extension.refusal.state
        assert (dict(extension.jobs), refusal) == self.model.heartbeat(*arguments)
        assert len(dict(extension.jobs)) == len(extension.jobs)

    def work(self, worker: str, ends: list[str]) -> None:
        """What a worker does: it takes jobs and ends them, each in its way."""
        self.claim([(("b", "c", "a"), [worker] * len(ends), 0, 0)])
        for end in ends:
            row = self.pick(0, lambda row: row.job.state == ACTIVE)
            if row and end == "ack":
                self.complete([Completion(row.new.id, row.job.lease, worker, b"")])
            elif row and end != "keep":
                transition = self.decided(row.job, end)
                self.apply([transition] if transition else [])
