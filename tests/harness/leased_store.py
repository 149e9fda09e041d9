"""An etcd of one process with leases that end when a test says so; may be taken away, and counts its calls."""

from __future__ import annotations

from dataclasses import dataclass

from store.errors import StoreUnavailable
from store.etcd.client import EtcdClient, Lease
from store.etcd.failures import LeaseLost
from store.etcd.settings import EtcdSettings
from store.snapshot import Entry
from store.transactions import Committed, Delete, Guard, GuardFailed, Transaction

__all__ = ["LeasedStore"]


@dataclass
class _Leased:
    ttl_s: float
    renewals: int = 0


class LeasedStore(EtcdClient):
    """The calls that a registration needs. Keys are absolute, as etcd's."""

    def __init__(self) -> None:
        super().__init__(EtcdSettings())
        self.entries: dict[str, Entry] = {}
        self.leases: dict[int, _Leased] = {}
        self.revision = 1
        self.is_away = False
        """Whether every call fails as if nobody answered."""
        self.writes: list[bytes] = []
        """Every value that was written."""
        self._leases_ever = 0

    def lease_grant(self, ttl_s: float, *, timeout_s: float | None = None) -> Lease:
        self._answer()
        self._leases_ever += 1
        self.leases[self._leases_ever] = _Leased(ttl_s)
        return Lease(self._leases_ever, ttl_s)

    def lease_keepalive(self, lease: int, *, timeout_s: float | None = None) -> float:
        self._answer()
        if lease not in self.leases:
            raise LeaseLost(f"lease {lease:x} has run out")
        self.leases[lease].renewals += 1
        return self.leases[lease].ttl_s

    def lease_revoke(self, lease: int, *, timeout_s: float | None = None) -> None:
        self._answer()
        self.expire(lease)

    def get(self, key: str, revision: int = 0, *, timeout_s: float | None = None) -> Entry | None:
        self._answer()
        return self.entries.get(key)

    def commit(self, transaction: Transaction, *, timeout_s: float | None = None) -> Committed:
        self._answer()
        for guard in transaction.guards:
            assert isinstance(guard, Guard)
            found = self.entries.get(guard.key)
            if (found.mod_revision if found else 0) != guard.mod_revision:
                raise GuardFailed(transaction.guards)
        for operation in transaction.operations:
            assert not isinstance(operation, Delete)
            if operation.lease and operation.lease not in self.leases:
                raise LeaseLost(f"lease {operation.lease:x} has run out")
            self.write(operation.key, operation.value, operation.lease)
        return Committed(self.revision)

    def write(self, key: str, value: bytes, lease: int = 0) -> None:
        """Somebody writes the key."""
        self.revision += 1
        before = self.entries.get(key)
        self.entries[key] = Entry(
            key,
            value,
            before.create_revision if before else self.revision,
            self.revision,
            before.version + 1 if before else 1,
            lease,
        )
        self.writes.append(value)

    def delete(self, key: str) -> None:
        """Somebody deletes the key."""
        self.revision += 1
        del self.entries[key]

    def expire(self, lease: int) -> None:
        """The lease ends, and its keys with it."""
        self.leases.pop(lease, None)
        self.revision += 1
        self.entries = {k: entry for k, entry in self.entries.items() if entry.lease != lease}

    def _answer(self) -> None:
        if self.is_away:
            raise StoreUnavailable("nobody answers")
