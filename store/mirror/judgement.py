"""What a fresh reading of the store means: the same life of the same etcd, or a new one, and may it be believed.

An epoch is one life of one etcd. Three signs tell that the store behind the endpoints is not the one that we knew:
another cluster id; a revision that went back; a key whose value is of an earlier revision than the one we hold (a
backup was restored and has since been written past our revision). All three count only on linearizable reads: a
member that lags behind shows the second one as well. The third is looked for in one key before a watch that is
resumed counts (`store.mirror.doubt`), and in all keys some seconds later.

Registrations of hosts are left out where shares are counted: their expiry is judged elsewhere, as evidence.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING

from store.objects.kinds import KINDS, kind_by_plural

if TYPE_CHECKING:
    from collections.abc import Container, Mapping

    from store.objects.kinds import Kind
    from store.snapshot import Snapshot

__all__ = ["Gone", "Judgement", "Reading", "gone_by_kind", "is_new_life", "judge"]

FOLLOW_GONE_MAX = 1 / 5
"""A new epoch is followed by itself when no kind lost more than this share of its objects."""

CONFIRM_GONE_MAX = 1 / 2
"""Within an epoch, a reading that shows more than this share of a kind gone needs a second one."""


class Judgement(Enum):
    """What to do with a reading."""

    ADOPT = "same epoch: take it"
    CONFIRM = "same epoch, but most of a kind is gone: read again before believing it"
    FOLLOW = "new epoch, and little has changed: take it"
    HOLD = "new epoch, and much is gone: hold what is known until a person accepts it"

    def after(self, *, is_accepted: bool, is_second: bool) -> Judgement:
        """The same, where a person has accepted that epoch, or where this reading is the second one."""
        if self is Judgement.HOLD and is_accepted:
            return Judgement.FOLLOW
        return Judgement.ADOPT if self is Judgement.CONFIRM and is_second else self


@dataclass(frozen=True, slots=True)
class Gone:
    """How much of one kind a reading lacks."""

    kind: Kind
    """The kind."""
    gone: int
    """Objects known and missing in the reading."""
    known: int
    """Objects known."""

    @property
    def share(self) -> float:
        """Between 0 and 1."""
        return self.gone / self.known

    def __str__(self) -> str:
        return f"{self.gone} of {self.known} {KINDS[self.kind].plural}"


@dataclass(frozen=True, slots=True)
class Reading:
    """What a linearizable read of the store showed, without values."""

    mod_revisions: Mapping[str, int]
    """Every key, with the revision of its value."""
    revision: int
    """The revision of the read."""
    cluster_id: int
    """Who answered."""


def gone_by_kind(snapshot: Snapshot, keys: Container[str]) -> tuple[Gone, ...]:
    """For each kind that the snapshot holds, how many of its objects are not in `keys`; worst first."""
    known: dict[Kind, int] = {}
    gone: dict[Kind, int] = {}
    for key in snapshot.keys():  # noqa: SIM118 (no mapping)
        kind = _kind_of(key)
        if kind is not None:
            known[kind] = known.get(kind, 0) + 1
            gone[kind] = gone.get(kind, 0) + (key not in keys)
    rows = (Gone(kind, gone[kind], known[kind]) for kind in known)
    return tuple(sorted(rows, key=lambda row: (-row.share, row.kind)))


def is_new_life(snapshot: Snapshot, reading: Reading, known_revision: int) -> bool:
    """Whether the reading comes from another life of etcd than the snapshot.

    Args:
        snapshot: What is known.
        reading: A linearizable read that was begun after `known_revision` was reached.
        known_revision: All events up to it have been seen.
    """
    if reading.cluster_id != snapshot.epoch.cluster_id or reading.revision < known_revision:
        return True
    for key, revision in reading.mod_revisions.items():
        entry = snapshot.get(key)
        if entry is not None and revision < entry.mod_revision <= reading.revision:
            return True
    return False


def judge(
    snapshot: Snapshot, reading: Reading, known_revision: int, *, is_new: bool = False
) -> tuple[Judgement, Gone]:
    """What to do with a reading, and which kind lost the largest share; `is_new` where another life is certain."""
    rows = gone_by_kind(snapshot, reading.mod_revisions)
    worst = rows[0] if rows else _NOTHING_KNOWN
    if is_new or is_new_life(snapshot, reading, known_revision):
        return (Judgement.FOLLOW if worst.share <= FOLLOW_GONE_MAX else Judgement.HOLD), worst
    return (Judgement.ADOPT if worst.share <= CONFIRM_GONE_MAX else Judgement.CONFIRM), worst


def _kind_of(key: str) -> Kind | None:
    parts = key.split("/")
    if len(parts) == 4 and parts[0] == "ns":
        return kind_by_plural(parts[2])
    return _MESH_KIND if key == "mesh" else None


_MESH_KIND = next(names.kind for names in KINDS.values() if not names.namespaced)
_NOTHING_KNOWN = Gone(_MESH_KIND, 0, 1)
