"""`open_store` and the life of a store: URLs, opening, closing, coming back."""

import subprocess
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from ojs_grpc.stores import SCHEMES, open_store
from ojs_grpc.stores.ports import Store
from tests.clock import START, FakeClock
from tests.conftest import STORES
from tests.signals import RecordingSignals
from tests.store.building import VISIBILITY_MS, ack, bury, counts, dead_ids, job, put, reap, see, take, take_one

KNOWN = "sqlite, memory, redis, rediss, unix"


def test_every_scheme_is_tested() -> None:
    """This suite runs on every store that a URL can name; `rediss` and `unix` are other ways to `redis`."""
    kinds = {"redis" if scheme in ("rediss", "unix") else scheme for scheme in SCHEMES}

    assert kinds == set(STORES)
    assert len(STORES) == len(kinds)


async def test_a_store_says_what_it_is(store: Store, scheme: str, clock: FakeClock) -> None:
    """Name, sharing, time and patience are known of every store."""
    assert store.name == scheme
    assert store.shared == (scheme != "memory")
    assert store.clock is clock
    assert store.silence_ms == 30_000
    await store.ping()


async def test_a_store_is_told_how_patient_to_be(url: str, clock: FakeClock) -> None:
    """The time after which a silent worker is dead is the opener's choice."""
    assert open_store(url, clock=clock, silence_ms=1_234).silence_ms == 1_234


@pytest.mark.parametrize(
    "url", ["memory:", "MEMORY:", "memory://", "sqlite:///a.db", "redis://localhost", "rediss://h:1/0", "unix:///s"]
)
def test_a_store_has_a_clock_of_its_own(url: str) -> None:
    """Without a clock a store takes the system's; nothing is opened yet."""
    assert open_store(url).clock.now() > START


async def test_closing_twice(url: str, clock: FakeClock) -> None:
    """A store may be closed again, and one that was never opened too."""
    store = open_store(url, clock=clock)
    await store.close()
    await store.open(RecordingSignals())

    await store.close()
    await store.close()


async def test_jobs_outlive_the_server(
    scheme: str, store: Store, connect: Callable[..., Awaitable[Store]], clock: FakeClock
) -> None:
    """After a restart every job is where it was: waiting in order, leased, finished, dead."""
    if scheme == "memory":
        pytest.skip("a store in memory ends with its process")
    dead = await bury(store)
    done, running, first, second = (job() for _ in range(4))
    await put(store, done, running, first, second)
    await take_one(store)
    await ack(store, done.id)
    held = await take_one(store)
    before = await store.read([message.id for message in (dead, done, running, first, second)])
    await store.close()

    reopened = await connect()

    assert await reopened.read([message.id for message in (dead, done, running, first, second)]) == before
    assert await dead_ids(reopened) == [dead.id]
    assert await counts(reopened) == {"default": 2}
    again = await take_one(reopened)
    assert again.id == first.id
    assert again.lease > held.lease
    clock.advance(VISIBILITY_MS)
    assert {lost.id for lost in await reap(reopened)} == {running.id, first.id}
    assert [delivery.job_id for delivery in await take(reopened, 1)] == [second.id]
    assert (await see(reopened, done)).lease < held.lease


@pytest.mark.parametrize(
    ("url", "file"),
    [
        ("sqlite:///here.db", "here.db"),
        ("sqlite:///{folder}/there.db", "there.db"),
        ("sqlite:///a%20b%3Fc.db?synchronous=normal", "a b?c.db"),
    ],
)
async def test_where_the_file_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, url: str, file: str) -> None:
    """Three slashes name a file from here, four one from the root; special characters are percent-encoded."""
    monkeypatch.chdir(tmp_path)
    store = open_store(url.format(folder=tmp_path))

    await store.open(RecordingSignals())
    await store.close()

    assert file in {path.name for path in tmp_path.iterdir()}  # noqa: ASYNC240 - nobody waits here


@pytest.mark.parametrize("url", ["postgres://localhost/jobs", "", "jobs.db", "mem", "http://x", "/var/lib/jobs.db"])
def test_an_unknown_scheme(url: str) -> None:
    """What is no store's URL is refused with the schemes that there are."""
    with pytest.raises(ValueError, match=KNOWN):
        open_store(url)


@pytest.mark.parametrize(
    ("url", "known"),
    [
        ("sqlite:///jobs.db?sync=off", "synchronous"),
        ("sqlite:///jobs.db?synchronous=normal&mode=ro", "synchronous"),
        ("sqlite:///jobs.db?synchronous=", "full, normal"),
        ("sqlite:///jobs.db?synchronous=off", "full, normal"),
        ("memory:?synchronous=normal", "takes none"),
        ("redis://localhost?synchronous=normal", "db, username, password"),
        ("unix:///socket?ssl_keyfile=x", "db, username, password"),
        ("rediss://localhost?timeout=3", "ssl_ca_certs"),
    ],
)
def test_an_unknown_option(url: str, known: str) -> None:
    """An option that a store does not know, or a value of one, is refused with those that there are."""
    with pytest.raises(ValueError, match=known):
        open_store(url)


@pytest.mark.parametrize(
    "url",
    [
        "sqlite:jobs.db",
        "sqlite://jobs.db",
        "sqlite:///",
        "sqlite:////var/",
        "memory:jobs",
        "memory:///jobs",
        "redis:localhost",
        "redis://localhost:port",
        "redis://localhost/first",
        "unix:///socket?db=x",
    ],
)
def test_a_malformed_url(url: str) -> None:
    """A URL that does not lead to a store is refused with the form that it should have."""
    with pytest.raises(ValueError, match=r"is sqlite:///|is memory:|is redis://"):
        open_store(url)


@pytest.mark.parametrize(
    "url",
    [
        "rediss2://:hunter2@localhost",
        "hunter2",
        "user:hunter2@localhost",
        "hunter2:6379",
        "hunter2//:x",
        "redis:hunter2@localhost",
        "redis://:hunter2/x@localhost",
        "redis://:hunter2@localhost:hunter2",
        "redis://:hunter2@[localhost",
        "redis://:hunter2#x@localhost",
        "redis://:hunter2@localhost?timeout=1",
        "redis://:hunter2@localhost/a",
        "redis://:hunter2@localhost\u2100",
        "redis://localhost?passwort=hunter2",
        "redis://localhost?password=hunter2&x=hunter2",
        "redis://localhost?db=hunter2",
        "unix://:hunter2@/socket?db=hunter2",
    ],
)
def test_a_password_is_never_shown(url: str) -> None:
    """Whatever is wrong with a URL, the message does not repeat what may be a password."""
    with pytest.raises(ValueError, match="store") as caught:
        open_store(url)

    told: BaseException | None = caught.value
    while told is not None:
        assert "hunter2" not in str(told)
        told = told.__cause__ or (None if told.__suppress_context__ else told.__context__)


@pytest.mark.parametrize("url", ["memory:", "sqlite:///jobs.db"])
def test_an_embedded_store_needs_no_redis(url: str) -> None:
    """Who keeps jobs in SQLite needs no Redis library."""
    code = f"import sys, ojs_grpc.stores as s; s.open_store({url!r}); assert 'redis' not in sys.modules"

    subprocess.run([sys.executable, "-c", code], check=True)
