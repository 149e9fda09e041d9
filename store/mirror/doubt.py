"""Whether a store that is watched again is still in the life that we knew: asked before any of its events counts.

A backup may be restored under the same cluster id, and be written past our revision before we are back. The watch then
goes on as if nothing had happened, and its events would be mixed into what only the old life held. One key tells: the
one that was written last, read as it was at the revision up to which we know everything. The old life answers with
exactly what we hold. In another life it is missing, older, or another value. Where a key was taken away after that, it
is asked for as well: the old life has it no more. What was lost all the same (deletions that nobody here saw, or that
the other life knows too) comes back with the comparison of all keys, some seconds later.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from store.mirror.events import KeyRead, WatchAnswered
    from store.snapshot import Entry, Snapshot

__all__ = ["Doubt"]


class Doubt:
    """What is held back of one stream until the answers are here."""

    def __init__(self) -> None:
        self._held: list[WatchAnswered] = []
        self._witnesses: dict[str, Entry | None] = {}
        """What is to be asked for still, and what the old life answers; None: there is no such key."""
        self._known = 0
        self.is_confirmed = False
        """Whether an answer was that of another life, and nothing was followed since."""

    @property
    def is_open(self) -> bool:
        """Whether answers are to be held back."""
        return bool(self._witnesses)

    def begin(self, snapshot: Snapshot, known: int) -> None:
        """A watch is taken up again behind this revision."""
        newest = max(snapshot.entries(), key=lambda entry: entry.mod_revision, default=None)
        gone = snapshot.gone_last()
        self._witnesses = {} if newest is None else {newest.key: newest}
        if gone is not None:
            self._witnesses[gone] = None
        self._known, self._held, self.is_confirmed = known, [], False

    def renew(self, snapshot: Snapshot, known: int) -> None:
        """More is known than when it began; where the question is asked already, it stays as it was."""
        if self.is_open and not self._held:
            self.begin(snapshot, known)

    def end(self) -> None:
        """There is nothing to doubt: a reading was just believed."""
        self._held, self._witnesses, self.is_confirmed = [], {}, False

    def hold(self, event: WatchAnswered) -> tuple[str, int] | None:
        """Hold an answer back; the key to ask for and the revision, where it is the first one."""
        self._held.append(event)
        return self.question() if len(self._held) == 1 else None

    def question(self) -> tuple[str, int]:
        """The key to ask for next, and the revision."""
        assert self._witnesses, "there is nothing to doubt"
        return next(iter(self._witnesses)), self._known

    def settle(self, event: KeyRead, cluster_id: int) -> tuple[WatchAnswered, ...] | None:
        """An answer is here: what was held back, in order; None where it is another life.

        While there is more to ask for it stays open, and what was held back is empty. Leases change without a revision,
        and do not count.
        """
        key, _ = self.question()
        witness, found = self._witnesses.pop(key), event.entry
        is_same = _without_lease(found) == _without_lease(witness)
        if not is_same or event.cluster_id != cluster_id or event.revision < self._known:
            self.end()
            self.is_confirmed = True
            return None
        if self.is_open:
            return ()
        held = tuple(self._held)
        self.end()
        return held


def _without_lease(entry: Entry | None) -> Entry | None:
    return None if entry is None else replace(entry, lease=0)
