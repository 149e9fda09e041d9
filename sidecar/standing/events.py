"""What standing is told and what it asks for: the words between its core and the shell around it. Read this first."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from sidecar.gossip.events import MemberChanged
from sidecar.gossip.records import Record
from sidecar.standing.model import Standing

__all__ = [
    "AskRecords",
    "Effect",
    "Event",
    "HashesAgree",
    "HashesDiffer",
    "MemberChanged",
    "OwnChanged",
    "RecordDropped",
    "RecordHeard",
    "Say",
    "TimePassed",
    "WaitBegan",
    "WaitEnded",
    "WaitMet",
]


@dataclass(frozen=True, slots=True)
class OwnChanged:
    """What this host says of itself from now on."""

    standing: Standing


@dataclass(frozen=True, slots=True)
class RecordHeard:
    """A newer record of topic `standing` of another host; its signature is checked."""

    record: Record


@dataclass(frozen=True, slots=True)
class RecordDropped:
    """What a host said of itself is held no more: it left, was forgotten, or began a new life."""

    node: str


@dataclass(frozen=True, slots=True)
class WaitBegan:
    """Somebody waits until every member has a revision in force."""

    wait: int
    """The shell's number for it."""
    revision: int
    cluster_id: int | None = None
    """The etcd that the revision is of; None: the one that this host follows."""


@dataclass(frozen=True, slots=True)
class WaitEnded:
    """Nobody waits for it any more."""

    wait: int


@dataclass(frozen=True, slots=True)
class TimePassed:
    """The deadline has come."""


Event = (
    OwnChanged | RecordHeard | RecordDropped | MemberChanged | WaitBegan | WaitEnded | TimePassed
)


@dataclass(frozen=True, slots=True)
class Say:
    """Tell the mesh this standing of ours, in page 0 of topic `standing`."""

    body: bytes


@dataclass(frozen=True, slots=True)
class AskRecords:
    """Ask these members directly for their standing: somebody waits for it."""

    nodes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class WaitMet:
    """Every member that counts has the revision in force."""

    wait: int


@dataclass(frozen=True, slots=True)
class HashesDiffer:
    """Members say that they have one revision of one etcd, with different content: one of them is wrong."""

    cluster_id: int
    revision: int
    claims: Mapping[str, tuple[str, ...]]
    """Nodes by the hash that they tell, sorted."""


@dataclass(frozen=True, slots=True)
class HashesAgree:
    """No member claims that revision with another content any more."""

    cluster_id: int
    revision: int


Effect = Say | AskRecords | WaitMet | HashesDiffer | HashesAgree
