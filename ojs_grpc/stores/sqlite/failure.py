"""SQLite's errors as the service's."""

import sqlite3

from ojs_grpc.errors import StoreError, StoreTimeout, StoreUnavailable

_LOCKED = {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}
_REASONS = {
    sqlite3.SQLITE_FULL: "the disk or the database is full",
    sqlite3.SQLITE_IOERR: "reading or writing the file failed",
    sqlite3.SQLITE_READONLY: "the file is read-only",
    sqlite3.SQLITE_CANTOPEN: "the file cannot be opened",
    sqlite3.SQLITE_PERM: "no permission for the file",
    sqlite3.SQLITE_AUTH: "no permission for the file",
    sqlite3.SQLITE_CORRUPT: "the file is damaged",
    sqlite3.SQLITE_NOTADB: "the file is not an SQLite database",
    sqlite3.SQLITE_NOMEM: "out of memory",
    sqlite3.SQLITE_PROTOCOL: "locking the file failed",
    sqlite3.SQLITE_NOLFS: "the file grew too large for this system",
}


def primary_code(error: sqlite3.Error) -> int:
    """SQLite's result code without its extension; 0 if Python's module raised the error by itself."""
    return getattr(error, "sqlite_errorcode", 0) & 0xFF


def is_locked(error: sqlite3.Error) -> bool:
    """Whether another connection is in the way, so that a moment later the same may succeed."""
    return primary_code(error) in _LOCKED


def translate(error: Exception) -> Exception:
    """What callers get to see. An error that isn't SQLite's stays what it is."""
    if not isinstance(error, sqlite3.Error):
        return error
    if is_locked(error):
        return StoreTimeout("sqlite: another process kept the database locked")
    name = getattr(error, "sqlite_errorname", type(error).__name__)
    reason = _REASONS.get(primary_code(error))
    if reason is None:
        return StoreError(f"sqlite: {error} ({name})")
    return StoreUnavailable(f"sqlite: {reason} ({name}: {error})")
