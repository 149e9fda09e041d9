"""What gossip is told and what it asks for: the words between its core and the shell around it.

Bodies are unsealed frames (`sidecar.gossip.frames`); the shell seals and opens them with the keyring. A call is one
request and one answer over TCP. Everything that a shell must do is an effect; nothing else leaves the core.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from sidecar.gossip.claims import Identity, Status
from sidecar.gossip.records import Record, Topic

__all__ = [
    "AnswerPeer",
    "AskRecords",
    "CallPeer",
    "DatagramReceived",
    "Effect",
    "Event",
    "FindSeeds",
    "IdentityChanged",
    "LeaveAsked",
    "LeaveSpread",
    "MemberChanged",
    "NameConflict",
    "PeerAnswered",
    "PeerCalled",
    "PeerFailed",
    "PeerRefused",
    "ProbeEnded",
    "ProbeOutcome",
    "RecordDropped",
    "RecordHeard",
    "RecordRefused",
    "SayRecord",
    "SeedsFound",
    "SendDatagram",
    "Started",
    "TimePassed",
    "TrustSet",
    "UdpDegraded",
]


@dataclass(frozen=True, slots=True)
class Started:
    """The shell listens; gossip may begin."""


@dataclass(frozen=True, slots=True)
class TimePassed:
    """The deadline has come."""


@dataclass(frozen=True, slots=True)
class DatagramReceived:
    """A datagram came in that the keyring opened."""

    body: bytes


@dataclass(frozen=True, slots=True)
class PeerCalled:
    """Somebody asks over TCP; answered at once by `AnswerPeer`, or not at all."""

    call: int
    """The shell's number for the connection."""
    body: bytes


@dataclass(frozen=True, slots=True)
class PeerAnswered:
    """The answer to a `CallPeer`."""

    call: int
    body: bytes


@dataclass(frozen=True, slots=True)
class PeerFailed:
    """A `CallPeer` got no answer: refused, timed out, or not opened by the keyring."""

    call: int


@dataclass(frozen=True, slots=True)
class SeedsFound:
    """Where members may be: a list, what a DNS name resolves to now, or hosts registered in etcd."""

    addresses: tuple[str, ...]
    """`address:port` each. May be stale, may name ourselves."""


@dataclass(frozen=True, slots=True)
class LeaveAsked:
    """This host goes away on purpose: say goodbye."""


@dataclass(frozen=True, slots=True)
class SayRecord:
    """Tell the mesh this page of ours, in the place of what it said before. The core numbers and signs it.

    `Gossip.handle` raises InputError, and changes nothing, when the body is longer than `RECORD_BODY_BYTES_MAX`, the
    page not 0 to `PAGES_MAX - 1`, or there is no signer.
    """

    topic: Topic
    page: int
    body: bytes
    """Empty: the page is withdrawn."""


@dataclass(frozen=True, slots=True)
class AskRecords:
    """Ask these members themselves for their records of a topic, by one datagram each.

    What they answer is told as `RecordHeard` where it is new. An answer may be lost: ask again. Members that are not
    known are passed over.
    """

    topic: Topic
    nodes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class TrustSet:
    """Whose keys are known from admission records: all of them, in the place of those before."""

    keys: Mapping[str, bytes]
    """Ed25519 public key of each admitted host, by node."""
    is_closed: bool
    """Whether records of hosts without admission are refused; else their key is bound at first sight."""


Event = (
    Started
    | TimePassed
    | DatagramReceived
    | PeerCalled
    | PeerAnswered
    | PeerFailed
    | SeedsFound
    | LeaveAsked
    | SayRecord
    | AskRecords
    | TrustSet
)


@dataclass(frozen=True, slots=True)
class SendDatagram:
    """Seal and send over UDP. Sealed it has at most 1,200 bytes."""

    address: str
    body: bytes


@dataclass(frozen=True, slots=True)
class CallPeer:
    """Ask over TCP; tell the outcome as `PeerAnswered` or `PeerFailed`."""

    call: int
    address: str
    body: bytes
    timeout_s: float
    """For connection, request and answer together."""


@dataclass(frozen=True, slots=True)
class AnswerPeer:
    """Answer a `PeerCalled`."""

    call: int
    body: bytes


@dataclass(frozen=True, slots=True)
class FindSeeds:
    """Resolve seeds anew and tell them as `SeedsFound`; nothing found is told as an empty tuple."""


@dataclass(frozen=True, slots=True)
class MemberChanged:
    """A member is held in another way than before, or in another life."""

    identity: Identity
    before: Status | None
    """None: it was not known."""
    after: Status
    incarnation: int
    accusers: tuple[str, ...] = ()
    """Who found it silent; of a suspect only."""


class ProbeOutcome(StrEnum):
    """How a probe ended."""

    ANSWERED = "answered"
    """Over UDP, directly or by a relay."""
    TCP = "tcp"
    """Over TCP alone."""
    SILENT = "silent"
    """Not at all: the member is accused."""


@dataclass(frozen=True, slots=True)
class ProbeEnded:
    """A probe of ours is over."""

    node: str
    """Who was probed."""
    outcome: ProbeOutcome
    took_s: float
    """From the ping to the answer, or to the end of the wait."""


@dataclass(frozen=True, slots=True)
class UdpDegraded:
    """A member answers over TCP only, or answers over UDP again."""

    node: str
    degraded: bool


@dataclass(frozen=True, slots=True)
class NameConflict:
    """Another process goes by our name. The later boot epoch keeps it; the loser waits until the other is gone."""

    rival: Identity
    lost: bool
    """Whether it is us who may not speak."""


@dataclass(frozen=True, slots=True)
class IdentityChanged:
    """We speak with a new boot epoch: persist it, so that the next life starts above."""

    identity: Identity


@dataclass(frozen=True, slots=True)
class PeerRefused:
    """A peer speaks only protocol versions that we do not, or refuses ours."""

    identity: Identity
    reason: str


@dataclass(frozen=True, slots=True)
class LeaveSpread:
    """The goodbye is told as often as news is told: the process may end."""


@dataclass(frozen=True, slots=True)
class RecordHeard:
    """A newer record of another host; its signature is checked, and its key is that host's.

    Of our own host only what an earlier life said in topic `overrides`, so that its words can be taken up again.
    """

    record: Record
    """As it is held: `age_ms` says how old it is now."""


@dataclass(frozen=True, slots=True)
class RecordDropped:
    """A record is held no more, and nothing newer stands in its place.

    It died, its host left, was forgotten, or began a new life, or its key is not trusted any more.
    """

    topic: Topic
    node: str
    page: int


@dataclass(frozen=True, slots=True)
class RecordRefused:
    """A record in the name of this node was not believed.

    Told once in a while for each node and reason; all are counted in `GossipView.refused`.
    """

    node: str
    reason: str
    """`signature`, `other_key`, `not_admitted`."""


Effect = (
    SendDatagram
    | CallPeer
    | AnswerPeer
    | FindSeeds
    | MemberChanged
    | ProbeEnded
    | UdpDegraded
    | NameConflict
    | IdentityChanged
    | PeerRefused
    | LeaveSpread
    | RecordHeard
    | RecordDropped
    | RecordRefused
)
