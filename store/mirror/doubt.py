"""Whether a store that is watched again is still in the life that we knew: asked before any of its events counts.

A backup may be restored under the same cluster id, and be written past our revision before we are back. The watch then
goes on as if nothing had happened, and its events would be mixed into what only the old life held. One key tells: the
one that was written last, read as it was at the revision up to which we know everything. The old life answers with
exactly what we hold. In another life it is missing, older, or another value; but where all that was lost were
deletions: those come back with the comparison of all keys, some seconds later.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from store.mirror.events import KeyRead, WatchAnswered
    from store.snapshot import Entry, Snapshot

__all__ = ["Doubt"]


class Doubt:
    """What is held back of one stream until the answer is here."""

    def __init__(self) -> None:
        self._held: list[WatchAnswered] = []
        self._witness: Entry | None = None
        self._known = 0
        self.is_confirmed = False
        """Whether the answer was that of another life, and nothing was followed since."""

    @property
    def is_open(self) -> bool:
        """Whether answers are to be held back."""
        return self._witness is not None

    def begin(self, snapshot: Snapshot, known: int) -> None:
        """A watch is taken up again behind this revision."""
        self._witness = max(snapshot.entries(), key=lambda entry: entry.mod_revision, default=None)
        self._known, self._held, self.is_confirmed = known, [], False

    def renew(self, snapshot: Snapshot, known: int) -> None:
        """More is known than when it began; where the question is asked already, it stays as it was."""
        if self.is_open and not self._held:
            self.begin(snapshot, known)

    def end(self) -> None:
        """There is nothing to doubt: a reading was just believed."""
        self._held, self._witness, self.is_confirmed = [], None, False

    def hold(self, event: WatchAnswered) -> tuple[str, int] | None:
        """Hold an answer back; the key to ask for and the revision, where it is the first one."""
        assert self._witness is not None, "there is nothing to doubt"
        self._held.append(event)
        return (self._witness.key, self._known) if len(self._held) == 1 else None

    def settle(self, event: KeyRead, cluster_id: int) -> tuple[WatchAnswered, ...] | None:
        """The answer is here: what was held back, in order; None where it is another life.

        Leases change without a revision, and do not count.
        """
        assert self._witness is not None, "it was asked for"
        found, witness, held = event.entry, self._witness, tuple(self._held)
        self.end()
        is_same = found is not None and replace(found, lease=0) == replace(witness, lease=0)
        if is_same and event.cluster_id == cluster_id and event.revision >= self._known:
            return held
        self.is_confirmed = True
        return None
