"""Opening a store's file, and making sure that it is one."""

import sqlite3
import time
from pathlib import Path

from ojs_grpc.errors import StoreUnavailable
from ojs_grpc.stores.sqlite import failure
from ojs_grpc.stores.sqlite.statements import script

SCHEMA_VERSION = 3
SYNCHRONOUS = frozenset({"OFF", "NORMAL", "FULL", "EXTRA"})
LOCK_SECONDS = 5.0

_APPLICATION_ID = 0x4F4A5301  # "OJS" and a one, in the file's header
# A file system of SQLite's own, private to a connection. Plain `:memory:` keeps every page in the cache (see below).
_IN_MEMORY = "file:ojs?vfs=memdb"
# Small on purpose: a commit that follows a split page walks the whole cache. With a million jobs in plain `:memory:`
# that made claims seven times slower; misses cost next to nothing beside it, as the system caches files too.
_CACHE_KIB = 4 * 1024
# Longer than SQLite's default, so that a busy store copies a page back once for several changes.
_CHECKPOINT_PAGES = 4000
_WAL_BYTES = 64 * 1024 * 1024


def connect_writer(path: str | None, synchronous: str) -> sqlite3.Connection:
    """Opens a file (or a database in memory), and creates what is missing. Blocks.

    Raises:
        StoreUnavailable: it cannot be opened.
        StoreTimeout: another process kept it locked.
        ValueError: the file belongs to something else, or to another version.
    """
    deadline = time.monotonic() + LOCK_SECONDS
    while True:
        try:
            return _connect_writer(path, synchronous)
        except sqlite3.Error as error:
            # Turning WAL on does not wait for a lock by itself, so a server that starts beside another may meet one.
            if not failure.is_locked(error) or time.monotonic() > deadline:
                raise _explain(error, path) from error
            time.sleep(0.02)


def connect_reader(path: str) -> sqlite3.Connection:
    """Opens a second, read-only connection to a file that a writer has opened."""
    try:
        db = _connect(f"{Path(path).absolute().as_uri()}?mode=ro")
        db.execute(f"PRAGMA cache_size = -{_CACHE_KIB}")
    except sqlite3.Error as error:
        raise failure.translate(error) from error
    return db


def user_version(db: sqlite3.Connection) -> int:
    """The schema's version, 0 for an empty file. Reads the file's header."""
    return int(db.execute("PRAGMA user_version").fetchone()[0])


def _connect(uri: str) -> sqlite3.Connection:
    # Never two threads at once, but the commit runs in another one. Waiting for locks is the caller's, off the loop.
    return sqlite3.connect(
        uri, uri=True, timeout=0, isolation_level=None, check_same_thread=False, cached_statements=512
    )


def _connect_writer(path: str | None, synchronous: str) -> sqlite3.Connection:
    db = _connect(_IN_MEMORY if path is None else f"{Path(path).absolute().as_uri()}?mode=rwc")
    try:
        _check(db, path)
        if path is None:
            db.execute("PRAGMA journal_mode = MEMORY")
            db.execute("PRAGMA locking_mode = EXCLUSIVE")
        else:
            _turn_wal_on(db, path)
        for pragma in (
            f"synchronous = {synchronous}",
            f"cache_size = -{_CACHE_KIB}",
            f"wal_autocheckpoint = {_CHECKPOINT_PAGES}",
            f"journal_size_limit = {_WAL_BYTES}",
            "temp_store = MEMORY",
            # Some distributions overwrite deleted content by default, which retention would pay for.
            "secure_delete = OFF",
        ):
            db.execute(f"PRAGMA {pragma}")
        _create(db)
    except BaseException:
        db.close()
        raise
    return db


def _explain(error: sqlite3.Error, path: str | None) -> Exception:
    """The error, with the place where it happened."""
    problem = failure.translate(error)
    if path is None or not isinstance(problem, StoreUnavailable):
        return problem
    place = Path(path).absolute()
    if not place.parent.is_dir():
        return StoreUnavailable(f"sqlite: {place}: there is no such directory")
    return StoreUnavailable(f"{problem.message} at {place}")


def _turn_wal_on(db: sqlite3.Connection, path: str) -> None:
    (mode,) = db.execute("PRAGMA journal_mode = WAL").fetchone()
    if mode != "wal":
        raise StoreUnavailable(f"{path}: its file system does not support SQLite's WAL mode")


def _check(db: sqlite3.Connection, path: str | None) -> None:
    version = user_version(db)
    owner = db.execute("PRAGMA application_id").fetchone()[0]
    if version == owner == 0 and db.execute("SELECT count(*) FROM sqlite_master").fetchone()[0] == 0:
        return
    if owner != _APPLICATION_ID:
        raise ValueError(f"{path}: this SQLite file belongs to another program")
    if version != SCHEMA_VERSION:
        age = "a newer" if version > SCHEMA_VERSION else "an older"
        raise ValueError(f"{path}: written by {age} version (schema {version}, this program needs {SCHEMA_VERSION})")


def _create(db: sqlite3.Connection) -> None:
    if user_version(db) == SCHEMA_VERSION:
        return
    # Every statement may be repeated: two servers may do this one after the other.
    db.executescript(
        f"BEGIN IMMEDIATE; {script('schema')}"
        f"PRAGMA application_id = {_APPLICATION_ID}; PRAGMA user_version = {SCHEMA_VERSION}; COMMIT;"
    )
