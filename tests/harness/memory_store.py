"""An etcd of one dictionary, for tests of what transactions mean: revisions, guards, all or nothing."""

from __future__ import annotations

from dataclasses import dataclass, field

from store.snapshot import Entry
from store.transactions import Guard, Put, RangeGuard, Transaction

__all__ = ["MemoryStore"]


@dataclass
class MemoryStore:
    """Keys are absolute, as etcd's."""

    entries: dict[str, Entry] = field(default_factory=dict)
    revision: int = 1

    def put(self, key: str, value: bytes) -> None:
        """Writes one key at a revision of its own."""
        self.revision += 1
        self._put(key, value)

    def delete(self, key: str) -> None:
        """Deletes one key at a revision of its own."""
        if self.entries.pop(key, None):
            self.revision += 1

    def commit(self, transaction: Transaction) -> bool:
        """Whether the guards held; then the operations are done."""
        keys = [operation.key for operation in transaction.operations]
        assert len(set(keys)) == len(keys), "etcd refuses duplicate keys in a transaction"
        if not all(self._holds(guard) for guard in transaction.guards):
            return False
        self.revision += 1
        for operation in transaction.operations:
            if isinstance(operation, Put):
                self._put(operation.key, operation.value)
            else:
                self.entries.pop(operation.key, None)
        return True

    def _put(self, key: str, value: bytes) -> None:
        old = self.entries.get(key)
        created = old.create_revision if old else self.revision
        self.entries[key] = Entry(key, value, created, self.revision, old.version + 1 if old else 1)

    def _holds(self, guard: Guard | RangeGuard) -> bool:
        if isinstance(guard, Guard):
            entry = self.entries.get(guard.key)
            return (entry.mod_revision if entry else 0) == guard.mod_revision
        return all(
            entry.mod_revision <= guard.newest
            for key, entry in self.entries.items()
            if guard.start <= key < guard.end
        )
