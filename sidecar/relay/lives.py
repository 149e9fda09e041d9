"""Which life of etcd is followed when it cannot be asked: ours, while anybody has it in reach; another one, only then.

The rules are those of `store.mirror.judgement`, for a host that sees etcd through others. Another epoch is another
cluster id, or a revision that went back (a backup restored under the same id), as enough hosts with etcd in reach
attest. It is looked at when for some time none of our own epoch had etcd in reach; followed by itself when at most
a fifth of any kind would go; held otherwise until a person accepts it. An epoch that was left is not returned to by
itself, so two groups of peers never pull a host to and fro. What was left is known by its cluster id, or, where the
id is the same, by entries that only it had.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from enum import Enum

from sidecar.relay.book import Book, Target
from sidecar.relay.history import History
from sidecar.relay.voice import Voice
from store.mirror.events import Severity
from store.mirror.judgement import Judgement, Reading, judge
from store.snapshot import Entry, Snapshot

__all__ = ["HeldLife", "Lives", "Verdict"]

_LEFT_MAX = 8
_MARKS_MAX = 256


class Verdict(Enum):
    """What to do with attested content."""

    ADOPT = "of our epoch"
    FOLLOW = "of another epoch, and little is gone"
    HOLD = "of another epoch, and a person must accept it"
    REFUSE = "of an epoch that was left"


@dataclass(frozen=True, slots=True)
class HeldLife:
    """The epoch that is not followed."""

    cluster_id: int
    revision: int
    reason: str
    """What speaks against it."""
    again_s: float
    """When it may be looked at again."""


@dataclass(frozen=True, slots=True)
class _Left:
    """An epoch that was left."""

    cluster_id: int
    marks: tuple[Entry, ...]
    """Entries that only it had; the newest ones."""


class Lives:
    """What is known of epochs beside the one that is followed."""

    def __init__(self, voice: Voice, book: Book, history: History) -> None:
        self._voice = voice
        self._book = book
        self._history = history
        self._left: deque[_Left] = deque(maxlen=_LEFT_MAX)
        self._kin_s: float | None = None
        self._has_kin = False
        self._accepted: int | None = None
        self.held: HeldLife | None = None
        """The epoch that waits for a person, if any."""

    def look(self, now_s: float) -> None:
        """Whether anybody of our epoch has etcd in reach; to be called before and after each event."""
        if self._has_kin or self._kin_s is None:
            self._kin_s = now_s
        self._has_kin = self._is_any_kin()
        if self._has_kin:
            self._kin_s = now_s

    def deadline(self) -> float | None:
        """When another epoch may be looked at; None: not before something happens."""
        if self._has_kin or self._kin_s is None or not self._candidates():
            return None
        ripe_s = self._kin_s + self._voice.settings.epoch_patience_s
        return max(ripe_s, self.held.again_s) if self.held is not None else ripe_s

    def other(self, now_s: float) -> Target | None:
        """Content of another epoch that it is time to look at."""
        if self._has_kin or self._kin_s is None:
            return None
        if now_s < self._kin_s + self._voice.settings.epoch_patience_s and self._accepted is None:
            return None
        for cluster_id in self._candidates():
            held = self.held
            if held is not None and cluster_id == held.cluster_id and now_s < held.again_s:
                continue
            return self._book.current(cluster_id, self._voice.settings.attestations)[0]
        return None

    def first(self) -> Target | None:
        """Content to begin with, for a host that has nothing: of the epoch that most hosts have in reach."""
        count = self._voice.settings.attestations
        clusters = self._book.clusters()
        for cluster_id in sorted(clusters, key=lambda c: (-clusters[c][0], -clusters[c][1], c)):
            targets = self._book.attested(cluster_id, count, above=-1)
            if targets:
                return targets[0]
        return None

    def weigh(self, own: Snapshot | None, found: Snapshot, now_s: float) -> Verdict:
        """What to do with attested content that was sent whole."""
        if own is None:
            return Verdict.ADOPT
        cluster_id, is_accepted = found.epoch.cluster_id, self._accepted == found.epoch.cluster_id
        if self._was_left(found) and not is_accepted:
            self._hold(found, "it was left for another one", now_s)
            return Verdict.REFUSE
        modified = {entry.key: entry.mod_revision for entry in found.entries()}
        reading = Reading(modified, found.revision, cluster_id)
        judgement, worst = judge(own, reading, own.revision)
        match judgement:
            case Judgement.ADOPT | Judgement.CONFIRM:
                return Verdict.ADOPT  # those who attest it have had it confirmed by etcd
            case Judgement.FOLLOW:
                return Verdict.FOLLOW
            case Judgement.HOLD if is_accepted:
                return Verdict.FOLLOW
            case Judgement.HOLD:
                self._hold(found, f"it lacks {worst}", now_s)
                return Verdict.HOLD

    def leave(self, old: Snapshot, new: Snapshot) -> None:
        """Another epoch is followed from now on."""
        kept = [one for one in self._left if one.cluster_id != new.epoch.cluster_id or one.marks]
        self._left = deque((one for one in kept if not _shows(one, new)), maxlen=_LEFT_MAX)
        marks: list[Entry] = []
        if old.epoch.cluster_id == new.epoch.cluster_id:
            only = (entry for entry in old.entries() if new.get(entry.key) != entry)
            marks = sorted(only, key=lambda entry: -entry.mod_revision)[:_MARKS_MAX]
        if marks or old.epoch.cluster_id != new.epoch.cluster_id:
            self._left.append(_Left(old.epoch.cluster_id, tuple(marks)))
        self.held = self._accepted = None
        self._kin_s, self._has_kin = None, False

    def accept(self) -> bool:
        """A person accepts the epoch that is held; False when none is."""
        if self.held is None:
            return False
        self._accepted = self.held.cluster_id
        self.held = None
        return True

    def _is_any_kin(self) -> bool:
        """Whether a host has our etcd in reach, at our revision or above. Who lags has the patience to catch up."""
        own = self._history.newest
        if own is None:
            return False
        standings = map(self._book.standing, self._book.at_store(own.epoch.cluster_id))
        return any(one is not None and one.received >= own.revision for one in standings)

    def _candidates(self) -> list[int]:
        """Clusters that may be followed instead of ours; the one that most hosts have in reach first."""
        own = self._history.newest
        if own is None:
            return []
        count = self._voice.settings.attestations
        rows = []
        for cluster_id, (at_store, _) in self._book.clusters().items():
            targets = self._book.current(cluster_id, count)
            if at_store < max(1, count) or not targets:
                continue
            is_own = cluster_id == own.epoch.cluster_id
            has_left = any(one.cluster_id == cluster_id and not one.marks for one in self._left)
            if has_left and self._accepted != cluster_id and not is_own:
                continue
            if is_own and targets[0].revision >= own.revision:
                continue
            rows.append((-at_store, not is_own, cluster_id))
        return [cluster_id for _, _, cluster_id in sorted(rows)]

    def _was_left(self, found: Snapshot) -> bool:
        return any(
            one.cluster_id == found.epoch.cluster_id and (not one.marks or _shows(one, found))
            for one in self._left
        )

    def _hold(self, found: Snapshot, reason: str, now_s: float) -> None:
        before = self.held
        cluster_id = found.epoch.cluster_id
        again_s = now_s + self._voice.settings.held_poll_s * self._voice.rng.uniform(0.8, 1.2)
        self.held = HeldLife(cluster_id, found.revision, reason, again_s)
        if before is None or before.cluster_id != cluster_id:
            cluster = f"{cluster_id:x}"
            self._voice.report("epoch_held", Severity.ERROR, cluster_id=cluster, reason=reason)


def _shows(left: _Left, found: Snapshot) -> bool:
    """Whether content descends from an epoch that was left under the same cluster id: most of its marks are there.

    Half of them is asked for, since whoever writes the same again after a restore may bring back one or the other.
    """
    same = sum(found.get(entry.key) == entry for entry in left.marks)
    return bool(left.marks) and 2 * same > len(left.marks)
