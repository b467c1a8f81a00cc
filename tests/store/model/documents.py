"""The model of documents of one kind."""

from ojs_grpc.stores.ports import Document, Write


class Documents:
    """The documents by name, and every version that there ever was."""

    def __init__(self) -> None:
        self.by_name: dict[str, Document] = {}
        self._versions: dict[str, set[int]] = {}

    def allow(self, write: Write) -> bool:
        """Whether the precondition holds."""
        present = self.by_name.get(write.name)
        return write.version in (None, present.version if present else 0)

    def write(self, write: Write, stored: Document | None) -> None:
        """Checks what became of a document."""
        if write.data is None:
            assert stored is None
            self.by_name.pop(write.name, None)
            return
        assert stored is not None
        assert stored == Document(write.name, stored.version, write.data, write.due_at)
        seen = self._versions.setdefault(write.name, {0})
        assert stored.version not in seen
        seen.add(stored.version)
        self.by_name[write.name] = stored

    def due(self, now: int) -> list[int]:
        """When those that are due by now became it, earliest first."""
        return sorted(each.due_at for each in self.by_name.values() if 0 < each.due_at <= now)
