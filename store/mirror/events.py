"""What the Mirror is told, and what it asks for.

Events are in the past tense and come from the shell (`store.etcd.watch`); effects are imperative and go to it. Every
read and every watch stream has a number, so that an answer that comes too late is known as such.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from store.snapshot import Entry, Snapshot

__all__ = [
    "CloseWatch",
    "Deleted",
    "Effect",
    "EpochAccepted",
    "Event",
    "Failure",
    "FailureKind",
    "KeyRead",
    "KeysListed",
    "List",
    "ListKeysOnly",
    "Listed",
    "OpenWatch",
    "Publish",
    "ReadFailed",
    "ReadKey",
    "Reauthenticate",
    "Relayed",
    "Report",
    "RequestProgress",
    "ServerIdentified",
    "Severity",
    "Started",
    "SwitchEndpoint",
    "WatchAnswered",
    "WatchBroken",
    "Woken",
]


class FailureKind(StrEnum):
    """What a failed call means for what to do next."""

    UNAVAILABLE = "unavailable"
    """The member cannot be reached, has no leader, or did not answer in time."""
    DENIED = "denied"
    """Credentials refused or expired (etcd says "permission denied" for both)."""
    COMPACTED = "compacted"
    """The revision asked for is no longer held."""
    OTHER = "other"
    """Anything else, such as a member that broke the protocol."""


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a call failed."""

    kind: FailureKind
    """What it means."""
    text: str
    """What was said, with the endpoint."""


@dataclass(frozen=True, slots=True)
class Deleted:
    """A key was deleted."""

    key: str
    """The key, relative to the prefix."""
    mod_revision: int
    """The revision of the deletion."""


# ------------------------------------------------------------------ events


@dataclass(frozen=True, slots=True)
class Started:
    """The shell runs."""


@dataclass(frozen=True, slots=True)
class Listed:
    """Answer to List: everything under the prefix at one revision, read linearizably."""

    request: int
    """The number that List gave."""
    entries: tuple[Entry, ...]
    """All entries."""
    revision: int
    """The revision at which all pages were read."""
    cluster_id: int
    """Who answered."""


@dataclass(frozen=True, slots=True)
class KeysListed:
    """Answer to ListKeysOnly, read linearizably at one revision."""

    request: int
    """The number that ListKeysOnly gave."""
    mod_revisions: Mapping[str, int]
    """Every key under the prefix, with the revision of its value."""
    revision: int
    """The revision at which all pages were read."""
    cluster_id: int
    """Who answered."""


@dataclass(frozen=True, slots=True)
class KeyRead:
    """Answer to ReadKey, read linearizably."""

    request: int
    """The number that ReadKey gave."""
    entry: Entry | None
    """The key's value at the revision asked for; None when it was not there."""
    revision: int
    """The store's revision now."""
    cluster_id: int
    """Who answered."""


@dataclass(frozen=True, slots=True)
class ReadFailed:
    """Answer to List, ListKeysOnly or ReadKey: it failed."""

    request: int
    """The number that was given."""
    failure: Failure
    """Why."""


@dataclass(frozen=True, slots=True)
class WatchAnswered:
    """One response on a watch stream."""

    stream: int
    """The number that OpenWatch gave."""
    revision: int = 0
    """The header's revision."""
    cluster_id: int = 0
    """The header's cluster id."""
    created: bool = False
    """The watch exists now (may be set together with `canceled`)."""
    canceled: bool = False
    """The watch is over."""
    cancel_reason: str = ""
    """Why it is over; may be empty."""
    compact_revision: int = 0
    """Not 0: the start revision was compacted away; this is the oldest one still held."""
    changes: tuple[Entry | Deleted, ...] = ()
    """Events in order of revision; all events of one revision are in one response."""


@dataclass(frozen=True, slots=True)
class WatchBroken:
    """A watch stream ended without being canceled."""

    stream: int
    """The number that OpenWatch gave."""
    failure: Failure
    """Why."""


@dataclass(frozen=True, slots=True)
class ServerIdentified:
    """The member behind a watch stream told its version."""

    stream: int
    """The number that OpenWatch gave."""
    version: str
    """For instance `3.5.1`."""


@dataclass(frozen=True, slots=True)
class EpochAccepted:
    """An operator said that the epoch that is held is to be followed."""


@dataclass(frozen=True, slots=True)
class Relayed:
    """Peers brought a newer snapshot whose hash is attested: it is in force, and the watch goes on behind it."""

    snapshot: Snapshot
    """Of the epoch that is followed, or of one that the relay's rules have led to."""


@dataclass(frozen=True, slots=True)
class Woken:
    """The deadline has come, or nothing has happened at all."""


Event = (
    Started
    | Listed
    | KeysListed
    | KeyRead
    | ReadFailed
    | WatchAnswered
    | WatchBroken
    | ServerIdentified
    | EpochAccepted
    | Relayed
    | Woken
)


# ------------------------------------------------------------------ effects


@dataclass(frozen=True, slots=True)
class List:
    """Read everything: linearizably, in pages, all at the first page's revision."""

    request: int
    """Number to answer with."""


@dataclass(frozen=True, slots=True)
class ListKeysOnly:
    """Read all keys and their revisions, without values: linearizably, in pages, all at one revision."""

    request: int
    """Number to answer with."""


@dataclass(frozen=True, slots=True)
class ReadKey:
    """Read one key as it was at a revision: linearizably."""

    request: int
    """Number to answer with."""
    key: str
    """The key, relative to the prefix."""
    revision: int
    """Which revision."""


@dataclass(frozen=True, slots=True)
class OpenWatch:
    """Open a stream with one watch on the prefix, requiring a leader, without fragments."""

    stream: int
    """Number to answer with."""
    start_revision: int
    """The first revision that is not known yet."""


@dataclass(frozen=True, slots=True)
class CloseWatch:
    """Close a stream; nothing that it still says counts."""

    stream: int
    """The number that OpenWatch gave."""


@dataclass(frozen=True, slots=True)
class RequestProgress:
    """Ask for a progress notification, as a heartbeat."""

    stream: int
    """The number that OpenWatch gave."""


@dataclass(frozen=True, slots=True)
class SwitchEndpoint:
    """Open the next stream on another member, where there is one."""


@dataclass(frozen=True, slots=True)
class Reauthenticate:
    """Forget the token and log in again before the next call."""


@dataclass(frozen=True, slots=True)
class Publish:
    """A new snapshot is in force for this host; supersedes all earlier ones."""

    snapshot: Snapshot
    """The snapshot."""


class Severity(StrEnum):
    """How a person should take a report."""

    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


@dataclass(frozen=True, slots=True)
class Report:
    """Something changed that a person may want to know."""

    name: str
    """Fixed phrase in snake_case."""
    severity: Severity = Severity.INFO
    """Error: a person must act. Warning: degraded, will be tried again. Info: a change of state."""
    facts: Mapping[str, str | int | float] = field(default_factory=dict)
    """What it is about."""


Effect = (
    List
    | ListKeysOnly
    | ReadKey
    | OpenWatch
    | CloseWatch
    | RequestProgress
    | SwitchEndpoint
    | Reauthenticate
    | Publish
    | Report
)
