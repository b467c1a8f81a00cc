"""The writer: operations share commits, and no failure is another's."""

import asyncio
import sqlite3
import threading
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from ojs_grpc.errors import StoreError, StoreUnavailable
from ojs_grpc.stores.sqlite import group_commit
from ojs_grpc.stores.sqlite.group_commit import GroupCommit
from ojs_grpc.stores.sqlite.session import Session


class Connection(sqlite3.Connection):
    """A connection whose commits a test can count, hold up and let fail."""

    failures = 0

    def __init__(self, path: Path) -> None:
        super().__init__(path, isolation_level=None, check_same_thread=False)
        self.commits: list[threading.Thread] = []
        self.gate = threading.Event()
        self.gate.set()

    def execute(self, sql: str, *arguments: object) -> sqlite3.Cursor:
        """Runs a statement; a commit waits for the gate."""
        if sql == "COMMIT":
            self.gate.wait(5)
            if self.failures:
                self.failures -= 1
                raise sqlite3.OperationalError("the disk is on fire")
            self.commits.append(threading.current_thread())
        return super().execute(sql, *arguments)  # type: ignore[arg-type]


@pytest.fixture
def db(path: Path) -> Connection:
    """A file with one table of words."""
    connection = Connection(path)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("CREATE TABLE words (word TEXT NOT NULL)")
    return connection


@pytest.fixture
async def writer(db: Connection, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[GroupCommit]:
    """A writer that never ends a group because of the time it took."""
    monkeypatch.setattr(group_commit, "_GROUP_SECONDS", 60)
    writer = GroupCommit(Session(db), lambda _: None)
    yield writer
    db.gate.set()
    await writer.close()
    db.close()


def say(word: str) -> Callable[[Session], str]:
    """An operation that stores a word."""

    def operation(session: Session) -> str:
        session.db.execute("INSERT INTO words VALUES (?)", (word,))
        return word

    return operation


def fail(session: Session) -> None:
    """An operation that breaks after it has written."""
    say("half")(session)
    raise KeyError("a bug")


def words(path: Path) -> list[str]:
    """What another connection sees."""
    other = sqlite3.connect(path)
    found = [word for (word,) in other.execute("SELECT word FROM words ORDER BY rowid")]
    other.close()
    return found


async def test_operations_at_once_share_a_commit(writer: GroupCommit, db: Connection, path: Path) -> None:
    """Fifty callers at once cost one commit, and each gets its own answer."""
    said = [str(number) for number in range(50)]

    assert await asyncio.gather(*[writer.run(say(word)) for word in said]) == said

    assert len(db.commits) == 1
    assert words(path) == said


async def test_what_arrives_during_a_commit_shares_the_next(writer: GroupCommit, db: Connection, path: Path) -> None:
    """While a commit waits for the disk the loop goes on; nobody is answered before their own commit."""
    db.gate.clear()
    first = asyncio.create_task(writer.run(say("first")))
    await asyncio.sleep(0.01)
    later = [asyncio.create_task(writer.run(say(word))) for word in ("a", "b", "c")]
    await asyncio.sleep(0.01)
    assert not any(task.done() for task in (first, *later))
    assert words(path) == []

    db.gate.set()
    await asyncio.gather(first, *later)

    assert len(db.commits) == 2
    assert words(path) == ["first", "a", "b", "c"]


async def test_a_slow_group_ends(writer: GroupCommit, db: Connection, monkeypatch: pytest.MonkeyPatch) -> None:
    """A group takes nothing more once it has held up the loop for long enough."""
    monkeypatch.setattr(group_commit, "_GROUP_SECONDS", 0)

    await asyncio.gather(*[writer.run(say(word)) for word in "abc"])

    assert len(db.commits) == 3


@pytest.mark.parametrize("place", [0, 1, 3])
async def test_a_failing_operation_harms_nobody(writer: GroupCommit, path: Path, place: int) -> None:
    """What an operation wrote before it broke is gone; the rest of its group is stored."""
    operations: list[Callable[[Session], object]] = [say("a"), say("b"), say("c")]
    operations.insert(place, fail)

    results = await asyncio.gather(*map(writer.run, operations), return_exceptions=True)

    assert isinstance(results.pop(place), KeyError)
    assert results == ["a", "b", "c"]
    assert words(path) == ["a", "b", "c"]


async def test_a_lost_transaction_is_repeated_without_the_guilty(writer: GroupCommit, path: Path) -> None:
    """After some errors SQLite rolls back everything: the others of the group run again."""

    def lose(session: Session) -> None:
        session.db.execute("ROLLBACK")
        raise sqlite3.OperationalError("no space left")

    results = await asyncio.gather(*map(writer.run, [say("a"), say("b"), lose, say("c")]), return_exceptions=True)

    assert isinstance(results.pop(2), StoreError)
    assert results == ["a", "b", "c"]
    assert sorted(words(path)) == ["a", "b", "c"]


async def test_a_failed_commit_stores_nothing_it_reports(writer: GroupCommit, db: Connection, path: Path) -> None:
    """After a group's commit failed each operation gets one of its own; who fails again is told so."""
    db.failures = 2

    results = await asyncio.gather(*map(writer.run, [say("a"), say("b"), say("c")]), return_exceptions=True)

    assert isinstance(results[0], StoreError)
    assert results[1:] == ["b", "c"]
    assert words(path) == ["b", "c"]
    assert writer.healthy


async def test_only_what_waits_for_the_disk_leaves_the_loop(writer: GroupCommit, db: Connection) -> None:
    """A transaction that wrote is committed in another thread; one that only looked, on the spot."""
    await writer.run(lambda session: session.db.execute("SELECT 1").fetchone())
    await writer.run(say("something"))

    assert [thread is threading.main_thread() for thread in db.commits] == [True, False]


async def test_a_caller_that_left_is_skipped(writer: GroupCommit, db: Connection, path: Path) -> None:
    """An operation whose caller was cancelled before it ran does not run; the others do."""
    db.gate.clear()
    first = asyncio.create_task(writer.run(say("first")))
    await asyncio.sleep(0.01)
    gone, stays = (asyncio.create_task(writer.run(say(word))) for word in ("gone", "stays"))
    await asyncio.sleep(0)

    gone.cancel()
    db.gate.set()
    await asyncio.gather(first, stays)

    assert words(path) == ["first", "stays"]


async def test_closing_lets_the_begun_end(writer: GroupCommit, db: Connection, path: Path) -> None:
    """What was accepted is stored; what comes later is refused."""
    db.gate.clear()
    accepted = [asyncio.create_task(writer.run(say(word))) for word in "ab"]
    await asyncio.sleep(0.01)

    closing = asyncio.create_task(writer.close())
    await asyncio.sleep(0)
    with pytest.raises(StoreUnavailable):
        await writer.run(say("late"))
    db.gate.set()
    await closing

    assert await asyncio.gather(*accepted) == ["a", "b"]
    assert words(path) == ["a", "b"]
