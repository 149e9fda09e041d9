"""What the Mirror says about itself: for status, metrics and tests."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from store.snapshot import Epoch

__all__ = ["TRANSITIONS", "Counters", "HeldEpoch", "MirrorState", "MirrorStatus"]


class MirrorState(Enum):
    """Where the Mirror is."""

    IDLE = "idle"
    """Not started."""
    LISTING = "listing"
    """Reading everything."""
    CHECKING = "checking"
    """After a compaction: reading the keys, to learn whether anything changed at all."""
    CONFIRMING = "confirming"
    """A reading showed most of a kind gone; waiting for a second one."""
    OPENING = "opening"
    """A watch was asked for and does not exist yet."""
    WATCHING = "watching"
    """Following events."""
    BACKOFF = "backoff"
    """Waiting before the next try."""
    HELD = "held"
    """Another epoch is held until a person accepts it."""


_S = MirrorState

TRANSITIONS: Mapping[MirrorState, frozenset[MirrorState]] = {
    _S.IDLE: frozenset({_S.LISTING, _S.OPENING}),
    _S.LISTING: frozenset({_S.OPENING, _S.CONFIRMING, _S.HELD, _S.BACKOFF}),
    _S.CHECKING: frozenset({_S.OPENING, _S.LISTING, _S.BACKOFF}),
    _S.CONFIRMING: frozenset({_S.OPENING, _S.HELD, _S.LISTING}),
    _S.OPENING: frozenset({_S.WATCHING, _S.BACKOFF, _S.CHECKING, _S.LISTING}),
    _S.WATCHING: frozenset({_S.BACKOFF, _S.CHECKING, _S.LISTING}),
    _S.BACKOFF: frozenset({_S.LISTING, _S.CHECKING, _S.OPENING}),
    _S.HELD: frozenset({_S.LISTING}),
}
"""From each state, the states that may follow."""


@dataclass(frozen=True, slots=True)
class HeldEpoch:
    """The epoch that is not followed."""

    cluster_id: int
    """etcd's cluster id."""
    revision: int
    """Its revision when last looked at."""
    reason: str
    """What it lacks."""


@dataclass(slots=True)
class Counters:
    """What happened so far; for metrics."""

    lists: int = 0
    """Full readings begun."""
    comparisons: int = 0
    """Keys-only readings begun."""
    streams: int = 0
    """Watch streams opened."""
    compactions: int = 0
    """Watches ended by compaction."""
    dropped_events: int = 0
    """Events that were old or doubled."""
    drift_repaired: int = 0
    """Lost events found by comparison."""


@dataclass(frozen=True, slots=True)
class MirrorStatus:
    """One look at the Mirror."""

    state: MirrorState
    """Where it is."""
    since_s: float
    """Since when, on the clock that was handed in."""
    epoch: Epoch | None
    """Epoch of the snapshot; None before the first."""
    revision: int
    """Revision of the snapshot; 0 before the first."""
    heard_s: float | None
    """When the store last said anything; None when it never did."""
    reason: str
    """Why it is not watching; empty when it is."""
    held: HeldEpoch | None
    """The epoch that is held, if any."""
    server_version: str
    """Version of the member that is watched; empty when not known."""
    counters: Counters
    """What happened so far (a copy)."""

    @property
    def is_fresh(self) -> bool:
        """Whether the snapshot follows the store."""
        return self.state is MirrorState.WATCHING
