"""ListQueues."""

from ojs_grpc_pb.v1 import queue_pb2

from ojs_grpc.core.duration import timestamp_ms
from tests.clock import START
from tests.grpc.service import SECOND, Service, invalid


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


async def _list(service: Service, limit: int = 0, cursor: str = "") -> queue_pb2.ListQueuesResponse:
    return await service.stub.ListQueues(queue_pb2.ListQueuesRequest(limit=limit, cursor=cursor))
