"""A store and the model of it, side by side."""

import asyncio
from collections import defaultdict
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, TypeVar

from hypothesis.stateful import RuleBasedStateMachine
from ojs_grpc_pb.v1.job_pb2 import Job

from ojs_grpc.core.events import EventId
from ojs_grpc.stores import open_store
from ojs_grpc.stores.ports import Document, Store
from tests.clock import FakeClock
from tests.signals import RecordingSignals
from tests.store.machine import plans
from tests.store.model import Model
from tests.store.model.jobs import Row
from tests.store.model.log import Told

T = TypeVar("T")

DOCUMENT = "document"
"""The kind of all documents."""


class Base(RuleBasedStateMachine):
    """A store and the model of it, side by side.

    Attributes:
        seen: the jobs as they once stood, for decisions that come too late.
        cursor, places, histories: how far the log was read, which events were in it, and what they told of whom.
    """

    def __init__(self, prepare: Callable[[], str]) -> None:
        super().__init__()
        self.url = prepare()
        self.clock = FakeClock()
        self.runner = asyncio.Runner()
        self.store: Store = self.opened()
        self.model = Model(plans.RULES, self.store.silence_ms)
        self.seen: list[Job] = []
        self.latest: dict[str, Job] = {}
        self.number = 0
        self.cursor = self.run(self.store.event_cursor(None))
        self.places: set[EventId] = set()
        self.histories: defaultdict[bytes, list[Told]] = defaultdict(list)

    def opened(self) -> Store:
        store = open_store(self.url, clock=self.clock, rules=plans.RULES)
        self.run(store.open(RecordingSignals()))
        return store

    def teardown(self) -> None:
        self.run(self.store.close())
        self.runner.close()

    def run(self, call: Coroutine[Any, Any, T]) -> T:
        # Not runner.run, which prepares for an interrupt each time: a third of the test.
        return self.runner.get_loop().run_until_complete(call)

    @property
    def now(self) -> int:
        return self.clock.now()

    def read_log(self) -> None:
        more = True
        while more:
            page = self.run(self.store.events(self.cursor, 7))
            self.cursor, more = page.cursor, page.more
            for event in page.events:
                # After a crash the events of the last moment come again.
                if event.id not in self.places:
                    self.places.add(event.id)
                    told = Told(event.kind, event.at, event.attempt, event.value, event.detail)
                    self.histories[event.subject].append(told)

    def pick(self, index: int, suitable: Callable[[Row], bool]) -> Row | None:
        rows = [row for row in self.model.rows.values() if suitable(row)]
        return rows[-1 - index % len(rows)] if rows else None

    def stored(self, job_ids: Sequence[str]) -> list[Job]:
        found = self.run(self.store.read(job_ids))
        assert None not in found, "a job was lost"
        return [Job.FromString(data or b"") for data in found]

    def documents(self, names: Sequence[str]) -> list[Document | None]:
        return self.run(self.store.documents(DOCUMENT, names))
