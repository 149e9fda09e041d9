"""Anti-entropy: does what the watch told agree with what the store holds?

A keys-only reading at revision R and the snapshot of a running watch are taken at different moments, so a single
difference may be an event on its way. A difference that stands unchanged in a second reading, seconds later, is
not: the event was lost (etcd#17529, #18089, #19179: fixed in servers newer than those many run).
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping

    from store.mirror.judgement import Reading
    from store.mirror.patience import Patience
    from store.snapshot import Snapshot

__all__ = ["Comparison", "Difference", "agrees", "differences", "told"]

RESUMED_PAUSE_S = 60.0
"""Least time between two comparisons that resumed watches bring."""


class Difference(NamedTuple):
    """One key on which the reading and the snapshot differ."""

    key: str
    """The key, relative to the prefix."""
    theirs: int
    """Revision in the store; 0 when it is not there."""
    ours: int
    """Revision in the snapshot; 0 when it is not there."""


def differences(snapshot: Snapshot, reading: Reading) -> frozenset[Difference]:
    """Keys that differ, save those that the snapshot has a newer value of than the reading could know."""
    found = set()
    for key, theirs in reading.mod_revisions.items():
        entry = snapshot.get(key)
        ours = entry.mod_revision if entry is not None else 0
        if theirs != ours and ours <= reading.revision:
            found.add(Difference(key, theirs, ours))
    for key in snapshot.keys():  # noqa: SIM118 (no mapping)
        if key not in reading.mod_revisions:
            entry = snapshot.get(key)
            assert entry is not None
            if entry.mod_revision <= reading.revision:
                found.add(Difference(key, 0, entry.mod_revision))
    return frozenset(found)


def agrees(snapshot: Snapshot, reading: Reading) -> bool:
    """Whether the snapshot is exactly what the store held at the reading's revision."""
    return len(snapshot) == len(reading.mod_revisions) and not differences(snapshot, reading)


def told(lost: frozenset[Difference]) -> Mapping[str, str | int]:
    """Lost events in the words of a report."""
    return {"count": len(lost), "keys": ", ".join(sorted(row.key for row in lost)[:5])}


class Comparison:
    """When to compare, and what the last comparison left in doubt.

    It comes soon after a watch was resumed: what the first look (`store.mirror.doubt`) cannot show of a backup that was
    restored under the same cluster id, it does. A flapping stream does not bring one each time.
    """

    def __init__(self, patience: Patience) -> None:
        self._patience = patience
        self._asked: float | None = None
        self._doubts: frozenset[Difference] = frozenset()
        self.at = 0.0
        """When the next one is due."""
        self.known = 0
        """What was known when the last one was asked for."""

    def begin(self, now_s: float, *, resumed: bool) -> None:
        """A watch begins: resumed from what was known before, or right behind a reading."""
        if resumed:
            earliest = -math.inf if self._asked is None else self._asked + RESUMED_PAUSE_S
            soon = now_s + self._patience.within(2 * self._patience.settings.settle_s)
            self.at = max(soon, earliest)
        elif self.at <= now_s:
            self.at = now_s + self._period_s()

    def ask(self, known_revision: int, now_s: float) -> None:
        """A reading is asked for; should it fail, the next is due a period later."""
        self.known, self._asked = known_revision, now_s
        self.at = now_s + self._period_s()

    def again(self, now_s: float) -> None:
        """The reading failed."""
        self.at = now_s + self._patience.settings.settle_s

    def weigh(self, snapshot: Snapshot, reading: Reading, now_s: float) -> frozenset[Difference]:
        """The differences that have stood since the last reading; new ones are looked at again soon."""
        found = differences(snapshot, reading)
        lost, self._doubts = found & self._doubts, found
        if found:
            self.at = now_s + self._patience.settings.settle_s
        return lost

    def forget(self) -> None:
        """Everything was read anew: nothing is in doubt."""
        self._doubts = frozenset()

    def _period_s(self) -> float:
        return self._patience.about(self._patience.settings.compare_s)
