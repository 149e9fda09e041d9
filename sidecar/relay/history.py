"""What a host remembers of its configuration: recent snapshots, and what was deleted since when.

Snapshots share what did not change, so that remembering some costs what changed between them. Changes since a
revision R need no snapshot of R: they are the entries modified after R, and the keys deleted after R; deletions are
remembered longer than snapshots, being small. A new epoch begins with nothing.
"""

from __future__ import annotations

from collections import deque

from sidecar.relay.parcel import Rows, short_hash
from sidecar.relay.wire import Attested
from store.snapshot import Epoch, Snapshot

__all__ = ["History"]

DELETIONS_MAX = 10_000
"""Deleted keys remembered; who is behind the oldest of them gets a whole snapshot."""


class History:
    """The recent past of one host's configuration.

    Args:
        length: Snapshots remembered.
    """

    def __init__(self, length: int) -> None:
        self._length = length
        self._snapshots: deque[Snapshot] = deque()
        self._first_hand: dict[int, Attested] = {}
        self._deletions: deque[tuple[int, str]] = deque()
        self._complete_from = 0

    @property
    def newest(self) -> Snapshot | None:
        """What is in force; None before the first."""
        return self._snapshots[-1] if self._snapshots else None

    @property
    def epoch(self) -> Epoch | None:
        """Of the newest one."""
        return self._snapshots[-1].epoch if self._snapshots else None

    def remember(self, snapshot: Snapshot, *, is_first_hand: bool) -> None:
        """Take in the newest snapshot. An earlier revision or another epoch begins a new history.

        Args:
            snapshot: What is in force now.
            is_first_hand: It was read from etcd by this host.
        """
        newest = self.newest
        if newest is None or newest.epoch != snapshot.epoch or newest.revision > snapshot.revision:
            self._snapshots.clear()
            self._deletions.clear()
            self._first_hand.clear()
            self._complete_from = snapshot.revision
        else:
            for key in snapshot.changes_since(newest):
                if key not in snapshot:
                    self._deletions.append((snapshot.revision, key))
            while len(self._deletions) > DELETIONS_MAX:
                self._complete_from = max(self._complete_from, self._deletions.popleft()[0])
            if newest.revision == snapshot.revision:
                self._snapshots.pop()
        self._snapshots.append(snapshot)
        if is_first_hand:
            self.confirm()
        while len(self._snapshots) > self._length:
            self._first_hand.pop(self._snapshots.popleft().revision, None)

    def confirm(self) -> None:
        """The newest snapshot is what etcd held at its revision: a watch goes on from it."""
        newest = self.newest
        if newest is not None:
            self._first_hand[newest.revision] = Attested(newest.revision, short_hash(newest))

    def find(self, cluster_id: int, target_hash: bytes) -> Snapshot | None:
        """The newest snapshot of this content, if it is remembered."""
        for snapshot in reversed(self._snapshots):
            if snapshot.epoch.cluster_id == cluster_id and short_hash(snapshot) == target_hash:
                return snapshot
        return None

    def at(self, revision: int) -> Snapshot | None:
        """The snapshot labelled so, if it is remembered."""
        return next((one for one in reversed(self._snapshots) if one.revision == revision), None)

    def pairs(self) -> tuple[Attested, ...]:
        """Revisions that were read from etcd, with the hash of each, oldest first."""
        return tuple(self._first_hand.values())

    def changes_since(self, revision: int, target: Snapshot) -> Rows | None:
        """What leads from `revision` to `target`; None when that is no longer known.

        Deletions may name keys that the asker never had; that does no harm.
        """
        if not 0 < self._complete_from <= revision <= target.revision:
            return None
        base = self.at(revision)
        if base is not None:
            keys = [k for k in target.changes_since(base) if base.get(k) != target.get(k)]
        else:
            keys = [entry.key for entry in target.entries() if entry.mod_revision > revision]
            keys += [key for at, key in self._deletions if revision < at <= target.revision]
        found = {key: target.get(key) for key in keys}
        return Rows(
            tuple(entry for entry in found.values() if entry is not None),
            tuple(key for key, entry in found.items() if entry is None),
        )
