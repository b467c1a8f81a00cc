"""ListQueues, QueueStats, PauseQueue, ResumeQueue."""

import pytest
from ojs_grpc_pb.v1 import queue_pb2

from ojs_grpc.core.duration import timestamp_ms, to_timestamp
from tests.clock import START, FakeClock
from tests.grpc.service import SECOND, Service, ids, invalid, run_service, seconds

MINUTE, HOUR = 60 * SECOND, 3600 * SECOND

# Lists


async def test_a_queue_exists_from_its_first_job_on(everywhere: Service) -> None:
    """Sorted by name, with what is available and when it began; it stays when it is empty."""
    assert not (await _list(everywhere)).queues
    await everywhere.enqueue_many(2, queue="b")
    everywhere.clock.advance(SECOND)
    await everywhere.enqueue(queue="a", pending=True)
    await everywhere.fetch(1, "b")

    a, b = (await _list(everywhere)).queues

    assert (a.name, a.available_count, a.paused, timestamp_ms(a.created_at)) == ("a", 0, False, START + SECOND)
    assert (b.name, b.available_count, b.paused, timestamp_ms(b.created_at)) == ("b", 1, False, START)
    await everywhere.fetch(1, "b")
    assert await everywhere.counts() == {"a": 0, "b": 0}


async def test_pages(everywhere: Service) -> None:
    """Each queue once, and an empty cursor at the end."""
    names = [f"queue-{number:02}" for number in range(25)]
    for name in reversed(names):
        await everywhere.enqueue(queue=name)

    seen, cursor, pages = [], "", 0
    while True:
        page = await _list(everywhere, limit=10, cursor=cursor)
        seen += [queue.name for queue in page.queues]
        pages += 1
        cursor = page.next_cursor
        if not cursor:
            break

    assert seen == names
    assert pages == 3


async def test_a_page_that_ends_with_the_last_queue_is_the_last(service: Service) -> None:
    """No empty page follows."""
    for name in ("a", "b"):
        await service.enqueue(queue=name)

    assert (await _list(service, limit=2)).next_cursor == ""


async def test_the_page_size_has_a_default_and_a_limit(service: Service) -> None:
    """100 and 1,000."""
    for number in range(101):
        await service.enqueue(queue=f"queue-{number:04}")

    assert len((await _list(service)).queues) == 100
    assert len((await _list(service, limit=2**31 - 1)).queues) == 101


async def test_a_negative_limit(service: Service) -> None:
    """Is refused."""
    with invalid() as caught:
        await _list(service, limit=-1)

    assert caught.fields == ["limit"]


async def test_any_cursor_is_answered(everywhere: Service) -> None:
    """It is a name to go on after."""
    await everywhere.enqueue(queue="a")

    for cursor in ("zzz", "\0", "ä", "{}", "9" * 10_000):
        await _list(everywhere, cursor=cursor)


# Figures


async def test_a_queue_in_figures(everywhere: Service) -> None:
    """What it holds by state; dead letters are among the discarded."""
    await everywhere.enqueue(queue="q", delay_until=to_timestamp(START + HOUR))
    await everywhere.enqueue(queue="q", pending=True)
    await everywhere.enqueue_many(7, queue="q", max_attempts=1)
    completed, discarded, _ = await everywhere.fetch(3, "q")
    await everywhere.ack(completed)
    await everywhere.nack(discarded)
    await everywhere.nack((await everywhere.fetch(1, "q"))[0])
    await everywhere.bury("dead")
    await everywhere.enqueue(queue="retries")
    await everywhere.nack(await everywhere.fetch_one("retries"))

    stats = await _stats(everywhere, "q")

    assert (stats.available, stats.active, stats.scheduled, stats.retryable) == (3, 1, 1, 0)
    assert (stats.dead, stats.completed, stats.paused) == (2, 1, False)
    assert (stats.completed_last_hour, stats.failed_last_hour) == (1, 2)
    assert (await _stats(everywhere, "dead")).dead == 1
    retries = await _stats(everywhere, "retries")
    assert (retries.retryable, retries.dead, retries.failed_last_hour) == (1, 0, 1)


async def test_how_long_jobs_wait_and_run(everywhere: Service) -> None:
    """From available to claim, and from claim to completion, on the average; throughput is that of the last minute."""
    for wait_s, run_s in ((1, 4), (3, 8)):
        await everywhere.enqueue(queue="q")
        everywhere.clock.advance(wait_s * SECOND)
        job = await everywhere.fetch_one("q")
        everywhere.clock.advance(run_s * SECOND)
        await everywhere.ack(job)

    stats = await _stats(everywhere, "q")

    assert (stats.avg_wait_ms, stats.avg_duration_ms) == (2000, 6000)
    assert stats.throughput_per_second == pytest.approx(2 / 60)


async def test_figures_of_late_pass(everywhere: Service) -> None:
    """After a minute and after an hour; the total of completed jobs stays."""
    await everywhere.enqueue(queue="q")
    await everywhere.ack(await everywhere.fetch_one("q"))
    assert (await _stats(everywhere, "q")).throughput_per_second > 0

    everywhere.clock.advance(2 * MINUTE)
    stats = await _stats(everywhere, "q")
    assert (stats.throughput_per_second, stats.completed_last_hour) == (0, 1)
    everywhere.clock.advance(HOUR)
    stats = await _stats(everywhere, "q")
    assert (stats.completed_last_hour, stats.avg_duration_ms, stats.avg_wait_ms) == (0, 0, 0)
    assert stats.completed == 1


async def test_a_lost_lease_is_a_failed_attempt(everywhere: Service) -> None:
    """In the figures too."""
    await everywhere.enqueue(queue="q", visibility_timeout=seconds(5))
    await everywhere.fetch_one("q")
    await everywhere.advance(5 * SECOND)

    stats = await _stats(everywhere, "q")

    assert (stats.failed_last_hour, stats.available, stats.active) == (1, 1, 0)


async def test_figures_of_an_unknown_queue(everywhere: Service) -> None:
    """They are zero; asking does not make it."""
    assert await _stats(everywhere, "nothing") == queue_pb2.QueueStatistics()
    assert await everywhere.counts() == {}


# Pause and resume


async def test_a_paused_queue_takes_jobs_and_gives_none(everywhere: Service) -> None:
    """What is active can be finished, and what becomes due becomes available; then all come in their order."""
    first, second = await everywhere.enqueue_many(2)
    running = await everywhere.fetch_one()
    await _pause(everywhere)

    due = await everywhere.enqueue(delay_until=to_timestamp(START + SECOND))
    await everywhere.advance(SECOND)
    last = await everywhere.enqueue()
    assert await everywhere.fetch(5) == []
    await everywhere.ack(running)
    (row,) = (await _list(everywhere)).queues
    assert (row.paused, row.available_count) == (True, 3)
    assert (await _stats(everywhere, "default")).paused

    await _resume(everywhere)

    assert ids(await everywhere.fetch(5)) == [second.id, due.id, last.id]
    assert running.id == first.id
    assert not (await _list(everywhere)).queues[0].paused


async def test_other_queues_go_on(everywhere: Service) -> None:
    """A fetch from several passes the paused one over."""
    await everywhere.enqueue(queue="a")
    job = await everywhere.enqueue(queue="b")
    await _pause(everywhere, "a")

    assert ids(await everywhere.fetch(5, "a", "b")) == [job.id]


async def test_a_queue_never_seen_can_be_paused(everywhere: Service) -> None:
    """It exists from then on, and its first job waits; resuming one never seen is fine too."""
    await _pause(everywhere, "a")
    await _resume(everywhere, "b")
    await everywhere.enqueue(queue="a")

    assert await everywhere.fetch(1, "a") == []
    stats = await _stats(everywhere, "a")
    assert (stats.paused, stats.available) == (True, 1)


async def test_again_changes_nothing(everywhere: Service) -> None:
    """Both may be repeated."""
    job = await everywhere.enqueue()
    for _ in range(2):
        await _pause(everywhere)
    assert await everywhere.fetch() == []
    for _ in range(2):
        await _resume(everywhere)
    assert ids(await everywhere.fetch()) == [job.id]


async def test_a_pause_does_not_end_a_stream(everywhere: Service) -> None:
    """It falls quiet, and goes on at once when the queue is resumed."""
    stream = everywhere.stream(5)
    await everywhere.enqueue()
    await stream.next()
    await _pause(everywhere)
    job = await everywhere.enqueue()
    assert await everywhere.fetch() == []

    await _resume(everywhere)

    assert (await stream.next()).id == job.id
    stream.cancel()


async def test_a_pause_holds_on_every_server(clock: FakeClock, url: str, scheme: str) -> None:
    """And so does the end of it."""
    if scheme == "memory":
        pytest.skip("a store in memory has one owner")
    async with run_service(clock, url) as one, run_service(clock, url) as other:
        stream = other.stream(5)
        await stream.opened()
        await _pause(one)
        job = await other.enqueue()
        assert await other.fetch() == []

        await _resume(one)

        assert (await stream.next()).id == job.id
        stream.cancel()


@pytest.mark.parametrize("name", ["", "A", "a_b", "-", "a" * 129, "{a}"])
async def test_what_no_queue_is_called(service: Service, name: str) -> None:
    """Is refused by all three, and makes no queue."""
    for call in (_stats, _pause, _resume):
        with invalid() as caught:
            await call(service, name)
        assert caught.fields == ["queue"]
    assert await service.counts() == {}


async def _list(service: Service, limit: int = 0, cursor: str = "") -> queue_pb2.ListQueuesResponse:
    return await service.stub.ListQueues(queue_pb2.ListQueuesRequest(limit=limit, cursor=cursor))


async def _stats(service: Service, queue: str) -> queue_pb2.QueueStatistics:
    reply = await service.stub.QueueStats(queue_pb2.QueueStatsRequest(queue=queue))
    assert reply.queue == queue
    return reply.stats


async def _pause(service: Service, queue: str = "default") -> None:
    await service.stub.PauseQueue(queue_pb2.PauseQueueRequest(queue=queue))


async def _resume(service: Service, queue: str = "default") -> None:
    await service.stub.ResumeQueue(queue_pb2.ResumeQueueRequest(queue=queue))
