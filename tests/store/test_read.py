"""JobStore.read: jobs by id."""

from ojs_grpc_pb.v1.job_pb2 import Job

from ojs_grpc.core import ids, states
from ojs_grpc.stores.ports import Store
from tests.clock import START
from tests.store.building import changed, counts, job, job_id, put, take


async def test_answers_come_in_the_order_asked(store: Store) -> None:
    """Each id has its own answer, None for an unknown one; an id asked twice is answered twice."""
    first, second = job("a"), job("b")
    await put(store, first, second)

    found = await store.read([second.id, job_id(0), first.id, second.id])

    assert [data and Job.FromString(data).id for data in found] == [second.id, None, first.id, second.id]


async def test_nothing_to_read(store: Store) -> None:
    """No ids get no answers, and a store that never had a job answers too."""
    assert await store.read([]) == []
    assert await store.read([job_id(partition) for partition in range(ids.PARTITIONS)]) == [None] * ids.PARTITIONS


async def test_jobs_of_many_partitions(store: Store) -> None:
    """One call reads jobs wherever they are, a thousand of them."""
    messages = [job(f"queue-{number % 100}") for number in range(1_000)]
    await put(store, *messages)

    found = await store.read([message.id for message in reversed(messages)])

    assert [Job.FromString(data or b"") for data in found] == [
        changed(message, state=states.AVAILABLE, enqueued_at=START) for message in reversed(messages)
    ]


async def test_reading_changes_nothing(store: Store) -> None:
    """A job that was read is as available, and as active, as before."""
    waiting, running = job("waiting"), job("running")
    await put(store, waiting, running)
    (delivery,) = await take(store, 1, "running")

    first = await store.read([waiting.id, running.id])
    second = await store.read([waiting.id, running.id])

    assert first == second
    assert Job.FromString(first[1] or b"") == Job.FromString(delivery.job)
    assert await counts(store) == {"running": 0, "waiting": 1}


async def test_a_similar_id_is_unknown(store: Store) -> None:
    """Only the very id finds a job: not its beginning, not the same number in another partition."""
    message = job()
    await put(store, message)
    other_partition = f"{message.id[:-2]}{int(message.id[-2:], 16) ^ 1:02x}"

    assert await store.read([other_partition, message.id[:-2], ""]) == [None, None, None]
