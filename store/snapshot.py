"""Snapshots of the store: immutable, labelled (epoch, revision), cheap to derive from one another.

A snapshot holds raw bytes, not models (30,000 modest models were measured at 2.8 s and 199 MB, their JSON at
15 MB). All events of one etcd revision are in it together or not at all.

Two things make it cheap to keep up to date: persistent maps (one map of folders, one map of keys in each), so that
the next snapshot shares all that did not change; and a hash that is a sum over the entries, so that it is corrected
by what changed instead of being counted anew. A sum of short hashes can be forged by whoever may choose many
addends (Wagner, "A Generalized Birthday Problem", 2002), and a relay between peers is trusted by this hash; so the
addends are 4,096 bits wide, where that attack costs 2^128 (2^(2*sqrt(4096)) steps).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from hashlib import sha256, shake_256
from typing import TYPE_CHECKING

from immutables import Map

from store.objects.kinds import KINDS

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from store.objects.kinds import Kind

__all__ = ["Entry", "Epoch", "Snapshot"]

ADDEND_BYTES = 512
"""Width of one entry's addend; see the module's docstring."""

TRAIL_STEPS_MAX = 64
"""How many derivations a snapshot remembers, so that a reader who skipped some still learns what changed."""

HOSTS_FOLDER = "hosts"
"""Folder of the hosts' registrations."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One key of etcd under the mesh's prefix, as it is at one revision."""

    key: str
    """Key relative to the prefix, for instance `ns/default/virtualservices/reviews` or `hosts/vm-7`."""
    value: bytes
    """The value exactly as stored."""
    create_revision: int
    """Revision at which the key came to be: the order of creation that Istio's ties are broken by."""
    mod_revision: int
    """Revision of this value; shown as `metadata.resourceVersion`."""
    version: int
    """How many values the key has had since creation; shown as `metadata.generation`."""
    lease: int = 0
    """Lease that the key hangs on, 0 for none."""


@dataclass(frozen=True, slots=True, order=True)
class Epoch:
    """One life of one etcd: revisions are comparable only within it."""

    life: int
    """Counts the epochs that this sidecar has followed, from 1."""
    cluster_id: int
    """etcd's cluster id."""

    def __str__(self) -> str:
        return f"{self.cluster_id:x}.{self.life}"


@dataclass(frozen=True, slots=True, eq=False)
class _Step:
    """One derivation: from the snapshot whose token is `base`, these keys changed."""

    base: object
    keys: frozenset[str]


_Folders = Map[str, Map[str, Entry]]


class Snapshot:
    """The store's content at one revision of one epoch. Immutable; entries come sorted by folder, then by key.

    Made by `Snapshot.empty` or `Snapshot.of`, then by `apply` and `relist` from its predecessor.
    """

    def __init__(
        self,
        epoch: Epoch,
        revision: int,
        folders: _Folders,
        *,
        total: int,
        size: int,
        trail: tuple[_Step, ...] = (),
    ) -> None:
        self.epoch = epoch
        """The life of etcd in which `revision` counts."""
        self.revision = revision
        """All events up to this revision are in, none after it."""
        self._folders = folders
        self._total = total
        self._size = size
        self._trail = trail
        self._token = object()

    @classmethod
    def empty(cls, epoch: Epoch, revision: int = 0) -> Snapshot:
        """A snapshot without any key."""
        return cls(epoch, revision, Map(), total=0, size=0)

    @classmethod
    def of(cls, epoch: Epoch, revision: int, entries: Iterable[Entry]) -> Snapshot:
        """A snapshot of exactly `entries`."""
        return cls.empty(epoch, revision).apply(entries, (), revision)

    def __len__(self) -> int:
        return self._size

    def __contains__(self, key: str) -> bool:
        return self.get(key) is not None

    def __repr__(self) -> str:
        return f"Snapshot({self.epoch}@{self.revision}, {self._size} keys, {self.hash[:12]})"

    @cached_property
    def hash(self) -> str:
        """Hash of all keys, values and their revisions; equal on every host that holds the same content."""
        return sha256(self._total.to_bytes(ADDEND_BYTES, "big")).hexdigest()

    def get(self, key: str) -> Entry | None:
        """The entry of `key`, or None."""
        entries = self._folders.get(_folder_of(key))
        return entries.get(key) if entries is not None else None

    def entries(self, folder_prefix: str = "") -> Iterator[Entry]:
        """All entries in the folder `folder_prefix` and below it; a folder's name ends at a slash.

        Thus `ns/a` never matches keys of `ns/ab`. The empty prefix means everything.
        """
        wanted = folder_prefix.rstrip("/")
        below = f"{wanted}/"
        folders = (
            folder
            for folder in self._folders
            if not wanted or folder == wanted or folder.startswith(below)
        )
        for folder in sorted(folders):
            yield from self._sorted(folder)

    def kind(self, kind: Kind) -> Iterator[Entry]:
        """All entries of one kind of object, over all namespaces."""
        names = KINDS[kind]
        if not names.namespaced:
            entry = self.get("mesh")
            if entry is not None:
                yield entry
            return
        ending = f"/{names.plural}"
        for folder in sorted(folder for folder in self._folders if folder.endswith(ending)):
            if folder.startswith("ns/") and folder.count("/") == 2:
                yield from self._sorted(folder)

    def hosts(self) -> Iterator[Entry]:
        """All hosts' registrations."""
        yield from self._sorted(HOSTS_FOLDER)

    def keys(self) -> Iterator[str]:
        """All keys, in no particular order."""
        for entries in self._folders.values():
            yield from entries

    def apply(
        self,
        upserts: Iterable[Entry],
        deletes: Iterable[str],
        revision: int,
        *,
        epoch: Epoch | None = None,
    ) -> Snapshot:
        """The snapshot after some changes; costs in proportion to the changes.

        Args:
            upserts: New or changed entries; of two with one key the later counts.
            deletes: Keys that are gone; those that are not here are passed over. Deletes come before upserts.
            revision: The new label.
            epoch: The new epoch, when it is another than this snapshot's.
        """
        wanted: dict[str, Entry | None] = dict.fromkeys(deletes)
        wanted.update((entry.key, entry) for entry in upserts)
        by_folder: dict[str, dict[str, Entry | None]] = {}
        for key, entry in wanted.items():
            by_folder.setdefault(_folder_of(key), {})[key] = entry
        total, size, changed = self._total, self._size, set[str]()
        with self._folders.mutate() as folders:
            for folder, rows in by_folder.items():
                before: Map[str, Entry] = folders.get(folder, Map())
                after, delta = _changed_folder(before, rows, changed)
                total += delta
                size += len(after) - len(before)
                if after:
                    folders[folder] = after
                elif before:
                    del folders[folder]
            finished = folders.finish()
        return Snapshot(
            epoch or self.epoch,
            revision,
            finished,
            total=total % (1 << (8 * ADDEND_BYTES)),
            size=size,
            trail=(*self._trail, _Step(self._token, frozenset(changed)))[-TRAIL_STEPS_MAX:],
        )

    def relist(
        self, entries: Iterable[Entry], revision: int, *, epoch: Epoch | None = None
    ) -> Snapshot:
        """The snapshot that holds exactly `entries`, sharing with this one whatever is the same."""
        wanted = {entry.key: entry for entry in entries}
        deletes = [key for key in self.keys() if key not in wanted]
        upserts = [entry for entry in wanted.values() if self.get(entry.key) != entry]
        return self.apply(upserts, deletes, revision, epoch=epoch)

    def changes_since(self, older: Snapshot) -> frozenset[str]:
        """The keys that differ, or may differ, between `older` and this snapshot.

        Cheap when this one was derived from `older` in at most 64 steps; else both are compared whole.
        """
        if older is self:
            return frozenset()
        for index, step in enumerate(self._trail):
            if step.base is older._token:
                return frozenset().union(*(later.keys for later in self._trail[index:]))
        gone = {key for key in older.keys() if key not in self}  # noqa: SIM118 (no mapping)
        return frozenset(gone.union(e.key for e in self.entries() if older.get(e.key) != e))

    def gone_last(self) -> str | None:
        """A key that the newest known change took away; None where that change only wrote, or none is known."""
        for step in reversed(self._trail):
            if step.keys:
                return min((key for key in step.keys if key not in self), default=None)
        return None

    def is_same(self, other: Snapshot) -> bool:
        """Whether label and content are the same."""
        here, there = (self.epoch, self.revision), (other.epoch, other.revision)
        return here == there and self.hash == other.hash

    def _sorted(self, folder: str) -> Iterator[Entry]:
        entries = self._folders.get(folder)
        if entries is not None:
            for key in sorted(entries):
                yield entries[key]


def _folder_of(key: str) -> str:
    return key.rpartition("/")[0]


def _changed_folder(
    before: Map[str, Entry], rows: dict[str, Entry | None], changed: set[str]
) -> tuple[Map[str, Entry], int]:
    """One folder after its `rows`, and what they add to the sum; adds the keys that changed to `changed`."""
    delta = 0
    with before.mutate() as entries:
        for key, entry in rows.items():
            known = before.get(key)
            if known == entry:
                continue
            changed.add(key)
            if known is not None:
                delta -= _addend(known)
            if entry is None:
                del entries[key]
            else:
                delta += _addend(entry)
                entries[key] = entry
        after = entries.finish()
    return after, delta


def _addend(entry: Entry) -> int:
    """What one entry adds to the sum. Every part is led by its length, so that no two entries read alike.

    The lease is left out: it says who keeps the key alive, not what the mesh is told.
    """
    key = entry.key.encode("utf-8", "surrogatepass")
    digest = shake_256(
        b"%d:%s%d:%s%d,%d,%d"
        % (
            len(key),
            key,
            len(entry.value),
            entry.value,
            entry.create_revision,
            entry.mod_revision,
            entry.version,
        )
    )
    return int.from_bytes(digest.digest(ADDEND_BYTES), "big")
