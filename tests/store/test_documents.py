"""DocumentStore: what is no job and kept by name."""

import pytest

from ojs_grpc.stores.ports import Document, Outdated, Page, Store, Unit, Write
from tests.clock import START, FakeClock
from tests.store.building import do, write

KIND = "cron"


async def one(store: Store, name: str, kind: str = KIND) -> Document | None:
    """The document as it stands."""
    (document,) = await store.documents(kind, [name])
    return document


async def version_of(store: Store, name: str) -> int:
    """The version of a document that there is."""
    document = await one(store, name)
    assert document is not None
    return document.version


@pytest.mark.parametrize("data", [b"text", b"", bytes(range(256)) * 2_000])
async def test_a_document_comes_back(store: Store, data: bytes) -> None:
    """A document is read as it was written, whatever bytes it holds."""
    await write(store, KIND, "name", data, START + 5)

    document = await one(store, "name")

    assert document is not None
    assert document == Document("name", document.version, data, START + 5)
    assert document.version > 0


async def test_documents_come_in_the_order_asked(store: Store) -> None:
    """An unknown name gives None at its place, and a name may be asked twice."""
    await write(store, KIND, "a", b"A")
    await write(store, KIND, "b", b"B")

    found = await store.documents(KIND, ["b", "none", "a", "b"])

    assert [document and document.data for document in found] == [b"B", None, b"A", b"B"]
    assert await store.documents(KIND, []) == []


async def test_kinds_do_not_meet(store: Store) -> None:
    """Each kind has names of its own, lists and due times included."""
    await write(store, "cron", "name", b"cron", START)
    await write(store, "workflow", "name", b"workflow")

    await write(store, "cron", "name", None)

    assert await one(store, "name", "cron") is None
    remaining = await one(store, "name", "workflow")
    assert remaining is not None
    assert remaining.data == b"workflow"
    assert list((await store.list_documents("cron", "", 10)).rows) == []
    assert list((await store.list_documents("workflow", "", 10)).rows) == [remaining]
    assert not (await store.due_documents("workflow", START, 10)).documents


async def test_a_write_says_which_version_it_replaces(store: Store) -> None:
    """A write whose version is not the present one changes nothing."""
    await write(store, KIND, "name", b"first")
    first = await version_of(store, "name")
    await write(store, KIND, "name", b"second")
    second = await version_of(store, "name")

    refused = await do(store, Unit(writes=[Write(KIND, "name", first, b"late")]))
    kept = await one(store, "name")
    done = await do(store, Unit(writes=[Write(KIND, "name", second, b"third")]))

    assert first != second
    assert refused == Outdated()
    assert kept == Document("name", second, b"second", 0)
    assert done is None
    assert await version_of(store, "name") not in (first, second)


async def test_a_write_may_want_that_there_is_none(store: Store) -> None:
    """Version 0 creates: once, and again after the document was deleted."""
    create = Unit(writes=[Write(KIND, "name", 0, b"created")])

    first = await do(store, create)
    second = await do(store, create)
    await write(store, KIND, "name", None)
    third = await do(store, create)

    assert (first, second, third) == (None, Outdated(), None)


@pytest.mark.parametrize("data", [b"new", None])
async def test_a_version_of_what_is_gone(store: Store, data: bytes | None) -> None:
    """A write or a deletion of a version is refused once the document is deleted, or if it never was there."""
    await write(store, KIND, "name")
    version = await version_of(store, "name")
    await write(store, KIND, "name", None)

    assert await do(store, Unit(writes=[Write(KIND, "name", version, data)])) == Outdated()
    assert await do(store, Unit(writes=[Write(KIND, "other", 1, data)])) == Outdated()
    assert await store.documents(KIND, ["name", "other"]) == [None, None]


async def test_a_version_never_comes_back(store: Store) -> None:
    """Every write gives another version, the same content and a deletion in between notwithstanding."""
    seen = []
    for _ in range(3):
        for _ in range(2):
            await write(store, KIND, "name", b"same")
            seen.append(await version_of(store, "name"))
        await write(store, KIND, "name", None)

    assert len(set(seen)) == 6


async def test_deleting_what_is_not_there(store: Store) -> None:
    """Without a condition, or on the condition that there is none, deleting nothing is done."""
    assert await do(store, Unit(writes=[Write(KIND, "name", None, None)])) is None
    assert await do(store, Unit(writes=[Write(KIND, "name", 0, None)])) is None
    assert await one(store, "name") is None


async def test_documents_come_by_name_in_pages(store: Store) -> None:
    """Names are sorted byte by byte; a page begins behind any name, and the last one has no cursor."""
    names = ["a", "A", "a b", "a:b", "a.b", "{a}", "*", "aa", "b", "z", "ü", "0", "x" * 200]
    for name in names:
        await write(store, KIND, name, name.encode())
    await write(store, KIND, "aa", None)
    names.remove("aa")

    pages: list[Page[Document]] = [await store.list_documents(KIND, "", 5)]
    while pages[-1].next_cursor:
        pages.append(await store.list_documents(KIND, pages[-1].next_cursor, 5))

    assert [row.name for page in pages for row in page.rows] == sorted(names, key=str.encode)
    assert [len(page.rows) for page in pages] == [5, 5, 2]
    assert [row.data for row in (await store.list_documents(KIND, "b", 2)).rows] == [b"x" * 200, b"z"]


async def test_due_documents_come_earliest_first(store: Store, clock: FakeClock) -> None:
    """What is due is given, earliest first, with the time of the next one; what has no time never is."""
    for name, due_at in (("late", START + 30), ("now", START + 20), ("first", START + 10), ("never", 0)):
        await write(store, KIND, name, name.encode(), due_at)
    clock.advance(20)

    due = await store.due_documents(KIND, clock.now(), 10)
    again = await store.due_documents(KIND, clock.now(), 10)

    assert [(document.name, document.data, document.due_at) for document in due.documents] == [
        ("first", b"first", START + 10),
        ("now", b"now", START + 20),
    ]
    assert due.next_at == START + 30
    assert again == due


async def test_more_documents_are_due_than_asked_for(store: Store) -> None:
    """What did not fit shows in the time of the next one; when nothing waits there is none."""
    for name in ("a", "b", "c"):
        await write(store, KIND, name, b"", START)

    two = await store.due_documents(KIND, START, 2)
    three = await store.due_documents(KIND, START, 3)

    assert (len(two.documents), two.next_at) == (2, START)
    assert (len(three.documents), three.next_at) == (3, None)


async def test_a_write_moves_the_due_time(store: Store) -> None:
    """The last write says when a document is due; one that is deleted is never."""
    await write(store, KIND, "moved", b"", START)
    await write(store, KIND, "moved", b"", START + 5)
    await write(store, KIND, "stopped", b"", START)
    await write(store, KIND, "stopped", b"", 0)
    await write(store, KIND, "gone", b"", START)
    await write(store, KIND, "gone", None)

    due = await store.due_documents(KIND, START, 10)

    assert (list(due.documents), due.next_at) == ([], START + 5)


async def test_servers_share_documents(store: Store, other: Store) -> None:
    """What one server writes the other reads, and of two that replace a version one is too late."""
    await write(store, KIND, "name", b"", START)
    seen = await one(other, "name")
    assert seen is not None

    first = await do(other, Unit(writes=[Write(KIND, "name", seen.version, b"theirs", START)]))
    second = await do(store, Unit(writes=[Write(KIND, "name", seen.version, b"ours")]))

    assert (first, second) == (None, Outdated())
    assert [document.data for document in (await store.due_documents(KIND, START, 10)).documents] == [b"theirs"]
