"""What a caller waits for: a revision, of which etcd, and one key that was written or deleted at it.

The key is a witness. An etcd whose disk was lost, or that was restored from a backup, keeps its cluster id and begins
with low revisions again: whoever has not noticed yet has higher ones in force, which say nothing of what was written
since. Whether the key is there as it was written tells the two apart, but for keys that were written again later; then
it counts only once the store was heard again.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from store.snapshot import Snapshot

__all__ = ["Sight", "Wanted"]


class Sight(Enum):
    """Whether a snapshot holds what is waited for."""

    SEEN = "seen"
    """It does."""
    UNSURE = "unsure"
    """Its key was written after that: later, or in another life of this etcd."""
    UNSEEN = "unseen"
    """It does not."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """A revision that somebody wrote."""

    revision: int
    cluster_id: int | None = None
    """The etcd that it is of; None where that is not known."""
    written: str = ""
    """A relative key that was written at it; empty where none is named."""
    deleted: str = ""
    """A relative key that was deleted at it; empty where none is named."""

    def sight(self, snapshot: Snapshot) -> Sight:
        """Whether this snapshot holds it."""
        if self.cluster_id not in (None, snapshot.epoch.cluster_id):
            return Sight.UNSEEN
        if snapshot.revision < self.revision:
            return Sight.UNSEEN
        if snapshot.revision == self.revision or not (self.written or self.deleted):
            return Sight.SEEN
        entry = snapshot.get(self.written or self.deleted)
        if entry is None:
            return Sight.UNSURE if self.written else Sight.SEEN
        if entry.mod_revision == self.revision and self.written:
            return Sight.SEEN
        return Sight.UNSURE if entry.mod_revision > self.revision else Sight.UNSEEN
