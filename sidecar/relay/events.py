"""What the relay is told and what it asks for: the words between its core and the shell around it.

One core a host (`sidecar.relay.relay.Relay`), both sides of it: it gets configuration from peers while etcd is out
of reach, and gives it to peers that are. Bodies are unsealed words (`sidecar.relay.wire`); the shell seals and
opens them with the keyring, for a purpose of their own. A call is one request and one answer over TCP; a shell may
send many over one connection.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from sidecar.mesh.model import Locality
from sidecar.standing.model import Standing
from store.mirror.events import Report
from store.snapshot import Snapshot

__all__ = [
    "Adopt",
    "AnswerPeer",
    "AskPeer",
    "Effect",
    "EpochAccepted",
    "Event",
    "MembersSeen",
    "Peer",
    "PeerAnswered",
    "PeerAsked",
    "PeerFailed",
    "Report",
    "SnapshotSeen",
    "StandingHeard",
    "StoreLink",
    "StoreSeen",
    "TimePassed",
    "WatchStore",
]


class StoreLink(StrEnum):
    """How this host stands to etcd."""

    FOLLOWED = "followed"
    """Its watch runs (`MirrorStatus.is_fresh`)."""
    AWAY = "away"
    """Out of reach."""
    HELD = "held"
    """In reach, but with another epoch that a person must accept."""
    UNWATCHED = "unwatched"
    """Not asked: this host follows peers by choice (`RelaySettings.watch_share`)."""


@dataclass(frozen=True, slots=True)
class Peer:
    """A member that gossip holds alive or suspect."""

    address: str
    """Where its relay is called: `address:port`."""
    locality: Locality = field(default_factory=Locality)


# ------------------------------------------------------------------ events


@dataclass(frozen=True, slots=True)
class StoreSeen:
    """The way to etcd is so now."""

    link: StoreLink


@dataclass(frozen=True, slots=True)
class SnapshotSeen:
    """This host's snapshot: each one that the Mirror publishes, or the one from disk."""

    snapshot: Snapshot
    is_first_hand: bool = True
    """The Mirror read it from etcd: this host can vouch for it. False: it is from disk."""


@dataclass(frozen=True, slots=True)
class StandingHeard:
    """What another host says of its configuration; gossip has checked its signature."""

    node: str
    standing: Standing
    key: bytes = b""
    """The host's Ed25519 public key; empty where hosts have none: then it cannot vouch when asked directly."""


@dataclass(frozen=True, slots=True)
class MembersSeen:
    """All members that can be asked, in the place of those before. Ourselves among them do no harm."""

    peers: Mapping[str, Peer]


@dataclass(frozen=True, slots=True)
class PeerAsked:
    """Somebody asks. Answered by one `AnswerPeer`, perhaps some time later (bandwidth), or never (nonsense)."""

    call: int
    """The shell's number for the request; positive or zero."""
    client: str
    """Who asks, as far as the shell can tell: one name for each connection. Places are counted by it."""
    body: bytes


@dataclass(frozen=True, slots=True)
class PeerAnswered:
    """The answer to an `AskPeer`."""

    call: int
    body: bytes


@dataclass(frozen=True, slots=True)
class PeerFailed:
    """An `AskPeer` got no answer: refused, timed out, or not opened by the keyring."""

    call: int


@dataclass(frozen=True, slots=True)
class EpochAccepted:
    """An operator said that the epoch that is held is to be followed."""


@dataclass(frozen=True, slots=True)
class TimePassed:
    """The deadline has come."""


Event = (
    StoreSeen
    | SnapshotSeen
    | StandingHeard
    | MembersSeen
    | PeerAsked
    | PeerAnswered
    | PeerFailed
    | EpochAccepted
    | TimePassed
)


# ------------------------------------------------------------------ effects


@dataclass(frozen=True, slots=True)
class AskPeer:
    """Ask over TCP; tell the outcome as `PeerAnswered` or `PeerFailed`."""

    call: int
    node: str
    address: str
    body: bytes
    timeout_s: float
    """For connection, request and answer together."""


@dataclass(frozen=True, slots=True)
class AnswerPeer:
    """Answer a `PeerAsked`."""

    call: int
    body: bytes


@dataclass(frozen=True, slots=True)
class Adopt:
    """This snapshot came from peers, its hash is attested: it is this host's configuration now."""

    snapshot: Snapshot
    source: str
    """Who sent it (the last one, where several did)."""
    attested_by: tuple[str, ...]
    """Hosts that attest its hash, sorted."""


@dataclass(frozen=True, slots=True)
class WatchStore:
    """Hold a watch on etcd from now on, or let go of it (`RelaySettings.watch_share`)."""

    is_wanted: bool


Effect = AskPeer | AnswerPeer | Adopt | WatchStore | Report
