"""Persistent indexes: buckets of facts under a key, and tables of hosts.

Both are immutable: a change gives a new index that shares all that did not change, so that the next mesh
costs what changed and the previous one stays valid for whoever still reads it. Every bucket is kept in
Istio's order of creation (pilot/pkg/model/config.go sortConfigByCreationTime), because "the first wins" means
that order everywhere.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Hashable, Iterable, Iterator
from dataclasses import dataclass, field
from itertools import chain
from typing import Generic, Protocol, TypeVar

from immutables import Map

from sidecar.mesh.model import HostName
from sidecar.mesh.names import wildcards_over
from store.objects.base import ObjectRef

__all__ = ["Buckets", "HostTables", "Ordered", "Table", "age"]


class Ordered(Protocol):
    """What can stand in a bucket: something that was created at a revision and has an identity."""

    @property
    def ref(self) -> ObjectRef:
        """Identity of the object."""

    @property
    def create_revision(self) -> int:
        """Revision at which it was created."""


def age(item: Ordered) -> tuple[int, str, str]:
    """Sort key for the order of creation: revision, then name, then namespace (Istio's tie-breakers)."""
    return (item.create_revision, item.ref.name, item.ref.namespace)


K = TypeVar("K", bound=Hashable)
T = TypeVar("T", bound=Ordered)


@dataclass(frozen=True, slots=True)
class Buckets(Generic[K, T]):
    """Key to the facts under it, oldest first."""

    items: Map[K, tuple[T, ...]] = field(default_factory=Map)
    """The buckets; none is empty."""

    def __len__(self) -> int:
        return len(self.items)

    def __iter__(self) -> Iterator[K]:
        return iter(self.items)

    @classmethod
    def of(cls, rows: Iterable[tuple[K, T]]) -> Buckets[K, T]:
        """All of `rows` at once, each object at most once under a key."""
        grouped: dict[K, list[T]] = {}
        for key, item in rows:
            grouped.setdefault(key, []).append(item)
        return cls(Map({key: tuple(sorted(found, key=age)) for key, found in grouped.items()}))

    def get(self, key: K) -> tuple[T, ...]:
        """What lies under `key`, oldest first; empty when nothing does."""
        return self.items.get(key, ())

    def add(self, key: K, item: T) -> Buckets[K, T]:
        """With `item` under `key` as well; an item of the same object there is replaced."""
        bucket = tuple(other for other in self.get(key) if other.ref != item.ref)
        place = bisect_left(bucket, age(item), key=age)
        return Buckets(self.items.set(key, (*bucket[:place], item, *bucket[place:])))

    def remove(self, key: K, ref: ObjectRef) -> Buckets[K, T]:
        """Without what object `ref` has under `key`; unchanged when it has nothing there."""
        bucket = self.get(key)
        rest = tuple(other for other in bucket if other.ref != ref)
        if len(rest) == len(bucket):
            return self
        return Buckets(self.items.set(key, rest) if rest else self.items.delete(key))


Table = Buckets[HostName, T]
"""Host (exact or wildcard) to the facts about it."""


@dataclass(frozen=True, slots=True)
class HostTables(Generic[K, T]):
    """A table of hosts for each key, for instance for each (gateway, scope of visibility)."""

    tables: Map[K, Table[T]] = field(default_factory=Map)
    """The tables; none is empty."""

    @classmethod
    def of(cls, rows: Iterable[tuple[K, HostName, T]]) -> HostTables[K, T]:
        """All of `rows` at once, each object at most once for a host of a table."""
        grouped: dict[K, list[tuple[HostName, T]]] = {}
        for key, host, item in rows:
            grouped.setdefault(key, []).append((host, item))
        return cls(Map({key: Buckets.of(found) for key, found in grouped.items()}))

    def table(self, key: K) -> Table[T]:
        """The table of `key`, empty when there is none."""
        return self.tables.get(key, Buckets())

    def get(self, key: K, host: HostName) -> tuple[T, ...]:
        """What `key`'s table has for exactly `host`, oldest first."""
        table = self.tables.get(key)
        return () if table is None else table.get(host)

    def add(self, key: K, host: HostName, item: T) -> HostTables[K, T]:
        """With `item` for `host` in the table of `key`."""
        return HostTables(self.tables.set(key, self.table(key).add(host, item)))

    def remove(self, key: K, host: HostName, ref: ObjectRef) -> HostTables[K, T]:
        """Without what `ref` has for `host` in the table of `key`."""
        table = self.table(key)
        rest = table.remove(host, ref)
        if rest is table:
            return self
        return HostTables(self.tables.set(key, rest) if len(rest) else self.tables.delete(key))

    def most_specific(self, key: K, host: HostName, counts: Callable[[T], bool]) -> tuple[T, ...]:
        """What the most specific host that covers all of `host` has in the table of `key`, of what `counts`."""
        table = self.tables.get(key)
        if table is None:
            return ()
        names = chain((host,), wildcards_over(host))
        hits = (tuple(item for item in table.get(name) if counts(item)) for name in names)
        return next((hit for hit in hits if hit), ())
