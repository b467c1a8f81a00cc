"""A job's record means the same in Python and in Lua."""

import asyncio
from collections.abc import Callable

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ojs_grpc.core import states
from ojs_grpc.core.envelope import NewJob
from ojs_grpc.core.links import Links
from ojs_grpc.core.rate_limit import RateLimit
from ojs_grpc.core.unique import Unique
from ojs_grpc.stores.redis import limits, record, scripts
from ojs_grpc.stores.redis.connection import Connections
from tests.redis_server import PrivateRedis
from tests.store.building import job, new_job

# What Lua's numbers, which are doubles, hold exactly.
numbers = st.integers(0, 2**53 - 1)
uniques = st.builds(Unique, st.binary(min_size=32, max_size=32), st.just(frozenset({1})), numbers, numbers)
rate_limits = st.builds(RateLimit, st.text("a:.-", min_size=1), numbers, numbers, numbers)
some_links = st.builds(
    Links,
    workflow_id=st.sampled_from(["", "01970000-0000-7000-8000-0000000000ff"]),
    unique=st.none() | uniques,
    limits=st.lists(rate_limits, max_size=8).map(tuple),
)
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
    subject_size=st.integers(0, 600),
    links=st.none() | some_links,
)
ECHO = """
decode(ARGV[1], 'key')
local links = job.links or { workflow_id = '', fingerprint = '', limits = '', created_at = 0 }
job.state, job.dead, job.attempt, job.lease = ACTIVE, 1, 4294967295, 9007199254740991
job.started_at, job.ended_at = 253402300799999, 1
return {
  job.queue, encode(), tostring(job.rank), string.format('%.0f', job.expires_at), links.workflow_id, links.fingerprint,
  links.limits, string.format('%.0f', links.created_at), part('key', ARGV[1], envelope_at(), job.subject_size)
}
"""


CREATED_AT = 1_750_000_000_000


def links_in_lua(links: Links | None) -> list[bytes]:
    """Workflow, fingerprint, limits and creation as Lua should see them."""
    if links is None:
        return [b"", b"", b"", b"0"]
    fingerprint = links.unique.fingerprint.hex() if links.unique else ""
    return [text.encode() for text in (links.workflow_id, fingerprint, limits.pack(links.limits), str(CREATED_AT))]


@pytest.fixture
def run(server: PrivateRedis) -> Callable[[str, bytes], list[bytes]]:
    """Runs Lua with the includes about records, on one argument."""
    includes = scripts.resolve("-- @include states\n-- @include record\n", set())

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


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(new=new_jobs)
def test_lua_reads_what_python_writes(run: Callable[[str, bytes], list[bytes]], new: NewJob) -> None:
    """Every field of a new record arrives in Lua, and what Lua changes arrives back."""
    packed = record.pack(new, CREATED_AT)

    queue, changed, rank, expires_at, *links, subject = run(ECHO, packed)

    before, after = record.header_of(packed), record.header_of(packed, changed)
    assert (queue.decode(), int(rank), int(expires_at)) == (new.queue, 100 - new.priority, new.expires_at)
    assert links == links_in_lua(new.links)
    assert subject == new.envelope[: new.subject_size]
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
