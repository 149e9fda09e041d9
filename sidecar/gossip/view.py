"""What gossip holds, for status, metrics and tests: frozen, made on demand."""

from __future__ import annotations

from dataclasses import dataclass

from sidecar.gossip.claims import Identity, Status
from sidecar.gossip.holdings import Held
from sidecar.gossip.records import Topic
from sidecar.gossip.signing import fingerprint
from sidecar.gossip.table import Member
from sidecar.gossip.trust import Basis, Trust
from sidecar.gossip.voice import Voice

__all__ = ["GossipView", "MemberView", "RecordView", "records_of", "view_of"]


@dataclass(frozen=True, slots=True)
class RecordView:
    """A record that is held."""

    topic: Topic
    page: int
    epoch: int
    version: int
    said_s: float
    """When it was said; a time of the shell's clock."""
    body_bytes: int
    """0: withdrawn."""


@dataclass(frozen=True, slots=True)
class MemberView:
    """How a member is held."""

    identity: Identity
    status: Status
    incarnation: int
    since_s: float
    """When it came to be held so; a time of the shell's clock."""
    accusers: tuple[str, ...]
    """Of a suspect: who found it silent."""
    udp_degraded: bool
    """It answers over TCP only."""
    key: str = ""
    """Fingerprint of the key that is believed for it; empty: none is yet."""
    basis: Basis | None = None
    """Why that key is believed."""
    records: tuple[RecordView, ...] = ()
    """What it said of itself, as far as it is held."""


@dataclass(frozen=True, slots=True)
class GossipView:
    """What gossip holds."""

    identity: Identity
    incarnation: int
    members: tuple[MemberView, ...]
    """All others, those that are down included."""
    digest: int
    """Equal where the same members are held alive or suspect."""
    health: int
    """Local health score; 0 is well."""
    queued: int
    """Pieces of news still to be told."""
    relaying: int
    """Probes on behalf of others under way."""
    rival: Identity | None
    """Who has our name instead of us."""
    has_left: bool
    counters: tuple[tuple[str, int], ...]
    """What was passed over, by reason."""
    records: tuple[RecordView, ...] = ()
    """What we said of ourselves."""
    records_digest: int = 0
    """Equal where the same records are held, but for the youngest and for evidence about to die."""
    records_held: int = 0
    """Records held, ours included."""
    queued_by_class: tuple[tuple[str, int], ...] = ()
    """Pieces of news still to be told, by class (`sidecar.gossip.lanes.Lane`)."""
    refused: tuple[tuple[str, int], ...] = ()
    """Records not taken, by reason (`sidecar.gossip.trust.Refusal`)."""
    key: str = ""
    """Fingerprint of our own key; empty: we have none."""
    is_admitted: bool | None = None
    """Whether an admission record names our key; False: it names another one; None: there is none for us."""
    is_closed: bool = False
    """Whether hosts without admission are not believed."""

    def names(self, *statuses: Status) -> frozenset[str]:
        """Nodes held so."""
        return frozenset(m.identity.node for m in self.members if m.status in statuses)


def view_of(
    voice: Voice,
    trust: Trust,
    *,
    relaying: int,
    rival: Identity | None,
    has_left: bool,
    own_key: bytes,
    refused: dict[str, int],
) -> GossipView:
    """The view of what these parts hold now."""
    believed = trust.key_of(voice.identity.node)
    is_admitted = None
    if believed is not None and believed[1] is Basis.ADMITTED:
        is_admitted = believed[0] == own_key
    return GossipView(
        voice.identity,
        voice.sender.incarnation,
        tuple(_member_view(member, voice, trust) for member in voice.table.all()),
        voice.digest,
        voice.health.score,
        len(voice.lanes),
        relaying,
        rival,
        has_left,
        tuple(sorted(voice.counters.items())),
        records_of(voice.holdings.of(voice.identity.node)),
        voice.holdings.digest,
        len(voice.holdings),
        tuple((lane.value, count) for lane, count in voice.lanes.counts().items()),
        tuple(sorted(refused.items())),
        fingerprint(own_key) if own_key else "",
        is_admitted,
        trust.is_closed,
    )


def records_of(held: list[Held]) -> tuple[RecordView, ...]:
    """The records of one host, by topic and page."""
    views = (
        RecordView(
            h.record.topic,
            h.record.page,
            h.record.epoch,
            h.record.version,
            h.said_s,
            len(h.record.body),
        )
        for h in held
    )
    return tuple(sorted(views, key=lambda view: (view.topic, view.page)))


def _member_view(member: Member, voice: Voice, trust: Trust) -> MemberView:
    node = member.claim.identity.node
    believed = trust.key_of(node)
    return MemberView(
        member.claim.identity,
        member.status,
        member.claim.incarnation,
        member.since_s,
        member.claim.accusers,
        member.udp_degraded,
        "" if believed is None else fingerprint(believed[0]),
        None if believed is None else believed[1],
        records_of(voice.holdings.of(node)),
    )
