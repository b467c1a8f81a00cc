"""What a file can suffer: another process's lock, a full disk, somebody else's content, kill -9."""

import asyncio
import os
import resource
import sqlite3
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from ojs_grpc.core.rate_limit import QueueRules
from ojs_grpc.errors import StoreTimeout, StoreUnavailable
from ojs_grpc.stores.sqlite import connection, group_commit
from ojs_grpc.stores.sqlite.store import SqliteStore
from tests.clock import FakeClock
from tests.signals import RecordingSignals
from tests.store.building import counts, job, look, put
from tests.stores.sqlite.conftest import OpenFile

_ROOT = Path(__file__).parents[3]


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Another process is in the middle of a transaction."""
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    try:
        yield
    finally:
        other.execute("ROLLBACK")
        other.close()


async def test_a_lock_is_waited_for(file_store: SqliteStore, path: Path) -> None:
    """While another process writes, calls wait and reads go on; then the calls succeed."""
    with locked(path):
        waiting = [asyncio.create_task(put(file_store, job())) for _ in range(3)]
        await asyncio.sleep(0.05)
        assert not any(task.done() for task in waiting)
        assert await counts(file_store) == {}

    await asyncio.gather(*waiting)

    assert await counts(file_store) == {"default": 3}


async def test_a_lock_is_not_waited_for_without_end(
    file_store: SqliteStore, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After some seconds the call fails, and the next one works if the lock is gone."""
    monkeypatch.setattr(group_commit, "LOCK_SECONDS", 0.05)

    with locked(path), pytest.raises(StoreTimeout):
        await put(file_store, job())

    await put(file_store, job())
    assert await counts(file_store) == {"default": 1}


async def test_two_servers_write_at_once(open_file: OpenFile) -> None:
    """Stores on one file wait for each other's transactions, and every job counts."""
    stores = [await open_file(), await open_file()]

    await asyncio.gather(*[put(store, job()) for store in stores for _ in range(50)])

    assert await counts(stores[0]) == await counts(stores[1]) == {"default": 100}


async def test_a_full_database(file_store: SqliteStore) -> None:
    """What doesn't fit is refused as a whole, the rest goes on, and with new space everything works again."""
    await put(file_store, job())
    database = file_store._db
    assert database is not None
    (pages,) = database.execute("PRAGMA page_count").fetchone()
    database.execute(f"PRAGMA max_page_count = {pages + 4}")
    large, small = job(padding=100_000), job()

    results = await asyncio.gather(put(file_store, large), put(file_store, small), return_exceptions=True)

    assert isinstance(results[0], StoreUnavailable)
    assert "full" in results[0].message
    assert results[1] is None
    assert await look(file_store, large.id) is None
    assert await counts(file_store) == {"default": 2}

    database.execute("PRAGMA max_page_count = 1000000")
    await put(file_store, large)
    assert await counts(file_store) == {"default": 3}


async def test_a_full_disk(file_store: SqliteStore, path: Path) -> None:
    """When the file system takes no more, callers are told, nothing they were told is wrong, and it passes."""
    await put(file_store, job())
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    written = path.with_name("jobs.db-wal").stat().st_size
    stored, refused = [], []
    resource.setrlimit(resource.RLIMIT_FSIZE, (written + 200_000, hard))
    try:
        for _ in range(20):
            message = job(padding=20_000)
            try:
                await put(file_store, message)
                stored.append(message)
            except StoreUnavailable:
                refused.append(message)
        assert stored
        assert refused
        # What little room is left may do for a ping.
        resource.setrlimit(resource.RLIMIT_FSIZE, (written, hard))
        with pytest.raises(StoreUnavailable):
            await file_store.ping()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))

    await file_store.ping()
    await put(file_store, job())

    assert all([await look(file_store, message.id) for message in stored])
    assert not any([await look(file_store, message.id) for message in refused])
    assert await counts(file_store) == {"default": len(stored) + 2}


async def test_a_removed_file_is_noticed(file_store: SqliteStore, path: Path) -> None:
    """SQLite would write on into a file that no longer has a name; health says that it is gone."""
    await file_store.ping()

    path.unlink()  # noqa: ASYNC240

    with pytest.raises(StoreUnavailable, match="removed"):
        await file_store.ping()


@pytest.mark.parametrize(("step", "age"), [(1, "a newer version"), (-1, "an older version")])
async def test_a_file_of_another_version_is_refused(
    path: Path, file_store: SqliteStore, open_file: OpenFile, step: int, age: str
) -> None:
    """A file that another version has written is left alone, and the error says so."""
    await file_store.close()
    other = sqlite3.connect(path)
    other.execute(f"PRAGMA user_version = {connection.SCHEMA_VERSION + step}")
    other.close()

    with pytest.raises(ValueError, match=age):
        await open_file()


async def test_a_foreign_database_is_refused(path: Path, open_file: OpenFile) -> None:
    """An SQLite file of another program is not touched."""
    other = sqlite3.connect(path)
    other.execute("CREATE TABLE theirs (x)")
    other.close()
    before = path.read_bytes()  # noqa: ASYNC240

    with pytest.raises(ValueError, match="another program"):
        await open_file()

    assert path.read_bytes() == before  # noqa: ASYNC240


async def test_a_file_that_is_no_database_is_refused(path: Path, open_file: OpenFile) -> None:
    """A file with other content is refused, not overwritten."""
    path.write_text("my diary " * 1000)  # noqa: ASYNC240

    with pytest.raises(StoreUnavailable, match="not an SQLite database"):
        await open_file()


async def test_a_missing_folder_is_named(tmp_path: Path, clock: FakeClock) -> None:
    """A path that cannot be opened is told with the reason."""
    path = str(tmp_path / "no" / "jobs.db")
    store = SqliteStore(path, clock=clock, silence_ms=1, rules=QueueRules(), log_events=True)

    with pytest.raises(StoreUnavailable, match="no such directory"):
        await store.open(RecordingSignals())


async def test_a_closed_store_says_so(file_store: SqliteStore) -> None:
    """After closing, calls are refused."""
    await file_store.close()

    with pytest.raises(StoreUnavailable):
        await file_store.read([])
    with pytest.raises(StoreUnavailable):
        await put(file_store, job())


@pytest.mark.slow
@pytest.mark.parametrize("after", [0.3, 0.6, 0.9])
async def test_a_killed_process_loses_nothing_it_reported(path: Path, open_file: OpenFile, after: float) -> None:
    """Every insert that a process reported before kill -9 is there when the file is opened again."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.stores.sqlite.writer_process", str(path)),
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(_ROOT), *sys.path])},
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    first = await process.stdout.readline()
    await asyncio.sleep(after)
    process.kill()
    reported = (first + await process.stdout.read()).decode().split("\n")[:-1]
    await process.wait()

    store = await open_file()

    assert len(reported) > 10
    assert None not in await store.read([job_id for line in reported for job_id in line.split()])
    page = await store.queues("", 10)
    database = store._db
    assert database is not None
    assert database.execute("SELECT count(*) FROM jobs").fetchone() == (page.rows[0].available,)
