"""What is known of the configuration of all members, for status, waits and tests: frozen, made on demand."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from sidecar.gossip.claims import Status
from sidecar.standing.events import HashesDiffer
from sidecar.standing.model import Standing
from sidecar.standing.progress import Progress

__all__ = ["MemberStanding", "StandingsView", "WaitView"]


@dataclass(frozen=True, slots=True)
class MemberStanding:
    """What is known of one member's configuration."""

    node: str
    status: Status | None
    """How gossip holds it; None where gossip does not know it."""
    standing: Standing | None
    """Its newest words; None when none were heard."""
    said_s: float
    """When it said so, on our clock; -inf when never."""
    is_current: bool
    """Whether its present life said it."""


@dataclass(frozen=True, slots=True)
class WaitView:
    """How far a wait is."""

    met: tuple[str, ...]
    """Members that have the revision in force, sorted."""
    pending: Mapping[str, Progress]
    """Those that do not, and where they are."""
    gone: tuple[str, ...]
    """Those that died or left meanwhile and are not waited for any more."""


@dataclass(frozen=True, slots=True)
class StandingsView:
    """What is known of everybody."""

    own: Standing | None
    members: tuple[MemberStanding, ...]
    """All others, by name."""
    alarms: tuple[HashesDiffer, ...]
    """Differences that are not resolved."""
    versions: Mapping[str, tuple[str, ...]]
    """Members that are here (ourselves too) by the version that they run."""
    unreadable: int
    """Records that were no standing."""
