"""What the statements that are kept for their next use keep with them."""

from ojs_grpc.stores.sqlite.store import SqliteStore
from tests.store.building import job, put

_MIB = 1024 * 1024


async def test_a_kept_statement_holds_little(file_store: SqliteStore) -> None:
    """A statement keeps a copy of what it wrote last: never more than one large job, or some small ones."""
    database = file_store._db
    assert database is not None
    traced: list[str] = []
    await put(file_store, job())
    database.set_trace_callback(traced.append)

    await put(file_store, *[job(padding=_MIB // 2) for _ in range(20)])
    await put(file_store, *[job(padding=20_000) for _ in range(200)])
    database.set_trace_callback(None)

    # With its values in place, two characters a byte.
    assert max(map(len, traced)) < 2 * 1.5 * _MIB
