"""Folding watch events into a snapshot: late, doubled and old ones change nothing.

etcd delivers events in order of revision, each once, and all of one revision together, unless it has one of the
bugs that the servers in use still have: doubled events (etcd#15274), old events after a move to a member that lags
(etcd#20221). So an event counts only when it is newer than all that is known, or of the newest known revision and
newer than what is known of its key.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from store.mirror.events import Deleted
from store.snapshot import Snapshot

if TYPE_CHECKING:
    from collections.abc import Iterable

    from store.snapshot import Entry, Epoch

__all__ = ["follow", "reread"]


def follow(
    snapshot: Snapshot, changes: Iterable[Entry | Deleted], known_revision: int
) -> tuple[Snapshot, int, int]:
    """Fold the events of one watch response into the snapshot.

    Args:
        snapshot: What is known.
        changes: The events, in the order in which they came; each revision is whole.
        known_revision: All events up to this revision have been seen.

    Returns:
        The next snapshot (the same one when nothing changed), the revision of the last event that counted (or
        `known_revision`), and how many events were dropped.
    """
    latest: dict[str, Entry | Deleted] = {}
    reached, dropped = known_revision, 0
    for change in changes:
        known = latest.get(change.key) or snapshot.get(change.key)
        known_of_key = known.mod_revision if known is not None else 0
        gone_already = known is None and isinstance(change, Deleted)
        if change.mod_revision < reached + gone_already or change.mod_revision <= known_of_key:
            dropped += 1
            continue
        latest[change.key] = change
        reached = change.mod_revision
    if not latest:
        return snapshot, known_revision, dropped
    upserts = [change for change in latest.values() if not isinstance(change, Deleted)]
    deletes = [key for key, change in latest.items() if isinstance(change, Deleted)]
    return snapshot.apply(upserts, deletes, reached), reached, dropped


def reread(
    before: Snapshot | None, entries: Iterable[Entry], revision: int, epoch: Epoch
) -> Snapshot:
    """The snapshot that a whole reading gives; it shares with the one before whatever is the same."""
    if before is None:
        return Snapshot.of(epoch, revision, entries)
    return before.relist(entries, revision, epoch=epoch)
