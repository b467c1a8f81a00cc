"""Pages of documents of which only some count."""

from collections.abc import Callable

from ojs_grpc.stores.ports import Document, DocumentStore, Page

# Documents read at once; each may be as large as a job.
_PAGE = 100


async def page_of(
    store: DocumentStore, kind: str, counts: Callable[[Document], bool], limit: int, cursor: str
) -> Page[Document]:
    """Those that count, by name, `limit` a page; to have their number, this looks at all documents of the kind."""
    found: list[Document] = []
    total, more, start = 0, False, ""
    while True:
        page = await store.list_documents(kind, start, _PAGE)
        for document in page.rows:
            if not counts(document):
                continue
            total += 1
            if document.name > cursor:
                more = len(found) == limit
                found += () if more else (document,)
        start = page.next_cursor
        if not start:
            return Page(found, found[-1].name if more else "", total)
