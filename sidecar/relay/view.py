"""What the relay shows of itself: for status, metrics and tests."""

from __future__ import annotations

from dataclasses import dataclass

from sidecar.relay.book import Target
from sidecar.relay.events import StoreLink
from sidecar.relay.lives import HeldLife
from sidecar.standing.model import Sync
from store.snapshot import Epoch

__all__ = ["RelayView"]


@dataclass(frozen=True, slots=True)
class RelayView:
    """What the relay is about."""

    link: StoreLink
    sync: Sync
    """What this host's standing should say."""
    epoch: Epoch | None
    revision: int
    """Of the newest snapshot; 0 before the first."""
    target: Target | None
    """What is pulled now."""
    source: str
    """From whom; empty: from nobody at this moment."""
    chunks: int
    chunks_all: int
    """Of the pull: here, and of the whole."""
    serving: int
    """Peers that pull from us now."""
    holds_watch: bool
    """Whether this host is to hold a watch on etcd."""
    at_store: int
    """Other hosts that have the etcd that is followed in reach."""
    told: int
    """Revision above ours that enough of them say they have; 0: we have what they have."""
    held: HeldLife | None
    """The epoch that waits for a person, if any."""
    left_alone: tuple[tuple[str, float], ...]
    """Peers that are not asked for some time, with the seconds that remain."""
    counters: tuple[tuple[str, int], ...]
    """What happened so far."""
