"""Hands available jobs to whoever waits for them (design section 5).

One dispatcher a process holds all waiting streams and long polls, the *consumers*. It claims for all of them in one
store call, never more than their free slots, and hands out round robin. It claims when a queue is said to be ready
(by an enqueue here, or by the store for all other servers), when a slot frees, and on a slow tick that heals whatever
was missed.
"""

import asyncio
from collections.abc import Coroutine, Iterable, Iterator, Sequence

import structlog
from ojs_grpc_pb.v1.job_pb2 import Job

from ojs_grpc.core import lifecycle
from ojs_grpc.core.limits import Limits
from ojs_grpc.core.transition import Transition
from ojs_grpc.errors import InvalidState, JobNotFound, OJSError, ServerStopping, StoreError
from ojs_grpc.operations.changes import Changes
from ojs_grpc.operations.consumer import Consumer
from ojs_grpc.stores.ports import Delivery, Demand, Store

log = structlog.get_logger(__name__)

# Slots in one claim: a store call stays short, and an idle wake-up does not name every free slot of every stream.
_FIRST_SLOTS = 32
_MOST_SLOTS = 256
_TICK_SECONDS = 1.0
_RETRY_SECONDS = 0.25
_STOP_SECONDS = 5.0


class Dispatcher:
    """Matches consumers with jobs. `start` it, `stop` it."""

    def __init__(self, store: Store, limits: Limits) -> None:
        self._store = store
        self._limits = limits
        self._changes: Changes
        self._waiting: dict[str, dict[Consumer, None]] = {}
        """Consumers by queue, those served longest ago first."""
        self._streams: dict[str, Consumer] = {}
        """The stream that a leased job takes a slot of."""
        self._ready: dict[str, None] = {}
        """Queues that may have something, those asked longest ago first; a claim that finds one empty takes it out."""
        self._wake = asyncio.Event()
        self._unasked: set[Consumer] = set()
        """Polls that nothing was claimed for yet."""
        self._tasks: set[asyncio.Task[None]] = set()
        self._stopping: OJSError | None = None

    @property
    def open_streams(self) -> int:
        """How many streams are open."""
        return sum(consumer.streaming for consumer in self._consumers())

    @property
    def stream_leases(self) -> int:
        """How many jobs are leased to open streams."""
        return len(self._streams)

    def start(self, changes: Changes) -> None:
        """Starts to claim; `changes` takes back what could not be handed over."""
        self._changes = changes
        self._spawn(self._run(), name="claim")
        self._spawn(self._tick())

    def refuse(self, error: OJSError) -> None:
        """Ends all waiting with this error, now and from now on; nothing more is claimed."""
        self._stopping = error
        self._wake.set()
        for consumer in self._consumers():
            consumer.end(error)

    async def stop(self) -> None:
        """Gives back what was not handed over and ends the background work."""
        self.refuse(self._stopping or ServerStopping())
        for consumer in self._consumers():
            self.close(consumer)
        # A claim under way may still lease jobs; then they go back too.
        for name in ("claim", "give back"):
            unfinished = {task for task in self._tasks if task.get_name() == name}
            if unfinished:
                await asyncio.wait(unfinished, timeout=_STOP_SECONDS)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def open(self, consumer: Consumer) -> None:
        """Lets a consumer wait for jobs; `close` it in the end.

        Raises:
            OJSError: the server is stopping.
        """
        if self._stopping is not None:
            raise self._stopping
        for queue in consumer.queues:
            self._waiting.setdefault(queue, {})[consumer] = None
        if not consumer.streaming:
            self._unasked.add(consumer)
        self.wake(consumer.queues)

    def close(self, consumer: Consumer) -> None:
        """Forgets a consumer; what was claimed for it and not taken goes back, without costing an attempt."""
        if consumer.closed:
            return
        consumer.closed = True
        self._unasked.discard(consumer)
        for queue in consumer.queues:
            waiting = self._waiting.get(queue, {})
            waiting.pop(consumer, None)
            if not waiting:
                self._waiting.pop(queue, None)
                self._ready.pop(queue, None)
        for job_id in consumer.held:
            if self._streams.get(job_id) is consumer:
                del self._streams[job_id]
        if consumer.claimed:
            self.give_back([(delivery.job_id, delivery.lease) for delivery in consumer.claimed])
            consumer.claimed.clear()

    def wake(self, queues: Iterable[str]) -> None:
        """These queues may have jobs now."""
        wanted = self._waiting.keys() & queues
        if wanted:
            self._ready |= dict.fromkeys(wanted)
            self._wake.set()

    def wake_all(self) -> None:
        """Any queue may have jobs now."""
        self.wake(self._waiting)

    def release(self, job_ids: Iterable[str]) -> None:
        """These jobs are no longer leased; if streams of this process held them, their slots are free."""
        for job_id in job_ids:
            consumer = self._streams.pop(job_id, None)
            if consumer is not None:
                consumer.held.pop(job_id, None)
                self.refill(consumer)

    def refill(self, consumer: Consumer) -> None:
        """The consumer took what it was given and can take more."""
        if not self._ready.keys().isdisjoint(consumer.queues):
            self._wake.set()

    def give_back(self, leases: Sequence[tuple[str, int]]) -> None:
        """Releases jobs in the background that were leased and never reached anybody."""
        self._spawn(self._give_back(leases), name="give back")

    def _consumers(self) -> set[Consumer]:
        return {consumer for waiting in self._waiting.values() for consumer in waiting}

    async def _run(self) -> None:
        slots = _FIRST_SLOTS
        while True:
            await self._wake.wait()
            self._wake.clear()
            try:
                while self._stopping is None and (groups := self._choose(slots)):
                    full = await self._claim(groups)
                    slots = min(slots * 2, _MOST_SLOTS) if full else _FIRST_SLOTS
                # Whoever is left waits for queues that were just found empty.
                self._mark_asked(list(self._unasked))
            except StoreError as error:
                log.warning("claim failed", error=error.message)
                await self._recover(error)
            except Exception:
                log.exception("claim failed")
                await self._recover(StoreError("internal error"))
            if self._stopping is not None:
                return

    def _choose(self, slots: int) -> list[tuple[Demand, list[Consumer]]]:
        """Demands for the ready queues that somebody has free slots for, with the consumer of each slot."""
        chosen: dict[Consumer, None] = {}
        for consumer in self._hungry():
            chosen[consumer] = None
            slots -= 1 if consumer.streaming else min(consumer.free, _MOST_SLOTS)
            if slots <= 0:
                break
        groups: dict[object, list[Consumer]] = {}
        for consumer in chosen:
            # A reply is a demand of its own, because its size is bounded; streams of the same queues share one.
            key = (consumer.queues, consumer.visibility_ms) if consumer.streaming else consumer
            groups.setdefault(key, []).append(consumer)
        return [self._demand(group, len(group) + max(slots, 0)) for group in groups.values()]

    def _hungry(self) -> Iterator[Consumer]:
        """Consumers with free slots, queue by queue among those that are ready; may repeat."""
        for queue in self._ready:
            for consumer in self._waiting.get(queue, ()):
                if consumer.free > 0:
                    yield consumer

    def _demand(self, consumers: list[Consumer], slots: int) -> tuple[Demand, list[Consumer]]:
        """One demand for consumers that differ in nothing but their worker: slots in turn, round robin."""
        first = consumers[0]
        seats = _take_turns(consumers, slots) if first.streaming else [first] * min(first.free, _MOST_SLOTS)
        demand = Demand(
            queues=first.queues,
            workers=[consumer.worker_id for consumer in seats],
            max_bytes=self._limits.reply_bytes,
            visibility_ms=first.visibility_ms,
            streaming=first.streaming,
        )
        return demand, seats

    async def _claim(self, groups: list[tuple[Demand, list[Consumer]]]) -> bool:
        """Claims and hands out; whether there may be more than was asked for."""
        asked = {queue for demand, _ in groups for queue in demand.queues}
        # What is said to be ready during the claim stays ready, whatever the claim finds.
        for queue in asked:
            self._ready.pop(queue, None)
        for demand, seats in groups:
            if not demand.streaming:
                seats[0].asking = True
        claims = await self._store.claim([demand for demand, _ in groups], self._store.clock.now())
        full = False
        for (demand, seats), claimed in zip(groups, claims, strict=True):
            if not claimed.drained:
                full = True
                self._ready |= dict.fromkeys(self._waiting.keys() & demand.queues)
                if not claimed.deliveries:
                    _pass_over(seats)
            self._hand_out(seats, claimed.deliveries)
            if not demand.streaming:
                self._mark_asked(seats[:1])
        return full

    def _mark_asked(self, polls: Iterable[Consumer]) -> None:
        for poll in polls:
            self._unasked.discard(poll)
            poll.mark_asked()

    def _hand_out(self, seats: list[Consumer], deliveries: Sequence[Delivery]) -> None:
        lost: list[tuple[str, int]] = []
        turn = iter(seats)
        for delivery in deliveries:
            # Deliveries follow the slots; a slot that the store passed over has another worker.
            consumer = _next_seat(turn, delivery.worker_id)
            if consumer.closed:
                lost.append((delivery.job_id, delivery.lease))
                continue
            # Another server may have taken the job from a stream of ours, and the news is still on its way.
            self.release((delivery.job_id,))
            consumer.give(delivery)
            if consumer.streaming:
                self._streams[delivery.job_id] = consumer
            self._requeue(consumer)
        if lost:
            self.give_back(lost)

    def _requeue(self, consumer: Consumer) -> None:
        """Puts a consumer that was served behind the others."""
        for queue in consumer.queues:
            waiting = self._waiting[queue]
            del waiting[consumer]
            waiting[consumer] = None

    async def _recover(self, error: StoreError) -> None:
        """After a claim failed: polls end with the error, streams wait; then frees what the lost answer leased."""
        lost: Sequence[bytes] | None = None
        while lost is None:
            for consumer in self._consumers():
                if not consumer.streaming:
                    consumer.end(error)
            await asyncio.sleep(_RETRY_SECONDS)
            try:
                lost = await self._store.unanswered(self._store.clock.now())
            except StoreError as problem:
                error = problem
                if self._stopping is not None:
                    return
        jobs = [Job.FromString(data) for data in lost]
        if jobs:
            log.warning("jobs leased by a lost claim go back", count=len(jobs))
            await self._give_back([(job.id, job.lease) for job in jobs])
        self.wake_all()

    async def _give_back(self, leases: Sequence[tuple[str, int]]) -> None:
        await asyncio.gather(*[self._give_one_back(job_id, lease) for job_id, lease in leases])

    async def _give_one_back(self, job_id: str, lease: int) -> None:
        def decide(job: Job) -> Transition:
            lifecycle.check_holder(job, lease, "")
            return lifecycle.release(job, None, self._store.clock.now(), self._limits)

        try:
            await self._changes.change(job_id, decide)
        except (InvalidState, JobNotFound):
            return  # somebody else ended the lease
        except StoreError as error:
            log.warning("could not give a job back, its lease has to run out", job_id=job_id, error=error.message)

    async def _tick(self) -> None:
        """Heals what was missed: jobs nobody announced, slots freed through other servers."""
        while True:
            await asyncio.sleep(_TICK_SECONDS)
            for consumer in self._consumers():
                consumer.passed_over = False
            self.wake_all()
            held = [
                (job_id, consumer) for job_id, consumer in self._streams.items() if consumer.free <= 0
            ]
            if not held:
                continue
            try:
                leases = await self._store.leases([job_id for job_id, _ in held])
            except StoreError as error:
                log.warning("could not look at leases", error=error.message)
                continue
            self.release(
                job_id
                for (job_id, consumer), lease in zip(held, leases, strict=True)
                if lease != consumer.held.get(job_id)
            )

    def _spawn(self, work: Coroutine[None, None, None], name: str = "dispatcher") -> None:
        task = asyncio.create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def _next_seat(turn: Iterator[Consumer], worker_id: str) -> Consumer:
    for consumer in turn:
        if consumer.worker_id == worker_id:
            return consumer
        consumer.passed_over = True
    raise AssertionError


def _pass_over(consumers: Iterable[Consumer]) -> None:
    for consumer in consumers:
        consumer.passed_over = True


def _take_turns(consumers: Sequence[Consumer], slots: int) -> list[Consumer]:
    """Up to so many free slots, one of each consumer in turn, round after round."""
    seats: list[Consumer] = []
    rounds = [(consumer, consumer.free) for consumer in consumers]
    turn = 0
    while rounds and len(seats) < slots:
        seats.extend(consumer for consumer, _ in rounds)
        turn += 1
        rounds = [(consumer, free) for consumer, free in rounds if free > turn]
    return seats[:slots]
