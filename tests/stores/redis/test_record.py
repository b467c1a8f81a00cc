"""A job's record means the same in Python and in Lua."""

import asyncio
from collections.abc import Callable

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ojs_grpc.core import states
from ojs_grpc.core.envelope import NewJob
from ojs_grpc.stores.redis import record, scripts
from ojs_grpc.stores.redis.connection import Connections
from tests.redis_server import PrivateRedis
from tests.store.building import job, new_job

# What Lua's numbers, which are doubles, hold exactly.
numbers = st.integers(0, 2**53 - 1)
new_jobs = st.builds(
    NewJob,
    id=st.just("01970000-0000-7000-8000-000000000000"),
    queue=st.from_regex(r"[a-z0-9][a-z0-9.-]{0,127}", fullmatch=True),
    state=st.sampled_from([states.AVAILABLE, states.SCHEDULED, states.PENDING]),
    priority=st.integers(-100, 100),
    due_at=numbers,
    expires_at=numbers,
    visibility_ms=numbers,
    timeout_ms=numbers,
    reserved=st.booleans(),
    envelope=st.binary(max_size=600),
)
ECHO = """
decode(ARGV[1])
job.state, job.dead, job.attempt, job.lease = ACTIVE, 1, 4294967295, 9007199254740991
job.started_at, job.ended_at = 253402300799999, 1
return { job.queue, encode(), tostring(job.rank), string.format('%.0f', job.expires_at) }
"""


@pytest.fixture
def run(server: PrivateRedis) -> Callable[[str, bytes], list[bytes]]:
    """Runs Lua with the includes about records, on one argument."""
    includes = "".join((scripts.FOLDER / "includes" / f"{name}.lua").read_text() for name in ("states", "record"))

    def run_one(text: str, argument: bytes) -> list[bytes]:
        async def call() -> list[bytes]:
            connections = Connections(server.url)
            try:
                reply: list[bytes] = await connections.call("EVAL", includes + text, 0, argument)
            finally:
                await connections.close()
            return reply

        return asyncio.run(call())

    return run_one


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(new=new_jobs)
def test_lua_reads_what_python_writes(run: Callable[[str, bytes], list[bytes]], new: NewJob) -> None:
    """Every field of a new record arrives in Lua, and what Lua changes arrives back."""
    packed = record.pack(new, 1_750_000_000_000)

    queue, changed, rank, expires_at = run(ECHO, packed)

    before, after = record.header_of(packed), record.header_of(packed, changed)
    assert (queue.decode(), int(rank), int(expires_at)) == (new.queue, 100 - new.priority, new.expires_at)
    assert after == before._replace(
        state=states.ACTIVE,
        dead=1,
        attempt=2**32 - 1,
        lease=2**53 - 1,
        started_at=253_402_300_799_999,
        ended_at=1,
    )
    assert record.queue_of(packed) == new.queue
    assert record.header_of(changed + packed[len(changed) :]) == after


def test_the_job_around_its_envelope() -> None:
    """A job is shown as envelope, changing fields and tail, whatever the envelope holds."""
    new = new_job(job("a-queue"))._replace(envelope=b"\x00envelope\xff")

    shown = record.job_of(record.pack(new, 5) + b"tail")

    assert shown.startswith(new.envelope)
    assert shown.endswith(b"tail")
